//! The three networks that LPIPS is published for.

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::backbone::steps::{Step, steps};

/// What to do about absent or foreign backbone weights.
macro_rules! mend {
    ($published:literal, $converted:literal) => {
        concat!(
            "LPIPS takes torchvision's ",
            $published,
            ", published at https://download.pytorch.org/models/",
            $published,
            ", as safetensors only (a pickle is refused); convert it once: python -c \"import torch; from \
             safetensors.torch import save_file; w = torch.load('",
            $published,
            "', map_location='cpu', weights_only=True); save_file({k: v.contiguous() for k, v in w.items()}, '",
            $converted,
            "')\""
        )
    };
}

/// An ImageNet classifier whose features LPIPS compares; values of different networks cannot be compared.
///
/// ```
/// use cola_metrics::Network;
///
/// let tensors = Network::Alex.tensors(); // torchvision's names; the classifier is not needed
/// assert_eq!(tensors[0], ("features.0.weight".into(), vec![64, 3, 11, 11]));
/// assert_eq!(Network::Vgg.channels(), [64, 128, 256, 512, 512]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// AlexNet, torchvision's one-tower form: five taps. What most papers report.
    #[default]
    Alex,
    /// VGG16 without batch norm: five taps.
    Vgg,
    /// SqueezeNet 1.1: seven taps.
    Squeeze,
}

impl Network {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Alex, Self::Vgg, Self::Squeeze];

    /// `alex`, `vgg`, `squeeze`: the name in the published files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alex => "alex",
            Self::Vgg => "vgg",
            Self::Squeeze => "squeeze",
        }
    }

    /// The smallest height and width in pixels; below, a pool or convolution has nothing to look at.
    pub fn least_side(self) -> usize {
        match self {
            Self::Alex => 31,
            Self::Vgg => 16,
            Self::Squeeze => 17,
        }
    }

    /// Channels of each tap.
    pub fn channels(self) -> &'static [usize] {
        match self {
            Self::Alex => &[64, 192, 384, 256, 256],
            Self::Vgg => &[64, 128, 256, 512, 512],
            Self::Squeeze => &[64, 128, 256, 384, 384, 512, 512],
        }
    }

    /// Names and shapes of the tensors that the network needs, in torchvision's names, weight before bias, in the order of
    /// the layers.
    pub fn tensors(self) -> Vec<(String, Vec<usize>)> {
        let convolutions = steps(self).into_iter().flat_map(|step| match step {
            Step::Conv(conv) => vec![conv],
            Step::Fire(fire) => fire.convolutions().to_vec(),
            Step::Pool { .. } | Step::Tap => Vec::new(),
        });
        convolutions
            .flat_map(|conv| {
                let weight = vec![conv.to, conv.from, conv.kernel, conv.kernel];
                [(format!("{}.weight", conv.name), weight), (format!("{}.bias", conv.name), vec![conv.to])]
            })
            .collect()
    }

    /// The published linear heads, version 0.1, which this crate ships: for each tap a weight for each channel, none
    /// below zero (Zhang et al. 2018, PerceptualSimilarity `lpips/weights/v0.1`).
    ///
    /// # Errors
    /// None that a program could cause: the compiled-in file is read.
    pub fn heads(self) -> Result<Vec<Vec<f32>>> {
        let bytes: &[u8] = match self {
            Self::Alex => include_bytes!("../weights/lpips_lin_v0.1_alex.safetensors"),
            Self::Vgg => include_bytes!("../weights/lpips_lin_v0.1_vgg.safetensors"),
            Self::Squeeze => include_bytes!("../weights/lpips_lin_v0.1_squeeze.safetensors"),
        };
        let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?;
        let head = |(tap, channels): (usize, &usize)| -> Result<Vec<f32>> {
            let name = format!("lin{tap}.model.1.weight");
            match tensors.get(&name) {
                Some(head) => Ok(head.reshape(*channels)?.to_vec1()?),
                None => Err(candle_core::Error::CannotFindTensor { path: name }.into()),
            }
        };
        self.channels().iter().enumerate().map(head).collect()
    }

    /// For messages about its weights.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Alex => "LPIPS on AlexNet",
            Self::Vgg => "LPIPS on VGG16",
            Self::Squeeze => "LPIPS on SqueezeNet 1.1",
        }
    }

    /// Which file has its weights, where it is published, how to convert it.
    pub(crate) fn mend(self) -> &'static str {
        match self {
            Self::Alex => mend!("alexnet-owt-7be5be79.pth", "alexnet.safetensors"),
            Self::Vgg => mend!("vgg16-397923af.pth", "vgg16.safetensors"),
            Self::Squeeze => mend!("squeezenet1_1-b8a52dc0.pth", "squeezenet1_1.safetensors"),
        }
    }
}
