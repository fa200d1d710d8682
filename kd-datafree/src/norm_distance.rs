//! The distance of a batch of images from the running statistics of the teacher's batch norms.

use burn::tensor::Tensor;
use kd_core::{Error, Result};
use kd_losses::{BnStatisticsLossConfig, NormStatistics};

use crate::teacher::TeacherBatch;

/// Mean and variance of the input of a batch norm.
pub(crate) type Moments = [Tensor<1>; 2];

fn wrong(error: kd_losses::Error) -> Error {
    Error::method("the statistics of the teacher's batch norms", error)
}

/// [`bn_statistics`](kd_losses::bn_statistics) of a batch.
pub(crate) fn norm_distance(inspected: &TeacherBatch) -> Result<Tensor<1>> {
    distance(statistics(inspected)?)
}

/// The same where the batch's statistics are mixed with an average of those of earlier batches, of which
/// there is a share of `share`; and the batch's own statistics as constants.
pub(crate) fn averaged_norm_distance(
    inspected: &TeacherBatch,
    average: &[Moments],
    share: f64,
) -> Result<(Tensor<1>, Vec<Moments>)> {
    let mut layers = statistics(inspected)?;
    let own = layers.iter().map(|layer| {
        [&layer.mean, &layer.variance].map(|values| values.clone().without_autodiff())
    });
    let own = own.collect();
    for (layer, [mean, variance]) in layers.iter_mut().zip(average) {
        let mixed = |own: &Tensor<1>, old: &Tensor<1>| {
            let old = Tensor::from_inner(old.clone()).mul_scalar(share);
            own.clone().mul_scalar(1.0 - share) + old
        };
        layer.mean = mixed(&layer.mean, mean);
        layer.variance = mixed(&layer.variance, variance);
    }
    Ok((distance(layers)?, own))
}

fn statistics(inspected: &TeacherBatch) -> Result<Vec<NormStatistics>> {
    let norms = inspected.norms.iter().cloned();
    let layers =
        norms.map(|norm| NormStatistics::of(norm.input, norm.running_mean, norm.running_variance));
    layers.collect::<kd_losses::Result<Vec<_>>>().map_err(wrong)
}

fn distance(layers: Vec<NormStatistics>) -> Result<Tensor<1>> {
    let loss = BnStatisticsLossConfig::new().init().map_err(wrong)?;
    loss.forward(layers).map_err(wrong)
}
