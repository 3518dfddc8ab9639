//! LPIPS: how far apart two pictures are in the features of a classifier.

mod distance;
mod places;

use std::path::Path;

use candle_core::{DType, Device, Shape, Tensor, WithDType};
use candle_nn::VarBuilder;
use cola_nn::Params;
use cola_weights::{Hub, LoadOptions, Weights, load, resolve};
use serde::{Deserialize, Serialize};

use crate::backbone::{Backbone, steps::widest};
use crate::video::{Level, Values};
use crate::{Error, Network, Result, Video};
use distance::distances;
use places::Places;

/// Numbers that the widest layer holds at most, input and output of all pictures of a pass: 128 MiB in f32.
const MOST: usize = 1 << 25;

/// Mean and deviation of the classifiers' training pictures, RGB in `[0, 1]`.
const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f64; 3] = [0.229, 0.224, 0.225];

/// How features get unit length; it matters only where nearly all of a pixel's features are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitNorm {
    /// `f / (|f| + 1e-10)`, as the packages `lpips` and `piq` do.
    #[default]
    Lpips,
    /// `f / sqrt(|f|^2 + 1e-8)`, as torchmetrics does.
    Torchmetrics,
}

/// Which LPIPS: values of different configurations cannot be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LpipsConfig {
    /// The network; default `alex`.
    pub network: Network,
    /// Whether each tap's map is resized to the picture (bilinear, half-pixel centres) before the mean, as the common
    /// video-metric script does; default off. About 1e-4 of the value.
    pub spatial: bool,
    /// How features get unit length; default `lpips`.
    pub norm: UnitNorm,
}

/// Learned perceptual image patch similarity, version 0.1 (Zhang et al. 2018): 0 for equal pictures, larger for pictures
/// that look less alike.
///
/// Pixels are normalised to the classifier's mean and deviation, features of each tap brought to unit length at each pixel,
/// and their squared differences summed over channels with the published heads (shipped, see [`Network::heads`]), averaged
/// over pixels and summed over taps. Pictures are not resized.
///
/// The classifiers' weights are torchvision's and are not shipped; an error tells which file is needed. What it computes is
/// numbers: no gradient goes through.
///
/// ```
/// use candle_core::{DType, Device};
/// use cola_metrics::{Lpips, LpipsConfig, Video};
/// use cola_nn::Params;
///
/// # fn main() -> cola_metrics::Result<()> {
/// // Without weights at hand, the error says where they are published and how to convert them.
/// let config = LpipsConfig::default();
/// let error = Lpips::open(&config, "no/such/alexnet.safetensors", &Device::Cpu).unwrap_err();
/// assert!(error.to_string().contains("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"));
///
/// // Random features do as well for a try.
/// let params = Params::seeded(0, DType::F32, &Device::Cpu);
/// let lpips = Lpips::new(&config, params.frozen())?;
/// let video = Video::from_u8([2, 3, 40, 48], (0..2 * 3 * 40 * 48).map(|at| (at * 7 % 256) as u8).collect())?;
/// let flat = Video::from_u8([2, 3, 40, 48], vec![128; 2 * 3 * 40 * 48])?;
/// assert_eq!(lpips.frames(&video, &video)?, [0.0, 0.0]);
/// assert!(lpips.frames(&video, &flat)?.iter().all(|value| *value > 0.0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Lpips {
    config: LpipsConfig,
    backbone: Backbone,
    heads: Vec<Vec<f64>>,
    dtype: DType,
    device: Device,
}

impl Lpips {
    /// Over a classifier's tensors in torchvision's names (see [`Network::tensors`]), computing in their dtype, f32 or f64,
    /// on their device.
    ///
    /// # Errors
    /// A tensor that is absent, of another shape or not finite; another dtype.
    pub fn new(config: &LpipsConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let (dtype, device) = (vb.dtype(), vb.device().clone());
        if !matches!(dtype, DType::F32 | DType::F64) {
            return Err(Error::Setting {
                field: "dtype",
                found: format!("{dtype:?}"),
                expected: "F32, or F64 for checks",
            });
        }
        let backbone = Backbone::new(config.network, &vb)?;
        let heads = config.network.heads()?;
        let heads = heads.into_iter().map(|head| head.into_iter().map(f64::from).collect()).collect();
        Ok(Self { config: *config, backbone, heads, dtype, device })
    }

    /// From a safetensors file, or a folder with one, in torchvision's names; it may be the whole classifier, of which only
    /// `features.*` is read. Computes in f32.
    ///
    /// # Errors
    /// [`Error::Weights`] for a file that is absent, a pickle, damaged, or another network's; it tells which file is needed,
    /// where it is published and how to convert it.
    pub fn open(config: &LpipsConfig, path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let params = read(config.network, path.as_ref(), device).map_err(refused(config.network))?;
        Self::new(config, params.frozen())
    }

    /// [`Lpips::open`] for a path or, with the feature `hub`, an id such as `timm/vgg16.tv_in1k`, a repository with the
    /// network's tensors in safetensors in torchvision's names.
    ///
    /// # Errors
    /// As [`Lpips::open`]; what the hub has to say against the id.
    pub fn from_pretrained(
        config: &LpipsConfig,
        path_or_id: &str,
        hub: &Hub,
        device: &Device,
    ) -> Result<Self> {
        let path = resolve(path_or_id, hub).map_err(refused(config.network))?;
        Self::open(config, path, device)
    }

    /// What was asked for.
    pub fn config(&self) -> &LpipsConfig {
        &self.config
    }

    /// LPIPS of each frame of `a` with the same frame of `b`. The order of the two does not matter.
    ///
    /// # Memory
    /// Both pictures of several frames go through the network at once, as many as hold 2^25 numbers (128 MiB in f32) in
    /// input and output of the widest layer, at least one; the convolution's own working memory comes on top. For frames of
    /// 64, 128 and 256 pixels square that is 628, 151 and 37 frames with `alex`, 32, 8 and 2 with `vgg`, 194, 45 and 11
    /// with `squeeze`. Nothing grows with the length of the video.
    ///
    /// # Errors
    /// Videos of different shapes; other than three channels; sides below [`Network::least_side`]; features that are not
    /// finite.
    pub fn frames(&self, a: &Video, b: &Video) -> Result<Vec<f64>> {
        Ok(self.layers(a, b)?.iter().map(|taps| taps.iter().sum()).collect())
    }

    /// What each tap contributes: for each frame one number a tap, which add up to [`Lpips::frames`].
    ///
    /// # Errors
    /// As [`Lpips::frames`].
    pub fn layers(&self, a: &Video, b: &Video) -> Result<Vec<Vec<f64>>> {
        self.in_passes(a, b, MOST)
    }

    /// Features of each frame at each tap: `(T, C, h, w)`. All frames at once, and all of it is kept.
    ///
    /// # Errors
    /// As [`Lpips::frames`], for one video.
    pub fn taps(&self, video: &Video) -> Result<Vec<Tensor>> {
        self.check(video)?;
        let mut taps = Vec::with_capacity(self.heads.len());
        self.backbone.visit(&self.images(&[video], 0, video.frames())?, |_, features| {
            taps.push(features.clone());
            Ok(())
        })?;
        Ok(taps)
    }

    fn in_passes(&self, a: &Video, b: &Video, most: usize) -> Result<Vec<Vec<f64>>> {
        if a.shape() != b.shape() {
            return Err(Error::Shapes { metric: "LPIPS", first: a.shape(), second: b.shape() });
        }
        self.check(a)?;
        let [frames, _, height, width] = a.shape();
        let pass = (most / (2 * widest(self.config.network, height, width))).max(1);
        let mut found = Vec::with_capacity(frames);
        for from in (0..frames).step_by(pass) {
            let to = frames.min(from + pass);
            let mut pairs = vec![Vec::with_capacity(self.heads.len()); to - from];
            self.backbone.visit(&self.images(&[a, b], from, to)?, |tap, features| {
                let (.., h, w) = features.dims4()?;
                let places = match self.config.spatial {
                    true => Places::resized([h, w], [height, width]),
                    false => Places::even(h, w),
                };
                let values = distances(features, &self.heads[tap], self.config.norm, &places)?;
                for ((frame, pair), value) in pairs.iter_mut().enumerate().zip(values) {
                    if !value.is_finite() {
                        let index = vec![from + frame, tap];
                        return Err(Error::NotFinite { what: "LPIPS", value, index });
                    }
                    pair.push(value);
                }
                Ok(())
            })?;
            found.append(&mut pairs);
        }
        Ok(found)
    }

    fn check(&self, video: &Video) -> Result<()> {
        let [_, channels, height, width] = video.shape();
        if channels != 3 {
            return Err(Error::Layout {
                found: format!("{channels} channels for LPIPS"),
                expected: "three, RGB; repeat the channel of a gray video three times".into(),
            });
        }
        let least = self.config.network.least_side();
        for (what, found) in [("height", height), ("width", width)] {
            if found < least {
                let mend = "resize both videos, or take another network: alex needs 31, squeeze 17, vgg 16";
                return Err(Error::TooSmall { metric: "LPIPS", what, found, least, mend });
            }
        }
        Ok(())
    }

    /// Frames `from..to` of each video in turn, normalised: `(videos x frames, 3, H, W)`.
    fn images(&self, videos: &[&Video], from: usize, to: usize) -> Result<Tensor> {
        match self.dtype {
            DType::F64 => self.normalised::<f64>(videos, from, to),
            _ => self.normalised::<f32>(videos, from, to),
        }
    }

    fn normalised<T: WithDType>(&self, videos: &[&Video], from: usize, to: usize) -> Result<Tensor> {
        let mut values = Vec::new();
        let mut shape = [0; 4];
        for video in videos {
            let [_, channels, height, width] = video.shape();
            shape = [videos.len() * (to - from), channels, height, width];
            let (plane, image) = (height * width, channels * height * width);
            let range = from * image..to * image;
            match &video.values {
                Values::U8(pixels) => normalise::<_, T>(&pixels[range], plane, &mut values),
                Values::F32(pixels) => normalise::<_, T>(&pixels[range], plane, &mut values),
            }
        }
        Ok(Tensor::from_vec(values, &shape, &self.device)?)
    }
}

/// Adds pixels of RGB pictures, plane by plane, on the classifier's scale.
fn normalise<L: Level, T: WithDType>(pixels: &[L], plane: usize, values: &mut Vec<T>) {
    for (at, plane) in pixels.chunks_exact(plane).enumerate() {
        let (mean, deviation) = (MEAN[at % 3], DEVIATION[at % 3]);
        values.extend(plane.iter().map(|pixel| T::from_f64((pixel.unit() - mean) / deviation)));
    }
}

fn read(network: Network, path: &Path, device: &Device) -> cola_weights::Result<Params> {
    let weights = Weights::open(path)?;
    let params = Params::seeded(0, DType::F32, device);
    let expected = network.tensors().into_iter().map(|(name, shape)| (name, Shape::from(shape))).collect();
    load(&weights, &params, &expected, &LoadOptions::new())?;
    Ok(params)
}

fn refused(network: Network) -> impl Fn(cola_weights::Error) -> Error {
    move |source| Error::Weights { network: network.title(), mend: network.mend(), source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(shape: [usize; 4], seed: usize) -> Video {
        let mut state = seed as u64;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        Video::from_u8(shape, (0..shape.iter().product()).map(next).collect()).expect("a video")
    }

    #[test]
    fn passes_of_any_length_find_the_same() {
        let params = Params::seeded(3, DType::F64, &Device::Cpu);
        let config = LpipsConfig { network: Network::Squeeze, ..LpipsConfig::default() };
        let lpips = Lpips::new(&config, params.frozen()).expect("a network");
        let (a, b) = (noise([5, 3, 20, 24], 1), noise([5, 3, 20, 24], 2));
        let whole = lpips.layers(&a, &b).expect("in one pass");
        let one = 2 * widest(Network::Squeeze, 20, 24);
        for most in [1, 2 * one, 3 * one] {
            let parts = lpips.in_passes(&a, &b, most).expect("in several");
            assert_eq!(parts.len(), 5);
            for (found, expected) in parts.iter().flatten().zip(whole.iter().flatten()) {
                assert!((found - expected).abs() <= 1e-13, "{found} {expected}");
            }
        }
        let last = lpips.layers(&a.narrow(4, 5).expect("a frame"), &b.narrow(4, 5).expect("a frame"));
        let last = last.expect("one frame");
        assert!(last[0].iter().zip(&whole[4]).all(|(a, b)| (a - b).abs() <= 1e-13));
    }

    #[test]
    fn frames_of_a_pass_are_as_documented() {
        let frames = |network, side| MOST / (2 * widest(network, side, side));
        assert_eq!([64, 128, 256].map(|side| frames(Network::Alex, side)), [628, 151, 37]);
        assert_eq!([64, 128, 256].map(|side| frames(Network::Vgg, side)), [32, 8, 2]);
        assert_eq!([64, 128, 256].map(|side| frames(Network::Squeeze, side)), [194, 45, 11]);
    }
}
