//! A convolution with what stands behind it: batch norm, a shortcut that is added, ReLU.

use burn::nn::BatchNorm;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use crate::{batch_norm, conv2d};

/// A convolution, and what is done to its output in the same pass.
///
/// ```text
/// output = relu(norm(conv(input)) + shortcut)        each of norm, shortcut and relu where it is asked for
/// ```
///
/// Values and gradients are those of the layers one after the other, to rounding. At inference, once the norm
/// is folded ([`fold_batch_norm`](crate::fold_batch_norm)), the whole is one pass on the CPU; in training
/// norm, shortcut and ReLU are one pass behind the convolution, and two backward. Elsewhere it is Burn's
/// operations.
///
/// # Examples
///
/// ```
/// use burn::nn::{BatchNormConfig, PaddingConfig2d, conv::Conv2dConfig};
/// use burn::tensor::{Device, Tensor, activation::relu};
/// use kd_kernels::ConvLayer;
///
/// let device = Device::flex();
/// let padding = PaddingConfig2d::Explicit(1, 1, 1, 1);
/// let conv = Conv2dConfig::new([3, 3], [3, 3]).with_padding(padding).init(&device);
/// let norm = BatchNormConfig::new(3).init(&device);
/// let input = Tensor::ones([2, 3, 5, 5], &device);
/// let block = ConvLayer::new(&conv).norm(Some(&norm)).plus(input.clone()).relu();
/// let plain = relu(norm.forward(conv.forward(input.clone())) + input.clone());
/// assert!((block.forward(input) - plain).abs().max().into_scalar::<f32>() < 1e-5);
/// ```
#[derive(Debug)]
#[must_use = "a layer does nothing until it is run"]
pub struct ConvLayer<'a> {
    conv: &'a Conv2d,
    norm: Option<&'a BatchNorm>,
    shortcut: Option<Tensor<4>>,
    relu: bool,
}

impl<'a> ConvLayer<'a> {
    /// The convolution alone.
    pub fn new(conv: &'a Conv2d) -> Self {
        Self {
            conv,
            norm: None,
            shortcut: None,
            relu: false,
        }
    }

    /// With a batch norm behind the convolution, if there is one.
    pub fn norm(self, norm: Option<&'a BatchNorm>) -> Self {
        Self { norm, ..self }
    }

    /// With a map of the output's shape added, `[batch_size, channels_out, height_out, width_out]`.
    pub fn plus(self, shortcut: Tensor<4>) -> Self {
        let shortcut = Some(shortcut);
        Self { shortcut, ..self }
    }

    /// With a ReLU at the end.
    pub fn relu(self) -> Self {
        Self { relu: true, ..self }
    }

    /// Runs the layer on `input`, `[batch_size, channels_in, height, width]`.
    pub fn forward(self, input: Tensor<4>) -> Tensor<4> {
        let Self {
            conv,
            norm,
            shortcut,
            relu: has_relu,
        } = self;
        if let Some(norm) = norm {
            return batch_norm::finished(norm, conv2d(conv, input), shortcut, has_relu);
        }
        #[cfg(feature = "flex")]
        if let Some(output) = crate::conv::finished(conv, &input, shortcut.as_ref(), has_relu) {
            return output;
        }
        let map = conv2d(conv, input);
        let map = match shortcut {
            Some(shortcut) => map + shortcut,
            None => map,
        };
        if has_relu { relu(map) } else { map }
    }
}
