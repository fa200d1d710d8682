//! Regularisers, and priors on synthetic images and on predictions.

use crate::catalogue::LossInfo;

mod activation_norm;
mod batch_entropy;
mod bn_statistics;
mod classifier_diversification;
mod image_l2;
mod increment_penalty;
mod mode_seeking;
mod one_hot_confidence;
mod prediction_diversification;
mod total_variation;

pub use activation_norm::activation_norm;
pub use batch_entropy::batch_entropy;
pub use bn_statistics::{
    BnStatisticsLoss, BnStatisticsLossConfig, NormStatistics, StatisticsDistance, bn_statistics,
};
pub use classifier_diversification::{
    ClassifierDiversificationLoss, ClassifierDiversificationLossConfig, ClassifierOverlap,
    classifier_diversification,
};
pub use image_l2::{ImageL2Loss, ImageL2LossConfig, ImageSize, image_l2};
pub use increment_penalty::{
    IncrementPenalty, IncrementPenaltyConfig, IncrementPenaltyState, IncrementReference,
    increment_penalty,
};
pub use mode_seeking::{ModeSeekingForm, ModeSeekingLoss, ModeSeekingLossConfig, mode_seeking};
pub use one_hot_confidence::one_hot_confidence;
pub use prediction_diversification::{
    PredictionDiversificationLoss, PredictionDiversificationLossConfig, prediction_diversification,
};
pub use total_variation::{
    TotalVariationLoss, TotalVariationLossConfig, VariationForm, total_variation,
};

pub(crate) const CATALOGUE: &[&LossInfo] = &[
    &one_hot_confidence::INFO,
    &batch_entropy::INFO,
    &activation_norm::INFO,
    &mode_seeking::INFO,
    &bn_statistics::INFO,
    &total_variation::INFO,
    &image_l2::INFO,
    &increment_penalty::INFO,
    &classifier_diversification::INFO,
    &prediction_diversification::INFO,
];
