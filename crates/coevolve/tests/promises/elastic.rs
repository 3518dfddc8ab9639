//! Order and noise depend on seed, step and global sample index only, not on how many workers share the batch.

use candle_core::{Device, Tensor};
use cola_coevolve::{Key, System, SystemParams, Trains, lam_step, world_step};
use cola_data::{Batch, Loader};

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).expect("values");
    values.into_iter().map(f32::to_bits).collect()
}

/// Each of `workers` workers makes its part of the batches of three steps by itself: together they are the batch that one
/// alone makes, bit for bit, and the mean of their losses is its loss.
fn order_elastic(workers: usize) {
    let config = crate::support::config("WARM4").with("remedies.motion_weight=0").expect("a value");
    let params = SystemParams::new(&config, &Device::Cpu).expect("parameters");
    let system = System::enter(&params, &config, Trains::default()).expect("modules");
    let one = Loader::new(crate::support::clips(3), config.loader(), 7).expect("a loader");
    for step in [0, 7, 8] {
        let whole = one.batch(step, true, &Device::Cpu).expect("a batch");
        let clips = config.data.batch;
        let parts: Vec<Batch> = (0..workers)
            .map(|worker| {
                // A process of its own: nothing is shared but seed, step and the data.
                let own = Loader::new(crate::support::clips(3), config.loader(), 7).expect("a loader");
                let range = worker * clips / workers..(worker + 1) * clips / workers;
                let part = own.part(step, range.clone(), true, &Device::Cpu).expect("a part");
                let cut = whole.part(range).expect("the same part");
                assert_eq!((&part.samples, &part.clips), (&cut.samples, &cut.clips));
                assert_eq!(bits(&part.lam_view), bits(&cut.lam_view));
                assert_eq!(bits(&part.world_view), bits(&cut.world_view));
                part
            })
            .collect();
        let samples: Vec<u64> = parts.iter().flat_map(|part| part.samples.clone()).collect();
        assert_eq!(samples, whole.samples, "every sample once, in order");

        let key = Key { seed: 7, step };
        let losses = |batch: &Batch| {
            let world = world_step(&system, &config, batch, key, true).expect("a step").loss;
            let lam = lam_step(&system, &config, batch).expect("a step").loss;
            [world, lam].map(|loss| f64::from(loss.to_scalar::<f32>().expect("a number")))
        };
        let expected = losses(&whole);
        let mut mean = [0.0; 2];
        for part in &parts {
            for (sum, loss) in mean.iter_mut().zip(losses(part)) {
                *sum += loss * part.samples.len() as f64 / clips as f64;
            }
        }
        for (found, expected) in mean.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6 * expected.abs(), "{found} and {expected}, step {step}");
        }
    }
}

#[test]
fn order_elastic_1() {
    order_elastic(1);
}

#[test]
fn order_elastic_2() {
    order_elastic(2);
}

#[test]
fn order_elastic_4() {
    order_elastic(4);
}
