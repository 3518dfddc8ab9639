//! One run in one folder.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cola_coevolve::{Error, Observer, Phase};

use crate::runs::fresh;

/// Waits in the middle of training until a file appears: another process's run.
struct Hold<'a>(&'a Path);

impl Observer for Hold<'_> {
    fn on_step(&mut self, _phase: &Phase, done: u64, _loss: f64) -> Result<(), Error> {
        std::fs::write(self.0.join("training"), []).expect("a file");
        let since = Instant::now();
        while done == 1 && !self.0.join("go").exists() && since.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// The variable through which the test tells its child process where to train.
const FOLDER: &str = "COLA_TEST_FOLDER";

#[test]
fn two_runs_one_folder() {
    let config = crate::support::config("LAM4");
    if let Ok(folder) = std::env::var(FOLDER) {
        let (mut run, clips) = fresh(&config);
        let folder = Path::new(&folder);
        run.train(&clips, None, &folder.join("checkpoints"), &mut [&mut Hold(folder)]).expect("training");
        return;
    }
    let root = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "folder::two_runs_one_folder"])
        .env(FOLDER, root.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("a child process");
    let since = Instant::now();
    while !root.path().join("training").exists() && since.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (mut run, clips) = fresh(&config);
    let error = run.train(&clips, None, &root.path().join("checkpoints"), &mut []).expect_err("it is taken");
    std::fs::write(root.path().join("go"), []).expect("a file");
    let text = error.to_string();
    assert!(matches!(error, Error::Claim(cola_files::ClaimError::Held { .. })), "{text}");
    for part in ["promises", &format!("process {}", child.id()), "since 20", "works in this folder"] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert_eq!(run.step(), 0);
    assert!(child.wait().expect("the child").success(), "the first run is not disturbed");
    run.train(&clips, None, &root.path().join("checkpoints"), &mut []).expect("the folder is free again");
}
