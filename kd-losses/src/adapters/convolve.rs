//! Convolutions with a 1x1 kernel, computed as products of matrices.

use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;

/// `conv.forward(features)`, `[batch_size, channels_out, height, width]`.
///
/// A kernel of one position that moves by one takes each position of the map by itself. As a product of
/// matrices it gives the same numbers, and Burn's CPU backend has the gradient several times as fast as that
/// of a convolution.
pub(crate) fn convolve(conv: &Conv2d, features: Tensor<4>) -> Tensor<4> {
    let bare = matches!(
        conv.padding,
        PaddingConfig2d::Valid | PaddingConfig2d::Explicit(0, 0, 0, 0)
    );
    if !bare || conv.kernel_size != [1, 1] || conv.stride != [1, 1] || conv.groups != 1 {
        return conv.forward(features);
    }
    let [batch_size, channels_in, height, width] = features.dims();
    let weight = conv.weight.val();
    let channels_out = weight.dims()[0];
    let weight = weight.reshape([1, channels_out, channels_in]);
    // [batch_size, channels_out, height * width]
    let mapped = weight.matmul(features.reshape([batch_size, channels_in, height * width]));
    let mapped = match &conv.bias {
        Some(bias) => mapped + bias.val().reshape([1, channels_out, 1]),
        None => mapped,
    };
    mapped.reshape([batch_size, channels_out, height, width])
}
