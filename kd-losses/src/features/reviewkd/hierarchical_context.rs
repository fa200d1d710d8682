//! The hierarchical context loss.

use crate::check;
use crate::error::Result;
use burn::tensor::Tensor;
use burn::tensor::module::adaptive_avg_pool2d;

/// Heights and widths that the maps are pooled to, each with half the weight of the one before.
const LEVELS: [usize; 3] = [4, 2, 1];

/// Mean square of the difference of two maps and of their averages over ever larger regions.
///
/// ```text
/// loss = ( m(d) + 1/2 m(pool4(d)) + 1/4 m(pool2(d)) + 1/8 m(pool1(d)) ) / (1 + 1/2 + 1/4 + 1/8)
///
/// d = student_features - teacher_features      m = the mean of the squares of all elements
/// pool4 = the adaptive average to 4 x 4 positions, or to a whole axis that is shorter
/// ```
///
/// A level that would leave the map as it is is left out, and the weights of the following ones move up: a
/// map of 4 x 4 has weights 1, 1/2 and 1/4, one of a single position only the first term.
///
/// # Shapes
///
/// - `student_features`, `teacher_features`: `[batch_size, channels, height, width]`
/// - result: `[1]`
///
/// The result has the unit of a squared feature and is never negative.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// An empty batch; unequal shapes; tensors of different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::hierarchical_context;
///
/// let device = Device::flex();
/// let student = Tensor::<4>::zeros([1, 2, 8, 8], &device);
/// let teacher = Tensor::<4>::ones([1, 2, 8, 8], &device) * 3.0;
/// // A shift is the same at every level.
/// let loss = hierarchical_context(student, teacher)?.into_scalar::<f32>();
/// assert!((loss - 9.0).abs() < 1e-5);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Chen et al., "Distilling Knowledge via Knowledge Review", CVPR 2021, arXiv 2104.09044; levels and weights
/// are those of the authors' code. It decides by the height alone which levels there are; here a shorter
/// width is left whole, too.
pub fn hierarchical_context(
    student_features: Tensor<4>,
    teacher_features: Tensor<4>,
) -> Result<Tensor<1>> {
    check::feature_pair("hierarchical_context", &student_features, &teacher_features)?;
    // Averages are linear: that of the difference is the difference of both.
    let difference = student_features - teacher_features.without_autodiff();
    let [_, _, height, width] = difference.dims();
    let mut loss = difference.clone().square().mean();
    let (mut weight, mut total) = (1.0, 1.0_f64);
    for level in LEVELS {
        let size = [level.min(height), level.min(width)];
        if size == [height, width] {
            continue;
        }
        weight /= 2.0;
        total += weight;
        let pooled = adaptive_avg_pool2d(difference.clone(), size);
        loss = loss + pooled.square().mean() * weight;
    }
    // Not divided: Burn rounds the slope of a division by a number to 32 bits.
    Ok(loss * total.recip())
}
