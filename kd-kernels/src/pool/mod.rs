//! Maximum pooling, as one pass over the lines of a map.

#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "flex")]
mod window;

use burn::nn::pool::MaxPool2d;
use burn::tensor::Tensor;

/// `pool.forward(input)`, faster on the CPU.
///
/// ```text
/// y[i, j] = max(s, t) x[stride i + s - padding, stride j + t - padding]      over the pixels that there are
/// ```
///
/// The gradient of a result goes to the first pixel of its window, line by line, that has its value, as in
/// Burn and in PyTorch. A pixel that is no number makes the windows that it is in none, as in PyTorch. With
/// dilation or `ceil_mode`, in another precision than 32 bits, and on any other backend it *is* Burn's.
///
/// # Shapes
///
/// `input`: `[batch_size, channels, height, width]`; the result as the layer has it.
///
/// # Examples
///
/// ```
/// use burn::nn::pool::MaxPool2dConfig;
/// use burn::tensor::{Device, Tensor};
///
/// let pool = MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init();
/// let map = Tensor::<4>::from_floats([[[[1.0, 3.0], [2.0, 0.0]]]], &Device::flex());
/// assert_eq!(kd_kernels::max_pool2d(&pool, map).into_scalar::<f32>(), 3.0);
/// ```
pub fn max_pool2d(pool: &MaxPool2d, input: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if let Some(output) = flex::max_pool(pool, &input) {
        return output;
    }
    pool.forward(input)
}
