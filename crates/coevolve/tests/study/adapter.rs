use candle_core::{DType, Device, Tensor};
use cola_coevolve::{
    Accuracy, ActionPairs, Adapter, AdapterConfig, Choice, CodeLogits, Majority, Recipe, StudyError, Target,
};

use crate::support::{ENTRIES, WIDTH, codebook, coded, study_error};

/// Each code has an action of its own, in units far from [-1, 1].
fn own(codes: [u32; 2]) -> [f32; 2] {
    codes.map(|code| 100.0 + 30.0 * code as f32)
}

fn quick() -> AdapterConfig {
    AdapterConfig { recipe: Recipe { rate: 1e-2, steps: 600, ..Recipe::new(64) }, ..AdapterConfig::default() }
}

fn rows(codes: &Tensor) -> Vec<Vec<u32>> {
    codes.to_vec2::<u32>().expect("codes")
}

#[test]
fn a_mapping_without_ambiguity_is_learned_completely() {
    let (train, held_out) = (coded(400, 1, own), coded(100, 2, own));
    let (adapter, losses) = Adapter::train(&train, &codebook(), "v1", &quick()).expect("an adapter");
    assert!(losses.len() == 600 && losses[599] < 0.1 * losses[0], "{:?}", losses.last());
    let report = adapter.evaluate(&held_out, 0).expect("a report");
    let accuracy = &report.argmax.accuracy;
    assert_eq!((accuracy.token, accuracy.joint, accuracy.positions.as_slice()), (1.0, 1.0, &[1.0, 1.0][..]));
    assert_eq!(report.argmax.usage, report.truth);
    let latent = adapter.translate(&held_out.actions, Choice::Argmax).expect("latent actions");
    assert_eq!(rows(&latent.codes), rows(&held_out.codes));
    assert_eq!(
        latent.embedding.to_vec2::<f32>().expect("rows"),
        held_out.embedding.to_vec2::<f32>().expect("rows")
    );
}

#[test]
fn actions_that_say_nothing_get_the_majority() {
    // Half of all transitions are (5, 5), and the action is always the same.
    let train = coded(64, 3, |_| [1.0, 1.0]);
    let codes: Vec<u32> = rows(&train.codes)
        .into_iter()
        .enumerate()
        .flat_map(|(row, codes)| if row % 2 == 0 { vec![5, 5] } else { codes })
        .collect();
    let codes = Tensor::from_vec(codes, (64, 2), &Device::Cpu).expect("codes");
    let train = ActionPairs { codes, ..train };
    let (adapter, _) = Adapter::train(&train, &codebook(), "v1", &quick()).expect("an adapter");
    assert_eq!(adapter.majority(), &Majority { positions: vec![5, 5], joint: vec![5, 5] });
    let report = adapter.evaluate(&train, 0).expect("a report");
    assert_eq!(report.argmax.accuracy, report.majority);
    assert_eq!((report.argmax.usage.joint.max_usage, report.argmax.usage.pooled.entropy), (1.0, 0.0));
    // Drawn codes keep the diversity that the likeliest ones lose.
    let sampled = report.sampled.as_ref().expect("drawn codes");
    assert!(sampled.usage.pooled.entropy > 0.5 * report.truth.pooled.entropy, "{report}");
    assert!(report.to_string().contains("majority"), "{report}");
}

#[test]
fn the_majority_is_counted_by_position_and_by_whole_action() {
    let codes = |values: &[[u32; 2]]| {
        Tensor::from_vec(values.concat(), (values.len(), 2), &Device::Cpu).expect("codes")
    };
    let majority = Majority::of(&codes(&[[1, 0], [1, 2], [1, 3], [0, 4], [0, 4]]), 5).expect("a majority");
    // 1 and 4 are the most frequent codes, (1, 4) never occurs.
    assert_eq!(majority, Majority { positions: vec![1, 4], joint: vec![0, 4] });
    let held_out = majority.accuracy(&codes(&[[0, 4], [1, 4], [2, 2], [1, 0]])).expect("shares");
    assert_eq!(held_out, Accuracy { token: 0.5, positions: vec![0.5, 0.5], joint: 0.25 });
    // Ties: the lower code, the lower action.
    let tie = Majority::of(&codes(&[[3, 1], [2, 2]]), 5).expect("a majority");
    assert_eq!(tie, Majority { positions: vec![2, 1], joint: vec![2, 2] });
    assert!(matches!(study_error(Majority::of(&codes(&[[5, 0]]), 5)), StudyError::Mismatch { .. }));
}

#[test]
fn a_continuous_target_is_learned_and_quantized_to_the_nearest_code() {
    // Actions that are a line of the latent action, so that a small network gets close.
    let line = |seed| {
        let pairs = coded(400, seed, own);
        let actions = pairs.embedding.narrow(1, 0, 2 * WIDTH).expect("latent actions");
        ActionPairs { actions, ..pairs }
    };
    let config = AdapterConfig { target: Target::Latent, ..quick() };
    let (adapter, losses) = Adapter::train(&line(1), &codebook(), "v1", &config).expect("an adapter");
    assert!(losses[599] < 0.05 * losses[0], "{:?}", losses.last());
    let held_out = line(2);
    let report = adapter.evaluate(&held_out, 0).expect("a report");
    assert!(report.argmax.accuracy.token > 0.95, "{report}");
    assert_eq!(report.sampled, None);
    let latent = adapter.translate(&held_out.actions, Choice::Argmax).expect("latent actions");
    assert_ne!(
        latent.embedding.to_vec2::<f32>().expect("rows"),
        held_out.embedding.to_vec2::<f32>().expect("rows"),
        "the output itself, not the codes' rows"
    );
    let error = study_error(adapter.translate(&held_out.actions, Choice::Sample { seed: 0 }));
    assert!(matches!(error, StudyError::Setting { field: "choice", .. }), "{error}");
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let train = coded(100, 1, own);
    let config = |seed| AdapterConfig { recipe: Recipe { seed, steps: 15, ..Recipe::new(32) }, ..quick() };
    let with = |seed| {
        let (adapter, losses) = Adapter::train(&train, &codebook(), "v1", &config(seed)).expect("an adapter");
        let drawn = adapter.translate(&train.actions, Choice::Sample { seed }).expect("latent actions");
        (losses, rows(&drawn.codes))
    };
    assert_eq!(with(7), with(7));
    assert_ne!(with(7).0, with(8).0);
}

#[test]
fn draws_follow_the_logits() {
    // Probabilities 0.7, 0.2, 0.1 and 0, 1, 0.
    let row: Vec<f64> = vec![0.7f64.ln(), 0.2f64.ln(), 0.1f64.ln(), -800.0, 0.0, -800.0];
    let output = Tensor::new(vec![row; 4000], &Device::Cpu).expect("logits");
    let logits = CodeLogits::new(&output, 2).expect("logits");
    let drawn = rows(&logits.choose(Choice::Sample { seed: 1 }).expect("codes"));
    for (code, share) in [(0, 0.7), (1, 0.2), (2, 0.1)] {
        let found = drawn.iter().filter(|codes| codes[0] == code).count() as f64 / 4000.0;
        assert!((found - share).abs() < 0.03, "code {code}: {found}, expected about {share}");
    }
    assert!(drawn.iter().all(|codes| codes[1] == 1));
    let equal = CodeLogits::new(&Tensor::zeros((1, 6), DType::F32, &Device::Cpu).expect("zeros"), 2);
    assert_eq!(rows(&equal.and_then(|logits| logits.choose(Choice::Argmax)).expect("codes")), [[0, 0]]);
}

#[test]
fn clips_of_actions_keep_their_shape() {
    let train = coded(40, 1, own);
    let config = AdapterConfig { recipe: Recipe { steps: 1, ..quick().recipe }, ..quick() };
    let (adapter, _) = Adapter::train(&train, &codebook(), "v1", &config).expect("an adapter");
    let clips = train.actions.reshape((5, 8, 2)).expect("clips");
    let latent = adapter.translate(&clips, Choice::Argmax).expect("latent actions");
    assert_eq!((latent.codes.dims(), latent.embedding.dims()), (&[5, 8, 2][..], &[5, 8, 2 * WIDTH][..]));
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let train = coded(40, 1, own);
    let fails = |pairs: &ActionPairs, codebook: &Tensor, config: &AdapterConfig| {
        study_error(Adapter::train(pairs, codebook, "v1", config))
    };
    let small = codebook().narrow(0, 0, 2).expect("two codes");
    assert!(matches!(fails(&train, &small, &quick()), StudyError::Mismatch { what: "codes", .. }));
    let narrow = codebook().narrow(1, 0, WIDTH - 1).expect("shorter rows");
    assert!(matches!(fails(&train, &narrow, &quick()), StudyError::Mismatch { what: "latent actions", .. }));
    let config = AdapterConfig { hidden: 0, ..quick() };
    assert!(matches!(fails(&train, &codebook(), &config), StudyError::Setting { field: "hidden", .. }));
    let one = coded(1, 1, own);
    assert!(matches!(fails(&one, &codebook(), &quick()), StudyError::FewTransitions { found: 1 }));

    let config = AdapterConfig { recipe: Recipe { steps: 1, ..quick().recipe }, ..quick() };
    let (adapter, _) = Adapter::train(&train, &codebook(), "v1", &config).expect("an adapter");
    let wide = Tensor::zeros((3, 4), DType::F32, &Device::Cpu).expect("actions");
    assert!(matches!(study_error(adapter.translate(&wide, Choice::Argmax)), StudyError::Mismatch { .. }));
    let nan = Tensor::new(&[[f32::NAN, 0.0]], &Device::Cpu).expect("an action");
    assert!(matches!(study_error(adapter.translate(&nan, Choice::Argmax)), StudyError::NotFinite { .. }));
    let foreign = (&train.codes.to_dtype(DType::F32).expect("codes") + ENTRIES as f64).expect("codes");
    let foreign = ActionPairs { codes: foreign.to_dtype(DType::U32).expect("codes"), ..train };
    assert!(adapter.evaluate(&foreign, 0).is_err());
}
