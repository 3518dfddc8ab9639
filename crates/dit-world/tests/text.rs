//! The reference form: captions of different lengths, masks, the null caption.

mod support;

use candle_core::{Result, Tensor, Var};
use cola_dit_world::{Captions, Conditions, DitConfig, DitWorld, Text, TextConfig};
use cola_nn::{Compute, Params};
use support::{DEVICE, config, empty, flat, named, normal, randomise};

fn reference() -> DitConfig {
    let text = TextConfig { caption_channels: 7, model_max_length: 4 };
    DitConfig { causal: false, text: Some(text), ..config() }
}

fn model() -> Result<(DitWorld, Params)> {
    let params = empty();
    DitWorld::new(&reference(), params.trainable())?;
    randomise(&params)?;
    Ok((DitWorld::new(&reference(), params.trainable())?, params))
}

fn velocity(dit: &DitWorld, captions: Captions) -> Result<Tensor> {
    let t = Tensor::new(&[300f32, 800.0], &DEVICE)?;
    let conditions = Conditions::new(None, 5.0, 40, 48).describing(captions);
    dit.forward(&normal("latents", (2, 3, 2, 5, 6))?, &t, None, &conditions)
}

fn mask(rows: &[[u8; 4]]) -> Result<Tensor> {
    Tensor::from_vec(rows.concat(), (rows.len(), 4), &DEVICE)
}

#[test]
fn tokens_that_do_not_count_change_nothing_wherever_they_stand() -> Result<()> {
    let (dit, _) = model()?;
    let features = normal("text", (2, 4, 7))?;
    let mask = mask(&[[1, 0, 1, 1], [0, 0, 1, 0]])?;
    let hidden = mask.eq(0u8)?.to_dtype(features.dtype())?.unsqueeze(2)?;
    let other = features.broadcast_add(&(hidden * 9.0)?)?;
    let found = |features: &Tensor| flat(&velocity(&dit, Captions::new(features, Some(&mask))?)?);
    assert_eq!(found(&features)?, found(&other)?);
    assert_ne!(found(&features)?, flat(&velocity(&dit, Captions::new(&features, None)?)?)?);
    // Three tokens packed by hand.
    let first = features.get(0)?.index_select(&Tensor::new(&[0u32, 2, 3], &DEVICE)?, 0)?.unsqueeze(0)?;
    let alone = |captions: Captions| -> Result<Vec<f32>> {
        let conditions = Conditions::new(None, 5.0, 40, 48).describing(captions);
        let x = normal("latents", (2, 3, 2, 5, 6))?.narrow(0, 0, 1)?;
        flat(&dit.forward(&x, &Tensor::new(&[300f32], &DEVICE)?, None, &conditions)?)
    };
    let of_both = velocity(&dit, Captions::new(&features, Some(&mask))?)?.get(0)?;
    assert_eq!(alone(Captions::new(&first, None)?)?, flat(&of_both)?);
    Ok(())
}

#[test]
fn a_mask_of_fewer_rows_is_repeated_as_a_whole() -> Result<()> {
    let (dit, _) = model()?;
    let features = normal("text", (2, 4, 7))?;
    let (one, two) = (mask(&[[1, 1, 0, 0]])?, mask(&[[1, 1, 0, 0]; 2])?);
    assert_eq!(
        flat(&velocity(&dit, Captions::new(&features, Some(&one))?)?)?,
        flat(&velocity(&dit, Captions::new(&features, Some(&two))?)?)?
    );
    Ok(())
}

#[test]
fn two_rows_for_four_clips_stand_for_the_first_and_the_last_two() -> Result<()> {
    let (dit, _) = model()?;
    let (x, features) = (normal("latents", (4, 3, 2, 5, 6))?, normal("text", (4, 4, 7))?);
    let t = Tensor::new(&[300f32, 800.0, 300.0, 800.0], &DEVICE)?;
    let found = |rows: &[[u8; 4]]| -> Result<Vec<f32>> {
        let captions = Captions::new(&features, Some(&mask(rows)?))?;
        flat(&dit.forward(&x, &t, None, &Conditions::new(None, 5.0, 40, 48).describing(captions))?)
    };
    let (a, b) = ([1, 1, 0, 0], [1, 1, 1, 1]);
    assert_eq!(found(&[a, b])?, found(&[a, b, a, b])?);
    assert_ne!(found(&[a, b])?, found(&[a, a, b, b])?);
    Ok(())
}

#[test]
fn the_null_caption_is_cut_like_the_conditional_one() -> Result<()> {
    let (dit, params) = model()?;
    let embed = dit.captions().expect("the reference form");
    let mask = mask(&[[1, 1, 0, 0], [1, 1, 1, 1]])?;
    let null = params.get("y_embedder.y_embedding").expect("the null caption");
    let twice = Tensor::stack(&[null.as_tensor(), null.as_tensor()], 0)?;
    assert_eq!(
        flat(&velocity(&dit, embed.null(2, Some(&mask))?)?)?,
        flat(&velocity(&dit, Captions::new(&twice, Some(&mask))?)?)?
    );
    Ok(())
}

#[test]
fn every_parameter_learns_but_the_null_caption() -> Result<()> {
    for recompute in [false, true] {
        let (dit, params) = model()?;
        let dit = dit.computing(Compute { recompute, ..Compute::default() });
        let features = Var::from_tensor(&normal("text", (2, 4, 7))?)?;
        let captions = Captions::new(&features, Some(&mask(&[[1, 0, 1, 1], [0, 1, 1, 1]])?))?;
        let v = velocity(&dit, captions)?;
        let grads = v.mul(&normal("upstream", v.shape())?)?.sum_all()?.backward()?;
        let vars = params.vars();
        let buffer = |name: &str| DitWorld::BUFFERS.contains(&name);
        let learning = named(&vars).filter(|(name, _)| !buffer(name)).chain([("features", &features)]);
        let frozen = named(&vars).filter(|(name, _)| buffer(name));
        let complaints = cola_golden::gradients_cover(&grads, learning, frozen)?;
        assert!(complaints.is_empty(), "recomputed: {recompute}\n{complaints:#?}");
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let features = normal("text", (2, 4, 7))?;
    let refusal = |result: Result<Captions>| result.map(|_| ()).expect_err("it does not fit").to_string();
    let empty_row = refusal(Captions::new(&features, Some(&mask(&[[1, 1, 1, 1], [0, 0, 0, 0]])?)));
    assert!(empty_row.contains("caption 1 has no token"), "{empty_row}");
    let short = refusal(Captions::new(&features, Some(&Tensor::ones((2, 3), features.dtype(), &DEVICE)?)));
    assert!(short.contains("[2, 3]") && short.contains("2 captions of 4 tokens"), "{short}");
    assert!(Text::packed(&normal("packed", (5, 16))?, &[2, 2]).is_err());
    assert!(Text::packed(&normal("packed", (4, 16))?, &[4, 0]).is_err());
    let (dit, _) = model()?;
    let x = normal("latents", (2, 3, 2, 5, 6))?;
    let t = Tensor::new(&[300f32, 800.0], &DEVICE)?;
    let without = dit.forward(&x, &t, None, &Conditions::new(None, 5.0, 40, 48));
    assert!(without.expect_err("no captions").to_string().contains("needs captions"));
    let captions = Captions::new(&features, None)?;
    let paper = DitWorld::new(&config(), empty().frozen())?;
    let with = Conditions::new(None, 5.0, 40, 48).describing(captions.clone());
    assert!(
        paper.forward(&x, &t, None, &with).expect_err("captions").to_string().contains("takes no captions")
    );
    let one = x.narrow(0, 0, 1)?;
    let two = dit.forward(
        &one,
        &t.narrow(0, 0, 1)?,
        None,
        &Conditions::new(None, 5.0, 40, 48).describing(captions),
    );
    assert!(two.expect_err("two captions").to_string().contains("2 captions for 1 clips"));
    Ok(())
}
