//! Progress where no terminal listens.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use cola_report::Progress;

/// A log that the test keeps a hand on.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The number before " steps/s".
fn speed(line: &str) -> f64 {
    let before = line.split(" steps/s").next().unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("no speed in {line:?}"))
}

#[test]
fn a_log_gets_a_line_at_start_and_end_and_few_between() {
    let log = Log::default();
    let mut progress = Progress::plain("joint", 1000, 0, Duration::from_secs(3600), log.clone());
    for step in 1..=1000 {
        progress.tick(step, "loss 0.5");
    }
    progress.finish("loss 0.25");
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0], "joint 0/1000 (0%): starts");
    assert!(lines[1].starts_with("joint 1000/1000 (100%): ends after 0s, "), "{lines:?}");
    assert!(lines[1].ends_with(", loss 0.25"), "{lines:?}");
}

#[test]
fn lines_come_no_faster_than_their_pace() {
    let log = Log::default();
    let mut progress = Progress::plain("joint", 100, 0, Duration::from_millis(50), log.clone());
    for step in 1..=20 {
        sleep(Duration::from_millis(10));
        progress.tick(step, "loss 0.5");
    }
    let lines = log.lines();
    assert!((2..=5).contains(&lines.len()), "200 ms or more at 50 ms a line: {lines:?}");
    assert!(lines[1].contains(" left, loss 0.5"), "{lines:?}");
}

#[test]
fn a_resumed_phase_does_not_count_the_steps_before_it() {
    let log = Log::default();
    let mut progress = Progress::plain("joint", 1_000_100, 1_000_000, Duration::ZERO, log.clone());
    sleep(Duration::from_millis(100));
    progress.tick(1_000_002, "");
    let lines = log.lines();
    assert_eq!(lines[0], "joint 1000000/1000100 (99%): resumes");
    assert!(speed(&lines[1]) <= 20.0, "2 steps in 100 ms or more: {lines:?}");
    assert!(lines[1].contains("s left"), "98 steps are left: {lines:?}");
}

#[test]
fn without_a_step_no_speed_is_claimed() {
    let log = Log::default();
    let mut progress = Progress::plain("joint", 10, 4, Duration::ZERO, log.clone());
    progress.tick(4, "waits");
    progress.note("checkpoint written");
    Progress::plain("empty", 0, 0, Duration::ZERO, log.clone()).finish("");
    let lines = log.lines();
    assert_eq!(lines[1..3], ["joint 4/10 (40%): waits", "joint: checkpoint written"]);
    assert_eq!(lines[4], "empty 0/0 (100%): ends after 0s");
}
