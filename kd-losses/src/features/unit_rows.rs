//! Rows of length 1.

use burn::tensor::Tensor;

/// Rows of this length and shorter count as zeros; its square is representable in 32-bit floats.
const SMALLEST: f64 = 1e-12;

/// Each row divided by its length, `[batch_size, features]`; a row of zeros stays one and has a gradient of 0.
///
/// A bound on the length would be finite there, too, but with a gradient of `1 / SMALLEST`, which ends a training.
pub(crate) fn unit_rows(rows: Tensor<2>) -> Tensor<2> {
    let square = rows.clone().square().sum_dim(1); // [batch_size, 1]
    let none = square.clone().lower_equal_elem(SMALLEST * SMALLEST);
    // Filled before the root, whose slope at 0 is infinite, and then again.
    let length = square.mask_fill(none.clone(), 1.0).sqrt();
    rows * length.recip().mask_fill(none, 0.0)
}
