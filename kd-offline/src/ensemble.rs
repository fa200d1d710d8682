//! Several teachers averaged: the space of the average, and the averaged logits.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use serde::{Deserialize, Serialize};

/// The space in which several teachers are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Ensemble {
    /// The mean of their logits.
    #[default]
    Logits,
    /// The mean of their softened probabilities, at the temperature of the loss.
    Probabilities,
}

/// The averaged logits of several teachers, `[batch_size, num_classes]`; none without a teacher.
///
/// In probability space these are `temperature * ln(mean over teachers of softmax(logits / temperature))`,
/// whose softmax at that temperature is the mean of the teachers'.
pub(crate) fn average(
    logits: &[Tensor<2>],
    ensemble: Ensemble,
    temperature: f64,
) -> Option<Tensor<2>> {
    let count = logits.len() as f64;
    match (logits, ensemble) {
        ([], _) => None,
        ([one], _) => Some(one.clone()),
        (several, Ensemble::Logits) => {
            let sum = several.iter().cloned().reduce(|sum, next| sum + next)?;
            Some(sum.div_scalar(count))
        }
        (several, Ensemble::Probabilities) => {
            let logs: Vec<Tensor<2>> = several
                .iter()
                .map(|logits| log_softmax(logits.clone().div_scalar(temperature), 1))
                .collect();
            // ln of the mean, with the largest taken out so that no exponential underflows.
            let largest = logs.iter().cloned().reduce(Tensor::max_pair)?;
            let sum = logs
                .into_iter()
                .map(|log| (log - largest.clone()).exp())
                .reduce(|sum, next| sum + next)?;
            Some((sum.div_scalar(count).log() + largest).mul_scalar(temperature))
        }
    }
}
