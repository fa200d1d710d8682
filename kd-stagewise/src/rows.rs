//! What is kept of a sample, as a row of numbers.

use std::fmt::Debug;

use burn::tensor::Tensor;

/// A tensor whose first axis is the batch, which can be kept row by row.
///
/// It is implemented for dense vectors `[batch_size, features]` and for maps `[batch_size, channels, height, width]`.
pub trait Rows: Clone + Send + Debug + 'static {
    /// The shape of one sample's part, without the batch.
    fn sample_shape(&self) -> Vec<usize>;

    /// `[batch_size, numbers]`.
    fn into_rows(self) -> Tensor<2>;

    /// The opposite of [`Rows::into_rows`]; `shape` has as many axes as [`Rows::sample_shape`] gives.
    fn from_rows(rows: Tensor<2>, shape: &[usize]) -> Self;

    /// The same on the autodiff form of its device, without a graph behind it.
    #[must_use]
    fn lifted(self) -> Self;
}

impl Rows for Tensor<2> {
    fn sample_shape(&self) -> Vec<usize> {
        self.dims()[1..].to_vec()
    }

    fn into_rows(self) -> Tensor<2> {
        self
    }

    fn from_rows(rows: Tensor<2>, _shape: &[usize]) -> Self {
        rows
    }

    fn lifted(self) -> Self {
        Self::from_inner(self)
    }
}

impl Rows for Tensor<4> {
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

    fn lifted(self) -> Self {
        Self::from_inner(self)
    }
}
