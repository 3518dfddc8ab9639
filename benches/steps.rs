//! Whole training steps of the `tiny` preset, one for each phase, in frames per second: forward, backward, clipping and
//! update. Their layers are checked in the other benches and their losses against PyTorch in the tests; here a loss
//! only has to be finite.

use candle_core::Result;
use cola_benches::cases::CASES;
use cola_benches::{Amount, Ready, Suite};
use cola_coevolve::ExperimentConfig;

fn main() -> Result<()> {
    let data = ExperimentConfig::tiny().data;
    let amount = Amount { units: (data.batch * data.frames) as f64, unit: "frames", flops: 0.0 };
    let mut suite = Suite::new("steps")?;
    // The cases are built on the CPU.
    for place in suite.places().iter().filter(|place| place.device.is_cpu()) {
        for (name, build) in CASES {
            let Some(phase) = name.strip_suffix("_step").filter(|name| name.starts_with("tiny")) else {
                continue;
            };
            suite.time(place, phase, "step", amount, || {
                let mut case = build()?;
                (case.run)()?;
                Ok(Ready::new(0, case.run))
            });
        }
    }
    suite.finish();
    Ok(())
}
