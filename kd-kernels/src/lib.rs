#![doc = include_str!("../README.md")]

mod batch_norm;
mod conv;
mod fold;
mod norm_inputs;

pub use batch_norm::batch_norm;
pub use conv::{conv2d, doubled_conv2d, folded_doubled_conv2d};
pub use fold::fold_batch_norm;
pub use norm_inputs::{NormInput, watch_norms};
