//! A convolution with a batch norm: the block that most adapters are made of.

use crate::adapters::convolve::convolve;
use crate::seeded::{Kernel, Layers};
use burn::module::{Module, Param};
use burn::nn::BatchNorm;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;

/// A convolution, and a batch norm behind it where there is one.
///
/// On the autodiff device the batch norm divides by the statistics of the batch and updates its running ones;
/// elsewhere it uses the running ones.
#[derive(Module, Debug)]
pub(crate) struct ConvNorm {
    conv: Conv2d,
    norm: Option<BatchNorm>,
}

impl ConvNorm {
    /// With a batch norm.
    pub(crate) fn normed(
        layers: &mut Layers<'_>,
        channels_in: usize,
        channels_out: usize,
        kernel: Kernel,
    ) -> Self {
        Self {
            conv: layers.conv(channels_in, channels_out, kernel),
            norm: Some(layers.batch_norm(channels_out)),
        }
    }

    /// The convolution alone.
    pub(crate) fn plain(
        layers: &mut Layers<'_>,
        channels_in: usize,
        channels_out: usize,
        kernel: Kernel,
    ) -> Self {
        Self {
            conv: layers.conv(channels_in, channels_out, kernel),
            norm: None,
        }
    }

    pub(crate) fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        normalise(self.norm.as_ref(), convolve(&self.conv, features))
    }

    pub(crate) fn extra_parameters(&self) -> usize {
        self.conv.num_params() + norm_parameters(self.norm.as_ref())
    }
}

/// The batch norm, if there is one.
pub(crate) fn normalise(norm: Option<&BatchNorm>, features: Tensor<4>) -> Tensor<4> {
    match norm {
        Some(norm) => norm.forward(features),
        None => features,
    }
}

/// Scale and shift: running statistics are state, although `num_params` counts them.
pub(crate) fn norm_parameters(norm: Option<&BatchNorm>) -> usize {
    let count = |param: &Param<Tensor<1>>| param.lazy_shape().num_elements();
    norm.map_or(0, |norm| count(&norm.gamma) + count(&norm.beta))
}
