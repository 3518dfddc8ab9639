//! Names, gradients, chunks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use candle_nn::init::Init;
use candle_nn::var_builder::{SimpleBackend, VarBuilder};
use cola_golden::gradients_cover;
use cola_nn::{Params, normal};
use cola_video_vae::{ConfigError, TemporalConfig, TemporalVae};

fn numbers(name: &str, shape: &[usize]) -> Result<Tensor> {
    normal(shape, &Device::Cpu, &mut cola_random::stream(5, name, 0, 0))
}

fn params() -> Params {
    Params::seeded(1, DType::F32, &Device::Cpu)
}

/// Hands out one number as a tensor of any shape and notes what was asked for.
struct Ledger(Arc<Mutex<BTreeMap<String, usize>>>);

impl SimpleBackend for Ledger {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        self.0.lock().expect("one thread").insert(name.to_string(), shape.elem_count());
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("`{name}` without a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        false
    }
}

#[test]
fn the_published_model_has_its_names_and_sizes() -> Result<()> {
    let ledger = Arc::default();
    let backend: Box<dyn SimpleBackend> = Box::new(Ledger(Arc::clone(&ledger)));
    let vb = VarBuilder::from_backend(backend, DType::F32, Device::Cpu);
    TemporalVae::new(&TemporalConfig::open_sora_v1_2(), vb)?;
    let asked = ledger.lock().expect("one thread");
    let count = |prefix: &str| -> usize {
        asked.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, size)| size).sum()
    };
    assert_eq!(asked.len(), 267);
    assert_eq!((count("encoder."), count("decoder."), count("")), (144_421_128, 165_265_924, 309_687_144));
    for (name, size) in [
        ("encoder.conv_in.conv.weight", 128 * 4 * 27),
        ("encoder.block_res_blocks.1.0.conv3.conv.weight", 256 * 128),
        ("encoder.conv_blocks.2.conv.bias", 256),
        ("encoder.conv2.conv.weight", 8 * 512),
        ("decoder.conv1.conv.bias", 512),
        ("decoder.conv_blocks.1.conv.weight", 512 * 256 * 27),
        ("decoder.block_res_blocks.0.0.norm1.weight", 256),
        ("decoder.conv_out.conv.bias", 4),
        ("post_quant_conv.conv.weight", 16),
    ] {
        assert_eq!(asked.get(name), Some(&size), "{name}");
    }
    Ok(())
}

#[test]
fn every_trainable_variable_learns_and_no_frozen_one() -> Result<()> {
    for trains in [true, false] {
        let params = params();
        let vae = TemporalVae::new(&TemporalConfig::tiny(), params.builder(trains))?;
        let x = Var::from_tensor(&numbers("x", &[1, 4, 6, 4, 3])?)?;
        let posterior = vae.encode(&x)?;
        let z = posterior.sample_with(&numbers("noise", &[1, 4, 2, 4, 3])?)?;
        let decoded = vae.decode(&z, 6)?;
        let loss = ((&decoded - x.as_tensor())?.sqr()?.sum_all()? + posterior.logvar().sqr()?.sum_all()?)?;
        let grads = loss.backward()?;
        let vars = params.vars();
        let named = || vars.iter().map(|(name, var)| (name.as_str(), var));
        let (learns, frozen): (Vec<_>, Vec<_>) = named().partition(|_| trains);
        assert_eq!(gradients_cover(&grads, learns, frozen)?, Vec::<String>::new());
        assert_eq!(gradients_cover(&grads, [("x", &x)], [])?, Vec::<String>::new());
    }
    Ok(())
}

#[test]
fn chunks_do_not_see_each_other() -> Result<()> {
    let vae = TemporalVae::new(&TemporalConfig::tiny(), params().frozen())?;
    let x = numbers("x", &[2, 4, 20, 3, 2])?;
    let whole = vae.encode(&x)?;
    assert_eq!(whole.mean().dims(), [2, 4, 6, 3, 2]);
    let bits = |x: &Tensor| x.flatten_all()?.to_vec1::<f32>();
    let decoded = vae.decode(whole.mean(), 20)?;
    for (frames, latents) in [((0, 17), (0, 5)), ((17, 3), (5, 1))] {
        let own = vae.encode(&x.narrow(2, frames.0, frames.1)?)?;
        assert_eq!(bits(own.mean())?, bits(&whole.mean().narrow(2, latents.0, latents.1)?)?);
        assert_eq!(bits(own.logvar())?, bits(&whole.logvar().narrow(2, latents.0, latents.1)?)?);
        let again = vae.decode(own.mean(), frames.1)?;
        assert_eq!(bits(&again)?, bits(&decoded.narrow(2, frames.0, frames.1)?)?);
    }
    Ok(())
}

#[test]
fn latent_frames_are_those_of_the_chunk_rule() {
    let config = TemporalConfig::open_sora_v1_2();
    assert_eq!(config.time_factor(), 4);
    for (frames, latents) in [(1, 1), (4, 1), (5, 2), (16, 4), (17, 5), (18, 6), (20, 6), (34, 10), (51, 15)]
    {
        assert_eq!(config.latent_frames(frames), latents, "{frames} frames");
    }
}

#[test]
fn a_sample_is_a_function_of_its_generator() -> Result<()> {
    let vae = TemporalVae::new(&TemporalConfig::tiny(), params().frozen())?;
    let posterior = vae.encode(&numbers("x", &[1, 4, 4, 2, 2])?)?;
    let draw = |seed| {
        posterior.sample(&mut cola_random::stream(seed, "posterior", 0, 0))?.flatten_all()?.to_vec1::<f32>()
    };
    assert_eq!(draw(0)?, draw(0)?);
    assert_ne!(draw(0)?, draw(1)?);
    Ok(())
}

#[test]
fn a_number_of_frames_that_does_not_fit_is_refused() -> Result<()> {
    let vae = TemporalVae::new(&TemporalConfig::tiny(), params().frozen())?;
    let z = numbers("z", &[1, 4, 2, 2, 2])?;
    for frames in [0, 4, 9, 17] {
        let error = vae.decode(&z, frames).expect_err("refused").to_string();
        assert!(error.contains(&frames.to_string()) && error.contains("[1, 4, 2, 2, 2]"), "{error}");
    }
    assert!(vae.encode(&Tensor::zeros((1, 4, 0, 2, 2), DType::F32, &Device::Cpu)?).is_err());
    Ok(())
}

#[test]
fn impossible_configurations_are_refused_by_field() {
    let refusal = |change: fn(&mut TemporalConfig)| {
        let mut config = TemporalConfig::tiny();
        change(&mut config);
        config.check().expect_err("refused")
    };
    assert_eq!(TemporalConfig::open_sora_v1_2().check(), Ok(()));
    assert_eq!(refusal(|c| c.filters = 0), ConfigError::Zero { field: "temporal_vae.filters" });
    assert_eq!(
        refusal(|c| c.channel_multipliers.clear()),
        ConfigError::Zero { field: "temporal_vae.channel_multipliers" }
    );
    assert_eq!(refusal(|c| c.temporal_downsample.clear()), ConfigError::Steps { found: 0, levels: 4 });
    assert!(matches!(refusal(|c| c.num_groups = 3), ConfigError::Multiple { found: 4, unit: 3, .. }));
}

#[test]
fn a_file_may_not_say_more_than_the_configuration_knows() {
    let text = serde_json::to_string(&TemporalConfig::tiny()).expect("a configuration is JSON");
    assert_eq!(serde_json::from_str::<TemporalConfig>(&text).expect("and back"), TemporalConfig::tiny());
    let more = text.replacen('{', "{\"filter\": 3, ", 1);
    let error = serde_json::from_str::<TemporalConfig>(&more).expect_err("refused").to_string();
    assert!(error.contains("filter"), "{error}");
}
