//! Rollouts: what they start with, what they depend on, what they refuse.

mod support;

use std::cell::RefCell;

use candle_core::{Result, Tensor};
use cola_dit_world::{
    ActionConditioner, ActionConfig, CodecConfig, DitConfig, DitWorld, HistoryUse, LatentCodec,
    RolloutConfig, RolloutEvent, SpaceToDepth, WorldModel,
};
use cola_flow::{SamplerConfig, Shift, TimeConfig, TimeDistribution};
use cola_nn::Params;
use cola_random::{stream, uniforms};
use support::{DEVICE, changed_from, config, empty, flat, largest_difference, normal, randomise};

/// A world over pictures of 4 x 4 pixels, and its parameters.
fn world(pred_sigma: bool) -> Result<(WorldModel, Params)> {
    let action = ActionConfig { output_norm: true, ..config().action };
    let config = DitConfig { in_channels: 12, patch: 1, pred_sigma, action, ..config() };
    let params = empty();
    DitWorld::new(&config, params.trainable())?;
    ActionConditioner::new(&config, params.trainable())?;
    randomise(&params)?;
    // Latents around zero, as a fitted codec has them.
    let plain = CodecConfig { factor: 2, whiten: 0.0 };
    let (shift, scale) = SpaceToDepth::fit(&plain, &start(4, 3)?)?;
    params.set("shift", &shift)?;
    params.set("scale", &scale)?;
    let world = WorldModel {
        codec: Box::new(SpaceToDepth::new(&plain, params.frozen())?),
        dit: DitWorld::new(&config, params.frozen())?,
        conditioner: ActionConditioner::new(&config, params.frozen())?,
    };
    Ok((world, params))
}

/// `(b, frames, 3, 4, 4)` in `[0, 1]`.
fn start(b: usize, frames: usize) -> Result<Tensor> {
    let values = uniforms(b * frames * 48, 0.0, 1.0, &mut stream(2, "start", 0, 0));
    Tensor::from_vec(values, (b, frames, 3, 4, 4), &DEVICE)
}

/// Two frames of history in a window of four.
fn rollout_config() -> RolloutConfig {
    RolloutConfig {
        sampler: SamplerConfig { steps: 3, guidance: 2.0 },
        time: TimeConfig { distribution: TimeDistribution::LogitNormal, shift: Shift::None },
        window: 4,
        context: 2,
        fps: 5.0,
        seed: 0,
        history: HistoryUse::WhenExact,
    }
}

fn frames(video: &Tensor, start: usize, count: usize) -> Result<Vec<f32>> {
    flat(&video.narrow(1, start, count)?)
}

#[test]
fn a_rollout_longer_than_the_window_begins_with_its_start() -> Result<()> {
    let (world, _) = world(false)?;
    for known in [1, 2, 3, 5] {
        let start = start(2, known)?;
        let video =
            world.rollout(&start, Some(&normal("actions", (2, 8, 5))?), 8, &[0, 1], &rollout_config())?;
        assert_eq!(video.dims(), [2, 9, 3, 4, 4]);
        assert!(largest_difference(&video.narrow(1, 0, known)?, &start)? < 1e-5, "{known} frames");
        let values = flat(&video)?;
        assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
        assert_ne!(frames(&video, known, 1)?, frames(&video, 8, 1)?);
    }
    Ok(())
}

#[test]
fn a_rollout_with_nothing_to_add_is_the_start_through_the_codec() -> Result<()> {
    let (world, _) = world(false)?;
    let start = start(1, 3)?;
    let video = world.rollout(&start, None, 2, &[0], &rollout_config())?;
    assert_eq!(flat(&video)?, flat(&world.codec.decode(&world.codec.encode(&start)?, 3)?)?);
    Ok(())
}

#[test]
fn a_rollout_is_a_pure_function_of_seed_and_samples() -> Result<()> {
    let (world, _) = world(false)?;
    let (start, actions) = (start(2, 1)?, normal("actions", (2, 6, 5))?);
    let roll = |seed: u64, samples: [u64; 2]| {
        let config = RolloutConfig { seed, ..rollout_config() };
        flat(&world.rollout(&start, Some(&actions), 6, &samples, &config)?)
    };
    assert_eq!(roll(3, [5, 9])?, roll(3, [5, 9])?);
    assert_ne!(roll(3, [5, 9])?, roll(4, [5, 9])?);
    assert_ne!(roll(3, [5, 9])?, roll(3, [5, 8])?);
    Ok(())
}

/// A model that says nothing leaves the noise as it is.
#[test]
fn every_window_draws_its_own_noise() -> Result<()> {
    let (world, params) = world(false)?;
    for name in ["final_layer.linear.weight", "final_layer.linear.bias"] {
        let var = params.get(name).expect("a last layer");
        var.set(&var.zeros_like()?)?;
    }
    let video = world.rollout(&start(1, 2)?, None, 5, &[0], &rollout_config())?; // two windows of two new frames
    assert_ne!(frames(&video, 2, 2)?, frames(&video, 4, 2)?);
    Ok(())
}

#[test]
fn a_clip_rolls_out_alone_as_it_does_in_a_batch() -> Result<()> {
    let (world, _) = world(false)?;
    let (start, actions) = (start(2, 1)?, normal("actions", (2, 6, 5))?);
    let config = rollout_config();
    let both = world.rollout(&start, Some(&actions), 6, &[5, 9], &config)?;
    for (clip, sample) in [(0, 5), (1, 9)] {
        let one = |x: &Tensor| x.narrow(0, clip, 1);
        let alone = world.rollout(&one(&start)?, Some(&one(&actions)?), 6, &[sample], &config)?;
        // The codec's own product may round a row otherwise among others.
        let difference = largest_difference(&alone, &one(&both)?)?;
        assert!(difference < 1e-5, "clip {clip}: {difference}");
    }
    Ok(())
}

#[test]
fn later_actions_do_not_change_earlier_frames_bit_for_bit() -> Result<()> {
    let (world, _) = world(true)?;
    let (start, actions) = (start(2, 1)?, normal("actions", (2, 7, 5))?);
    let roll = |actions: &Tensor| world.rollout(&start, Some(actions), 7, &[0, 1], &rollout_config());
    let video = roll(&actions)?;
    for kept in 0..7 {
        let other = roll(&changed_from(&actions, 1, kept)?)?;
        assert_eq!(frames(&video, 0, kept + 1)?, frames(&other, 0, kept + 1)?, "{kept} actions kept");
        assert_ne!(frames(&video, kept + 1, 1)?, frames(&other, kept + 1, 1)?, "{kept} actions kept");
    }
    Ok(())
}

#[test]
fn without_guidance_the_unconditional_branch_does_not_matter() -> Result<()> {
    let (world, params) = world(false)?;
    let start = start(1, 1)?;
    // A constant shift of an action's input that the bias takes back: the same rows for these actions, others for zeros.
    let actions = normal("actions", (1, 1, 5))?.repeat((1, 4, 1))?;
    let roll = |guidance: f64| {
        let config =
            RolloutConfig { sampler: SamplerConfig { steps: 3, guidance }, window: 5, ..rollout_config() };
        world.rollout(&start, Some(&actions), 4, &[0], &config)
    };
    let (plain, guided) = (roll(1.0)?, roll(3.0)?);
    let weight = params.get("input.0.weight").expect("an input layer");
    let bias = params.get("input.0.bias").expect("an input layer");
    let taken_back = actions.get(0)?.narrow(0, 0, 1)?.matmul(&weight.as_tensor().t()?)?.squeeze(0)?;
    bias.set(&(bias.as_detached_tensor() - taken_back)?)?;
    weight.set(&(weight.as_detached_tensor() * 2.0)?)?;
    let difference = largest_difference(&plain, &roll(1.0)?)?;
    assert!(difference < 1e-4, "{difference}");
    let difference = largest_difference(&guided, &roll(3.0)?)?;
    assert!(difference > 1e-2, "{difference}");
    Ok(())
}

#[test]
fn a_model_without_actions_continues_by_the_transitions_alone() -> Result<()> {
    let (world, _) = world(false)?;
    let video = world.rollout(&start(1, 1)?, None, 5, &[0], &rollout_config())?;
    assert_eq!(video.dims(), [1, 6, 3, 4, 4]);
    Ok(())
}

#[test]
fn a_history_that_fills_the_window_is_refused_with_both_numbers() -> Result<()> {
    let (world, _) = world(false)?;
    for context in [0, 4, 7] {
        let config = RolloutConfig { context, ..rollout_config() };
        let refusal = world.rollout(&start(1, 1)?, None, 5, &[0], &config).expect_err("no room").to_string();
        assert!(
            refusal.contains("window of 4 latent frames") && refusal.contains(&format!("keep {context} ")),
            "{refusal}"
        );
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_with_its_numbers() -> Result<()> {
    let (world, _) = world(false)?;
    let actions = normal("actions", (1, 5, 5))?;
    let refusal = |known: usize, transitions: usize, samples: &[u64]| {
        let video = world.rollout(&start(1, known)?, Some(&actions), transitions, samples, &rollout_config());
        Result::Ok(video.expect_err("it does not fit").to_string())
    };
    for (refusal, parts) in [
        (refusal(1, 6, &[0])?, ["[1, 5, 5]", "6 transitions"]),
        (refusal(1, 4, &[0])?, ["[1, 5, 5]", "4 transitions"]),
        (refusal(1, 5, &[0, 1])?, ["2 sample indices", "batch of 1"]),
    ] {
        assert!(parts.iter().all(|part| refusal.contains(part)), "{refusal}");
    }
    let long =
        world.rollout(&start(1, 4)?, None, 2, &[0], &rollout_config()).expect_err("no room").to_string();
    assert!(long.contains("start of 4 latent frames") && long.contains("rollout of 3"), "{long}");
    Ok(())
}

#[test]
fn a_remembered_history_changes_no_bit() -> Result<()> {
    let (world, _) = world(true)?;
    let (start, actions) = (start(2, 2)?, normal("actions", (2, 9, 5))?);
    for (window, context, guidance) in [(4, 2, 2.0), (6, 5, 2.0), (5, 1, 1.0)] {
        let roll = |history| {
            let sampler = SamplerConfig { steps: 3, guidance };
            let config = RolloutConfig { window, context, history, sampler, ..rollout_config() };
            for_actions(&world, &start, &actions, &config)
        };
        let never = roll(HistoryUse::Never)?;
        assert_eq!(never, roll(HistoryUse::WhenExact)?, "window {window}, history {context}");
        assert_eq!(never, roll(HistoryUse::Always)?, "window {window}, history {context}");
    }
    Ok(())
}

#[test]
fn a_watched_rollout_tells_each_piece_of_work_and_changes_no_bit() -> Result<()> {
    use RolloutEvent::{Decode, Done, Encode, Evaluate, Remember};
    let (world, _) = world(true)?;
    let (start, actions) = (start(1, 1)?, normal("actions", (1, 2, 5))?);
    let sampler = SamplerConfig { steps: 1, guidance: 2.0 };
    let expected = |history| match history {
        HistoryUse::Never => vec![Evaluate { frames: 3, behind: 0 }; 2],
        _ => {
            let behind = Evaluate { frames: 2, behind: 1 };
            vec![Remember { frames: 1 }, Remember { frames: 1 }, behind, behind]
        }
    };
    for history in [HistoryUse::Never, HistoryUse::Always] {
        let config = RolloutConfig { sampler, history, ..rollout_config() };
        let heard = RefCell::new(Vec::new());
        let watch = |event| heard.borrow_mut().push(event);
        let watched = world.rollout_watched(&start, Some(&actions), 2, &[0], &config, &watch)?;
        let plain = world.rollout(&start, Some(&actions), 2, &[0], &config)?;
        assert_eq!(flat(&watched)?, flat(&plain)?);
        let expected = [vec![Encode { frames: 1 }], expected(history), vec![Decode { frames: 3 }]].concat();
        let expected: Vec<RolloutEvent> = expected.into_iter().flat_map(|event| [event, Done]).collect();
        assert_eq!(heard.into_inner(), expected);
    }
    Ok(())
}

fn for_actions(
    world: &WorldModel,
    start: &Tensor,
    actions: &Tensor,
    config: &RolloutConfig,
) -> Result<[Vec<f32>; 2]> {
    let transitions = actions.dim(1)?;
    let with = world.rollout(start, Some(actions), transitions, &[4, 7], config)?;
    Ok([flat(&with)?, flat(&world.rollout(start, None, transitions, &[4, 7], config)?)?])
}

#[test]
fn a_model_that_sees_later_frames_rolls_out_without_history_and_says_why() -> Result<()> {
    let (causal, params) = world(false)?;
    let config = DitConfig { causal: false, ..causal.dit.config().clone() };
    let world = WorldModel { dit: DitWorld::new(&config, params.frozen())?, ..causal };
    let roll = |history| {
        let config = RolloutConfig { history, ..rollout_config() };
        world.rollout(&start(1, 1)?, None, 3, &[0], &config)
    };
    assert_eq!(flat(&roll(HistoryUse::WhenExact)?)?, flat(&roll(HistoryUse::Never)?)?);
    let refusal = roll(HistoryUse::Always).expect_err("it would be inexact").to_string();
    assert!(refusal.contains("not causal") && refusal.contains("dit.causal"), "{refusal}");
    Ok(())
}

/// Four frames a latent behind the first, as their mean: what a temporal VAE does, without its size.
struct Means(SpaceToDepth);

impl LatentCodec for Means {
    fn channels(&self) -> usize {
        self.0.channels()
    }

    fn factor(&self) -> usize {
        self.0.factor()
    }

    fn frames_per_latent(&self) -> usize {
        4
    }

    fn encode(&self, video: &Tensor) -> Result<Tensor> {
        let z = self.0.encode(video)?;
        let mut latents = vec![z.narrow(2, 0, 1)?];
        for first in (1..z.dim(2)?).step_by(4) {
            latents.push(z.narrow(2, first, 4)?.mean_keepdim(2)?);
        }
        Tensor::cat(&latents, 2)
    }

    fn decode(&self, latents: &Tensor, frames: usize) -> Result<Tensor> {
        let index: Vec<u32> = (0..frames as u32).map(|frame| frame.div_ceil(4)).collect();
        self.0.decode(&latents.index_select(&Tensor::new(index, &DEVICE)?, 2)?.contiguous()?, frames)
    }
}

#[test]
fn four_frames_a_latent_continue_over_decoded_frames() -> Result<()> {
    let (single, params) = world(false)?;
    let mut config = single.dit.config().clone();
    config.action.frames_per_latent = 4;
    params.set("four.input.0.weight", &normal("four", (12, 20))?)?;
    for (name, var) in params.vars() {
        let ours = ["no_action", "input.0.bias", "input.2", "output", "blocks"];
        if ours.iter().any(|start| name.starts_with(start)) {
            params.set(&format!("four.{name}"), var.as_tensor())?;
        }
    }
    let plain = CodecConfig { factor: 2, whiten: 0.0 };
    let world = WorldModel {
        codec: Box::new(Means(SpaceToDepth::new(&plain, params.frozen())?)),
        dit: DitWorld::new(&config, params.frozen())?,
        conditioner: ActionConditioner::new(&config, params.frozen().pp("four"))?,
    };
    let actions = normal("actions", (2, 24, 5))?;
    for (known, context) in [(1, 1), (5, 1), (9, 2)] {
        let start = start(2, known)?;
        let roll = |actions: &Tensor, history| {
            let config = RolloutConfig { window: 4, context, history, ..rollout_config() };
            world.rollout(&start, Some(actions), 24, &[0, 1], &config)
        };
        let video = roll(&actions, HistoryUse::WhenExact)?;
        assert_eq!(video.dims(), [2, 25, 3, 4, 4]);
        assert_eq!(flat(&video)?, flat(&roll(&actions, HistoryUse::Never)?)?);
        for kept in [8, 12, 20] {
            let other = roll(&changed_from(&actions, 1, kept)?, HistoryUse::WhenExact)?;
            assert_eq!(frames(&video, 0, kept + 1)?, frames(&other, 0, kept + 1)?, "{kept} actions kept");
            assert_ne!(frames(&video, kept + 1, 1)?, frames(&other, kept + 1, 1)?, "{kept} actions kept");
        }
    }
    let refusal = |frames: usize, transitions: usize, window: usize| {
        let config = RolloutConfig { window, context: 1, ..rollout_config() };
        world.rollout(&start(1, frames)?, None, transitions, &[0], &config).map(|_| ())
    };
    for ((frames, transitions, window), part) in [
        ((17, 24, 3), "start of 5 latent frames fills a window of 3"),
        ((9, 24, 3), "start of 3 latent frames fills a window of 3"),
        ((4, 8, 4), "clip of 4 frames"),
        ((1, 6, 4), "6 actions"),
        ((1, 8, 6), "take at most 5"),
    ] {
        let text = refusal(frames, transitions, window).expect_err("it does not line up").to_string();
        assert!(text.contains(part), "{text}");
    }
    Ok(())
}

#[test]
fn a_codec_of_another_rate_than_the_models_is_refused() -> Result<()> {
    let (single, params) = world(false)?;
    let plain = CodecConfig { factor: 2, whiten: 0.0 };
    let codec = Box::new(Means(SpaceToDepth::new(&plain, params.frozen())?));
    let world = WorldModel { codec, ..single };
    let refusal = world.rollout(&start(1, 1)?, None, 4, &[0], &rollout_config()).expect_err("4 and 1");
    let text = refusal.to_string();
    assert!(text.contains("codec has 4 frames a latent") && text.contains("made for 1"), "{text}");
    Ok(())
}
