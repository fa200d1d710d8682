//! The loss of both trainings: cross-entropy, and distillation from the network as it was.

use burn::tensor::{Int, Tensor};
use kd_core::{Error, LossTerms, Result};
use kd_losses::{cross_entropy, soft_target};

use crate::config::DistillConfig;

fn wrong(error: kd_losses::Error) -> Error {
    Error::method("the loss", error)
}

/// The loss, and its terms unweighted.
///
/// ```text
/// loss = (1 - weight) CE(y, z) + weight T^2 KL(softmax(teacher / T) || softmax(z / T))
/// ```
///
/// # Errors
///
/// If the logits differ in shape.
pub(crate) fn loss(
    logits: Tensor<2>,
    teacher: Option<Tensor<2>>,
    targets: Tensor<1, Int>,
    config: &DistillConfig,
) -> Result<(Tensor<1>, LossTerms)> {
    let labels = cross_entropy(logits.clone(), targets, 0.0).map_err(wrong)?;
    let mut terms = vec![("cross_entropy".to_owned(), labels.clone().inner())];
    let total = match teacher {
        None => labels,
        Some(teacher) => {
            let soft = soft_target(logits, teacher, config.temperature).map_err(wrong)?;
            terms.push(("kd".to_owned(), soft.clone().inner()));
            labels * (1.0 - config.weight) + soft * config.weight
        }
    };
    terms.push(("total".to_owned(), total.clone().inner()));
    Ok((total, terms))
}
