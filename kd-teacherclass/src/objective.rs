//! The loss of a student: how far its output is from its chunk of the teacher's dense representation.

use burn::tensor::Tensor;
use kd_core::{Error, Result};

/// The mean squared error of a student's output, over samples, units and, where each has a chunk, pixels;
/// `target` is a constant.
///
/// ```text
/// L_k = 1/(B m) * sum over samples i and units j of (S_k(x_i)_j - d_k(x_i)_j)^2
/// ```
///
/// This is Keras' `mse`, which the official code uses; whether the paper's equation also divides by the
/// length `m` of the chunk is unknown.
///
/// # Shapes
///
/// - `output`, `target`: `[batch_size, chunk_length]`, or `[batch_size, chunk_length, height, width]`
/// - result: one element
///
/// # Errors
///
/// [`Error::Shape`] if the two differ in shape.
pub fn chunk_mse<const D: usize>(output: Tensor<D>, target: Tensor<D>) -> Result<Tensor<1>> {
    if output.dims() != target.dims() {
        return Err(Error::Shape {
            what: "output of a student".into(),
            expected: format!("{:?}, as its chunk has", target.dims()),
            found: format!("{:?}", output.dims()),
            remedy: "build the student for as many classes as its chunk is long".into(),
        });
    }
    Ok((output - target.detach()).square().mean())
}
