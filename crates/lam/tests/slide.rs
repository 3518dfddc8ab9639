//! Clips cut shorter, videos longer than a clip.

mod support;

use candle_core::{DType, Device, Result, Tensor};
use cola_lam::{ActionSequence, LamConfig, LatentActionModel};
use cola_nn::Params;
use support::{READOUTS, flat, video};

fn model(config: &LamConfig) -> Result<LatentActionModel> {
    LatentActionModel::new(config, Params::seeded(3, DType::F32, &Device::Cpu).frozen())
}

/// Tokens and codes, to compare bit for bit.
fn bits(tokens: &Tensor, codes: &Tensor) -> Result<(Vec<f32>, Vec<u32>)> {
    Ok((flat(tokens)?, codes.flatten_all()?.to_vec1()?))
}

fn bits_of(sequence: &ActionSequence) -> Result<(Vec<f32>, Vec<f32>, Vec<u32>)> {
    let (tokens, codes) = bits(&sequence.tokens, &sequence.codes)?;
    Ok((tokens, flat(&sequence.embedding)?, codes))
}

/// A clip cut to each length has the earlier actions of the whole one, for every number of clips beside it.
fn survives_cutting(config: &LamConfig, frames: usize, cuts: &[usize], batches: &[usize]) -> Result<()> {
    let model = model(config)?;
    let whole = video(config, *batches.iter().max().unwrap_or(&1), frames)?;
    let all = model.infer(&whole)?;
    for &clips in batches {
        for &cut in cuts {
            let found = model.infer(&whole.narrow(0, 0, clips)?.narrow(1, 0, cut)?)?;
            let earlier = |x: &Tensor| x.narrow(0, 0, clips)?.narrow(1, 0, cut - 1);
            let expected = bits(&earlier(&all.tokens)?, &earlier(&all.codes)?)?;
            let same = bits(&found.tokens, &found.codes)? == expected;
            assert!(same, "{:?}, {clips} clips of {frames} frames cut to {cut}", config.readout);
        }
    }
    Ok(())
}

#[test]
fn a_clip_cut_shorter_has_the_same_earlier_actions_bit_for_bit() -> Result<()> {
    let cuts: Vec<usize> = (2..=16).collect();
    for readout in READOUTS {
        survives_cutting(&LamConfig { readout, ..LamConfig::tiny() }, 16, &cuts, &[1, 2, 3, 5])?;
    }
    Ok(())
}

/// Frames of 64 patches, and of 256, which attention computes in another way.
#[test]
fn a_clip_of_a_middling_model_cut_shorter_has_the_same_earlier_actions_bit_for_bit() -> Result<()> {
    for readout in READOUTS {
        for patch in [8, 4] {
            let (image, dim, heads) = (64, 192, 6);
            let config = LamConfig { readout, image, patch, dim, heads, map_heads: 6, ..LamConfig::tiny() };
            survives_cutting(&config, 8, &[2, 3, 5, 7], &[1, 2])?;
        }
    }
    Ok(())
}

/// Sequences of more than 64 positions are attended to in another way than shorter ones.
#[test]
fn a_clip_cut_from_hundred_frames_has_the_same_earlier_actions_bit_for_bit() -> Result<()> {
    for readout in READOUTS {
        let config = LamConfig { readout, max_frames: 100, ..LamConfig::tiny() };
        survives_cutting(&config, 100, &[67, 90], &[1, 2])?;
    }
    Ok(())
}

#[test]
fn without_causality_later_frames_do_change_earlier_actions() -> Result<()> {
    for readout in READOUTS {
        let config = LamConfig { readout, causal: false, ..LamConfig::tiny() };
        let (model, whole) = (model(&config)?, video(&config, 1, 3)?);
        let (cut, all) = (model.tokens(&whole.narrow(1, 0, 2)?)?, model.tokens(&whole)?.narrow(1, 0, 1)?);
        assert_ne!(flat(&cut)?, flat(&all)?, "{readout:?}");
    }
    Ok(())
}

/// By hand: all actions of the first window, the last one of every later window, one window at a time.
fn window_by_window(model: &LatentActionModel, video: &Tensor, window: usize) -> Result<ActionSequence> {
    let (mut tokens, mut embedding, mut codes) = (Vec::new(), Vec::new(), Vec::new());
    for first in 0..=video.dim(1)? - window {
        let found = model.infer(&video.narrow(1, first, window)?)?;
        let start = if first == 0 { 0 } else { window - 2 };
        let own = |values: &Tensor| values.narrow(1, start, window - 1 - start);
        tokens.push(own(&found.tokens)?);
        embedding.push(own(&found.embedding)?);
        codes.push(own(&found.codes)?);
    }
    Ok(ActionSequence {
        tokens: Tensor::cat(&tokens, 1)?,
        embedding: Tensor::cat(&embedding, 1)?,
        codes: Tensor::cat(&codes, 1)?,
    })
}

#[test]
fn a_long_video_is_read_window_by_window_bit_for_bit() -> Result<()> {
    for readout in READOUTS {
        let config = LamConfig { readout, ..LamConfig::tiny() };
        let model = model(&config)?;
        for (videos, length, window) in
            [(2, 31, 4), (1, 30, 4), (1, 9, 2), (3, 12, 5), (1, 5, 5), (1, 16, 16)]
        {
            let whole = video(&config, videos, length)?;
            let found = model.infer_long(&whole, window)?;
            assert_eq!(found.codes.dims(), [videos, length - 1, 2]);
            let expected = window_by_window(&model, &whole, window)?;
            assert!(
                bits_of(&found)? == bits_of(&expected)?,
                "{readout:?}: {length} frames, windows of {window}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_stream_has_the_actions_of_the_whole_video() -> Result<()> {
    let config = LamConfig::tiny();
    let model = model(&config)?;
    let whole = video(&config, 2, 27)?;
    let expected = bits_of(&model.infer_long(&whole, 4)?)?;
    for pieces in [vec![1; 27], vec![2, 1, 1, 20, 3], vec![27], vec![3, 0, 24]] {
        let (mut stream, mut first, mut parts) = (model.slide(4)?, 0, Vec::new());
        for &piece in &pieces {
            parts.extend(stream.push(&whole.narrow(1, first, piece)?)?);
            first += piece;
        }
        assert!(stream.finish()?.is_none());
        let all =
            |of: fn(&ActionSequence) -> &Tensor| Tensor::cat(&parts.iter().map(of).collect::<Vec<_>>(), 1);
        let found = ActionSequence {
            tokens: all(|part| &part.tokens)?,
            embedding: all(|part| &part.embedding)?,
            codes: all(|part| &part.codes)?,
        };
        assert!(bits_of(&found)? == expected, "{pieces:?}");
    }
    Ok(())
}

#[test]
fn a_video_shorter_than_the_window_is_one_clip() -> Result<()> {
    let config = LamConfig::tiny();
    let model = model(&config)?;
    for length in 2..6 {
        let short = video(&config, 2, length)?;
        let (found, clip) = (model.infer_long(&short, 6)?, model.infer(&short)?);
        assert!(bits(&found.tokens, &found.codes)? == bits(&clip.tokens, &clip.codes)?, "{length} frames");
    }
    Ok(())
}

#[test]
fn what_a_learning_model_finds_keeps_no_history() -> Result<()> {
    let config = LamConfig::tiny();
    let model = LatentActionModel::new(&config, Params::seeded(0, DType::F32, &Device::Cpu).trainable())?;
    let found = model.infer_long(&video(&config, 1, 6)?, 3)?;
    assert!(!found.tokens.track_op() && !found.embedding.track_op());
    Ok(())
}

#[test]
fn one_frame_and_impossible_windows_are_refused_with_their_numbers() -> Result<()> {
    let config = LamConfig::tiny();
    let model = model(&config)?;
    let refusal = model.infer_long(&video(&config, 1, 1)?, 4).expect_err("one frame").to_string();
    assert!(refusal.contains("[1, 1, 3, 32, 32]") && refusal.contains("two frames"), "{refusal}");
    for window in [0, 1, 17] {
        let refusal = model.slide(window).expect_err("no such window").to_string();
        assert!(
            refusal.contains(&format!("windows of {window}")) && refusal.contains("2 to 16"),
            "{refusal}"
        );
    }
    Ok(())
}
