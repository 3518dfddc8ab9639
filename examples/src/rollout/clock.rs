//! Where the time of a rollout goes, and a bar while it does.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;
use candle_core::{Device, Tensor};
use cola_dit_world::{DitConfig, RolloutEvent, Workload};
use cola_report::Progress;
use serde::Serialize;

/// Side of the matrices that the peak is measured with.
const PEAK_SIDE: usize = 1024;
/// How long it is measured.
const PEAK_TIME: Duration = Duration::from_millis(500);

/// Seconds of each kind of work.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Spent {
    /// Encoding.
    pub encode: f64,
    /// Keys and values of the history.
    pub remember: f64,
    /// Evaluations of the transformer, and nothing else.
    pub evaluate: f64,
    /// How many they were.
    pub evaluations: u64,
    /// Their operations.
    pub operations: u64,
    /// Decoding.
    pub decode: f64,
}

/// Hears a rollout.
pub struct Clock<'a> {
    dit: &'a DitConfig,
    /// Height and width of the latents.
    latents: usize,
    device: &'a Device,
    state: RefCell<State>,
}

struct State {
    spent: Spent,
    now: Option<(RolloutEvent, Instant)>,
    bar: Progress,
}

impl<'a> Clock<'a> {
    /// For a rollout of so many evaluations of this model on `latents x latents` latents.
    pub fn start(dit: &'a DitConfig, latents: usize, evaluations: usize, device: &'a Device) -> Self {
        let bar = Progress::start("imagine", evaluations as u64, 0);
        let state = State { spent: Spent::default(), now: None, bar };
        Self { dit, latents, device, state: RefCell::new(state) }
    }

    /// Takes an event in.
    pub fn hear(&self, event: RolloutEvent) {
        let State { spent, now, bar } = &mut *self.state.borrow_mut();
        if event != RolloutEvent::Done {
            bar.tick(spent.evaluations, words(event));
            *now = Some((event, Instant::now()));
            return;
        }
        // Should it fail, so will the next operation, which can say so.
        let _ = self.device.synchronize();
        let Some((began, since)) = now.take() else { return };
        let seconds = since.elapsed().as_secs_f64();
        match began {
            RolloutEvent::Encode { .. } => spent.encode += seconds,
            RolloutEvent::Remember { .. } => spent.remember += seconds,
            RolloutEvent::Decode { .. } => spent.decode += seconds,
            RolloutEvent::Evaluate { frames, behind } => {
                spent.evaluate += seconds;
                spent.evaluations += 1;
                spent.operations += self.operations(frames, behind);
                bar.tick(spent.evaluations, words(began));
            }
            RolloutEvent::Done => {}
        }
    }

    /// Ends the bar.
    pub fn finish(self) -> Spent {
        let State { spent, bar, .. } = self.state.into_inner();
        bar.finish("");
        spent
    }

    /// Operations of an evaluation: over time, its frames also attend to the remembered ones.
    fn operations(&self, frames: usize, behind: usize) -> u64 {
        let (side, dit) = (self.latents, self.dit);
        let places = side.div_ceil(dit.patch).pow(2);
        let own = dit.flops(Workload { batch: 1, frames, height: side, width: side, text: 0 });
        own + (4 * dit.depth * frames * places * behind * dit.hidden_size) as u64
    }
}

fn words(event: RolloutEvent) -> &'static str {
    match event {
        RolloutEvent::Encode { .. } => "encodes",
        RolloutEvent::Decode { .. } => "decodes",
        RolloutEvent::Remember { .. } => "takes in the history",
        RolloutEvent::Evaluate { .. } | RolloutEvent::Done => "evaluations",
    }
}

/// Operations a second of a large f32 matrix product on this machine, by all threads: the best of half a second.
/// A machine that does something else meanwhile gives less.
///
/// # Errors
/// A device without memory for it.
pub fn matmul_peak(device: &Device) -> Result<f64> {
    let sides = (PEAK_SIDE, PEAK_SIDE);
    let (a, b) = (Tensor::randn(0f32, 1.0, sides, device)?, Tensor::randn(0f32, 1.0, sides, device)?);
    let started = Instant::now();
    let mut least = f64::INFINITY;
    while started.elapsed() < PEAK_TIME {
        let since = Instant::now();
        black_box(a.matmul(&b)?);
        device.synchronize()?;
        least = least.min(since.elapsed().as_secs_f64());
    }
    Ok(2.0 * (PEAK_SIDE as f64).powi(3) / least)
}
