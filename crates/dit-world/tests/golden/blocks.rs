//! Whole blocks, reference and paper form.

use candle_core::{Result, Tensor};
use cola_dit_world::{Axis, DitBlock, DitConfig, Modulation, Text, TextConfig};
use cola_golden::Golden;
use cola_nn::Rope;

use crate::support::{compare, given, params, var};

pub(crate) fn block(golden: &Golden) -> Result<()> {
    let (b, t, s, hidden) = (golden.int("B"), golden.int("T"), golden.int("S"), golden.int("hidden_size"));
    let time = golden.config()["temporal"].as_bool() == Some(true);
    let lengths: Option<Vec<usize>> = golden.config()["text_lens"]
        .as_array()
        .map(|lengths| lengths.iter().filter_map(|length| Some(length.as_u64()? as usize)).collect());
    let params = params(golden, "weight.block.")?;
    // Feed-forward width and norms are those of the weights.
    let fed = golden.tensor("weight.block.mlp.fc1.weight").dim(0)?;
    let config = DitConfig {
        hidden_size: hidden,
        num_heads: golden.int("num_heads"),
        mlp_ratio: fed / hidden,
        qk_norm: golden.has("weight.block.attn.q_norm.weight"),
        causal: golden.config()["causal"].as_bool() == Some(true),
        text: lengths.as_ref().map(|_| TextConfig { caption_channels: 1, model_max_length: 1 }),
        ..DitConfig::tiny()
    };
    let (axis, rope) = if time {
        (Axis::Time, Some(Rope::from_freqs(&golden.tensor("weight.rope.freqs").to_dtype(golden.dtype())?)?))
    } else {
        (Axis::Space, None)
    };
    let block = DitBlock::new(&config, axis, rope, params.trainable())?;
    golden.same_names("weight.block.", &params.vars());

    let names = ["x", "y", "t6", "t_mlp", "t0_mlp"];
    let vars = names.map(|name| var(golden, name));
    let [x, y, per_frame, moving, still] = vars;
    let (x, y, per_frame, moving, still) = (x?.expect("input x"), y?, per_frame?, moving?, still?);
    let modulation = match (&per_frame, &moving, &still, given(golden)?) {
        (Some(rows), ..) => Modulation::per_frame(rows.as_tensor()),
        (None, Some(moving), Some(still), Some(given)) => Modulation::choose(moving, still, &given)?,
        (None, Some(moving), ..) => Modulation::shared(moving)?,
        _ => candle_core::bail!("the file has no modulation"),
    };
    let text = match (&y, &lengths) {
        (Some(y), Some(lengths)) => Some(Text::packed(&y.squeeze(0)?, lengths)?),
        _ => None,
    };
    let out = block.forward(&x.reshape((b, t, s, hidden))?, &modulation, text.as_ref())?;
    let out: Tensor = out.reshape((b, t * s, hidden))?;
    let inputs: Vec<_> = [("x", Some(&x)), ("y", y.as_ref()), ("t6", per_frame.as_ref())]
        .into_iter()
        .chain([("t_mlp", moving.as_ref()), ("t0_mlp", still.as_ref())])
        .filter_map(|(name, var)| Some((name, var?)))
        .collect();
    compare(golden, &[("x", &out)], &inputs, "weight.block.", &params)
}
