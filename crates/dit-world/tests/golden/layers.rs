//! What blocks and models are made of.

use candle_core::{Device, Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_dit_world::{
    CaptionEmbed, CrossAttention, FinalLayer, Grid, PatchEmbed, ScalarEmbed, Text, TextConfig, TimeRows,
    position_table, unpatchify,
};
use cola_golden::Golden;
use cola_nn::{HeadNorm, Mlp, Rope, SelfAttention, SelfAttentionConfig, sinusoid};

use crate::support::{compare, given, params, var};

pub(crate) fn layer(golden: &Golden) -> Result<()> {
    type Comparison = fn(&Golden) -> Result<()>;
    let kinds: [(&str, Comparison); 14] = [
        ("block_attention_", attention),
        ("block_caption_embedder", captions),
        ("block_cross_attention", cross_attention),
        ("block_final_layer_", final_layer),
        ("block_fps_embedder", frame_rate),
        ("block_mlp", mlp),
        ("block_patch_embed_", patches),
        ("block_pos_embed", positions),
        ("block_rms_norm", rms),
        ("block_rope", rope),
        ("block_t_block", time_rows),
        ("block_timestep_embedder", time),
        ("block_unpatchify", video),
        ("block_", |_| candle_core::bail!("there is no comparison for blocks of this name")),
    ];
    let compare = kinds.iter().find(|(start, _)| golden.name().starts_with(start));
    compare.map_or(Ok(()), |(_, compare)| compare(golden))
}

fn truth(golden: &Golden, key: &str) -> bool {
    golden.config()[key].as_bool() == Some(true)
}

fn sizes(golden: &Golden, key: &str) -> Vec<usize> {
    let list = golden.config()[key].as_array().expect(key);
    list.iter().map(|size| size.as_u64().expect(key) as usize).collect()
}

/// One module from one input to one output.
fn module(
    golden: &Golden,
    prefix: &str,
    [from, to]: [&str; 2],
    forward: impl Fn(&cola_nn::Params, &Tensor) -> Result<Tensor>,
) -> Result<()> {
    let params = params(golden, prefix)?;
    let x = golden.input_var(from, golden.dtype())?;
    let y = forward(&params, x.as_tensor())?;
    golden.same_names(prefix, &params.vars());
    compare(golden, &[(to, &y)], &[(from, &x)], prefix, &params)
}

fn attention(golden: &Golden) -> Result<()> {
    let config = SelfAttentionConfig {
        dim: golden.int("hidden_size"),
        heads: golden.int("num_heads"),
        causal: truth(golden, "causal"),
        silent: false,
    };
    let norm: fn(usize, VarBuilder) -> Result<HeadNorm> =
        if truth(golden, "qk_norm") { HeadNorm::rms } else { |_, _| Ok(HeadNorm::Identity) };
    let rope =
        truth(golden, "rope").then(|| Rope::from_freqs(golden.tensor("weight.rope.freqs"))).transpose()?;
    module(golden, "weight.attn.", ["x", "y"], |params, x| {
        SelfAttention::new(&config, norm, rope.clone(), params.trainable())?.forward(x)
    })
}

fn captions(golden: &Golden) -> Result<()> {
    let config =
        TextConfig { caption_channels: golden.int("in_channels"), model_max_length: golden.int("token_num") };
    module(golden, "weight.", ["caption", "y"], |params, caption| {
        CaptionEmbed::new(&config, golden.int("hidden_size"), params.trainable())?.project(caption)
    })
}

fn cross_attention(golden: &Golden) -> Result<()> {
    let params = params(golden, "weight.")?;
    let (hidden, heads) = (golden.int("hidden_size"), golden.int("num_heads"));
    let layer = CrossAttention::new(hidden, heads, false, params.trainable())?;
    golden.same_names("weight.", &params.vars());
    let (x, cond) = (golden.input_var("x", golden.dtype())?, golden.input_var("cond", golden.dtype())?);
    let y = layer.forward(&x, &Text::packed(&cond.squeeze(0)?, &sizes(golden, "text_lens"))?)?;
    compare(golden, &[("y", &y)], &[("x", &x), ("cond", &cond)], "weight.", &params)
}

fn final_layer(golden: &Golden) -> Result<()> {
    let (b, t, s, hidden) = (golden.int("B"), golden.int("T"), golden.int("S"), golden.int("hidden_size"));
    let outputs = golden.int("num_patch") * golden.int("out_channels");
    let params = params(golden, "weight.")?;
    let layer = FinalLayer::new(hidden, outputs, params.trainable())?;
    golden.same_names("weight.", &params.vars());
    let (x, moving) = (golden.input_var("x", golden.dtype())?, golden.input_var("t", golden.dtype())?);
    let (still, given) = (var(golden, "t0")?, given(golden)?);
    let given = given.as_ref().zip(still.as_ref().map(|still| still.as_tensor()));
    let y = layer.forward(&x.reshape((b, t, s, hidden))?, &moving, given)?;
    let inputs: Vec<_> = [("x", Some(&x)), ("t", Some(&moving)), ("t0", still.as_ref())]
        .into_iter()
        .filter_map(|(name, var)| Some((name, var?)))
        .collect();
    compare(golden, &[("x", &y)], &inputs, "weight.", &params)
}

fn time(golden: &Golden) -> Result<()> {
    let params = params(golden, "weight.")?;
    let layer = ScalarEmbed::time(golden.int("hidden_size"), params.trainable())?;
    let t = golden.input("t", golden.dtype())?;
    let features = sinusoid::scalar_features(&t, golden.int("frequency_embedding_size"), golden.dtype())?;
    let y = layer.forward(&t, golden.dtype())?;
    golden.same_names("weight.", &params.vars());
    compare(golden, &[("embedding", &y), ("freq_embedding", &features)], &[], "weight.", &params)
}

fn frame_rate(golden: &Golden) -> Result<()> {
    let params = params(golden, "weight.")?;
    let layer = ScalarEmbed::fps(golden.int("hidden_size"), params.trainable())?;
    let y = layer.forward(&golden.input("fps", golden.dtype())?, golden.dtype())?;
    golden.same_names("weight.", &params.vars());
    compare(golden, &[("embedding", &y)], &[], "weight.", &params)
}

fn time_rows(golden: &Golden) -> Result<()> {
    module(golden, "weight.", ["t", "t_mlp"], |params, t| {
        TimeRows::new(golden.int("hidden_size"), params.trainable())?.forward(t)
    })
}

fn mlp(golden: &Golden) -> Result<()> {
    let hidden = golden.int("hidden_size");
    module(golden, "weight.", ["x", "y"], |params, x| {
        Mlp::new(hidden, hidden * golden.int("ratio"), params.trainable())?.forward(x)
    })
}

fn rms(golden: &Golden) -> Result<()> {
    module(golden, "weight.", ["x", "y"], |params, x| {
        HeadNorm::rms(golden.int("dim"), params.trainable())?.forward(x)
    })
}

fn rope(golden: &Golden) -> Result<()> {
    let params = params(golden, "weight.")?;
    let rope = Rope::from_freqs(golden.tensor("weight.freqs"))?;
    let q = golden.input_var("q", golden.dtype())?;
    let rotated = rope.apply(&q)?;
    let angles = rope.angles(q.dim(2)?, &Device::Cpu)?.to_dtype(golden.dtype())?;
    compare(golden, &[("rotated", &rotated), ("angles", &angles)], &[("q", &q)], "weight.", &params)
}

fn patches(golden: &Golden) -> Result<()> {
    let patch = sizes(golden, "patch_size").try_into().expect("three sides");
    module(golden, "weight.", ["x", "tokens"], |params, x| {
        let (channels, hidden) = (golden.int("in_channels"), golden.int("hidden_size"));
        let (tokens, _) = PatchEmbed::new(channels, patch, hidden, params.trainable())?.forward(x)?;
        tokens.flatten(1, 2)
    })
}

fn positions(golden: &Golden) -> Result<()> {
    let cases = golden.config()["cases"].as_array().expect("cases");
    for (i, case) in cases.iter().enumerate() {
        let number = |key: &str| case[key].as_f64().expect(key);
        let grid = Grid { rows: number("h") as usize, columns: number("w") as usize };
        let (scale, base) = (number("scale"), number("base_size"));
        let table = position_table(grid, scale, base, golden.int("dim"), golden.dtype(), &Device::Cpu)?;
        golden.compare(&format!("output.pos_{i}"), &table, golden.tolerance())?;
    }
    if golden.names("output.").count() != cases.len() {
        golden.fail("outputs without a case".into());
    }
    Ok(())
}

fn video(golden: &Golden) -> Result<()> {
    let (patch, size) = (sizes(golden, "patch_size"), sizes(golden, "R"));
    let [t, rows, columns] = sizes(golden, "N").try_into().expect("three sizes");
    module(golden, "weight.", ["x", "video"], |_, x| {
        let (b, _, outputs) = x.dims3()?;
        let tokens = x.reshape((b, t, rows * columns, outputs))?;
        unpatchify(&tokens, patch[2], Grid { rows, columns }, (size[1], size[2]))
    })
}
