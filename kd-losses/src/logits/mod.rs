//! Losses of logits.

use crate::catalogue::LossInfo;

mod cross_entropy;
mod decoupled_kd;
mod logit_regression;
mod parts;
mod soft_target;

pub use cross_entropy::{CrossEntropyLoss, CrossEntropyLossConfig, cross_entropy};
pub use decoupled_kd::{DecoupledKdLoss, DecoupledKdLossConfig, decoupled_kd};
pub use logit_regression::logit_regression;
pub use soft_target::{SoftTargetLoss, SoftTargetLossConfig, soft_target};

pub(crate) const CATALOGUE: &[&LossInfo] = &[
    &cross_entropy::INFO,
    &soft_target::INFO,
    &logit_regression::INFO,
    &decoupled_kd::INFO,
];
