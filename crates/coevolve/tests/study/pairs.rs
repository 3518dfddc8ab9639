use candle_core::{DType, Device};
use cola_coevolve::{ActionPairs, Error, ExperimentConfig, Run, StudyError};
use cola_data::{Clip, ClipSource, DrawnConfig, DrawnWorld};

use crate::support::study_error;

/// A drawn world with something done to every clip.
struct Changed<F>(DrawnWorld, F);

impl<F: Fn(usize, &mut Clip) + Send + Sync> ClipSource for Changed<F> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn frames_per_clip(&self) -> usize {
        self.0.frames_per_clip()
    }

    fn clip(&self, index: usize) -> Result<Clip, cola_data::Error> {
        let mut clip = self.0.clip(index)?;
        (self.1)(index, &mut clip);
        Ok(clip)
    }
}

fn world(clips: usize, frames: usize) -> DrawnWorld {
    DrawnWorld::new(DrawnConfig { clips, frames, size: 16, ..DrawnConfig::tiny() }, 5).expect("a drawn world")
}

fn config() -> ExperimentConfig {
    let mut config = ExperimentConfig::toy();
    config.evaluation.batch = 3;
    config
}

fn gather(source: &dyn ClipSource, count: usize) -> Result<ActionPairs, Box<Error>> {
    let run = Run::new(&config(), &Device::Cpu)?;
    Ok(ActionPairs::gather(&run.system()?.lam, source, count, &config(), &Device::Cpu, &mut |_, _| ())?)
}

#[test]
fn every_transition_of_evenly_spread_clips_is_there_in_order() {
    let (source, config) = (world(20, 3), config());
    let run = Run::new(&config, &Device::Cpu).expect("a run");
    let system = run.system().expect("a system");
    let mut heard = Vec::new();
    let pairs = ActionPairs::gather(&system.lam, &source, 5, &config, &Device::Cpu, &mut |done, of| {
        heard.push((done, of))
    })
    .expect("pairs");
    assert_eq!(heard, [(3, 5), (5, 5)]);
    assert_eq!((pairs.len(), pairs.clips, pairs.is_empty()), (10, 5, false));
    let (n, d) = (config.lam.tokens, config.lam.code_dim);
    for (tensor, dims, dtype) in [
        (&pairs.embedding, [10, n * d], DType::F32),
        (&pairs.tokens, [10, n * d], DType::F32),
        (&pairs.codes, [10, n], DType::U32),
        (&pairs.actions, [10, 2], DType::F32),
    ] {
        assert_eq!((tensor.dims(), tensor.dtype()), (&dims[..], dtype));
    }
    let actions: Vec<f32> = (0..5).flat_map(|i| source.clip(i * 4).expect("a clip").actions).collect();
    assert_eq!(pairs.actions.flatten_all().expect("actions").to_vec1::<f32>().expect("actions"), actions);
    // Row by row what the model itself says of these codes.
    let codes = pairs.codes.reshape((1, 10, n)).expect("codes");
    let rows = system.lam.embed(&codes).expect("rows").squeeze(0).expect("rows");
    assert_eq!(
        rows.to_vec2::<f32>().expect("rows"),
        pairs.embedding.to_vec2::<f32>().expect("latent actions")
    );
}

#[test]
fn the_batch_size_does_not_change_what_is_found() {
    let source = world(6, 2);
    let run = Run::new(&config(), &Device::Cpu).expect("a run");
    let found = [1, 4].map(|batch| {
        let mut config = config();
        config.evaluation.batch = batch;
        let system = run.system().expect("a system");
        ActionPairs::gather(&system.lam, &source, 6, &config, &Device::Cpu, &mut |_, _| ()).expect("pairs")
    });
    let [one, four] = found.map(|pairs| {
        (pairs.codes.to_vec2::<u32>().expect("codes"), pairs.tokens.to_vec2::<f32>().expect("tokens"))
    });
    assert_eq!(one, four);
}

#[test]
fn a_source_without_actions_is_refused() {
    let bare = Changed(world(4, 2), |_, clip: &mut Clip| (clip.actions, clip.action_dim) = (Vec::new(), 0));
    assert!(matches!(study_error(gather(&bare, 4)), StudyError::NoActions { clip: 0 }));
}

#[test]
fn fewer_than_two_transitions_are_refused() {
    assert!(matches!(study_error(gather(&world(4, 2), 1)), StudyError::FewTransitions { found: 1 }));
    assert!(matches!(study_error(gather(&world(4, 2), 0)), StudyError::FewTransitions { found: 0 }));
    assert!(matches!(study_error(gather(&world(4, 1), 4)), StudyError::FewTransitions { found: 0 }));
    assert_eq!(gather(&world(4, 3), 1).expect("two transitions of one clip").len(), 2);
}

#[test]
fn an_action_that_is_no_number_is_named() {
    let broken = Changed(world(8, 3), |index, clip: &mut Clip| {
        if index == 6 {
            clip.actions[3] = f32::NAN;
        }
    });
    let error = study_error(gather(&broken, 4));
    let StudyError::ActionNotFinite { clip: 6, transition: 1, dimension: 1, .. } = error else {
        panic!("{error}")
    };
    assert!(error.to_string().contains("clip 6, transition 1, action dimension 1"));
}
