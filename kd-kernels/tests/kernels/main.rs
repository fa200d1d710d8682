//! The kernels against Burn's own operations.
#![cfg(feature = "flex")]
#![expect(clippy::unwrap_used, reason = "tests")]

/// Training: values, gradients, running statistics.
mod batch_norm;
/// Inference: a norm as part of the convolution before it.
mod fold;
/// A convolution with norm, shortcut and ReLU.
mod layer;
/// Maximum pooling.
mod pool;
