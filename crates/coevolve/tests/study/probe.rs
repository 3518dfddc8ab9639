use candle_core::{DType, Device, Tensor};
use cola_coevolve::{
    ActionPairs, Fit, ProbeConfig, ProbeInput, ProbeReport, Recipe, RowKind, StudyError, probe, ridge,
};

use crate::support::{coded, linear, study_error};

fn quick() -> ProbeConfig {
    ProbeConfig { recipe: Recipe { rate: 1e-2, steps: 600, ..Recipe::new(64) }, ..ProbeConfig::default() }
}

#[test]
fn a_linear_relation_is_read_and_a_shuffled_one_is_not() {
    let report = probe(&linear(400, 1), &linear(100, 2), &quick()).expect("a probe").report;
    let l1 = |kind| report.row(kind).valid.l1;
    assert!(l1(RowKind::LeastSquares) < 1e-6, "{report}"); // the actions are f32
    assert!(l1(RowKind::Ridge) < 1e-3, "{report}");
    assert!(l1(RowKind::Trained) < 0.02, "{report}");
    assert!(report.row(RowKind::Trained).valid.r2.expect("variance") > 0.99, "{report}");
    for shuffled in [RowKind::ShuffledTrained, RowKind::ShuffledRidge] {
        assert!(l1(shuffled) > 0.9 * l1(RowKind::Median), "{report}");
        assert!(report.row(shuffled).valid.r2.expect("variance") < 0.1, "{report}");
    }
    assert_eq!(report.least_squares_lambda, 0.0);
}

#[test]
fn collapsed_latent_actions_fall_back_to_the_best_constant() {
    let collapsed = |value: f32, rows: usize, seed: u64| {
        let pairs = linear(rows, seed);
        let z = Tensor::full(value, pairs.embedding.shape(), &Device::Cpu).expect("one latent action");
        ActionPairs { embedding: z.clone(), tokens: z, ..pairs }
    };
    for value in [0.0, 0.1, -700.0] {
        let config = ProbeConfig { recipe: Recipe { rate: 1e-3, ..quick().recipe }, ..quick() };
        let found = probe(&collapsed(value, 200, 3), &collapsed(value, 50, 4), &config).expect("a probe");
        let report = found.report;
        let valid = |kind| report.row(kind).valid.clone();
        for kind in [RowKind::Ridge, RowKind::LeastSquares, RowKind::ShuffledRidge] {
            assert!((valid(kind).l1 - valid(RowKind::Mean).l1).abs() < 1e-9, "{value}: {report}");
            assert!(valid(kind).r2.expect("variance") < 1e-6, "{value}: {report}");
        }
        if value.abs() < 1.0 {
            assert!(
                (valid(RowKind::Trained).l1 - valid(RowKind::Median).l1).abs() < 0.02,
                "{value}: {report}"
            );
        }
        assert_eq!(valid(RowKind::Trained), valid(RowKind::ShuffledTrained), "{value}");
    }
}

#[test]
fn few_codes_leave_the_solution_undetermined_and_still_readable() {
    // Two of six codes, at the first position only: the design has rank 1, the action is a line of it.
    let pairs = |seed| {
        let all = coded(120, seed, |codes| [f32::from(codes[0] % 2 == 0), 0.5]);
        let used = (&all.codes.narrow(1, 0, 1).expect("codes").to_dtype(DType::F32).expect("codes")
            - ((all.codes.narrow(1, 0, 1).expect("codes").to_dtype(DType::F32).expect("codes") * 0.5)
                .expect("codes")
                .floor()
                .expect("codes")
                * 2.0)
                .expect("codes"))
        .expect("odd or even");
        let z = used.repeat((1, 5)).expect("five equal columns");
        ActionPairs { embedding: z.clone(), tokens: z, ..all }
    };
    let report = probe(&pairs(5), &pairs(6), &quick()).expect("a probe").report;
    assert!(report.least_squares_lambda > 0.0);
    assert!(report.row(RowKind::LeastSquares).valid.l1 < 1e-6, "{report}");
    // The second action dimension never changes: no variance, an error of zero.
    let dimensions = &report.row(RowKind::LeastSquares).valid.dimensions;
    assert_eq!((dimensions[1].r2, dimensions[0].r2.is_some()), (None, true));
    assert!(report.to_string().contains("not the full rank"), "{report}");
}

#[test]
fn what_is_read_is_what_was_asked_for() {
    let pairs = |seed| {
        let pairs = linear(200, seed);
        ActionPairs { embedding: pairs.tokens.zeros_like().expect("zeros"), ..pairs }
    };
    let l1 = |input| {
        let config = ProbeConfig { input, ..quick() };
        probe(&pairs(1), &pairs(2), &config).expect("a probe").report.row(RowKind::LeastSquares).valid.l1
    };
    assert!(l1(ProbeInput::PreQuantised) < 1e-6);
    assert!(l1(ProbeInput::Quantised) > 0.1);
}

#[test]
fn the_ridge_solution_is_the_minimum_that_one_can_work_out() {
    // One input: W = sum(z y) / (sum(z z) + lambda) over centred values, here 2 / (2 + 2); the bias is not shrunk.
    let z = Tensor::new(&[[-1f64], [0.0], [1.0]], &Device::Cpu).expect("z");
    let y = Tensor::new(&[[9f64], [10.0], [11.0]], &Device::Cpu).expect("y");
    let found = ridge(&z, &y, 2.0).expect("a solution");
    assert!((found.head.weight().to_vec2::<f64>().expect("W")[0][0] - 0.5).abs() < 1e-12);
    assert!((found.head.bias().to_vec1::<f64>().expect("b")[0] - 10.0).abs() < 1e-12);
    assert_eq!(found.lambda, 2.0);
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_one_does_not() {
    let (train, valid) = (linear(100, 1), linear(50, 2));
    let with = |seed| {
        let config = ProbeConfig { recipe: Recipe { seed, steps: 20, ..quick().recipe }, ..quick() };
        let found = probe(&train, &valid, &config).expect("a probe");
        (found.losses, found.report)
    };
    assert_eq!(with(0), with(0));
    assert_ne!(with(0).0, with(1).0);
}

#[test]
fn an_epoch_shows_every_sample_once() {
    // Mean absolute errors of zero-rate steps over one epoch average to that of all samples.
    let train = linear(96, 1);
    let recipe = Recipe { rate: 0.0, steps: 6, ..Recipe::new(16) };
    let found = probe(&train, &linear(10, 2), &ProbeConfig { recipe, ..quick() }).expect("a probe");
    let mean = found.losses.iter().sum::<f64>() / 6.0;
    assert!((mean - found.report.row(RowKind::Trained).train.l1).abs() < 1e-12);
}

#[test]
fn the_report_survives_json_and_prints_every_row() {
    let report = probe(&linear(40, 1), &linear(20, 2), &ProbeConfig::default()).expect("a probe").report;
    let text = serde_json::to_string(&report).expect("JSON");
    let back: ProbeReport = serde_json::from_str(&text).expect("a report");
    assert_eq!((back.rows.len(), back.row(RowKind::Mean).valid.samples), (7, 20));
    let table = report.to_string();
    for row in &report.rows {
        assert!(table.contains(row.kind.name()), "{table}");
    }
    assert!(table.contains("40 transitions to fit, 20 held out"), "{table}");
}

#[test]
fn what_cannot_be_probed_is_refused() {
    let (one, two) = (linear(1, 1), linear(40, 2));
    assert!(matches!(study_error(probe(&two, &one, &quick())), StudyError::FewTransitions { found: 1 }));
    let other = coded(40, 1, |_| [0.0, 1.0]);
    assert!(probe(&two, &other, &quick()).is_err(), "latent actions of another size");
    let config = ProbeConfig { recipe: Recipe::new(0), ..quick() };
    assert!(matches!(study_error(probe(&two, &two, &config)), StudyError::Setting { field: "batch", .. }));
    for lambda in [-1.0, f64::NAN] {
        let config = ProbeConfig { lambda, ..quick() };
        assert!(matches!(
            study_error(probe(&two, &two, &config)),
            StudyError::Setting { field: "lambda", .. }
        ));
    }
    let broken = (&two.embedding * f64::NAN).expect("no numbers");
    let broken = ActionPairs { embedding: broken, ..two };
    assert!(matches!(study_error(probe(&broken, &broken, &quick())), StudyError::NotFinite { .. }));
}

#[test]
fn errors_of_a_perfect_prediction_are_zero_and_it_explains_everything() {
    let truth = linear(10, 1).actions;
    let fit = Fit::of(&truth, &truth).expect("a fit");
    assert_eq!((fit.l1, fit.mse, fit.r2, fit.samples), (0.0, 0.0, Some(1.0), 10));
}
