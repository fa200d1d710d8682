//! Losses of logits.

use crate::catalogue::LossInfo;

mod cross_entropy;
mod decoupled_kd;
mod dist;
mod logit_regression;
mod logit_standardisation;
mod multi_level;
mod normalised_kd;
mod parts;
mod soft_target;
mod virtual_teacher;
mod weighted_soft_label;

pub use cross_entropy::{CrossEntropyLoss, CrossEntropyLossConfig, cross_entropy};
pub use decoupled_kd::{DecoupledKdLoss, DecoupledKdLossConfig, decoupled_kd};
pub use dist::{DistLoss, DistLossConfig, dist};
pub use logit_regression::logit_regression;
pub use logit_standardisation::{
    LogitStandardisationLoss, LogitStandardisationLossConfig, logit_standardisation, standardised,
};
pub use multi_level::{
    MultiLevelLoss, MultiLevelLossConfig, batch_alignment, class_alignment, instance_alignment,
    multi_level,
};
pub use normalised_kd::{NormalisedKdLoss, NormalisedKdLossConfig, normalised_kd};
pub use soft_target::{SoftTargetLoss, SoftTargetLossConfig, soft_target};
pub use virtual_teacher::{
    VirtualTeacherLoss, VirtualTeacherLossConfig, VirtualTeacherSoftening, virtual_teacher,
};
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
    &logit_standardisation::INFO,
    &multi_level::INFO,
    &virtual_teacher::INFO,
];
