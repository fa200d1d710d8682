//! Losses of logits.

use crate::catalogue::LossInfo;

mod cross_entropy;
mod decoupled_kd;
mod dist;
mod logit_regression;
mod normalised_kd;
mod parts;
mod soft_target;
mod weighted_soft_label;

pub use cross_entropy::{CrossEntropyLoss, CrossEntropyLossConfig, cross_entropy};
pub use decoupled_kd::{DecoupledKdLoss, DecoupledKdLossConfig, decoupled_kd};
pub use dist::{DistLoss, DistLossConfig, dist};
pub use logit_regression::logit_regression;
pub use normalised_kd::{NormalisedKdLoss, NormalisedKdLossConfig, normalised_kd};
pub use soft_target::{SoftTargetLoss, SoftTargetLossConfig, soft_target};
pub use weighted_soft_label::{
    WeightedSoftLabelLoss, WeightedSoftLabelLossConfig, weighted_soft_label,
};

pub(crate) const CATALOGUE: &[&LossInfo] = &[
    &cross_entropy::INFO,
    &soft_target::INFO,
    &logit_regression::INFO,
    &decoupled_kd::INFO,
    &dist::INFO,
    &normalised_kd::INFO,
    &weighted_soft_label::INFO,
];
