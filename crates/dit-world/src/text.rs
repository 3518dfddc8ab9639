//! Text of the reference form: captions to tokens, and attention to them. Features come in from outside (T5).

use candle_core::{D, DType, Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;
use cola_nn::{HeadNorm, Linear, Mlp, attend_tokens};

use crate::config::TextConfig;

/// Features of one caption a clip, of different lengths.
#[derive(Clone, Debug)]
pub struct Captions {
    /// `(sum of lengths, caption_channels)`, one caption after another.
    packed: Tensor,
    lengths: Vec<usize>,
}

impl Captions {
    /// Features `(B, L, caption_channels)` and which tokens count: `mask` `(B, L)`, nonzero where they do; all without.
    /// A mask of fewer rows is repeated as a whole, as the reference does for guidance.
    ///
    /// # Errors
    /// A caption without a token, a mask that does not fit.
    pub fn new(features: &Tensor, mask: Option<&Tensor>) -> Result<Self> {
        let (b, length, channels) = features.dims3()?;
        let flat = features.reshape((b * length, channels))?;
        if b == 0 || length == 0 {
            candle_core::bail!("{b} captions of {length} tokens: a clip would attend to nothing");
        }
        let Some(mask) = mask else {
            return Ok(Self { packed: flat, lengths: vec![length; b] });
        };
        let (rows, columns) = mask.dims2()?;
        if rows == 0 || columns != length || !b.is_multiple_of(rows) {
            candle_core::bail!(
                "a mask of shape {:?} does not fit {b} captions of {length} tokens",
                mask.dims()
            );
        }
        let mask = mask.ne(0.0)?.to_dtype(DType::U8)?.to_vec2::<u8>()?;
        let mut kept = Vec::new();
        let mut lengths = Vec::with_capacity(b);
        for clip in 0..b {
            let row = &mask[clip % rows];
            let before = kept.len();
            kept.extend(
                (0..length).filter(|token| row[*token] != 0).map(|token| (clip * length + token) as u32),
            );
            lengths.push(kept.len() - before);
            if kept.len() == before {
                candle_core::bail!("caption {clip} has no token: its clip would attend to nothing");
            }
        }
        let index = Tensor::new(kept, features.device())?;
        Ok(Self { packed: flat.index_select(&index, 0)?, lengths })
    }
}

/// Captions as tokens of the model's width, for all blocks.
#[derive(Clone, Debug)]
pub struct Text {
    tokens: Tensor,
    lengths: Vec<usize>,
}

impl Text {
    /// From packed tokens `(sum of lengths, D)`.
    ///
    /// # Errors
    /// Lengths that do not add up, a length of zero.
    pub fn packed(tokens: &Tensor, lengths: &[usize]) -> Result<Self> {
        let (count, _) = tokens.dims2()?;
        if lengths.iter().sum::<usize>() != count || lengths.contains(&0) {
            candle_core::bail!("captions of {lengths:?} tokens are not a packed tensor of {count}");
        }
        Ok(Self { tokens: tokens.clone(), lengths: lengths.to_vec() })
    }

    pub(crate) fn tokens(&self) -> &Tensor {
        &self.tokens
    }

    pub(crate) fn lengths(&self) -> &[usize] {
        &self.lengths
    }
}

/// The reference's `y_embedder`: features to tokens, and the learned caption that says nothing.
#[derive(Clone, Debug)]
pub struct CaptionEmbed {
    null: Tensor,
    proj: Mlp,
}

impl CaptionEmbed {
    /// Parameters `y_proj.fc1`, `y_proj.fc2` and the buffer `y_embedding` `(model_max_length, caption_channels)`, which is
    /// never trained.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn new(config: &TextConfig, hidden: usize, vb: VarBuilder) -> Result<Self> {
        let (length, channels) = (config.model_max_length, config.caption_channels);
        let init = Init::Randn { mean: 0.0, stdev: (channels as f64).powf(-0.5) };
        Ok(Self {
            null: vb.get_with_hints((length, channels), "y_embedding", init)?.detach(),
            proj: Mlp::between(channels, hidden, hidden, vb.pp("y_proj"))?,
        })
    }

    /// Captions to tokens.
    ///
    /// # Errors
    /// Features of another width.
    pub fn forward(&self, captions: &Captions) -> Result<Text> {
        Ok(Text { tokens: self.project(&captions.packed)?, lengths: captions.lengths.clone() })
    }

    /// Features `(..., caption_channels)` to `(..., D)`.
    ///
    /// # Errors
    /// Features of another width.
    pub fn project(&self, features: &Tensor) -> Result<Tensor> {
        self.proj.forward(features)
    }

    /// The null caption for clips whose own captions these are: as many tokens at the same places, as in the reference,
    /// where `mask` `(B, model_max_length)` is the conditional captions'.
    ///
    /// # Errors
    /// As [`Captions::new`].
    pub fn null(&self, clips: usize, mask: Option<&Tensor>) -> Result<Captions> {
        let (length, channels) = self.null.dims2()?;
        Captions::new(&self.null.unsqueeze(0)?.broadcast_as((clips, length, channels))?.contiguous()?, mask)
    }
}

/// Every clip's video tokens attend to that clip's text tokens; no norm of queries and keys, no positions.
#[derive(Clone, Debug)]
pub struct CrossAttention {
    q: Linear,
    kv: Linear,
    proj: Linear,
    heads: usize,
}

impl CrossAttention {
    /// Parameters `q_linear`, `kv_linear` (keys, then values), `proj`; `silent`: a fresh `proj` is zero.
    ///
    /// # Errors
    /// Heads that do not divide the width, a stored parameter of another shape.
    pub fn new(hidden: usize, heads: usize, silent: bool, vb: VarBuilder) -> Result<Self> {
        if heads == 0 || !hidden.is_multiple_of(heads) {
            candle_core::bail!("{heads} attention heads do not divide a width of {hidden}");
        }
        let proj = if silent { Linear::zero } else { Linear::new };
        Ok(Self {
            q: Linear::new(hidden, hidden, vb.pp("q_linear"))?,
            kv: Linear::new(hidden, 2 * hidden, vb.pp("kv_linear"))?,
            proj: proj(hidden, hidden, vb.pp("proj"))?,
            heads,
        })
    }

    /// Video tokens `(B, ..., D)` to the same shape.
    ///
    /// # Errors
    /// Another number of captions than clips.
    pub fn forward(&self, x: &Tensor, text: &Text) -> Result<Tensor> {
        let (b, dim) = (x.dim(0)?, x.dim(D::Minus1)?);
        let lengths = text.lengths();
        if lengths.len() != b {
            candle_core::bail!("{} captions for {b} clips", lengths.len());
        }
        let q = self.q.forward(x)?.reshape((b, (), dim))?;
        let kv = self.kv.forward(&text.tokens().to_dtype(x.dtype())?)?;
        let attend = |q: &Tensor, kv: &Tensor| {
            attend_tokens(q, kv, self.heads, &HeadNorm::Identity, &HeadNorm::Identity)
        };
        let attended = if lengths.iter().all(|length| *length == lengths[0]) {
            attend(&q, &kv.reshape((b, lengths[0], 2 * dim))?)?
        } else {
            let mut first = 0;
            let mut clips = Vec::with_capacity(b);
            for (clip, length) in lengths.iter().enumerate() {
                clips.push(attend(&q.narrow(0, clip, 1)?, &kv.narrow(0, first, *length)?.unsqueeze(0)?)?);
                first += length;
            }
            Tensor::cat(&clips, 0)?
        };
        self.proj.forward(&attended.reshape(x.shape())?)
    }
}
