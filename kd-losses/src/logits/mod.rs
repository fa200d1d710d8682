//! Losses of logits.

use crate::catalogue::LossInfo;

mod adversarial_kl;
mod alignment;
mod belief_matching;
mod cross_entropy;
mod decoupled_kd;
mod dist;
mod jensen_shannon;
mod logit_l1;
mod logit_regression;
mod logit_standardisation;
mod multi_level;
mod normalised_kd;
pub(crate) mod parts;
mod reverse_kl;
mod soft_cross_entropy;
mod soft_target;
mod virtual_teacher;
mod weighted_soft_label;

pub use adversarial_kl::{AdversarialKlLoss, AdversarialKlLossConfig, adversarial_kl};
pub use alignment::{batch_alignment, class_alignment, instance_alignment};
pub use belief_matching::{BeliefMatchingLoss, BeliefMatchingLossConfig, belief_matching};
pub use cross_entropy::{
    CrossEntropyLoss, CrossEntropyLossConfig, cross_entropy, weighted_cross_entropy,
};
pub use decoupled_kd::{DecoupledKdLoss, DecoupledKdLossConfig, decoupled_kd};
pub use dist::{DistLoss, DistLossConfig, dist};
pub use jensen_shannon::{JensenShannonLoss, JensenShannonLossConfig, jensen_shannon};
pub use logit_l1::logit_l1;
pub use logit_regression::logit_regression;
pub use logit_standardisation::{
    LogitStandardisationLoss, LogitStandardisationLossConfig, logit_standardisation, standardised,
};
pub use multi_level::{MultiLevelLoss, MultiLevelLossConfig, multi_level};
pub use normalised_kd::{NormalisedKdLoss, NormalisedKdLossConfig, normalised_kd};
pub use reverse_kl::{ReverseKlLoss, ReverseKlLossConfig, reverse_kl};
pub use soft_cross_entropy::{
    SoftCrossEntropyLoss, SoftCrossEntropyLossConfig, soft_cross_entropy,
};
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
    &reverse_kl::INFO,
    &jensen_shannon::INFO,
    &soft_cross_entropy::INFO,
    &adversarial_kl::INFO,
    &belief_matching::INFO,
    &logit_l1::INFO,
];
