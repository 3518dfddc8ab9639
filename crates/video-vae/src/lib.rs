//! The temporal part of Open-Sora v1.2's video VAE: latent images of single frames to fewer latent frames, and back.
//!
//! Published layout and names (`temporal_vae.*` of `hpcai-tech/OpenSora-VAE-v1.2`): convolutions that are causal in time,
//! residual blocks with group norm and SiLU, two halvings of the frame rate. Trainable or frozen by the view of the
//! parameters that it is built over.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use cola_nn::Params;
//! use cola_video_vae::{TemporalConfig, TemporalVae};
//!
//! # fn main() -> candle_core::Result<()> {
//! let params = Params::seeded(0, DType::F32, &Device::Cpu);
//! let vae = TemporalVae::new(&TemporalConfig::tiny(), params.frozen())?;
//! let images = Tensor::zeros((1, 4, 17, 4, 4), DType::F32, &Device::Cpu)?; // (B, C, T, H, W)
//! let posterior = vae.encode(&images)?;
//! assert_eq!(posterior.mean().dims(), [1, 4, 5, 4, 4]); // four frames become one
//! assert_eq!(vae.decode(posterior.mean(), 17)?.dims(), images.dims());
//! # Ok(())
//! # }
//! ```
//!
//! Parts: [`TemporalConfig`]; [`TemporalVae`], made of [`Encoder`] and [`Decoder`], those of [`ResBlock`]s; [`Posterior`].
//! Pixels, the image VAE in front and the latents' shift and scale are not here.

mod block;
mod config;
mod decoder;
mod encoder;
mod posterior;
mod temporal;

pub use block::ResBlock;
pub use config::{ConfigError, TemporalConfig};
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use posterior::Posterior;
pub use temporal::TemporalVae;
