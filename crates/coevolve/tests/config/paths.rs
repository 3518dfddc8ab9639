//! What paths are relative to, and what a preset's cut-out belongs to.

use std::path::{Path, PathBuf};

use cola_coevolve::{ExperimentConfig, Generator};
use cola_data::Region;

const PATHS: &str = "preset = \"tiny\"\n[data]\npath = \"clips\"\nmanifest = \"./lists/all.txt\"\n[start]\n\
                     init_from = \"../first\"\nlam_from = \"/elsewhere/lam\"\ngenerator = \"gen\"\n";

#[test]
fn paths_in_a_file_are_relative_to_its_folder() {
    let root = tempfile::tempdir().expect("a folder");
    let file = root.path().join("my.toml");
    std::fs::write(&file, PATHS).expect("a file");
    let config = ExperimentConfig::read(&file).expect("a configuration");
    let below = |name: &str| root.path().join(name);
    assert_eq!(config.data.path, below("clips"));
    assert_eq!(config.data.manifest, below("lists/all.txt"));
    assert_eq!(config.data.exclude, PathBuf::new(), "an empty path stays empty");
    assert_eq!(config.start.init_from, below("../first"));
    assert_eq!(config.start.lam_from, Path::new("/elsewhere/lam"));
    assert_eq!(config.start.generator, Generator::Folder(below("gen")));
    // Stored and read from another place, they stay.
    let stored = root.path().join("out/config.toml");
    std::fs::create_dir(root.path().join("out")).expect("a folder");
    std::fs::write(&stored, config.to_toml().expect("TOML")).expect("a file");
    assert_eq!(ExperimentConfig::read(&stored).expect("the stored one"), config);
}

#[test]
fn the_words_of_the_generator_are_no_paths() {
    for (word, wanted) in [("shipped", Generator::Shipped), ("make", Generator::Make)] {
        let config = ExperimentConfig::tiny().with(&format!("start.generator={word}")).expect("a word");
        let config = config.with_paths_from(Path::new("/runs"));
        assert_eq!(config.start.generator, wanted);
        assert!(config.to_toml().expect("TOML").contains(&format!("generator = \"{word}\"")));
    }
    let config = ExperimentConfig::tiny().with("start.generator=./make").expect("a folder");
    let config = config.with_paths_from(Path::new("/runs"));
    assert_eq!(config.start.generator, Generator::Folder("/runs/make".into()));
}

#[test]
fn a_presets_cut_out_is_not_put_on_other_clips() {
    let region =
        |text: &str| ExperimentConfig::from_toml(text, "my.toml").expect("a configuration").data.region;
    let tiny = ExperimentConfig::tiny().data.region;
    assert_ne!(tiny, Region::FULL);
    assert_eq!(region("preset = \"tiny\"\n"), tiny);
    assert_eq!(region("preset = \"tiny\"\n[data]\npath = \"\"\n"), tiny);
    assert_eq!(region("preset = \"tiny\"\n[data]\npath = \"clips\"\n"), Region::FULL);
    assert_eq!(region("preset = \"tiny\"\n[data]\npath = \"clips\"\nregion.top = 0.25\n").top, 0.25);
}
