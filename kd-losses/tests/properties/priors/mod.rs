//! Regularisers and priors.

mod classifiers; // diversification of classifiers
mod diversity; // diversification of predictions
mod images; // total variation and the norm of images
mod increments; // the penalty on increments
mod mode_seeking; // images that part as their codes do
mod predictions; // confidence, entropy and activations
mod statistics; // statistics of batch norms

use burn::tensor::{DType, Device, Tensor, TensorData};
use kd_losses::{
    BnStatisticsLoss, BnStatisticsLossConfig, ClassifierDiversificationLoss,
    ClassifierDiversificationLossConfig, ClassifierOverlap, ImageL2Loss, ImageL2LossConfig,
    ImageSize, IncrementPenalty, IncrementPenaltyConfig, IncrementPenaltyState, IncrementReference,
    ModeSeekingForm, ModeSeekingLoss, ModeSeekingLossConfig, NormStatistics, StatisticsDistance,
    TotalVariationLoss, TotalVariationLossConfig, VariationForm,
};

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "found {found}, expected {expected}"
    );
}

fn one(value: f64) -> Tensor<1> {
    Tensor::from_data(
        TensorData::new(vec![value], [1]),
        (&Device::flex(), DType::F64),
    )
}

#[test]
fn public_types_are_send_and_sync() {
    fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    send_and_sync::<BnStatisticsLoss>();
    send_and_sync::<BnStatisticsLossConfig>();
    send_and_sync::<ClassifierDiversificationLoss>();
    send_and_sync::<ClassifierDiversificationLossConfig>();
    send_and_sync::<ClassifierOverlap>();
    send_and_sync::<ImageL2Loss>();
    send_and_sync::<ImageL2LossConfig>();
    send_and_sync::<ImageSize>();
    send_and_sync::<IncrementPenalty>();
    send_and_sync::<IncrementPenaltyConfig>();
    send_and_sync::<IncrementPenaltyState>();
    send_and_sync::<IncrementReference>();
    send_and_sync::<ModeSeekingForm>();
    send_and_sync::<ModeSeekingLoss>();
    send_and_sync::<ModeSeekingLossConfig>();
    send_and_sync::<NormStatistics>();
    send_and_sync::<StatisticsDistance>();
    send_and_sync::<TotalVariationLoss>();
    send_and_sync::<TotalVariationLossConfig>();
    send_and_sync::<VariationForm>();
}
