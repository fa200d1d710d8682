//! Convolutions on the CPU, over long rows and by tiles.

#[cfg(feature = "flex")]
mod columns;
mod doubled;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "flex")]
mod geometry;
#[cfg(feature = "flex")]
mod job;
#[cfg(feature = "flex")]
mod kernels;
#[cfg(feature = "flex")]
mod planes;
#[cfg(feature = "flex")]
mod prepared;
#[cfg(feature = "flex")]
mod winograd;

pub use doubled::{doubled_conv2d, folded_doubled_conv2d};

use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;

/// `conv.forward(input)`, faster on the CPU.
///
/// ```text
/// y[o, i, j] = b[o] + sum(c, s, t) w[o, c, s, t] * x[c, stride i + s - padding, stride j + t - padding]
/// ```
///
/// On the CPU the lines of an image lie one behind the other with their padding, and each tap of the kernel
/// reads at a fixed distance from the position that it is for, in the widest vectors that the machine has;
/// gradients go the same way back. Where it is faster, a 3x3 convolution without stride is computed by tiles,
/// with four ninths of the multiplications. What an image gives does not depend on the batch that it is in,
/// nor do gradients on the number of threads. The result differs from Burn's by rounding. Other precisions
/// and everything on another backend *are* Burn's.
///
/// # Shapes
///
/// `input`: `[batch_size, channels, height, width]`; the result as the layer has it.
pub fn conv2d(conv: &Conv2d, input: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if let Some(job) = job_of(conv, &input) {
        let bias = conv.bias.as_ref().map(burn::module::Param::val);
        if let Some(output) = flex::conv(&input, conv.weight.val(), bias, job) {
            return output;
        }
    }
    conv.forward(input)
}

/// The layer with what is added to it and a ReLU in the same pass; nothing if there is a graph, or another
/// place than the CPU.
#[cfg(feature = "flex")]
pub(crate) fn finished(
    conv: &Conv2d,
    input: &Tensor<4>,
    addend: Option<&Tensor<4>>,
    relu: bool,
) -> Option<Tensor<4>> {
    let job = job_of(conv, input)?;
    let bias = conv.bias.as_ref().map(burn::module::Param::val);
    flex::finished(input, conv.weight.val(), bias, &job, addend, relu)
}

/// The layer over `input` with the instructions of this machine.
#[cfg(feature = "flex")]
fn job_of(conv: &Conv2d, input: &Tensor<4>) -> Option<job::Job> {
    Some(job::Job {
        geometry: flex::geometry_of(conv, input)?,
        places: planes::Places::Plain,
        path: crate::simd::Path::best(),
    })
}

#[cfg(all(test, feature = "flex"))]
mod reference;
#[cfg(all(test, feature = "flex"))]
mod tests;
