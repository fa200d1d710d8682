//! Numbers of tensors on the CPU, and what is done to a single one.

use burn::backend::flex::FlexTensor;

/// The elements of a contiguous tensor of 32-bit floats.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().unwrap_or_default()
}

/// The number, or 0 if it is negative; no number stays none.
#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled for each instruction set")]
pub(crate) fn positive(value: f32) -> f32 {
    if value <= 0.0 { 0.0 } else { value }
}

/// The nearest 32-bit float.
#[expect(
    clippy::cast_possible_truncation,
    reason = "maps and weights are kept in 32 bits"
)]
pub(crate) fn narrow(value: f64) -> f32 {
    value as f32
}
