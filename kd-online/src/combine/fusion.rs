//! The fusion of the peers' last maps into one vector.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_kernels::{batch_norm, conv2d};

use crate::kinds::FusionConv;

/// The fusion of the last maps of all peers.
///
/// ```text
/// u = mean over pixels of  ReLU(BN(conv(F_1, ..., F_m)))      conv: 1x1, m C -> C, without bias
/// ```
///
/// Depthwise separable, a 3x3 convolution of each of the `m C` channels with its norm and ReLU comes first,
/// as in FFSD's code. Layers and widths are inferred: of the paper it is known that the last maps of several
/// students go in.
#[derive(Module, Debug)]
pub struct FeatureFusion {
    depthwise: Option<Conv2d>,
    depthwise_norm: Option<BatchNorm>,
    conv: Conv2d,
    norm: BatchNorm,
}

impl FeatureFusion {
    /// A fusion of the maps of `peers` peers with `channels` channels each; its weights are to be drawn.
    pub(crate) fn blank(kind: FusionConv, peers: usize, channels: usize, device: &Device) -> Self {
        let wide = peers * channels;
        let first = (kind == FusionConv::DepthwiseSeparable).then(|| {
            Conv2dConfig::new([wide, wide], [3, 3])
                .with_groups(wide)
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_bias(false)
                .init(device)
        });
        Self {
            depthwise_norm: first
                .as_ref()
                .map(|_| BatchNormConfig::new(wide).init(device)),
            depthwise: first,
            conv: Conv2dConfig::new([wide, channels], [1, 1])
                .with_bias(false)
                .init(device),
            norm: BatchNormConfig::new(channels).init(device),
        }
    }

    /// Fuses maps.
    ///
    /// # Shapes
    ///
    /// - `maps`: one for each peer, `[batch_size, channels, height, width]`
    /// - result: `[batch_size, channels]`
    pub fn forward(&self, maps: Vec<Tensor<4>>) -> Tensor<2> {
        let mut map = Tensor::cat(maps, 1); // [batch_size, peers * channels, height, width]
        if let (Some(conv), Some(norm)) = (&self.depthwise, &self.depthwise_norm) {
            map = relu(batch_norm(norm, conv2d(conv, map)));
        }
        pooled(relu(batch_norm(&self.norm, conv2d(&self.conv, map))))
    }

    /// Multiply-accumulates for maps of so many pixels.
    pub(crate) fn macs(&self, pixels: usize) -> u64 {
        let weights = |conv: &Conv2d| conv.weight.lazy_shape().num_elements();
        let first = self.depthwise.as_ref().map_or(0, weights);
        ((first + weights(&self.conv)) * pixels) as u64
    }
}

/// The mean over the pixels of a map: `[batch_size, channels]`.
pub(crate) fn pooled(map: Tensor<4>) -> Tensor<2> {
    map.mean_dim(3).mean_dim(2).flatten(1, 3)
}
