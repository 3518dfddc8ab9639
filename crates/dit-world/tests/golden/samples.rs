//! Ten steps of the sampler through a whole model: what the model is fed, what it answers, where it ends.

use candle_core::{DType, Result, Tensor};
use cola_dit_world::Conditions;
use cola_flow::{EditMask, Guided, Sampler, SamplerConfig, Shift, TimeConfig, TimeDistribution, VideoSize};
use cola_golden::{Golden, Tolerance};

use crate::support::{conditions, model, text_mask};

pub(crate) fn sample(golden: &Golden) -> Result<()> {
    let (dit, _) = model(golden)?;
    let z = golden.input("z", golden.dtype())?;
    let (b, _, latent_frames, _, _) = z.dims5()?;
    let optional = |name: &str| {
        golden.has(&format!("input.{name}")).then(|| golden.input(name, golden.dtype())).transpose()
    };
    let with = conditions(golden, optional("action_mod")?.as_ref(), optional("y")?.as_ref())?;
    let without = match dit.captions() {
        Some(captions) => Conditions { captions: Some(captions.null(b, text_mask(golden))?), ..with.clone() },
        None => Conditions { action: optional("action_mod_uncond")?, ..with.clone() },
    };

    let shift = match golden.config()["use_timestep_transform"].as_bool() {
        Some(true) => Shift::OpenSora(1.0),
        _ => Shift::None,
    };
    let time = TimeConfig { distribution: TimeDistribution::Uniform, shift };
    // The reference reads the first clip's sizes alone.
    let frames = golden.input("num_frames", DType::F64)?.to_vec1::<f64>()?[0] as usize;
    let size = VideoSize { height: with.height, width: with.width, frames, latent_frames };
    let config =
        SamplerConfig { steps: golden.int("num_sampling_steps"), guidance: golden.float("cfg_scale") };
    let sampler = Sampler::new(config, &time, time.ratio(size));

    let mask = match optional("mask")? {
        Some(mask) => mask,
        None => Tensor::ones((b, latent_frames), golden.dtype(), z.device())?,
    };
    let step_noise = optional("step_noise")?;
    let noise = |step: usize| match &step_noise {
        Some(noise) => noise.get(step),
        None => candle_core::bail!("no frame joins in later without a mask"),
    };
    let mut seen: [Vec<Tensor>; 4] = Default::default();
    let guided = Guided { field: &dit, with: &with, without: &without };
    let end = sampler.sample_edit_with(&guided, &z, &EditMask::new(&mask)?, noise, |step| {
        let Some(without) = step.without else { candle_core::bail!("guidance 1 has no second velocity") };
        let both = Tensor::cat(&[step.with, without], 0)?;
        let now = [step.t.clone(), step.x.clone(), both, step.active.generated().clone()];
        seen.iter_mut().zip(now).for_each(|(all, now)| all.push(now));
        Ok(())
    })?;
    golden.compare("output.z", &end, golden.tolerance())?;
    for (name, steps) in ["timesteps", "trajectory", "velocity_cond_uncond", "x_mask"].into_iter().zip(&seen)
    {
        let stored = format!("output.{name}");
        let tolerance = if name == "x_mask" { Tolerance::Absolute(0.0) } else { golden.tolerance() };
        if name != "x_mask" || golden.has(&stored) {
            golden.compare(&stored, &Tensor::stack(steps, 0)?, tolerance)?;
        }
    }
    Ok(())
}
