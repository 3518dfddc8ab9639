//! Where files are looked for, what is read from them, what is no reference file.

mod support;

use std::path::Path;
use std::process::Command;

use candle_core::{DType, Result};
use cola_golden::{Golden, files_of, orphans, root};
use support::{folder, open, write};

#[test]
fn without_a_variable_the_repositorys_own_copy_is_used() {
    // The variable is process-wide: where a developer has set it, the other test covers both.
    if std::env::var_os("COLA_GOLDEN_DIR").is_none() {
        assert_eq!(root(), Path::new(env!("CARGO_MANIFEST_DIR")).join("data"));
        assert!(!files_of("cola-dit-world").is_empty() && !files_of("cola-lam").is_empty());
    }
}

#[test]
fn an_unknown_package_has_no_files() {
    assert!(files_of("no-such-package").is_empty());
}

/// Run in a process of its own by the test below, which sets the variable.
#[test]
#[ignore = "only with COLA_GOLDEN_DIR set by another test"]
fn prints_what_the_variable_leads_to() {
    println!("root={}", root().display());
    for file in files_of("cola-flow") {
        println!("file={}", file.display());
    }
    for file in orphans() {
        println!("orphan={}", file.display());
    }
}

#[test]
fn the_variable_leads_to_another_folder_whose_files_come_in_order() {
    let other = folder("other-areas");
    let (area, strange) = (other.join("opensora-v1.2"), other.join("area"));
    for (area, names) in [
        (
            &area,
            ["rf_logit_normal.safetensors", "rf_add_noise_b.safetensors", "rf_a.safetensors", "README.md"],
        ),
        (&strange, ["rf_add_noise.safetensors", "c.safetensors.part", "README.md", "block_.txt"]),
        (&other.join("opensora-v1.2/deep"), ["rf_add_noise.safetensors", "a", "b", "c"]),
        (&other, ["rf_add_noise.safetensors", "a", "b", "c"]),
    ] {
        std::fs::create_dir_all(area).expect("a writable target folder");
        for name in names {
            std::fs::write(area.join(name), "").expect("a writable target folder");
        }
    }
    let (lines, text) = seen_below(&other);
    let line = |kind: &str, area: &Path, name: &str| format!("{kind}={}", area.join(name).display());
    let expected = [
        format!("root={}", other.display()),
        line("file", &area, "rf_add_noise_b.safetensors"),
        line("file", &area, "rf_logit_normal.safetensors"),
        line("orphan", &strange, "rf_add_noise.safetensors"),
        line("orphan", &area, "deep/rf_add_noise.safetensors"),
        line("orphan", &area, "rf_a.safetensors"),
        line("orphan", &other, "rf_add_noise.safetensors"),
    ];
    assert_eq!(lines, expected, "{text}");
}

#[test]
fn a_folder_that_is_not_there_or_has_no_file_is_no_success() {
    for (name, part) in [("absent-root", "cannot be read"), ("empty-root", "no reference file")] {
        let root = if name == "empty-root" { folder(name) } else { Path::new("no").join(name) };
        let (lines, text) = seen_below(&root);
        assert!(lines.len() == 1 && text.contains(part), "{text}");
    }
}

/// The lines that the ignored test prints with the variable set, and all that it says.
fn seen_below(root: &Path) -> (Vec<String>, String) {
    let output = Command::new(std::env::current_exe().expect("a running test"))
        .args(["--ignored", "--exact", "--nocapture", "prints_what_the_variable_leads_to"])
        .env("COLA_GOLDEN_DIR", root)
        .output()
        .expect("this test again");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let told = ["root=", "file=", "orphan="];
    let lines = text.lines().filter(|line| told.iter().any(|start| line.starts_with(start)));
    (lines.map(str::to_string).collect(), text)
}

#[test]
fn a_file_gives_its_name_numbers_and_tensors() -> Result<()> {
    let golden = open("contents");
    assert_eq!(golden.name(), "contents");
    assert_eq!((golden.int("B"), golden.float("mlp_ratio")), (2, 4.0));
    assert_eq!(golden.config()["temporal"], true);
    assert!(golden.has("input.x") && !golden.has("x"));
    assert_eq!(golden.input("x", DType::F64)?.to_vec1::<f64>()?, [1.0, 2.0, 3.0]);
    assert_eq!(golden.input_var("x", DType::F32)?.to_vec1::<f32>()?, [1.0, 2.0, 3.0]);
    assert_eq!(golden.names("grad.").collect::<Vec<_>>(), ["grad.input.x"]);
    let weights = golden.weights("grad.", DType::F64)?;
    assert_eq!(weights["input.x"].to_vec1::<f64>()?, [3.0, 3.0, 3.0]);
    assert_eq!(weights.len(), 1);
    Ok(())
}

#[test]
#[should_panic(expected = "config has no whole number `depth`")]
fn an_absent_number_stops_the_test_by_name() {
    open("no-depth").int("depth");
}

#[test]
#[should_panic(expected = "config has no number `temporal`")]
fn a_truth_is_no_number() {
    open("no-number").float("temporal");
}

#[test]
#[should_panic(expected = "missing.safetensors: ")]
fn a_missing_file_stops_the_test_by_name() {
    Golden::open(Path::new("missing.safetensors"));
}

#[test]
#[should_panic(expected = "cut.safetensors: ")]
fn a_truncated_file_stops_the_test_by_name() {
    let file = write("cut", &[("output.y", vec![1.0, 2.0])], None);
    let bytes = std::fs::read(&file).expect("just written");
    std::fs::write(&file, &bytes[..bytes.len() - 1]).expect("a writable target folder");
    Golden::open(&file);
}

#[test]
#[should_panic(expected = "metadata `config`")]
fn a_configuration_that_is_no_json_stops_the_test_by_key() {
    Golden::open(&write("no_json", &[("output.y", vec![1.0])], Some(&[("config", "{")])));
}
