//! Noise, each number of which is a function of where it is used.

use burn::tensor::{Device, Tensor, TensorData};
use kd_core::Draws;

/// Standard normal noise `[count, length]`: row `i` is a function of `(seed, purpose, a, first + i)`,
/// whatever stands beside it.
pub(crate) fn noise(
    (seed, purpose, a): (u64, &str, u64),
    first: u64,
    [count, length]: [usize; 2],
    device: &Device,
) -> Tensor<2> {
    #[expect(clippy::cast_possible_truncation, reason = "noise is used in 32 bits")]
    let row = |row: u64| {
        let mut draws = Draws::new(seed, purpose, a, first + row);
        (0..length).map(move |_| draws.normal() as f32)
    };
    let values: Vec<f32> = (0..count as u64).flat_map(row).collect();
    Tensor::from_data(TensorData::new(values, [count, length]), device)
}
