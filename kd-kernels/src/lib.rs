#![doc = include_str!("../README.md")]

mod batch_norm;
#[cfg(feature = "flex")]
mod buffer;
mod conv;
mod fold;
mod instructions;
mod layer;
mod norm_inputs;
#[cfg(feature = "flex")]
mod numbers;
mod pool;
#[cfg(feature = "flex")]
mod simd;

pub use batch_norm::batch_norm;
pub use conv::{conv2d, doubled_conv2d, folded_doubled_conv2d};
pub use fold::fold_batch_norm;
pub use instructions::instruction_set;
pub use layer::ConvLayer;
pub use norm_inputs::{NormInput, watch_norms};
pub use pool::max_pool2d;
