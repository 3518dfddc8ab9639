use candle_core::{Device, Tensor};
use cola_coevolve::{Quantiles, StudyError};
use proptest::prelude::*;

use crate::support::study_error;

fn column(values: &[f32]) -> Tensor {
    Tensor::new(values, &Device::Cpu).and_then(|values| values.unsqueeze(1)).expect("a column")
}

#[test]
fn outliers_do_not_squeeze_the_rest_and_are_not_clipped() {
    let mut values: Vec<f32> = (0..=1000).map(|i| i as f32 / 1000.0).collect();
    values[1000] = 50.0;
    let quantiles = Quantiles::fit(&column(&values)).expect("quantiles");
    assert!((quantiles.low()[0] - 0.01).abs() < 1e-6 && (quantiles.high()[0] - 0.99).abs() < 1e-6);
    let far = quantiles.normalise(&column(&[50.0])).expect("a number").to_vec2::<f64>().expect("a number");
    assert!(far[0][0] > 100.0);
}

#[test]
fn a_gripper_that_hardly_moves_is_spread_by_its_extremes() {
    let mut values = vec![0f32; 1000];
    values[7] = 2.0;
    let quantiles = Quantiles::fit(&column(&values)).expect("quantiles");
    assert_eq!((quantiles.low(), quantiles.high()), (&[0.0][..], &[2.0][..]));
}

#[test]
fn a_constant_becomes_zero_and_comes_back() {
    for constant in [0f32, -3.5, 1e30, f32::MIN] {
        let quantiles = Quantiles::fit(&column(&[constant; 5])).expect("quantiles");
        let zero = quantiles.normalise(&column(&[constant])).expect("a number");
        assert_eq!(zero.to_vec2::<f64>().expect("a number"), [[0.0]]);
        let back = quantiles.restore(&zero).expect("a number");
        assert_eq!(back.to_vec2::<f64>().expect("a number"), [[f64::from(constant)]]);
    }
}

#[test]
fn one_sample_is_a_constant() {
    assert_eq!(Quantiles::fit(&column(&[4.0])).expect("quantiles").low(), [3.0]);
}

#[test]
fn what_is_no_action_is_refused() {
    let none = Tensor::zeros((0, 2), candle_core::DType::F32, &Device::Cpu).expect("no rows");
    assert!(matches!(study_error(Quantiles::fit(&none)), StudyError::FewTransitions { found: 0 }));
    for value in [f32::NAN, f32::INFINITY] {
        let error = study_error(Quantiles::fit(&column(&[0.0, value])));
        assert!(matches!(error, StudyError::NotFinite { .. }), "{error}");
    }
    let quantiles = Quantiles::fit(&column(&[0.0, 1.0])).expect("quantiles");
    let two = Tensor::new(&[[0f32, 1.0]], &Device::Cpu).expect("a row");
    assert!(matches!(study_error(quantiles.normalise(&two)), StudyError::Mismatch { .. }));
}

#[test]
fn bounds_that_are_no_line_are_refused() {
    for (low, high) in [
        (vec![], vec![]),
        (vec![0.0], vec![1.0, 2.0]),
        (vec![1.0], vec![1.0]),
        (vec![2.0], vec![1.0]),
        (vec![f64::NAN], vec![1.0]),
        (vec![-f64::MAX], vec![f64::MAX]),
    ] {
        assert!(Quantiles::new(low.clone(), high.clone()).is_err(), "{low:?} {high:?}");
    }
}

proptest! {
    #[test]
    fn restoring_inverts_normalising(values in proptest::collection::vec(-1e6f32..1e6, 1..40)) {
        let actions = column(&values);
        let quantiles = Quantiles::fit(&actions).expect("quantiles");
        let scaled = quantiles.normalise(&actions).expect("numbers");
        let back = quantiles.restore(&scaled).expect("numbers");
        let width = quantiles.high()[0] - quantiles.low()[0];
        let scale = values.iter().fold(width, |most, value| most.max(f64::from(value.abs())));
        for (value, back) in values.iter().zip(back.to_vec2::<f64>().expect("numbers")) {
            prop_assert!((f64::from(*value) - back[0]).abs() <= 1e-12 * scale);
        }
    }

    #[test]
    fn the_quantiles_become_minus_one_and_one(values in proptest::collection::vec(-1e3f32..1e3, 2..40)) {
        let quantiles = Quantiles::fit(&column(&values)).expect("quantiles");
        let ends = Tensor::new(&[[quantiles.low()[0]], [quantiles.high()[0]]], &Device::Cpu).expect("the ends");
        let ends = quantiles.normalise(&ends).expect("numbers").to_vec2::<f64>().expect("numbers");
        prop_assert!((ends[0][0] + 1.0).abs() < 1e-9 && (ends[1][0] - 1.0).abs() < 1e-9);
    }
}
