//! Ten thousand clips in a process of their own: what it grows by is what the accumulators take.

use std::thread;

use cola_metrics::{Fvd, FvdConfig};
use cola_random::{normals, stream};

const WIDTH: usize = 400;
const CLIPS: u64 = 10_000;
const WORKERS: u64 = 4;

/// The most memory that this process ever had, bytes; `None` where the system does not tell.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

#[test]
fn ten_thousand_clips_take_less_than_200_mb_and_more_clips_nothing() {
    let Some(before) = peak() else {
        println!("skipped: this system does not tell the memory of a process");
        return;
    };
    let work = |worker: u64| {
        let mut part = Fvd::new(WIDTH, FvdConfig::default()).unwrap();
        for index in (worker..CLIPS).step_by(WORKERS as usize) {
            let clip = |set: &str| normals(WIDTH, &mut stream(1, set, 0, index));
            part.add_pair(index, &clip("real"), &clip("generated")).unwrap();
        }
        part
    };
    let parts: Vec<Fvd> = thread::scope(|scope| {
        let threads: Vec<_> = (0..WORKERS).map(|worker| scope.spawn(move || work(worker))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut all = Fvd::new(WIDTH, FvdConfig::default()).unwrap();
    parts.iter().for_each(|part| all.merge(part).unwrap());
    let report = all.finish().unwrap();
    assert_eq!((report.real, report.generated, report.pairs), (CLIPS, CLIPS, CLIPS));
    assert_eq!(report.kvd_clips, [1000, 1000]);
    let after = peak().unwrap();
    println!("{CLIPS} clips on {WORKERS} workers: {:.1} MB", (after - before) as f64 / 1e6);
    assert!(after - before < 200_000_000, "{} bytes", after - before);

    // Four times as many behind them: kept features would be 128 MB more. What the allocator scatters stays below half.
    for index in CLIPS..5 * CLIPS {
        let clip = |set: &str| normals(WIDTH, &mut stream(1, set, 0, index));
        all.add_pair(index, &clip("real"), &clip("generated")).unwrap();
    }
    assert_eq!(all.finish().unwrap().real, 5 * CLIPS);
    let grown = peak().unwrap() - after;
    println!("{} more: {:.1} MB", 4 * CLIPS, grown as f64 / 1e6);
    assert!(grown < 64_000_000, "{grown} bytes");
}
