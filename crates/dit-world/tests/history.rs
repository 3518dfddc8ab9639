//! Remembered frames: the bits of a whole computation, and refusals where they would not be.

mod support;

use candle_core::{DType, Result, Tensor};
use cola_dit_world::{Captions, Conditions, DitConfig, DitWorld, HistoryRefusal, TextConfig};
use cola_flow::Given;
use cola_nn::Params;
use support::{DEVICE, config, empty, flat, normal, randomise};

const FRAMES: usize = 6;
const WIDTH: usize = 16;

fn model(config: &DitConfig) -> Result<(DitWorld, Params)> {
    let params = empty();
    DitWorld::new(config, params.trainable())?;
    randomise(&params)?;
    Ok((DitWorld::new(config, params.frozen())?, params))
}

fn conditions(first: usize, count: usize) -> Result<Conditions> {
    let rows = (normal("rows", (2, FRAMES, 6 * WIDTH))? * 0.3)?.narrow(1, first, count)?;
    Ok(Conditions { fps: vec![5.0, 24.0], ..Conditions::new(Some(rows), 5.0, 40, 48) })
}

/// The last frames of a whole computation, and the same behind a history that grew piece by piece.
fn both_ways(
    dit: &DitWorld,
    size: (usize, usize),
    pieces: &[usize],
    conditions: impl Fn(usize, usize) -> Result<Conditions>,
) -> Result<[Vec<f32>; 2]> {
    let x = normal("latents", (2, dit.config().in_channels, FRAMES, size.0, size.1))?;
    let t = Tensor::new(&[300f32, 800.0], &DEVICE)?;
    let known: usize = pieces.iter().sum();
    let given = Given::first(2, FRAMES, known, &DEVICE)?;
    let whole = dit.forward(&x, &t, Some(&given), &conditions(0, FRAMES)?)?;
    let (mut history, mut first) = (None, 0);
    for piece in pieces {
        let clean = x.narrow(2, first, *piece)?;
        history = Some(dit.remember(&clean, &conditions(first, *piece)?, history.as_ref())?);
        first += piece;
    }
    let history = history.expect("at least one piece");
    assert_eq!(history.frames(), known);
    let fresh = x.narrow(2, known, FRAMES - known)?;
    let behind = dit.forward_behind(&history, &fresh, &t, &conditions(known, FRAMES - known)?)?;
    Ok([flat(&whole.narrow(2, known, FRAMES - known)?)?, flat(&behind)?])
}

#[test]
fn velocities_behind_a_history_have_the_bits_of_the_whole() -> Result<()> {
    let wide = DitConfig { hidden_size: 96, num_heads: 4, ..config() };
    for (config, sizes) in [(config(), [(5, 6), (2, 2), (1, 1)]), (wide, [(8, 8), (3, 5), (2, 2)])] {
        let (dit, _) = model(&config)?;
        for size in sizes {
            for pieces in [[1].as_slice(), &[2], &[5], &[1, 1, 1], &[3, 2]] {
                let plain = |_, _| Ok(Conditions::new(None, 5.0, 40, 48));
                let [whole, behind] = both_ways(&dit, size, pieces, plain)?;
                assert!(whole == behind, "width {}, {size:?}, {pieces:?}", config.hidden_size);
                if config.hidden_size == WIDTH {
                    let [whole, behind] = both_ways(&dit, size, pieces, conditions)?;
                    assert!(whole == behind, "with actions, {size:?}, {pieces:?}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_causal_model_with_text_remembers_as_well() -> Result<()> {
    let text = TextConfig { caption_channels: 7, model_max_length: 3 };
    let (dit, _) = model(&DitConfig { text: Some(text), ..config() })?;
    let captions = Captions::new(&normal("text", (2, 3, 7))?, None)?;
    let [whole, behind] = both_ways(&dit, (5, 6), &[2], |first, count| {
        Ok(conditions(first, count)?.describing(captions.clone()))
    })?;
    assert_eq!(whole, behind);
    Ok(())
}

#[test]
fn how_many_frames_may_be_remembered() -> Result<()> {
    let (dit, params) = model(&config())?;
    let leading = |dit: &DitWorld, mask: &[[f32; 3]; 2]| {
        dit.leading(&Given::from_mask(&Tensor::new(mask, &DEVICE)?.to_dtype(DType::F32)?)?)
    };
    assert_eq!(leading(&dit, &[[0.0, 1.0, 1.0]; 2])?, Ok(1));
    assert_eq!(leading(&dit, &[[0.0, 0.0, 1.0]; 2])?, Ok(2));
    assert_eq!(leading(&dit, &[[1.0; 3]; 2])?, Err(HistoryRefusal::Empty));
    let behind = Err(HistoryRefusal::NotLeading { clip: 1, frame: 2 });
    assert_eq!(leading(&dit, &[[0.0, 1.0, 1.0], [0.0, 1.0, 0.0]])?, behind);
    let unequal = Err(HistoryRefusal::NotLeading { clip: 1, frame: 1 });
    assert_eq!(leading(&dit, &[[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])?, unequal);
    let both = DitWorld::new(&DitConfig { causal: false, ..config() }, params.frozen())?;
    assert_eq!(leading(&both, &[[0.0, 1.0, 1.0]; 2])?, Err(HistoryRefusal::NotCausal));
    let clean = normal("latents", (2, 3, 1, 5, 6))?;
    let refusal = both.remember(&clean, &conditions(0, 1)?, None).expect_err("not causal").to_string();
    assert!(refusal.contains("not causal"), "{refusal}");
    Ok(())
}
