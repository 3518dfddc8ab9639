//! Runs a bench: criterion's timings, named `group/case/device`, and beside them the share of the machine's peak.

use std::time::{Duration, Instant};

use candle_core::{Device, Result};
use criterion::{Criterion, Throughput};

use crate::layer::Layer;
use crate::peak::Peak;

/// Operations from which a case gets few samples.
const LARGE: f64 = 1e9;

/// A device with its name and its limits.
#[derive(Clone)]
pub struct Place {
    /// `cpu` or `cuda`.
    pub name: &'static str,
    /// The device itself.
    pub device: Device,
    /// What it gives.
    pub peak: Peak,
}

/// What one call does at least.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// How many of what the reader counts; 0 if there is nothing but bytes to count.
    pub units: f64,
    /// Their name.
    pub unit: &'static str,
    /// Operations.
    pub flops: f64,
}

/// Something that can be timed.
pub struct Ready {
    bytes: f64,
    run: Box<dyn FnMut() -> Result<()>>,
}

impl Ready {
    /// `run` reads and writes at least `bytes`; 0 if that is not known.
    pub fn new(bytes: usize, run: impl FnMut() -> Result<()> + 'static) -> Self {
        Self { bytes: bytes as f64, run: Box::new(run) }
    }
}

/// All cases of one bench.
pub struct Suite {
    group: &'static str,
    criterion: Criterion,
    places: Vec<Place>,
    /// Every function runs once, as a test.
    test: bool,
}

impl Suite {
    /// Reads criterion's options from the command line and measures what the machine gives.
    ///
    /// # Errors
    /// A device that cannot compute.
    pub fn new(group: &'static str) -> Result<Self> {
        let given = |option: &str| std::env::args().any(|argument| argument == option);
        let test = given("--test") || !given("--bench");
        let criterion = Criterion::default()
            .without_plots()
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1))
            .configure_from_args();
        let mut places = Vec::new();
        for (name, device) in devices() {
            let peak = Peak::measure(&device, test || given("--list"))?;
            if !test && !given("--list") {
                let (flops, copy) = (peak.flops / 1e9, peak.copy / 1e9);
                println!("{name}: f32 products reach {flops:.0} GFLOP/s, copies {copy:.1} GB/s");
            }
            places.push(Place { name, device, peak });
        }
        Ok(Self { group, criterion, places, test })
    }

    /// A whole bench made of layers.
    ///
    /// # Errors
    /// A layer that cannot be built.
    pub fn layers(group: &'static str, layers: &[Layer]) -> Result<()> {
        let mut suite = Self::new(group)?;
        for place in suite.places() {
            for layer in layers {
                for (function, back) in layer.functions() {
                    let amount = layer.amount(back);
                    suite.time(&place, &layer.name, function, amount, || layer.ready(&place.device, back));
                }
            }
        }
        suite.finish();
        Ok(())
    }

    /// Where to run: the CPU, and the first CUDA device if this build can use one.
    pub fn places(&self) -> Vec<Place> {
        self.places.clone()
    }

    /// Whether every function only runs once.
    pub fn tests(&self) -> bool {
        self.test
    }

    /// Times one function of a case. `prepare` checks and builds it, if the command line asks for it at all.
    ///
    /// # Panics
    /// Where `prepare` or a run of it fails.
    pub fn time(
        &mut self,
        place: &Place,
        case: &str,
        function: &str,
        amount: Amount,
        prepare: impl FnOnce() -> Result<Ready>,
    ) {
        let name = format!("{}/{case}/{}", self.group, place.name);
        let mut group = self.criterion.benchmark_group(&name);
        group.sample_size(if amount.flops >= LARGE { 10 } else { 20 });
        if amount.units > 0.0 {
            group.throughput(Throughput::Elements(amount.units as u64));
        }
        let (mut prepare, mut ready, mut seconds) = (Some(prepare), None, Vec::new());
        group.bench_function(function, |b| {
            if let Some(prepare) = prepare.take() {
                ready = Some(prepare().unwrap_or_else(|error| panic!("{name}: {error}")));
            }
            let Some(ready) = ready.as_mut() else { return };
            b.iter_custom(|count| {
                let start = Instant::now();
                for _ in 0..count {
                    (ready.run)().unwrap_or_else(|error| panic!("{name}: {error}"));
                }
                place.device.synchronize().unwrap_or_else(|error| panic!("{name}: {error}"));
                let elapsed = start.elapsed();
                seconds.push(elapsed.as_secs_f64() / count as f64);
                elapsed
            });
        });
        group.finish();
        if let (Some(ready), false) = (ready, self.test || seconds.is_empty()) {
            seconds.sort_by(f64::total_cmp);
            println!(
                "{name}/{function}: {}",
                shares(place.peak, amount, ready.bytes, seconds[seconds.len() / 2])
            );
        }
    }

    /// Criterion's last words.
    pub fn finish(self) {
        self.criterion.final_summary();
    }
}

/// Units, operations and bytes a second, the latter two as parts of the peak.
fn shares(peak: Peak, amount: Amount, bytes: f64, seconds: f64) -> String {
    let mut said = vec![format!("{:.3} ms", 1e3 * seconds)];
    if amount.units > 0.0 {
        said.push(format!("{:.0} {}/s", amount.units / seconds, amount.unit));
    }
    for (done, peak, unit, what) in
        [(amount.flops, peak.flops, "GFLOP/s", "peak"), (bytes, peak.copy, "GB/s", "copy")]
    {
        if done > 0.0 {
            let rate = done / seconds;
            said.push(format!("{:.1} {unit} ({:.0} % of {what})", rate / 1e9, 100.0 * rate / peak));
        }
    }
    said.join(", ")
}

fn devices() -> Vec<(&'static str, Device)> {
    let mut devices = vec![("cpu", Device::Cpu)];
    if cfg!(feature = "cuda") {
        match Device::new_cuda(0) {
            Ok(device) => devices.push(("cuda", device)),
            Err(error) => println!("no CUDA device: {error}"),
        }
    }
    devices
}
