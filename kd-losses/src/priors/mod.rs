//! Regularisers, and priors on synthetic images and on predictions.

use crate::catalogue::LossInfo;

mod classifier_diversification;
mod increment_penalty;
mod norm;

pub use classifier_diversification::{
    ClassifierDiversificationLoss, ClassifierDiversificationLossConfig, ClassifierOverlap,
    classifier_diversification,
};
pub use increment_penalty::{
    IncrementPenalty, IncrementPenaltyConfig, IncrementPenaltyState, IncrementReference,
    increment_penalty,
};

pub(crate) const CATALOGUE: &[&LossInfo] =
    &[&classifier_diversification::INFO, &increment_penalty::INFO];
