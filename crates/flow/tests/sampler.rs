//! The sampler: straight paths, given frames, guidance; editing against the pseudo-code written out number by number.

use std::cell::Cell;

use candle_core::{DType, Device, Result, Tensor};
use cola_flow::{
    EditMask, Given, Guided, Sampler, SamplerConfig, Shift, TimeConfig, TimeDistribution, Velocity,
};
use cola_random::{normals, stream};
use proptest::prelude::*;

const CPU: Device = Device::Cpu;
/// Clips, channels, frames, height, width.
const SHAPE: [usize; 5] = [2, 2, 4, 1, 3];

fn sampler(steps: usize, guidance: f64, ratio: f64) -> Sampler {
    let time = TimeConfig { distribution: TimeDistribution::Uniform, shift: Shift::Fixed(ratio) };
    Sampler::new(SamplerConfig { steps, guidance }, &time, ratio)
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

fn noise(purpose: &str, step: usize) -> Result<Tensor> {
    let count = SHAPE.iter().product();
    Tensor::from_vec(normals(count, &mut stream(3, purpose, step as u64, 0)), &SHAPE, &CPU)
}

/// `v = target - x` pulls towards a point; its context is the point.
struct Pull;

impl Velocity for Pull {
    type Context = f64;
    fn velocity(&self, x: &Tensor, t: &Tensor, _given: &Given, target: &f64) -> Result<Tensor> {
        // On the straight path from e to the point p, (p - x_t) = s (p - e): divide by s for a constant velocity.
        let s = (t.get(0)?.to_scalar::<f32>()? / 1000.0) as f64;
        x.affine(-1.0 / s, target / s)
    }
}

/// A field that depends on all that it is told, each frame on itself alone; channels that no one should read follow.
struct Told {
    asked: Cell<usize>,
}

impl Told {
    fn new() -> Self {
        Self { asked: Cell::new(0) }
    }

    fn of(x: f64, t: f64, generated: f64, context: f64) -> f64 {
        context * (0.4 - 0.3 * x) + 0.5 * t / 1000.0 + 0.7 * generated
    }
}

impl Velocity for Told {
    type Context = f64;
    fn velocity(&self, x: &Tensor, t: &Tensor, given: &Given, context: &f64) -> Result<Tensor> {
        self.asked.set(self.asked.get() + 1);
        let (b, frames) = (x.dim(0)?, x.dim(2)?);
        let t = (t.reshape((b, 1, 1, 1, 1))? * (0.5 / 1000.0))?;
        let generated = given.generated().reshape((b, 1, frames, 1, 1))?;
        let v = x.affine(-0.3 * context, 0.4 * context)?;
        let v = v.broadcast_add(&t)?.broadcast_add(&(generated * 0.7)?)?;
        Tensor::cat(&[&v, &(v.ones_like()? * 1e9)?], 1)
    }
}

/// What the pseudo-code of the reference says, one number at a time.
struct Written {
    trajectory: Vec<Vec<f64>>,
    active: Vec<Vec<f32>>,
    with: Vec<Vec<f64>>,
    z: Vec<f64>,
}

fn written(
    z: &[f32],
    mask: &[f32],
    times: &[f64],
    guidance: f64,
    step_noise: &[Vec<f32>],
    contexts: [f64; 2],
) -> Written {
    let [clips, channels, frames, height, width] = SHAPE;
    let pixels = height * width;
    assert_eq!(z.len(), clips * channels * frames * pixels);
    let flag_of = |index: usize| index / (channels * frames * pixels) * frames + index / pixels % frames;
    let mut z: Vec<f64> = z.iter().map(|&value| f64::from(value)).collect();
    let mut noise_added: Vec<bool> = mask.iter().map(|&value| value == 1.0).collect();
    let mut told = Written { trajectory: vec![], active: vec![], with: vec![], z: vec![] };
    for (i, &t) in times.iter().enumerate() {
        let s = t / 1000.0;
        let active: Vec<bool> = mask.iter().map(|&value| value * 1000.0 >= t as f32).collect();
        let x0 = z.clone();
        for (index, value) in z.iter_mut().enumerate() {
            let flag = flag_of(index);
            if active[flag] && !noise_added[flag] {
                *value = (1.0 - s) * x0[index] + s * f64::from(step_noise[i][index]);
            }
        }
        noise_added.clone_from(&active);
        told.trajectory.push(z.clone());
        told.active.push(active.iter().map(|&flag| f32::from(u8::from(flag))).collect());
        let dt = if i + 1 < times.len() { (t - times[i + 1]) / 1000.0 } else { s };
        let mut with = vec![];
        for (index, value) in z.iter_mut().enumerate() {
            let generated = f64::from(told.active[i][flag_of(index)]);
            let [cond, uncond] = contexts.map(|context| Told::of(*value, t, generated, context));
            with.push(cond);
            if generated == 1.0 {
                *value += (uncond + guidance * (cond - uncond)) * dt;
            } else {
                *value = x0[index];
            }
        }
        told.with.push(with);
    }
    told.z = z;
    told
}

fn agree(found: &Tensor, expected: &[f64], what: &str) -> Result<()> {
    for (index, (found, expected)) in flat(found)?.iter().zip(expected).enumerate() {
        let difference = (f64::from(*found) - expected).abs();
        assert!(difference < 2e-5, "{what}[{index}]: {found}, expected {expected}");
    }
    Ok(())
}

/// Runs the sampler beside the pseudo-code, compares every step, and returns the result.
fn compared(mask: &[f32], steps: usize, guidance: f64, ratio: f64) -> Result<Tensor> {
    let z = noise("z", 0)?;
    let contexts = [0.9, 0.2];
    let step_noise: Vec<Tensor> = (0..steps).map(|step| noise("step", step)).collect::<Result<_>>()?;
    let sampler = sampler(steps, guidance, ratio);
    let plain: Vec<Vec<f32>> = step_noise.iter().map(flat).collect::<Result<_>>()?;
    let expected = written(&flat(&z)?, mask, sampler.times(), guidance, &plain, contexts);
    let edit = EditMask::new(&Tensor::from_slice(mask, (2, 4), &CPU)?)?;
    let field = Told::new();
    let guided = Guided { field: &field, with: &contexts[0], without: &contexts[1] };
    let mut seen = 0;
    let result = sampler.sample_edit_with(
        &guided,
        &z,
        &edit,
        |step| Ok(step_noise[step].clone()),
        |step| {
            let i = step.index;
            assert_eq!(i, seen);
            seen += 1;
            assert_eq!(step.t.to_vec1::<f32>()?, [sampler.times()[i] as f32; 2]);
            assert_eq!(flat(step.active.generated())?, expected.active[i], "active at step {i}");
            agree(step.x, &expected.trajectory[i], "x")?;
            agree(step.with, &expected.with[i], "v")?;
            assert_eq!(step.without.is_some(), guidance != 1.0);
            Ok(())
        },
    )?;
    assert_eq!(seen, steps);
    assert_eq!(field.asked.get(), if guidance == 1.0 { steps } else { 2 * steps });
    agree(&result, &expected.z, "z")?;
    Ok(result)
}

#[test]
fn euler_steps_follow_a_straight_path_to_its_end_and_hold_given_frames() -> Result<()> {
    let noise = Tensor::full(5f32, (1, 1, 2, 1, 1), &CPU)?;
    let clean = Tensor::full(-7f32, (1, 1, 2, 1, 1), &CPU)?;
    let given = Given::first(1, 2, 1, &CPU)?;
    for ratio in [1.0, 6.0] {
        let z = flat(&sampler(10, 1.0, ratio).sample(&Pull, &noise, &clean, &given, &2.0, &0.0)?)?;
        assert_eq!(z[0], -7.0);
        assert!((z[1] - 2.0).abs() < 1e-5, "{z:?}");
    }
    Ok(())
}

#[test]
fn frames_join_in_when_the_time_has_fallen_to_their_mask() -> Result<()> {
    for ratio in [1.0, 0.968] {
        compared(&[0.0, 0.55, 1.0, 1.0, 0.0, 0.3, 1.0, 0.01], 10, 4.0, ratio)?;
    }
    Ok(())
}

#[test]
fn a_mask_of_exactly_the_time_joins_in_at_that_step() -> Result<()> {
    // 1000 (1 - 7/10) is 300.00000000000006 in f64 and 0.3 rounds up in f32: only in f32 are both 300.
    let mask = [0.3, 0.7, 0.9, 0.999_999, 0.1, 0.2, 0.6, 0.8];
    compared(&mask, 10, 4.0, 1.0)?;
    let edit = EditMask::new(&Tensor::new(&mask, &CPU)?.reshape((2, 4))?)?;
    let first = |frame: usize| sampler(10, 1.0, 1.0).times().iter().position(|&t| edit.active(t)[frame]);
    let firsts: Vec<Option<usize>> = (0..8).map(first).collect();
    assert_eq!(firsts, [7, 3, 1, 1, 9, 8, 4, 2].map(Some));
    Ok(())
}

#[test]
fn binary_masks_follow_the_pseudo_code_and_draw_no_noise() -> Result<()> {
    let mask = [0f32, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0];
    let edited = compared(&mask, 10, 4.0, 1.0)?;
    let given = Given::from_mask(&Tensor::from_slice(&mask, (2, 4), &CPU)?)?;
    let z = noise("z", 0)?;
    let plain = sampler(10, 4.0, 1.0).sample(&Told::new(), &z, &z, &given, &0.9, &0.2)?;
    assert_eq!(flat(&plain)?, flat(&edited)?);
    Ok(())
}

#[test]
fn a_single_step_and_no_guidance_follow_the_pseudo_code() -> Result<()> {
    for (steps, guidance) in [(1, 4.0), (1, 1.0), (7, 1.0), (7, 0.0), (3, -2.0)] {
        compared(&[0.0, 0.5, 1.0, 0.2, 1.0, 0.4, 0.0, 0.0], steps, guidance, 1.3)?;
    }
    Ok(())
}

#[test]
fn kept_frames_keep_their_bits_even_beside_a_field_without_bounds() -> Result<()> {
    struct Unbounded;
    impl Velocity for Unbounded {
        type Context = ();
        fn velocity(&self, x: &Tensor, _t: &Tensor, _given: &Given, (): &()) -> Result<Tensor> {
            x.zeros_like()?.recip()
        }
    }
    let z = Tensor::new(&[-0.0f32, 0.1, f32::MIN_POSITIVE, 3.0], &CPU)?.reshape((1, 1, 4, 1, 1))?;
    let mask = EditMask::new(&Tensor::new(&[[0f32, 0.0, 0.0, 1.0]], &CPU)?)?;
    let guided = Guided { field: &Unbounded, with: &(), without: &() };
    // A ratio of 0 makes a grid of 1000, 0, 0, ...: not even at time 0 does a kept frame move.
    for ratio in [1.0, 0.0] {
        let kept = sampler(3, 1.0, ratio).sample_edit(&guided, &z, &mask, 0, &[0])?;
        let bits = |tensor: &Tensor| {
            Ok::<_, candle_core::Error>(flat(tensor)?.iter().map(|v| v.to_bits()).collect())
        };
        let (kept, before): (Vec<u32>, Vec<u32>) = (bits(&kept)?, bits(&z)?);
        assert_eq!(kept[..3], before[..3]);
        assert_ne!(kept[3], before[3]);
    }
    Ok(())
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_one_others() -> Result<()> {
    let z = noise("z", 0)?;
    let mask = EditMask::new(&Tensor::new(&[[0f32, 0.5, 1.0, 0.8]], &CPU)?)?;
    let field = Told::new();
    let guided = Guided { field: &field, with: &0.9, without: &0.2 };
    let run = |seed| flat(&sampler(5, 4.0, 1.0).sample_edit(&guided, &z, &mask, seed, &[7, 8])?);
    assert_eq!(run(1)?, run(1)?);
    let (one, two) = (run(1)?, run(2)?);
    let frame = |values: &[f32], frame: usize| values[frame * 3..][..3].to_vec();
    // Of clip 0, channel 0, only the edited frames have noise from the seed.
    let differs: Vec<bool> = (0..4).map(|at| frame(&one, at) != frame(&two, at)).collect();
    assert_eq!(differs, [false, true, false, true]);
    Ok(())
}

#[test]
fn a_clips_bits_do_not_depend_on_the_rest_of_the_batch() -> Result<()> {
    let z = noise("z", 0)?;
    let mask = Tensor::new(&[[1f32, 0.0, 0.25, 1.0], [0.0, 0.5, 1.0, 0.8]], &CPU)?;
    let field = Told::new();
    let guided = Guided { field: &field, with: &0.9, without: &0.2 };
    let run = |z: &Tensor, mask: &Tensor, samples: &[u64]| {
        sampler(5, 4.0, 1.0).sample_edit(&guided, z, &EditMask::new(mask)?, 1, samples)
    };
    let both = run(&z, &mask, &[7, 8])?;
    let alone = run(&z.narrow(0, 1, 1)?, &mask.narrow(0, 1, 1)?, &[8])?;
    assert_eq!(flat(&both.narrow(0, 1, 1)?)?, flat(&alone)?);
    Ok(())
}

#[test]
fn edits_keep_the_dtype() -> Result<()> {
    let z = noise("z", 0)?.to_dtype(DType::F64)?;
    let mask = EditMask::new(&Tensor::new(&[[0f64, 0.5, 1.0, 0.8]], &CPU)?)?;
    struct Still;
    impl Velocity for Still {
        type Context = ();
        fn velocity(&self, x: &Tensor, _t: &Tensor, _given: &Given, (): &()) -> Result<Tensor> {
            x.zeros_like()?.to_dtype(DType::F32)
        }
    }
    let guided = Guided { field: &Still, with: &(), without: &() };
    let edited = sampler(4, 4.0, 1.0).sample_edit(&guided, &z, &mask, 0, &[0, 1])?;
    assert_eq!((edited.dtype(), edited.dims()), (DType::F64, &SHAPE[..]));
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let z = noise("z", 0)?;
    let field = Told::new();
    let guided = Guided { field: &field, with: &0.9, without: &0.2 };
    let mask = |values: Tensor| EditMask::new(&values);
    let ones = |clips: usize, frames: usize| mask(Tensor::ones((clips, frames), DType::F32, &CPU)?);
    let told = |result: Result<Tensor>| result.unwrap_err().to_string();
    let run = |steps, clips, frames, samples: &[u64]| {
        sampler(steps, 4.0, 1.0).sample_edit(&guided, &z, &ones(clips, frames)?, 0, samples)
    };
    assert!(told(run(2, 2, 3, &[0, 1])).contains("(2, 3) for 2 clips of 4 frames"));
    assert!(told(run(2, 3, 4, &[0, 1])).contains("(3, 4) for 2 clips"));
    assert!(told(run(2, 1, 4, &[0])).contains("1 sample indices for a batch of 2"));
    assert!(told(run(0, 1, 4, &[0, 1])).contains("0 steps"));
    for wrong in [-0.1f32, 1.1, f32::NAN] {
        let error = mask(Tensor::new(&[[0.5, wrong]], &CPU)?).unwrap_err().to_string();
        assert!(error.contains("not in 0..=1"), "{error}");
    }
    let stop = sampler(2, 4.0, 1.0).sample_edit_with(
        &guided,
        &z,
        &ones(1, 4)?,
        |_| noise("step", 0),
        |step| if step.index == 1 { candle_core::bail!("seen enough") } else { Ok(()) },
    );
    assert!(told(stop).contains("seen enough"));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_mask_follows_the_pseudo_code(
        mask in prop::collection::vec(prop_oneof![Just(0f32), Just(1f32), (0..=10u8).prop_map(|n| f32::from(n) / 10.0), 0f32..=1.0], 8),
        steps in 1..12usize, ratio in 0.2..6.0f64,
    ) {
        compared(&mask, steps, 2.0, ratio).unwrap();
    }
}
