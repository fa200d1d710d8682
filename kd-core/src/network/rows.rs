//! Tensors with a row for each sample: dense representations, maps and outputs.

use std::fmt::Debug;

use burn::tensor::Tensor;

use crate::network::preprocessing::filled_block;

/// A tensor whose first axis is the batch, which can be kept row by row.
///
/// It is implemented for vectors `[batch_size, features]` and for maps `[batch_size, channels, height,
/// width]`.
pub trait Rows: Clone + Send + Debug + 'static {
    /// Whether a sample's part is a vector, in which matrix products mix the rows of a batch.
    const IS_VECTOR: bool;

    /// The shape of one sample's part, without the batch.
    fn sample_shape(&self) -> Vec<usize>;

    /// `[batch_size, numbers]`.
    fn into_rows(self) -> Tensor<2>;

    /// The opposite of [`Rows::into_rows`]; `shape` has as many axes as [`Rows::sample_shape`] gives.
    fn from_rows(rows: Tensor<2>, shape: &[usize]) -> Self;

    /// As a map: a vector is one of single pixels, `[batch_size, features, 1, 1]`.
    fn into_map(self) -> Tensor<4>;

    /// The first `count` samples.
    #[must_use]
    fn first(self, count: usize) -> Self;

    /// Several, one after the other.
    fn joined(parts: Vec<Self>) -> Self;

    /// The same on the autodiff form of its device, without a graph behind it.
    #[must_use]
    fn lifted(self) -> Self;
}

impl Rows for Tensor<2> {
    const IS_VECTOR: bool = true;

    fn sample_shape(&self) -> Vec<usize> {
        self.dims()[1..].to_vec()
    }

    fn into_rows(self) -> Tensor<2> {
        self
    }

    fn from_rows(rows: Tensor<2>, _shape: &[usize]) -> Self {
        rows
    }

    fn into_map(self) -> Tensor<4> {
        let [batch_size, features] = self.dims();
        self.reshape([batch_size, features, 1, 1])
    }

    fn first(self, count: usize) -> Self {
        self.narrow(0, 0, count)
    }

    fn joined(parts: Vec<Self>) -> Self {
        Self::cat(parts, 0)
    }

    fn lifted(self) -> Self {
        Self::from_inner(self)
    }
}

impl Rows for Tensor<4> {
    const IS_VECTOR: bool = false;

    fn sample_shape(&self) -> Vec<usize> {
        self.dims()[1..].to_vec()
    }

    fn into_rows(self) -> Tensor<2> {
        self.flatten(1, 3)
    }

    fn from_rows(rows: Tensor<2>, shape: &[usize]) -> Self {
        let [batch_size, _numbers] = rows.dims();
        let size = |axis: usize| shape.get(axis).copied().unwrap_or(1);
        rows.reshape([batch_size, size(0), size(1), size(2)])
    }

    fn into_map(self) -> Tensor<4> {
        self
    }

    fn first(self, count: usize) -> Self {
        self.narrow(0, 0, count)
    }

    fn joined(parts: Vec<Self>) -> Self {
        Self::cat(parts, 0)
    }

    fn lifted(self) -> Self {
        Self::from_inner(self)
    }
}

/// The samples of some maps from `first` on, `count` of them, filled up to `filled` with copies of the last
/// one.
///
/// A head reads the last map, most often no other: of a single sample the others are shown `filled` times and
/// not copied.
pub(crate) fn block_of_maps(
    maps: &[Tensor<4>],
    first: usize,
    count: usize,
    filled: usize,
) -> Vec<Tensor<4>> {
    let last = maps.len().saturating_sub(1);
    let block = |(stage, map): (usize, &Tensor<4>)| {
        if count == 1 && stage < last {
            let [_batch_size, channels, height, width] = map.dims();
            let sample = map.clone().narrow(0, first, 1);
            return sample.expand([filled, channels, height, width]);
        }
        filled_block(map, first, count, filled)
    };
    maps.iter().enumerate().map(block).collect()
}
