//! Videos to latents and back.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use rand::Rng;

use crate::error::{InputError, check_latents, check_pictures};
use crate::image::{ImageVae, is_of_rank};
use crate::noise::Noise;
use crate::{TemporalVae, VideoVaeConfig};

/// How a video is cut before the temporal VAE sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Chunks of `micro_frame_size` frames: fewer latents than frames, [`VideoVaeConfig`] says how many.
    Chunks,
    /// Every frame for itself: a latent for each frame, which knows nothing of the others.
    Frames,
}

/// The whole VAE: each frame through the [`ImageVae`], times its scaling factor, through the [`TemporalVae`], then
/// `(z - shift) / scale` channel by channel. Decoding is the way back.
///
/// Both posteriors are sampled, or both means are taken ([`VideoVae::encode_mean`]). What the temporal VAE sees at a time
/// is the caller's choice, see [`Cut`]; the same choice has to be made for decoding.
///
/// Pictures go through `config.micro_batch` at a time, chunks one at a time; the bits do not depend on that.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_nn::Params;
/// use cola_video_vae::{Cut, VideoVae, VideoVaeConfig};
///
/// # fn main() -> candle_core::Result<()> {
/// let params = Params::seeded(0, DType::F32, &Device::Cpu);
/// let vae = VideoVae::new(&VideoVaeConfig::tiny(), params.frozen())?;
/// let video = Tensor::zeros((1, 3, 5, 16, 16), DType::F32, &Device::Cpu)?; // (B, C, F, H, W) in [-1, 1]
///
/// let frames = vae.encode_mean(&video, Cut::Frames)?;
/// assert_eq!(frames.dims(), [1, 4, 5, 2, 2]);
/// assert_eq!(vae.decode(&frames, 5, Cut::Frames)?.dims(), video.dims());
///
/// let mut rng = cola_random::stream(0, "latents", 0, 0);
/// let chunks = vae.encode(&video, Cut::Chunks, &mut rng)?;
/// assert_eq!(chunks.dims(), [1, 4, 2, 2, 2]);
/// assert_eq!(vae.decode(&chunks, 5, Cut::Chunks)?.dims(), video.dims());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct VideoVae {
    config: VideoVaeConfig,
    images: ImageVae,
    temporal: TemporalVae,
    /// `(1, embed_dim, 1, 1, 1)`, without gradient.
    shift: Tensor,
    scale: Tensor,
}

const VIDEO: &str = "(samples, channels, frames, height, width)";

impl VideoVae {
    /// Tensors of a checkpoint that are never trained.
    pub const BUFFERS: [&str; 2] = ["shift", "scale"];

    /// Parameters as in the published checkpoint (`spatial_vae.module.*`, `temporal_vae.*`). Its buffers `shift` and `scale`
    /// are taken where they are stored, from the configuration otherwise; they never train.
    ///
    /// # Errors
    /// A configuration that [`VideoVaeConfig::check`] refuses, a stored parameter of another shape.
    pub fn new(config: &VideoVaeConfig, vb: VarBuilder) -> Result<Self> {
        config.check().map_err(candle_core::Error::wrap)?;
        Ok(Self {
            config: config.clone(),
            images: ImageVae::new(&config.spatial_vae, vb.pp("spatial_vae.module"))?,
            temporal: TemporalVae::new(&config.temporal_vae, vb.pp("temporal_vae"))?,
            shift: buffer("shift", &config.shift, &vb)?,
            scale: buffer("scale", &config.scale, &vb)?,
        })
    }

    /// The model's sizes.
    pub fn config(&self) -> &VideoVaeConfig {
        &self.config
    }

    /// The image VAE alone.
    pub fn images(&self) -> &ImageVae {
        &self.images
    }

    /// The temporal VAE alone.
    pub fn temporal(&self) -> &TemporalVae {
        &self.temporal
    }

    /// Latents of so many frames.
    pub fn latent_frames(&self, frames: usize, cut: Cut) -> usize {
        match cut {
            Cut::Chunks => self.config.temporal_vae.latent_frames(frames),
            Cut::Frames => frames,
        }
    }

    /// Whether a video can be encoded: `(B, 3, F, H, W)`, sides multiples of 8, at least one sample and frame.
    ///
    /// # Errors
    /// What is wrong and what would do.
    pub fn check_video(&self, video: &Tensor) -> std::result::Result<(), InputError> {
        let config = &self.config.spatial_vae;
        is_of_rank(video, 5, "a video", VIDEO)?;
        check_pictures("a video", video.dims(), config.in_channels, config.factor())
    }

    /// Whether latents can be decoded to so many frames: `(B, 4, T, H, W)`, `T` from [`VideoVae::latent_frames`].
    ///
    /// # Errors
    /// What is wrong and what would do.
    pub fn check_latents(
        &self,
        latents: &Tensor,
        frames: usize,
        cut: Cut,
    ) -> std::result::Result<(), InputError> {
        is_of_rank(latents, 5, "latents", VIDEO)?;
        check_latents("latents", latents.dims(), self.config.temporal_vae.embed_dim)?;
        let (expected, found) = (self.latent_frames(frames, cut), latents.dims()[2]);
        if found != expected {
            return Err(InputError::Frames { frames, expected, found });
        }
        Ok(())
    }

    /// A video `(B, 3, F, H, W)`, pixels in `[-1, 1]`, sides multiples of 8, `F >= 1`, to samples of its latents `(B, 4, T,
    /// H / 8, W / 8)`, `T` from [`VideoVae::latent_frames`]. In the video's dtype.
    ///
    /// Draws for the latent images first, then for the latents, each video by video.
    ///
    /// # Errors
    /// [`InputError`]: another rank or number of channels, nothing in it, sides that are no multiples of 8.
    pub fn encode(&self, video: &Tensor, cut: Cut, rng: &mut impl Rng) -> Result<Tensor> {
        let shapes = self.noise_shapes(video, cut)?;
        let kind = (video.dtype(), video.device());
        self.run(video, cut, Some(&Noise::draw(shapes.each_ref().map(Vec::as_slice), kind, rng)?))
    }

    /// [`VideoVae::encode`] with given noise.
    ///
    /// # Errors
    /// As [`VideoVae::encode`]; [`InputError::Noise`].
    pub fn encode_with(&self, video: &Tensor, cut: Cut, noise: &Noise) -> Result<Tensor> {
        noise.check(self.noise_shapes(video, cut)?.each_ref().map(Vec::as_slice))?;
        self.run(video, cut, Some(noise))
    }

    /// [`VideoVae::encode`] without noise: the means of both posteriors.
    ///
    /// # Errors
    /// As [`VideoVae::encode`].
    pub fn encode_mean(&self, video: &Tensor, cut: Cut) -> Result<Tensor> {
        self.run(video, cut, None)
    }

    /// Latents of [`VideoVae::encode`] with the same cut to a video of `frames` frames `(B, 3, frames, 8 H, 8 W)`: about in
    /// `[-1, 1]`, not clamped.
    ///
    /// # Errors
    /// [`InputError`]: another rank or number of channels, nothing in it, frames that do not belong to that many latents.
    pub fn decode(&self, latents: &Tensor, frames: usize, cut: Cut) -> Result<Tensor> {
        self.decode_images(&self.decode_time(latents, frames, cut)?)
    }

    /// The first half of encoding: latent images `(B, 4, F, H / 8, W / 8)` of every frame by itself, scaled. With noise
    /// `(B F, 4, H / 8, W / 8)` samples, without it means.
    ///
    /// # Errors
    /// As [`VideoVae::encode`].
    pub fn encode_images(&self, video: &Tensor, noise: Option<&Tensor>) -> Result<Tensor> {
        self.check_video(video)?;
        let (batch, _, frames, ..) = video.dims5()?;
        let images = in_parts(&side_by_side(video)?, noise, self.config.micro_batch, |images, noise| {
            self.images.encode(images)?.point(noise)
        })?;
        in_time(&(images * self.config.spatial_vae.scaling_factor)?, batch, frames)
    }

    /// The second half of encoding: latent images `(B, 4, F, H, W)` to latents. With noise of the latents' shape samples,
    /// without it means.
    ///
    /// # Errors
    /// [`InputError`]: another rank or number of channels, nothing in it.
    pub fn encode_time(&self, images: &Tensor, cut: Cut, noise: Option<&Tensor>) -> Result<Tensor> {
        is_of_rank(images, 5, "latent images", VIDEO)?;
        check_latents("latent images", images.dims(), self.config.temporal_vae.in_out_channels)?;
        let encode = |images: &Tensor, noise: Option<&Tensor>| self.temporal.encode(images)?.point(noise);
        let z = match cut {
            Cut::Chunks => in_parts(images, noise, 1, encode)?,
            Cut::Frames => {
                let (batch, _, frames, ..) = images.dims5()?;
                let noise = noise.map(|noise| side_by_side(noise)?.unsqueeze(2)).transpose()?;
                let single = side_by_side(images)?.unsqueeze(2)?;
                let z = in_parts(&single, noise.as_ref(), self.config.micro_batch, encode)?;
                in_time(&z.squeeze(2)?, batch, frames)?
            }
        };
        let [shift, scale] = self.buffers(&z)?;
        z.broadcast_sub(&shift)?.broadcast_div(&scale)
    }

    /// The first half of decoding: latents `(B, 4, T, H, W)` to the latent images `(B, 4, frames, H, W)` of so many frames.
    ///
    /// # Errors
    /// As [`VideoVae::decode`].
    pub fn decode_time(&self, latents: &Tensor, frames: usize, cut: Cut) -> Result<Tensor> {
        self.check_latents(latents, frames, cut)?;
        let batch = latents.dim(0)?;
        let [shift, scale] = self.buffers(latents)?;
        let z = latents.broadcast_mul(&scale)?.broadcast_add(&shift)?;
        match cut {
            Cut::Chunks => in_parts(&z, None, 1, |z, _| self.temporal.decode(z, frames)),
            Cut::Frames => {
                let single = side_by_side(&z)?.unsqueeze(2)?;
                let decode = |z: &Tensor, _: Option<&Tensor>| self.temporal.decode(z, 1)?.squeeze(2);
                in_time(&in_parts(&single, None, self.config.micro_batch, decode)?, batch, frames)
            }
        }
    }

    /// The second half of decoding: scaled latent images `(B, 4, F, H, W)` to a video `(B, 3, F, 8 H, 8 W)`.
    ///
    /// # Errors
    /// [`InputError`]: another rank or number of channels, nothing in it.
    pub fn decode_images(&self, images: &Tensor) -> Result<Tensor> {
        is_of_rank(images, 5, "latent images", VIDEO)?;
        let (batch, _, frames, ..) = images.dims5()?;
        let plain = (side_by_side(images)? / self.config.spatial_vae.scaling_factor)?;
        let pictures = in_parts(&plain, None, self.config.micro_batch, |z, _| self.images.decode(z))?;
        in_time(&pictures, batch, frames)
    }

    fn run(&self, video: &Tensor, cut: Cut, noise: Option<&Noise>) -> Result<Tensor> {
        let images = self.encode_images(video, noise.map(|noise| &noise.images))?;
        self.encode_time(&images, cut, noise.map(|noise| &noise.latents))
    }

    /// Shapes of [`Noise`] for a video.
    fn noise_shapes(&self, video: &Tensor, cut: Cut) -> Result<[Vec<usize>; 2]> {
        self.check_video(video)?;
        let (batch, _, frames, height, width) = video.dims5()?;
        let unit = self.config.spatial_vae.factor();
        let (height, width) = (height / unit, width / unit);
        let latents = self.latent_frames(frames, cut);
        Ok([
            vec![batch * frames, self.config.spatial_vae.latent_channels, height, width],
            vec![batch, self.config.temporal_vae.embed_dim, latents, height, width],
        ])
    }

    /// Shift and scale in the latents' dtype.
    fn buffers(&self, like: &Tensor) -> Result<[Tensor; 2]> {
        Ok([self.shift.to_dtype(like.dtype())?, self.scale.to_dtype(like.dtype())?])
    }
}

/// A stored buffer, or the configuration's values.
fn buffer(name: &str, values: &[f64], vb: &VarBuilder) -> Result<Tensor> {
    let shape = (1, values.len(), 1, 1, 1);
    if vb.contains_tensor(name) {
        // The parameters may be trainable; this is none.
        return Ok(vb.get(shape, name)?.detach());
    }
    Tensor::new(values, vb.device())?.to_dtype(vb.dtype())?.reshape(shape)
}

/// `(B, C, F, H, W)` to `(B F, C, H, W)`.
fn side_by_side(x: &Tensor) -> Result<Tensor> {
    let (b, c, f, h, w) = x.dims5()?;
    x.transpose(1, 2)?.contiguous()?.reshape((b * f, c, h, w))
}

/// `(B F, C, H, W)` to `(B, C, F, H, W)`.
fn in_time(x: &Tensor, batch: usize, frames: usize) -> Result<Tensor> {
    let (_, c, h, w) = x.dims4()?;
    x.reshape((batch, frames, c, h, w))?.transpose(1, 2)?.contiguous()
}

/// `run` on `size` samples at a time, with their noise.
fn in_parts(
    x: &Tensor,
    noise: Option<&Tensor>,
    size: usize,
    run: impl Fn(&Tensor, Option<&Tensor>) -> Result<Tensor>,
) -> Result<Tensor> {
    let samples = x.dim(0)?;
    let parts: Vec<Tensor> = (0..samples)
        .step_by(size)
        .map(|start| {
            let part = |of: &Tensor| of.narrow(0, start, size.min(samples - start));
            run(&part(x)?, noise.map(part).transpose()?.as_ref())
        })
        .collect::<Result<_>>()?;
    match parts.as_slice() {
        [one] => Ok(one.clone()),
        parts => Tensor::cat(parts, 0),
    }
}
