//! Folding a batch norm into the convolution before it.
//!
//! At inference a batch norm is a scale and a shift for each channel, which the weights and the bias of the
//! convolution can take on.

use burn::module::{Module, Param, ParamId};
use burn::nn::BatchNorm;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;

/// The convolution that computes at once what `conv` and then `norm` compute at inference.
///
/// ```text
/// scale  = gamma / sqrt(running_var + epsilon)      one for each output channel
/// weight = conv.weight * scale
/// bias   = (conv.bias - running_mean) * scale + beta
/// ```
///
/// A convolution without bias gains one; groups, stride, padding and dilation stay. The statistics are those
/// after the last forward pass, with the update that Burn holds back. The result lies on the plain form of
/// the device, shares nothing with the layers it was made from, and equals them to rounding.
///
/// # Panics
///
/// If `norm` does not have one feature for each output channel of `conv`.
///
/// # Examples
///
/// ```
/// use burn::nn::{BatchNormConfig, conv::Conv2dConfig};
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let conv = Conv2dConfig::new([3, 8], [3, 3]).init(&device);
/// let norm = BatchNormConfig::new(8).init(&device);
/// let folded = kd_kernels::fold_batch_norm(&conv, &norm);
/// let images = Tensor::ones([2, 3, 5, 5], &device);
/// let (one, two) = (folded.forward(images.clone()), norm.forward(conv.forward(images)));
/// assert!((one - two).abs().max().into_scalar::<f32>() < 1e-5);
/// ```
pub fn fold_batch_norm(conv: &Conv2d, norm: &BatchNorm) -> Conv2d {
    // `valid` applies the update of the running statistics that Burn holds back, and detaches.
    let (mut folded, norm) = (conv.valid(), norm.valid());
    let spread = norm.running_var.value().add_scalar(norm.epsilon).sqrt();
    let scale = norm.gamma.val().div(spread);
    let shift = norm.beta.val() - norm.running_mean.value() * scale.clone();
    let [channels, ..] = folded.weight.dims();
    let weight = folded.weight.val() * scale.clone().reshape([channels, 1, 1, 1]);
    let bias = match &folded.bias {
        Some(bias) => bias.val() * scale + shift,
        None => shift,
    };
    folded.weight = constant(weight);
    folded.bias = Some(constant(bias));
    folded
}

/// A parameter that asks for no gradient, not even if its module is put on an autodiff device.
fn constant<const D: usize>(value: Tensor<D>) -> Param<Tensor<D>> {
    Param::initialized(ParamId::new(), value)
}
