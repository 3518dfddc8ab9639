//! The program under test and its processes.

use std::fmt::{self, Display, Formatter};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::kill_test::saves::{Saves, Watch};

/// A run of seconds through all phases, with a checkpoint every four steps and at the end of each phase.
const SHORT: [&str; 18] = [
    "--scale",
    "smoke",
    "--plan",
    "LAM10+WARM10+E2E10",
    "--set",
    "data.batch=4",
    "--set",
    "schedule.log_every=2",
    "--set",
    "schedule.checkpoint_every=4",
    "--set",
    "evaluation.episodes=2",
    "--set",
    "evaluation.transitions=4",
    "--set",
    "evaluation.horizon=2",
    "--set",
    "evaluation.also_guidance=[]",
];
/// Between two looks at a process.
const PAUSE: Duration = Duration::from_micros(500);
/// What is shown of what a failed run said, bytes.
const TAIL: usize = 2000;

/// The compiled program and its arguments.
pub(crate) struct Job {
    program: PathBuf,
    arguments: Vec<String>,
}

impl Job {
    /// The program `coevolve` beside this one; no arguments stand for a run of seconds.
    pub(crate) fn new(arguments: &[String]) -> Result<Self> {
        let owned = ["--out", "--resume"];
        if let Some(taken) = arguments.iter().find(|argument| {
            owned.iter().any(|own| argument == own || argument.starts_with(&format!("{own}=")))
        }) {
            bail!("{taken}: the kill test sets --out and --resume itself; leave it out");
        }
        let here = std::env::current_exe().context("cannot find this program's own folder")?;
        let program = here.with_file_name(format!("coevolve{}", std::env::consts::EXE_SUFFIX));
        if !program.is_file() {
            bail!(
                "{}: the program to be killed is missing; build it with `cargo build --release --examples`",
                program.display()
            );
        }
        let arguments = match arguments {
            [] => SHORT.map(String::from).to_vec(),
            given => given.to_vec(),
        };
        Ok(Self { program, arguments })
    }

    /// A new run in `root`, or the one there once more: resumed where its configuration is there, from its beginning
    /// where it was killed before that.
    pub(crate) fn start(&self, root: &Path) -> Result<Running> {
        let mut command = Command::new(&self.program);
        // A backtrace would push the error out of what is shown of its words.
        command.arg("--out").arg(root).env("RUST_BACKTRACE", "0");
        match root.join("config.toml").is_file() {
            true => command.arg("--resume"),
            false => command.args(&self.arguments),
        };
        let told = told(root);
        let to = OpenOptions::new().create(true).append(true).open(&told);
        let to = to.with_context(|| format!("{}: cannot be written", told.display()))?;
        let failed = || format!("{}: cannot be started", self.program.display());
        let errors = to.try_clone().with_context(failed)?;
        command.stdin(Stdio::null()).stdout(to).stderr(errors);
        let child = command.spawn().with_context(failed)?;
        Ok(Running { child, begun: Instant::now(), watch: Watch::of(root), told })
    }

    /// Removes a run and what it said.
    pub(crate) fn forget(&self, root: &Path) -> Result<()> {
        let told = told(root);
        std::fs::remove_file(&told).with_context(|| format!("{}: cannot be removed", told.display()))?;
        std::fs::remove_dir_all(root).with_context(|| format!("{}: cannot be removed", root.display()))
    }

    /// The arguments, for the report.
    pub(crate) fn arguments(&self) -> &[String] {
        &self.arguments
    }
}

/// What a run says goes beside its folder.
fn told(root: &Path) -> PathBuf {
    root.with_extension("txt")
}

impl Display for Job {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.program.display(), self.arguments.join(" "))
    }
}

/// A process of the program; it does not outlive this one's interest in it.
pub(crate) struct Running {
    child: Child,
    begun: Instant,
    watch: Watch,
    told: PathBuf,
}

impl Running {
    /// Waits until it ends or `due` says, of the time since its start and of the saves so far, that it is to be killed.
    /// Returns that time where it was killed.
    pub(crate) fn until(&mut self, due: impl Fn(Duration, &Saves) -> bool) -> Result<Option<Duration>> {
        loop {
            if let Some(status) = self.child.try_wait().context("cannot wait for the program")? {
                return self.ended(status).map(|()| None);
            }
            self.watch.look();
            let after = self.begun.elapsed();
            if due(after, self.watch.saves()) {
                // It may have ended just now, and then its status says so.
                let _ = self.child.kill();
                let status = self.child.wait().context("cannot wait for the program")?;
                // Elsewhere a killed process has an exit code, too.
                let by_itself = status.success() || cfg!(unix) && status.code().is_some();
                return if by_itself { self.ended(status).map(|()| None) } else { Ok(Some(after)) };
            }
            thread::sleep(PAUSE);
        }
    }

    /// Lets it end and returns the checkpoints that it saved.
    pub(crate) fn finish(mut self) -> Result<Saves> {
        self.until(|_, _| false)?;
        Ok(self.watch.saves().clone())
    }

    fn ended(&self, status: ExitStatus) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        let said = std::fs::read(&self.told).unwrap_or_default();
        let said = String::from_utf8_lossy(&said[said.len().saturating_sub(TAIL)..]).into_owned();
        bail!("the program failed ({status}); {} ends with:\n{said}", self.told.display())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Most have ended by now, and there is nobody to tell of the others.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
