//! Losses of logits.

use burn::tensor::{Int, Tensor};
use kd_core::Result;
use kd_losses::{CrossEntropyLossConfig, SoftTargetLossConfig};

use super::{
    Binder, Bound, Kind, NoConstants, Problem, Reads, constant_error, ensemble_logits, json, plain,
};
use crate::LossConfig;

pub(super) const KINDS: &[Kind] = &[
    Kind::new::<CrossEntropyLossConfig>(
        "cross-entropy",
        Reads::Labels,
        || json(CrossEntropyLossConfig::new()),
        |loss, _| {
            let made = loss.settings::<CrossEntropyLossConfig>()?.init();
            let made = made.map_err(constant_error)?;
            plain(loss, move |scene| {
                let logits = scene.student.output.clone();
                Ok(made.forward(logits, scene.targets.clone())?)
            })
        },
    ),
    Kind::new::<SoftTargetLossConfig>(
        "kd",
        Reads::Logits,
        || json(SoftTargetLossConfig::new()),
        |loss, binder| {
            let made = loss.settings::<SoftTargetLossConfig>()?.init();
            let made = made.map_err(constant_error)?;
            pair(loss, binder, move |ours, theirs, _| {
                made.forward(ours, theirs)
            })
        },
    ),
    Kind::new::<NoConstants>(
        "logit-regression",
        Reads::Logits,
        || json(NoConstants {}),
        |loss, binder| {
            pair(loss, binder, |ours, theirs, _| {
                kd_losses::logit_regression(ours, theirs)
            })
        },
    ),
];

/// A loss of the student's logits, the teachers' and the labels, both logits standardised where the recipe says so.
fn pair(
    loss: &LossConfig,
    binder: &Binder<'_>,
    formula: impl Fn(Tensor<2>, Tensor<2>, Tensor<1, Int>) -> kd_losses::Result<Tensor<1>> + 'static,
) -> Result<Box<dyn Bound>> {
    let (ensemble, temperature) = (binder.ensemble, loss.temperature().unwrap_or(1.0));
    plain(loss, move |scene| -> Result<Tensor<1>, Problem> {
        let ours = scene.student.output.clone();
        let theirs = ensemble_logits(scene, ensemble, temperature)?;
        Ok(formula(ours, theirs, scene.targets.clone())?)
    })
}
