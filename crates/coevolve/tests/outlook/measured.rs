//! The memory estimate against what runs take, each in a process of its own.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use candle_core::Device;
use cola_coevolve::{Bytes, ExperimentConfig, Outlook, Run};
use cola_data::{ClipSource, DrawnConfig, DrawnWorld};

/// The variable through which a child process is told which configuration to train, and where to write its peak.
const CHILD: &str = "COLA_TEST_MEMORY";

/// Every kind of memory leads once: activations, what the backward pass holds over recomputed blocks, parameters.
const CASES: [&[&str]; 3] = [
    &["data.batch=64", "data.frames=3", "dit.hidden_size=64", "dit.depth=6"],
    &["data.batch=64", "data.frames=3", "dit.hidden_size=128", "dit.depth=4", "compute.recompute=true"],
    &["data.batch=2", "dit.hidden_size=512", "dit.depth=2"],
];

fn config(case: usize) -> ExperimentConfig {
    let mut config = ExperimentConfig::tiny();
    config.data.drawn = true;
    config.data.store = 32;
    (config.lam.dim, config.lam.layers, config.lam.fdm_layers) = (32, 1, 1);
    config.dit.patch = 2;
    let common = ["plan=E2E2", "schedule.log_every=1", "schedule.checkpoint_every=2"];
    config.with_all(&[&common, CASES[case]].concat()).expect("a configuration")
}

/// The most that this process held, in bytes; `None` where there is no `/proc`.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024 * line.split_whitespace().next()?.parse::<u64>().ok()?)
}

fn train(case: usize, folder: &Path) {
    let config = config(case);
    let drawn = DrawnConfig {
        clips: 256,
        frames: config.data.frames,
        size: config.data.store,
        ..DrawnConfig::tiny()
    };
    let clips: Arc<dyn ClipSource> = Arc::new(DrawnWorld::new(drawn, 5).expect("a drawn world"));
    let mut run = Run::new(&config, &Device::Cpu).expect("a run");
    run.fit_codec(&clips).expect("a codec");
    run.train(&clips, None, &folder.join("checkpoints"), &mut []).expect("training");
    std::fs::write(folder.join("peak"), peak().expect("books of the system").to_string()).expect("a file");
}

#[test]
fn the_estimate_is_within_a_fifth_of_the_measured_peak() {
    if let Some((case, folder)) = std::env::var(CHILD).ok().as_deref().and_then(|text| text.split_once(' ')) {
        return train(case.parse().expect("a case"), Path::new(folder));
    }
    if peak().is_none() {
        eprintln!("this system does not tell what a process held; nothing to compare with");
        return;
    }
    let mut told = Vec::new();
    for (case, settings) in CASES.iter().enumerate() {
        let root = tempfile::tempdir().expect("a folder");
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "measured::the_estimate_is_within_a_fifth_of_the_measured_peak"])
            .env(CHILD, format!("{case} {}", root.path().display()))
            .output()
            .expect("a child process");
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        let text = std::fs::read_to_string(root.path().join("peak")).expect("the child's peak");
        let measured: u64 = text.parse().expect("a number");
        let outlook = Outlook::of(&config(case), 0).expect("an outlook");
        // The child neither evaluates, nor makes a generator beside its run, nor keeps held-out clips.
        let stages = outlook.stages.iter().filter(|stage| stage.name == "writing a checkpoint");
        let memories =
            stages.map(|stage| stage.memory).chain(outlook.phases.iter().map(|phase| phase.memory));
        let estimate = memories.map(|memory| memory.total() - memory.clips).max().expect("a peak");
        let ratio = estimate as f64 / measured as f64;
        told.push((
            ratio,
            format!("{settings:?}: {} estimated, {} measured", Bytes(estimate), Bytes(measured)),
        ));
    }
    let lines: Vec<&str> = told.iter().map(|(_, line)| line.as_str()).collect();
    println!("{}", lines.join("\n"));
    assert!(told.iter().all(|(ratio, _)| (0.8..=1.2).contains(ratio)), "{}", lines.join("\n"));
}
