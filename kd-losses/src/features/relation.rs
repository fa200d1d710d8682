//! Parts of the losses that compare relations: unit vectors, distances between samples, a bound for float
//! types.

use crate::check;
use crate::error::Result;
use burn::tensor::{Bool, Tensor};

/// `epsilon` must be from 1e-15 to 1: its square must be representable.
pub(crate) fn epsilon(value: f64) -> Result<()> {
    let ok = (1e-15..=1.0).contains(&value);
    let advice = "1e-12 suits 32-bit floats, 1e-3 16-bit ones";
    check::constant("epsilon", value, ok, "from 1e-15 to 1", advice)
}

/// `x` over its l2 norm along `dim`.
///
/// A vector with a norm of at most `epsilon` becomes 0 and gets no gradient: the norm's own slope at 0 is 0 /
/// 0, and a quotient bounded by `epsilon` alone would have a slope of `1 / epsilon`.
pub(crate) fn unit<const D: usize>(x: Tensor<D>, dim: usize, epsilon: f64) -> Tensor<D> {
    let square = x.clone().square().sum_dim(dim);
    let zero = square.clone().lower_equal_elem(epsilon * epsilon);
    x * inverse_root(square, zero)
}

/// Rows over their lengths; those of 1e-12 and shorter become zeros without a gradient.
pub(crate) fn unit_rows(rows: Tensor<2>) -> Tensor<2> {
    unit(rows, 1, 1e-12)
}

/// `1 / sqrt(square)`, and 0 without a gradient where `zero` is true.
pub(crate) fn inverse_root<const D: usize>(square: Tensor<D>, zero: Tensor<D, Bool>) -> Tensor<D> {
    // Replaced before the root, since infinity times the 0 that comes from behind it is NaN.
    let square = square.mask_fill(zero.clone(), 1.0);
    square.sqrt().recip().mask_fill(zero, 0.0)
}

/// The dot products of all pairs of rows of `x [.., n, width]`: `[.., n, n]`.
pub(crate) fn gram<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone().matmul(x.transpose())
}

/// `[batch_size, channels, height, width]` as `[batch_size, channels, height * width]`.
pub(crate) fn flat_channels(map: Tensor<4>) -> Tensor<3> {
    let [batch_size, channels, height, width] = map.dims();
    map.reshape([batch_size, channels, height * width])
}

/// The smallest step of the float type around 1.
pub(crate) fn resolution<const D: usize>(x: &Tensor<D>) -> f64 {
    x.dtype().finfo().map_or(f64::EPSILON, |info| info.epsilon)
}

/// Pairs of samples by the dot products of their embeddings.
pub(crate) struct Pairs {
    /// Dot products of the centred embeddings, `[batch_size, batch_size]`.
    pub(crate) gram: Tensor<2>,
    /// Their diagonal, `[batch_size, 1]`.
    pub(crate) squares: Tensor<2>,
    /// Squared distances, `[batch_size, batch_size]`.
    pub(crate) squared_distances: Tensor<2>,
    /// The pairs that are one point as far as the float type can tell, each sample with itself among them.
    pub(crate) same: Tensor<2, Bool>,
}

impl Pairs {
    /// The pairs of `embedding [batch_size, features]`, without a tensor of
    /// `[batch_size, batch_size, features]`.
    pub(crate) fn new(embedding: Tensor<2>) -> Self {
        let [batch_size, _features] = embedding.dims();
        let resolution = resolution(&embedding);
        // Distances do not change by a shift, nor do gradients; without it a mean far from 0 would drown them
        // in rounding.
        let mean = embedding.clone().mean_dim(0).detach();
        let gram = gram(embedding - mean);
        let diagonal = Tensor::<2, Bool>::diag_mask([batch_size, batch_size], 0, &gram.device());
        // A diagonal mask is true off the diagonal.
        let squares = gram.clone().mask_fill(diagonal.clone(), 0.0).sum_dim(1);
        let sums = squares.clone() + squares.clone().transpose();
        let squared_distances = sums.clone() - gram.clone() * 2.0;
        let same = squared_distances
            .clone()
            .lower_equal(sums * (8.0 * resolution));
        let same = same.bool_or(diagonal.bool_not());
        Self {
            gram,
            squares,
            squared_distances,
            same,
        }
    }

    /// Distances; 0 without a gradient for a pair at the same point.
    pub(crate) fn distances(&self) -> Tensor<2> {
        let safe = self.squared_distances.clone();
        let root = safe.mask_fill(self.same.clone(), 1.0).sqrt();
        root.mask_fill(self.same.clone(), 0.0)
    }

    /// `1 / distance`; 0 without a gradient for a pair at the same point.
    pub(crate) fn inverse_distances(&self) -> Tensor<2> {
        inverse_root(self.squared_distances.clone(), self.same.clone())
    }
}

/// Huber's function with a threshold of 1: half the square up to 1, then the size less a half.
pub(crate) fn huber<const D: usize>(difference: Tensor<D>) -> Tensor<D> {
    let inner = difference.clone().clamp(-1.0, 1.0);
    inner.clone() * (difference - inner * 0.5)
}
