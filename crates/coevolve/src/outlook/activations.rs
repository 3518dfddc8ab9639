//! The memory of forward and backward passes, from the sizes of a configuration.

use cola_lam::Readout;

use super::layers::{Load, Stack, WIDE, slack};
use crate::config::{ExperimentConfig, FIRST_BATCHES};
use crate::plan::PhaseKind;

/// Pixels of a side that become one latent pixel of the published VAE.
const VAE_FACTOR: usize = 8;

/// Latents, their noise, both mixed, the velocity and what comes of it, in a pass without a graph.
const AROUND: u64 = 5;

/// Windows of a long video that latent actions are inferred from at a time.
const WINDOWS: u64 = 8;

/// Clips that go forward and backward together: a part of the batch.
fn together(config: &ExperimentConfig) -> u64 {
    config.data.batch.div_ceil(config.data.accumulate.max(1)) as u64
}

/// Bytes of a video in f32.
fn pixels(clips: u64, frames: u64, side: usize) -> u64 {
    WIDE * clips * frames * 3 * (side as u64).pow(2)
}

/// Side of a latent frame: of blocks of pixels, or of the published VAE.
fn side(config: &ExperimentConfig) -> usize {
    let factor = if config.latents.vae().is_some() { VAE_FACTOR } else { config.codec.factor };
    config.data.world_size / factor.max(1)
}

/// Latent frames of so many frames.
fn latent_frames(config: &ExperimentConfig, frames: u64) -> u64 {
    1 + frames.saturating_sub(1) / (config.dit.action.frames_per_latent as u64).max(1)
}

/// Bytes of the latents of clips with so many latent frames.
fn latents(config: &ExperimentConfig, clips: u64, frames: u64) -> u64 {
    WIDE * clips * frames * config.dit.in_channels as u64 * (side(config) as u64).pow(2)
}

/// Bytes of both views of a clip.
fn views(config: &ExperimentConfig, clips: u64, frames: u64) -> u64 {
    pixels(clips, frames, config.lam.image) + pixels(clips, frames, config.data.world_size)
}

/// The batch of a step and those made ahead of it.
pub(crate) fn batches(config: &ExperimentConfig) -> u64 {
    let (data, feeder) = (&config.data, config.feeder());
    let ahead = if feeder.workers == 0 { 0 } else { feeder.ahead as u64 };
    (1 + ahead) * views(config, data.batch as u64, data.frames as u64)
}

/// Held-out clips that stay through training, for the curve of the action sensitivity.
pub(crate) fn curve(config: &ExperimentConfig) -> u64 {
    views(config, config.evaluation.curve_transitions as u64, config.data.frames as u64)
}

/// Held-out clips of an evaluation.
pub(crate) fn held_out(config: &ExperimentConfig) -> u64 {
    let evaluation = &config.evaluation;
    let short = views(config, evaluation.transitions as u64, config.data.frames as u64);
    short + views(config, evaluation.episodes as u64, evaluation.horizon as u64 + 1)
}

/// The pictures from which shift and scale of the codec are found: the batches, all of them at once, their blocks twice,
/// and three times in f64.
pub(crate) fn codec_statistics(config: &ExperimentConfig) -> u64 {
    let (data, batches) = (&config.data, FIRST_BATCHES);
    10 * pixels(batches * data.batch as u64, data.frames as u64, data.world_size)
}

/// A training step at its peak.
pub(crate) fn step(config: &ExperimentConfig, kind: PhaseKind) -> u64 {
    let (clips, frames) = (together(config), config.data.frames as u64);
    let trains = kind.trains();
    let idm = idm(config, clips, frames);
    let load = if trains.lam {
        idm.learning(config.compute).keeping(idm_ends(config, clips, frames))
    } else if kind.has_actions() {
        Load { kept: 0, passing: idm.plain(config.compute) }
    } else {
        Load::default()
    };
    if kind == PhaseKind::Lam {
        let fdm = fdm(config, clips, frames - 1);
        return load.and(fdm.learning(config.compute).keeping(fdm_ends(config, clips, frames - 1))).total();
    }
    let frames = latent_frames(config, frames);
    let world = world(config, clips, frames);
    let actions = if trains.action { actions(config, clips, frames) } else { Load::default() };
    load.and(actions).and(world.learning(config.compute).keeping(world_ends(config, clips, frames))).total()
}

/// An evaluation at its peak: imagined frames, the sensitivity to actions, the latent actions of the clips.
pub(crate) fn evaluation(config: &ExperimentConfig) -> u64 {
    let (evaluation, window) = (&config.evaluation, config.data.frames as u64);
    let horizon = evaluation.horizon as u64 + 1;
    let at_once = |clips: usize| evaluation.batch.min(clips) as u64;
    let (short, long) = (at_once(evaluation.transitions), at_once(evaluation.episodes));
    let seen = latent_frames(config, window);
    let context = (config.flow.given_max as u64).min(seen.saturating_sub(1));
    let windows = WINDOWS.min((horizon + 1).saturating_sub(window)).max(1);
    [
        imagine(config, short, [context, 1], window),
        imagine(config, long, [context, seen - context], horizon),
        world(config, short, seen).plain(config.compute) + AROUND * latents(config, short, seen),
        read(config, short, window),
        read(config, long * windows, window),
    ]
    .into_iter()
    .fold(0, u64::max)
}

/// The most that a few new frames behind clean ones take, for clips that are imagined thrice: with their own actions,
/// with those of others and with none.
fn imagine(config: &ExperimentConfig, clips: u64, [context, new]: [u64; 2], frames: u64) -> u64 {
    let held =
        3 * pixels(clips, frames, config.data.world_size) + AROUND * latents(config, clips, context + new);
    let whole = world(config, clips, context + new).plain(config.compute);
    if !config.dit.causal {
        return held + whole;
    }
    let width = world(config, clips, 1).bytes(config.compute);
    // With actions and without them each have a history: keys and values of every block over time.
    let branches = if config.evaluation.guidance == 1.0 { 1 } else { 2 };
    let history = branches * config.dit.depth as u64 * 2 * context * width;
    // Attention over time joins what is remembered with what is new.
    let joined = slack((7 * context + 9 * new) * width);
    held + history + joined.max(world(config, clips, new).plain(config.compute))
}

/// Latent actions of so many windows.
fn read(config: &ExperimentConfig, windows: u64, frames: u64) -> u64 {
    let idm = idm(config, windows, frames);
    idm.plain(config.compute) + 3 * idm.bytes(config.compute) + 2 * pixels(windows, frames, config.lam.image)
}

/// The video transformer over so many latent frames: spatial and temporal blocks. Norm, queries-keys-values, attention,
/// projection, gate, norm, feed-forward and gate keep 10 widths and the hidden one; six rows for each frame are cut for
/// every block.
fn world(config: &ExperimentConfig, clips: u64, frames: u64) -> Stack {
    let (dit, side) = (&config.dit, side(config).div_ceil(config.dit.patch));
    let width = dit.hidden_size as u64;
    Stack {
        tokens: clips * frames * (side as u64).pow(2),
        width,
        blocks: 2 * dit.depth as u64,
        kept: 10 + dit.mlp_ratio as u64,
        widest: (dit.mlp_ratio as u64).max(3),
        beside: WIDE * clips * frames * 6 * width,
    }
}

/// Around the blocks: two widths of embedded tokens, three of the last norm, and the latents, their noise, target,
/// velocity and error.
fn world_ends(config: &ExperimentConfig, clips: u64, frames: u64) -> u64 {
    let second = if config.dit.pred_sigma { 2 } else { 0 };
    5 * world(config, clips, frames).bytes(config.compute) + (8 + second) * latents(config, clips, frames)
}

/// The action conditioner: short sequences, nothing is recomputed; and the rows that every block of the world model cuts.
fn actions(config: &ExperimentConfig, clips: u64, frames: u64) -> Load {
    let action = &config.dit.action;
    let stack = Stack {
        tokens: clips * frames,
        width: action.width as u64,
        blocks: action.layers as u64,
        kept: 9 + action.mlp_ratio as u64,
        widest: (action.mlp_ratio as u64).max(3),
        beside: 0,
    };
    let compute = cola_nn::Compute { recompute: false, ..config.compute };
    let rows = WIDE * clips * frames * 6 * config.dit.hidden_size as u64;
    stack.learning(compute).keeping(6 * stack.bytes(compute) + 4 * rows)
}

/// The inverse dynamics model: space, time, feed-forward.
fn idm(config: &ExperimentConfig, clips: u64, frames: u64) -> Stack {
    let lam = &config.lam;
    let prompt = if lam.readout == Readout::Prompt { lam.tokens } else { 0 };
    Stack {
        tokens: clips * frames * (lam.patches() + prompt) as u64,
        width: lam.dim as u64,
        blocks: lam.layers as u64,
        kept: 20,
        widest: 4,
        beside: joined(config, 2),
    }
}

/// The pixels, normalised and as patches; tokens at the start, positions of the frames, norm, difference and pooling.
fn idm_ends(config: &ExperimentConfig, clips: u64, frames: u64) -> u64 {
    9 * idm(config, clips, frames).bytes(config.compute) + 2 * pixels(clips, frames, config.lam.image)
}

/// The forward dynamics model: attention with separate queries, a gated feed-forward layer; UniVLA's blocks in the prompt
/// reading.
fn fdm(config: &ExperimentConfig, clips: u64, transitions: u64) -> Stack {
    let lam = &config.lam;
    let prompt = lam.readout == Readout::Prompt;
    let (first, kept, widest) = if prompt { (lam.tokens, 13, 4) } else { (1, 18, 8) };
    Stack {
        tokens: clips * transitions * (lam.patches() + first) as u64,
        width: lam.dim as u64,
        blocks: lam.fdm_layers as u64,
        kept,
        widest,
        beside: joined(config, 1),
    }
}

/// Frames as patches for the model and for the target, prediction, error and its square.
fn fdm_ends(config: &ExperimentConfig, clips: u64, transitions: u64) -> u64 {
    5 * fdm(config, clips, transitions).bytes(config.compute)
        + 8 * pixels(clips, transitions, config.lam.image)
}

/// The prompt reading joins the three weights of each attention anew in every pass.
fn joined(config: &ExperimentConfig, attentions: u64) -> u64 {
    if config.lam.readout != Readout::Prompt {
        return 0;
    }
    attentions * 3 * WIDE * (config.lam.dim as u64).pow(2)
}
