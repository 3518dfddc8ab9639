//! Seeded by name, two views of one storage.

use candle_core::{DType, Result, Tensor, Var};
use candle_nn::init::{FanInOut, Init, NonLinearity, NormalOrUniform};
use cola_nn::{Linear, Mlp, Params};

use crate::support::{DEVICE, build, contents, flat, model, seeded};

#[test]
fn values_depend_on_the_name_and_not_on_the_order_or_the_view() -> Result<()> {
    let (forward, backward, frozen) = (seeded(7), seeded(7), seeded(7));
    build(&forward.trainable())?;
    let vb = backward.trainable();
    Linear::new(4, 3, vb.pp("b"))?;
    Linear::new(2, 2, vb.pp("between"))?;
    Mlp::new(4, 6, vb.pp("a"))?;
    build(&frozen.frozen())?;
    let kept = |params: &Params| {
        let mut contents = contents(params);
        contents.retain(|(name, ..)| !name.starts_with("between"));
        contents
    };
    assert_eq!(kept(&forward), kept(&backward));
    assert_eq!(kept(&forward), kept(&frozen));
    let names: Vec<String> = forward.vars().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a.fc1.bias", "a.fc1.weight", "a.fc2.bias", "a.fc2.weight", "b.bias", "b.weight"]);
    assert_eq!(forward.count(), 4 * 6 + 6 + 6 * 4 + 4 + 4 * 3 + 3);
    Ok(())
}

#[test]
fn another_seed_or_name_gives_other_values() -> Result<()> {
    let weight = |seed: u64, name: &str| {
        let params = seeded(seed);
        Linear::new(4, 3, params.trainable().pp(name))?;
        flat(params.get(&format!("{name}.weight")).expect("a weight").as_tensor())
    };
    assert_eq!(weight(1, "a")?, weight(1, "a")?);
    assert_ne!(weight(1, "a")?, weight(2, "a")?);
    assert_ne!(weight(1, "a")?, weight(1, "b")?);
    Ok(())
}

#[test]
fn every_kind_of_initial_value_has_its_mean_and_spread() -> Result<()> {
    let kaiming = |dist, fan| Init::Kaiming { dist, fan, non_linearity: NonLinearity::ReLU };
    // (initial value, mean, standard deviation) for a weight of 200 x 50; the gain of a ReLU is sqrt 2.
    for (init, mean, deviation) in [
        (Init::Const(0.5), 0.5, 0.0),
        (Init::Randn { mean: 1.0, stdev: 0.1 }, 1.0, 0.1),
        (Init::Uniform { lo: -1.0, up: 3.0 }, 1.0, 4.0 / 12f64.sqrt()),
        (kaiming(NormalOrUniform::Normal, FanInOut::FanIn), 0.0, (2.0f64 / 50.0).sqrt()),
        (kaiming(NormalOrUniform::Uniform, FanInOut::FanOut), 0.0, (2.0f64 / 200.0).sqrt()),
    ] {
        let values = seeded(0).trainable().get_with_hints((200, 50), "w", init)?;
        let values: Vec<f64> = values.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        let count = values.len() as f64;
        let found = values.iter().sum::<f64>() / count;
        let spread = (values.iter().map(|value| (value - found).powi(2)).sum::<f64>() / count).sqrt();
        // 10,000 draws: means within 5 standard errors.
        assert!((found - mean).abs() <= 0.05 * deviation, "{init:?}: mean {found}");
        assert!((spread - deviation).abs() <= 0.05 * deviation, "{init:?}: deviation {spread}");
    }
    Ok(())
}

#[test]
fn both_views_see_a_later_change_and_only_one_is_a_variable() -> Result<()> {
    let params = seeded(0);
    let (trained, frozen) = (params.trainable(), params.frozen());
    let (trained, frozen) = (trained.get(3, "w")?, frozen.get(3, "w")?);
    assert!(trained.is_variable() && !frozen.is_variable() && !frozen.track_op());
    params.get("w").expect("w").set(&Tensor::new(&[1f32, 2.0, 3.0], &DEVICE)?)?;
    assert_eq!(flat(&frozen)?, [1.0, 2.0, 3.0]);
    assert_eq!(flat(&trained)?, [1.0, 2.0, 3.0]);
    assert_eq!(flat(&params.tensors()["w"])?, [1.0, 2.0, 3.0]);
    let clone = params.clone();
    clone.set("w", &Tensor::new(&[4f32, 5.0, 6.0], &DEVICE)?)?;
    assert_eq!(flat(&frozen)?, [4.0, 5.0, 6.0]);
    Ok(())
}

#[test]
fn a_layer_of_another_shape_is_refused_with_name_and_both_shapes() -> Result<()> {
    let params = model();
    for vb in [params.trainable(), params.frozen()] {
        let refusal = Linear::new(5, 3, vb.pp("b")).expect_err("another width").to_string();
        assert!(["`b.weight`", "[3, 4]", "[3, 5]"].iter().all(|part| refusal.contains(part)), "{refusal}");
    }
    assert!(params.set("b.weight", &Tensor::zeros((5, 3), DType::F32, &DEVICE)?).is_err());
    Ok(())
}

#[test]
fn a_value_set_from_somebody_elses_variable_is_a_copy() -> Result<()> {
    let params = seeded(0);
    let other = Var::from_tensor(&Tensor::new(&[1f32, 2.0], &DEVICE)?)?;
    params.set("w", other.as_tensor())?;
    other.set(&Tensor::new(&[7f32, 7.0], &DEVICE)?)?;
    assert_eq!(contents(&params), [("w".to_string(), vec![2], vec![1.0, 2.0])]);
    Ok(())
}

#[test]
fn a_set_of_another_dtype_casts_what_it_is_given() -> Result<()> {
    let params = Params::seeded(0, DType::BF16, &DEVICE);
    params.set("w", &Tensor::new(&[1.001f32], &DEVICE)?)?;
    let var = params.get("w").expect("w");
    assert_eq!((var.dtype(), contents(&params)[0].2[0]), (DType::BF16, 1.0));
    Ok(())
}
