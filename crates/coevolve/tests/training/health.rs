//! A run that goes wrong says so, and stops when it was told to.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};
use cola_coevolve::{
    Error, ExperimentConfig, HeldOut, Key, Observer, PhaseKind, Record, Run, System, SystemParams, Trains,
    Warning, checkpoint, forward_sensitivity, lam_step, world_step,
};
use cola_data::{Clip, ClipSource, Loader};
use cola_lam::{Place, Symptom};
use cola_nn::global_norm;

/// The clips of another source with all their pictures grey.
struct Grey(Arc<dyn ClipSource>);

impl ClipSource for Grey {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn frames_per_clip(&self) -> usize {
        self.0.frames_per_clip()
    }

    fn clip(&self, index: usize) -> std::result::Result<Clip, cola_data::Error> {
        let mut clip = self.0.clip(index)?;
        clip.frames.rgb.fill(100);
        Ok(clip)
    }
}

#[derive(Default)]
struct Records(Vec<Record>);

impl Observer for Records {
    fn on_record(&mut self, record: &Record) -> std::result::Result<(), Error> {
        self.0.push(record.clone());
        Ok(())
    }
}

fn config(plan: &str) -> ExperimentConfig {
    let mut config = crate::support::config(plan);
    config.health.window = 4;
    config.health.grace = 8;
    config
}

#[test]
fn a_constant_input_is_called_a_collapse_at_both_positions() {
    let root = tempfile::tempdir().expect("a folder");
    // Without restarts, which would hide it.
    let values = ["remedies.restart_after=0", "data.frames=2", "flow.given_max=1"];
    let config = config("LAM20").with_all(&values).expect("values");
    let clips: Arc<dyn ClipSource> = Arc::new(Grey(crate::support::clips(2)));
    let mut run = Run::new(&config, &Device::Cpu).expect("a run");
    run.fit_codec(&crate::support::clips(2)).expect("a codec");
    run.stop_on_collapse(true);
    let mut watcher = Records::default();
    let error = run.train(&clips, None, root.path(), &mut [&mut watcher]).expect_err("a collapse");
    let Error::Collapsed { step, warning, folder, .. } = &error else { panic!("{error}") };
    let Warning::Codebook(finding) = &**warning else { panic!("{error}") };
    // Three windows are past after step 6, the days of grace after step 8.
    assert_eq!((*step, finding.place, finding.symptom), (8, Place::Position(0), Symptom::OneCode));
    assert!(error.to_string().contains("collapse at position 0: code"), "{error}");
    assert!(error.to_string().contains("--resume without --stop-on-collapse"), "{error}");
    assert_eq!(checkpoint::list(root.path()).last(), Some(folder));
    let last = watcher.0.last().expect("a record");
    assert!(last.warnings.iter().any(|w| w.subject().contains("position 1")), "{:?}", last.warnings);
    assert_eq!(last.codes.as_ref().map(|codes| codes.samples), Some(4 * 8), "4 steps of 8 clips");

    // Who goes on all the same may.
    let mut run = Run::resume(root.path(), &Device::Cpu).expect("the checkpoint");
    run.train(&clips, None, root.path(), &mut []).expect("training");
    assert!(run.is_finished());
}

#[test]
fn longer_clips_of_constant_input_are_called_out_by_their_tokens() {
    let root = tempfile::tempdir().expect("a folder");
    // The place of a frame in its clip alone gives each transition codes of its own: the histogram looks alive.
    let config = config("LAM20").with("remedies.restart_after=0").expect("a value");
    let clips: Arc<dyn ClipSource> = Arc::new(Grey(crate::support::clips(3)));
    let mut run = Run::new(&config, &Device::Cpu).expect("a run");
    run.fit_codec(&crate::support::clips(3)).expect("a codec");
    run.stop_on_collapse(true);
    let error = run.train(&clips, None, root.path(), &mut []).expect_err("a collapse");
    assert!(error.to_string().contains("hardly depend on the clip"), "{error}");
}

#[test]
fn gradients_by_source_are_those_of_separate_passes() -> Result<()> {
    for plan in ["WARM1", "LAM1"] {
        let mut config = config(plan).with("schedule.log_every=1").expect("a value");
        config.remedies.hold_lam = 0;
        let root = tempfile::tempdir().expect("a folder");
        let clips = crate::support::clips(3);
        let run = Run::new(&config, &Device::Cpu).expect("a run");
        run.fit_codec(&clips).expect("a codec");
        crate::support::awake(run.params())?;
        // Its first codes would be drawn anew otherwise.
        config.lam.code_init = cola_lam::CodeInit::Box;
        let mut fresh = Run::new(&config, &Device::Cpu).expect("a run");
        run.params().save(root.path()).expect("a folder");
        fresh.params().load(root.path()).expect("the parameters");

        let kind = config.plan.phases()[0].kind;
        let system = System::enter(run.params(), &config, kind.trains())?;
        let loader = Loader::new(clips.clone(), config.loader(), config.seed).expect("a loader");
        let batch = loader.batch(0, kind.crops(), &Device::Cpu).expect("a batch");
        let step = match kind {
            PhaseKind::Lam => lam_step(&system, &config, &batch)?,
            _ => world_step(&system, &config, &batch, Key { seed: config.seed, step: 0 }, true)?,
        };
        let norm = |loss: &Tensor| -> Result<f64> {
            let grads = loss.backward()?;
            let vars = run.params().vars(Trains::default());
            let idm = vars.iter().filter(|(name, ..)| name.starts_with("lam.encoder."));
            let found: Vec<_> = idm.filter_map(|(_, var, _)| grads.get(var.as_tensor()).cloned()).collect();
            assert!(found.len() > 10, "{plan}");
            global_norm(&found)
        };
        let prediction = norm(step.flow.as_ref().or(step.reconstruction.as_ref()).expect("a prediction"))?;
        let vq = norm(&step.vq.as_ref().expect("losses").total(&config.lam)?)?;

        let mut watcher = Records::default();
        fresh.train(&clips, None, &root.path().join("run"), &mut [&mut watcher]).expect("training");
        let record = &watcher.0[0];
        for (name, found, expected) in
            [("prediction", record.idm_gradient_prediction, prediction), ("vq", record.idm_gradient_vq, vq)]
        {
            let found = found.expect("a norm");
            assert!(
                (found - expected).abs() < 1e-4 * expected,
                "{plan}, {name}: {found}, expected {expected}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_quantizer_that_drowns_the_prediction_is_named_with_its_cure() {
    let root = tempfile::tempdir().expect("a folder");
    let clips = crate::support::clips(3);
    let config = config("LAM8").with("lam.commitment_weight=1000").expect("a value");
    let mut run = Run::new(&config, &Device::Cpu).expect("a run");
    run.fit_codec(&clips).expect("a codec");
    let mut watcher = Records::default();
    run.train(&clips, None, root.path(), &mut [&mut watcher]).expect("training");
    let warnings = &watcher.0.last().expect("a record").warnings;
    let warning = warnings.iter().find(|w| matches!(w, Warning::QuantizerDrowns { .. }));
    let warning = warning.unwrap_or_else(|| panic!("{warnings:?}"));
    assert!(warning.advice(&config).contains("lam.commitment_weight"));
}

#[test]
fn the_forward_models_sensitivity_is_its_error_with_other_actions_less_that_with_its_own() -> Result<()> {
    let config = crate::support::config("LAM4");
    let params = SystemParams::new(&config, &Device::Cpu)?;
    crate::support::awake(&params)?;
    let system = System::enter(&params, &config, Trains::default())?;
    let measure = |source: &dyn ClipSource| {
        let held_out = HeldOut::new(source, 6, &config, &Device::Cpu).expect("clips");
        forward_sensitivity(&system, &config, &held_out).expect("a measurement")
    };
    // The actions of other clips are the same as its own where all clips are the same.
    let same = measure(&Grey(crate::support::clips(3)));
    assert_eq!((same.mean, same.standard_error, same.samples), (0.0, 0.0, 6));

    let clips = crate::support::clips(3);
    let found = measure(&*clips);
    let chosen: Vec<Clip> = (0..6).map(|i| clips.clip(i * clips.len() / 6).expect("a clip")).collect();
    let video = cola_data::collate(&chosen, config.lam.image, config.data.world_size, &Device::Cpu)
        .expect("a batch")
        .lam_view;
    let actions = system.lam.infer(&video)?.embedding;
    let others = Tensor::cat(&[actions.narrow(0, 3, 3)?, actions.narrow(0, 0, 3)?], 0)?;
    let loss = |actions: &Tensor| system.fdm.loss(&video, actions, 0.0)?.to_scalar::<f32>();
    let (own, other) = (f64::from(loss(&actions)?), f64::from(loss(&others)?));
    assert!((found.own - own).abs() < 1e-5 * own, "{} and {own}", found.own);
    assert!((found.mean - (other - own)).abs() < 1e-5 * own, "{} and {}", found.mean, other - own);
    assert!(found.mean != 0.0 && found.standard_error > 0.0);
    Ok(())
}
