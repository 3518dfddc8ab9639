//! No reference file goes unseen.

#[test]
fn every_reference_file_belongs_to_a_package() {
    let orphans = cola_golden::orphans();
    for file in &orphans {
        println!("golden FAILED {}: no package compares such files", file.display());
    }
    assert!(orphans.is_empty(), "{} reference files that no package knows: {orphans:?}", orphans.len());
}
