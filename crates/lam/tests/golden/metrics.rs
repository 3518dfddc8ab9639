//! Codebook metrics and dead codes.

use candle_core::{Device, Result, Tensor};
use cola_golden::Golden;
use cola_lam::{CodeRestart, CodebookUsage, Usage};

use crate::{EXACT, TIGHT};

/// Counts and the three readings.
pub(crate) fn compare(golden: &Golden) -> Result<()> {
    let entries = golden.int("K");
    let streams: Vec<String> = golden
        .names("input.")
        .map(|name| name.trim_start_matches("input.").trim_end_matches(".indices").to_string())
        .collect();
    for stream in &streams {
        let usage = CodebookUsage::of(golden.tensor(&format!("input.{stream}.indices")), entries)?;
        let positions = usage.positions();
        let counts = |histogram: &[u64]| histogram.iter().map(|count| *count as f64).collect::<Vec<_>>();
        let by_position: Vec<Vec<f64>> = (0..positions).map(|at| counts(&usage.histogram(at))).collect();
        let pooled: Vec<f64> =
            (0..entries).map(|code| by_position.iter().map(|counts| counts[code]).sum()).collect();
        for (name, values) in [("pooled_counts", pooled), ("position_counts", by_position.concat())] {
            let values = Tensor::new(values, &Device::Cpu)?;
            golden.compare(&format!("output.{stream}.{name}"), &values, EXACT)?;
        }
        let row = |usage: Usage, symbols: usize| {
            let Usage { utilization, max_usage, entropy } = usage;
            vec![utilization, max_usage, entropy, usage.bits(), usage.normalised(symbols), usage.perplexity()]
        };
        for (reading, values) in [
            ("pooled", row(usage.pooled(), entries)),
            (
                "position",
                (0..positions).flat_map(|position| row(usage.position(position), entries)).collect(),
            ),
            ("joint", row(usage.joint(), entries.pow(positions as u32))),
        ] {
            golden.compare(
                &format!("output.{stream}.{reading}"),
                &Tensor::new(values, &Device::Cpu)?,
                TIGHT,
            )?;
        }
    }
    golden.all_compared();
    Ok(())
}

/// Which rows fall due, step by step.
pub(crate) fn restarts(golden: &Golden) -> Result<()> {
    let codes = golden.int("K");
    let mut restart = CodeRestart::new(codes, golden.int("threshold") as u32);
    let (mut due, mut idle) = (Vec::new(), Vec::new());
    let steps = golden.tensor("input.indices");
    for step in 0..steps.dim(0)? {
        let rows = restart.observe(&steps.get(step)?)?;
        due.extend((0..codes).map(|code| f64::from(u8::from(rows.contains(&code)))));
        idle.extend(restart.idle().iter().map(|steps| f64::from(*steps)));
    }
    golden.compare("output.restart", &Tensor::new(due, &Device::Cpu)?, EXACT)?;
    golden.compare("output.steps_since_active", &Tensor::new(idle, &Device::Cpu)?, EXACT)?;
    golden.all_compared();
    Ok(())
}
