//! Runs beside each other, as a user compares them.

mod support;

use std::path::Path;
use std::process::Output;

use cola_examples::compare::series::mean;
use serde_json::{Value, json};
use support::{fails, program, succeeds};

/// A line of a log.
fn line(step: u64, flow: f64) -> Value {
    json!({
        "step": step, "phase": if step <= 20 { "WARM" } else { "E2E" },
        "phase_step": if step <= 20 { step } else { step - 20 }, "loss": flow, "flow": flow,
        "reconstruction": null, "codebook": null, "commitment": null, "entropy_penalty": null,
        "gradient_norm": 1.0 + flow, "idm_gradient_prediction": null, "idm_gradient_vq": null, "codes": null,
        "token_norm": null, "token_spread": null, "code_norm": null, "sensitivity": 0.25,
        "sensitivity_error": 0.1, "warnings": []
    })
}

/// A run of `steps` steps in tens whose flow loss is `level / step`.
fn run(folder: &Path, steps: u64, level: f64) {
    std::fs::create_dir_all(folder.join("evaluations")).expect("a folder");
    let lines = (1..=steps / 10).map(|ten| line(10 * ten, level / (10 * ten) as f64).to_string() + "\n");
    std::fs::write(folder.join("log.jsonl"), lines.collect::<String>()).expect("a log");
    let psnr = |psnr: f64| json!({ "true_actions": psnr, "shuffled": psnr - 3.0, "zero": 1.0, "copy": 1.0 });
    let evaluation = json!({ "one_step": psnr(20.0 + level), "rollout": psnr(15.0) });
    let at = json!({ "step": 20, "phase": "WARM", "evaluation": evaluation });
    std::fs::write(folder.join("evaluations/step-00000020.json"), at.to_string()).expect("an evaluation");
    std::fs::write(folder.join("evaluation.json"), json!([evaluation]).to_string()).expect("an evaluation");
}

fn compare(root: &Path, arguments: &[&str]) -> Output {
    program("compare").current_dir(root).args(arguments).output().expect("the program starts")
}

/// The cells of a CSV file whose cells hold no quotes.
fn cells(file: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(file).expect("a table");
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn groups_give_mean_and_spread_and_every_number() {
    let root = tempfile::tempdir().expect("a folder");
    let root = root.path();
    for (name, steps, level) in [("seed0", 40, 1.0), ("seed1", 40, 3.0), ("naive", 40, 4.0)] {
        run(&root.join(name), steps, level);
    }
    let arguments = ["joint=seed0,seed1", "naive", "--out", "made/on/the/way/all.png"];
    let told = succeeds(&compare(root, &arguments));
    // 1 / 40 and 3 / 40: mean 0.05, standard deviation 0.0354.
    for part in ["joint", "naive", "0.05000 ± 0.03536", "0.1000", "22.00 ± 1.414", "24.00"] {
        assert!(told.contains(part), "`{part}` is not in:\n{told}");
    }
    let out = root.join("made/on/the/way");
    let rows = cells(&out.join("all.csv"));
    let column = |name: &str| rows[0].iter().position(|cell| cell == name).expect("a column");
    assert_eq!(rows.len(), 1 + 3 * 4);
    assert_eq!(rows[6][..4], ["joint", "seed1", "20", "WARM"]);
    assert_eq!(rows[6][column("flow")].parse(), Ok(3.0 / 20.0), "to the last bit");
    assert_eq!(rows[6][column("reconstruction")], "", "never measured");
    assert_eq!(rows[6][column("psnr_one_step")], "23");
    assert_eq!(rows[5][column("psnr_one_step")], "");
    assert!(std::fs::read_to_string(out.join("all.md")).expect("a table").contains("joint |"));

    let picture = image::open(out.join("all.png")).expect("a picture").to_rgb8();
    let has = |color: [u8; 3]| picture.pixels().any(|pixel| pixel.0 == color);
    assert!(has([0, 114, 178]) && has([213, 94, 0]), "two groups, two colors");
    // The same bits again, so that pictures can be compared.
    let before = std::fs::read(out.join("all.png")).expect("a picture");
    succeeds(&compare(root, &arguments));
    assert!(before == std::fs::read(out.join("all.png")).expect("a picture"));
}

#[test]
fn a_run_that_is_still_going_is_read_up_to_its_last_whole_line() {
    let root = tempfile::tempdir().expect("a folder");
    let root = root.path();
    run(&root.join("a"), 40, 1.0);
    run(&root.join("b"), 40, 2.0);
    std::fs::remove_file(root.join("b/evaluation.json")).expect("a file");
    let log = std::fs::read(root.join("b/log.jsonl")).expect("a log");
    std::fs::write(root.join("b/log.jsonl"), &log[..log.len() - 40]).expect("a log");
    let told = succeeds(&compare(root, &["x=a,b", "b", "--labels", "both,late", "--out", "c.png"]));
    for part in ["both", "late", "30 to 40"] {
        assert!(told.contains(part), "`{part}` is not in:\n{told}");
    }
    assert_eq!(cells(&root.join("c.csv")).len(), 1 + 4 + 3 + 3);
    let after = std::fs::read(root.join("b/log.jsonl")).expect("a log");
    assert_eq!(after.len(), log.len() - 40, "nobody mends the log of a run that is still going");
}

#[test]
fn a_group_is_drawn_at_the_steps_that_all_of_its_runs_have() {
    let curve = |values: &[(u64, f64)]| values.iter().copied().collect();
    let series = mean("group", &[curve(&[(10, 1.0), (20, 2.0), (30, 9.0)]), curve(&[(10, 3.0), (20, 6.0)])]);
    assert_eq!(series.points, [(10.0, 2.0), (20.0, 4.0)]);
    assert_eq!(series.band, [(10.0, 1.0, 3.0), (20.0, 2.0, 6.0)]);
    assert!(mean("one", &[curve(&[(10, 1.0)])]).band.is_empty());
    assert!(mean("none", &[]).points.is_empty());
}

#[test]
fn wrong_input_is_named() {
    let root = tempfile::tempdir().expect("a folder");
    let root = root.path();
    run(&root.join("a"), 40, 1.0);
    fails(&compare(root, &["a", "no/such"]), &["no/such", "log.jsonl"]);
    fails(&compare(root, &["a", "a"]), &["two groups are called `a`", "--labels"]);
    fails(&compare(root, &["a", "--labels", "x,y"]), &["--labels", "2", "expected 1"]);
    fails(&compare(root, &["x="]), &["names no folder"]);

    run(&root.join("b"), 40, 1.0);
    let log = root.join("b/log.jsonl");
    let text = std::fs::read_to_string(&log).expect("a log");
    std::fs::write(&log, text.replacen("\"step\":30", "\"step\":\"x\"", 1)).expect("a log");
    fails(&compare(root, &["b"]), &["b/log.jsonl:3", "not a record"]);
    std::fs::write(&log, text.replacen("{", "", 1)).expect("a log");
    fails(&compare(root, &["b"]), &["b/log.jsonl:1"]);
    std::fs::write(&log, text).expect("a log");
    std::fs::write(root.join("b/evaluation.json"), "[{\"one_step\": {}}]").expect("an evaluation");
    fails(&compare(root, &["b"]), &["b/evaluation.json", "one_step.true_actions"]);
}
