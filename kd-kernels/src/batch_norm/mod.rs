//! Batch norm in training, as one pass over the map forward and two backward on the CPU.

#[cfg(feature = "flex")]
pub(crate) mod flex;
#[cfg(feature = "flex")]
mod map;

use burn::nn::BatchNorm;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

/// `norm.forward(input)`, faster in training on the CPU.
///
/// ```text
/// y = gamma * (x - mean) / sqrt(variance + epsilon) + beta
/// ```
///
/// with the mean and the biased variance of the batch over all but the channel axis; the running statistics
/// move towards them as in Burn. Burn's own operation makes about ten passes over the map forward and fifteen
/// backward, and most of the time of a small ResNet's training step on a CPU goes there. This one computes
/// the same: sums are taken in 64 bits, in an order that does not depend on the number of threads. In
/// inference, frozen, in another precision than 32 bits, and on any other backend it *is* Burn's.
///
/// [`watch_norms`](crate::watch_norms) sees what goes in.
///
/// # Shapes
///
/// `input` and the result: `[batch_size, channels, height, width]`.
///
/// # References
///
/// Ioffe, Szegedy, "Batch Normalization", ICML 2015, arXiv:1502.03167, algorithm 1 and the gradients of
/// section 3.
pub fn batch_norm(norm: &BatchNorm, input: Tensor<4>) -> Tensor<4> {
    finished(norm, input, None, false)
}

/// `relu(batch_norm(input) + addend)`, as far as they are asked for.
pub(crate) fn finished(
    norm: &BatchNorm,
    input: Tensor<4>,
    addend: Option<Tensor<4>>,
    has_relu: bool,
) -> Tensor<4> {
    crate::norm_inputs::note(norm, &input);
    #[cfg(feature = "flex")]
    if let Some(output) = flex::train(norm, &input, addend.as_ref(), has_relu) {
        return output;
    }
    let output = norm.forward(input);
    let output = match addend {
        Some(addend) => output + addend,
        None => output,
    };
    if has_relu { relu(output) } else { output }
}
