//! Open-Sora v1.2's video VAE: pixels to latents of an eighth of the sides, and back.
//!
//! Two models in a row, in the published layout and with the published names (`hpcai-tech/OpenSora-VAE-v1.2`, 517 entries,
//! 393,341,007 parameters): an image VAE of the SDXL type for every frame by itself, and a temporal VAE of convolutions
//! that are causal in time and halve the frame rate twice. Trainable or frozen by the view of the parameters that they
//! are built over.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use cola_nn::Params;
//! use cola_video_vae::{Cut, VideoVae, VideoVaeConfig};
//!
//! # fn main() -> candle_core::Result<()> {
//! let params = Params::seeded(0, DType::F32, &Device::Cpu);
//! let vae = VideoVae::new(&VideoVaeConfig::tiny(), params.frozen())?;
//! let video = Tensor::zeros((1, 3, 17, 16, 16), DType::F32, &Device::Cpu)?; // (B, C, F, H, W), pixels in [-1, 1]
//! let latents = vae.encode_mean(&video, Cut::Chunks)?;
//! assert_eq!(latents.dims(), [1, 4, 5, 2, 2]); // eight pixels become one, four frames become one
//! assert_eq!(vae.decode(&latents, 17, Cut::Chunks)?.dims(), video.dims());
//! # Ok(())
//! # }
//! ```
//!
//! Parts: [`VideoVae`] with [`VideoVaeConfig`], [`Cut`], [`Noise`] and [`InputError`]; [`ImageVae`], made of [`ImageEncoder`]
//! and [`ImageDecoder`]; [`TemporalVae`], made of [`Encoder`] and [`Decoder`]; both of [`ResBlock`]s; [`Posterior`];
//! [`Pretrained`] checkpoints with their [`PublishedConfig`].
//! Losses, discriminators and reading videos are elsewhere or nowhere.
//!
//! # Why the image VAE is not candle-transformers'
//! Its `stable_diffusion::vae` has the same layers and reads the same names. But its posterior shows neither mean nor
//! variance, does not clamp the latter and draws from the device's own generator, so no result can be repeated or compared;
//! its convolutions and linear layers compute gradients of frozen weights, its attention holds all scores at once, its
//! enlarged images are made before they are convolved; and the crate brings more than a hundred other models along.

mod block;
mod config;
mod decoder;
mod encoder;
mod error;
mod image;
mod noise;
mod posterior;
mod pretrained;
mod published;
mod temporal;
mod video;

pub use block::ResBlock;
pub use config::{ConfigError, ImageConfig, TemporalConfig, VideoVaeConfig};
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use error::InputError;
pub use image::{ImageDecoder, ImageEncoder, ImageVae};
pub use noise::Noise;
pub use posterior::Posterior;
pub use pretrained::Pretrained;
pub use published::{PublishedConfig, PublishedImages, PublishedTime};
pub use temporal::TemporalVae;
pub use video::{Cut, VideoVae};
