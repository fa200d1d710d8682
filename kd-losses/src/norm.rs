//! Norms whose value and gradient are finite at 0.

use crate::check;
use crate::error::Result;
use burn::tensor::Tensor;

/// `max(sqrt(square), epsilon)`, bounded before the root: the root's slope at 0 is infinite, and infinity
/// times the 0 that comes from a bound behind it is NaN.
pub(crate) fn bounded_root<const D: usize>(square: Tensor<D>, epsilon: f64) -> Tensor<D> {
    square.clamp_min(epsilon * epsilon).sqrt()
}

pub(crate) fn check_epsilon(value: f64) -> Result<()> {
    let ok = (1e-15..=1.0).contains(&value);
    let advice = "1e-6 suits 32-bit floats, 1e-3 16-bit ones";
    check::constant("epsilon", value, ok, "from 1e-15 to 1", advice)
}
