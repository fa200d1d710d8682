//! Numbers of tensors on the CPU, and what is done to a single one.

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

/// The elements of a contiguous tensor of 32-bit floats.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().unwrap_or_default()
}

/// So many zeros. Where there are many, all threads write them: memory that was used before is not clear, and
/// what is new is handed out page by page to whoever writes first.
pub(crate) fn zeros(count: usize) -> Vec<f32> {
    /// Those that are written at a time.
    const PART: usize = 1024;
    /// Below this one thread is as fast.
    const MANY: usize = 1 << 16;
    if count < MANY {
        return vec![0.0; count];
    }
    let parts: Vec<[f32; PART]> = (0..count.div_ceil(PART))
        .into_par_iter()
        .map(|_| [0.0; PART])
        .collect();
    let mut all = parts.into_flattened();
    all.truncate(count);
    all
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
