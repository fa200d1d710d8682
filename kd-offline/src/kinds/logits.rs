//! Losses of logits: the student's with labels, and the student's with the teachers'.

use burn::tensor::{Int, Tensor};
use kd_core::Result;
use kd_losses::{
    AdversarialKlLossConfig, BeliefMatchingLossConfig, CrossEntropyLossConfig,
    DecoupledKdLossConfig, DistLossConfig, JensenShannonLossConfig, LogitStandardisationLossConfig,
    MultiLevelLossConfig, NormalisedKdLossConfig, ReverseKlLossConfig, SoftCrossEntropyLossConfig,
    SoftTargetLossConfig, VirtualTeacherLossConfig, WeightedSoftLabelLossConfig,
    weighted_cross_entropy,
};

use serde::de::DeserializeOwned;

use super::{
    Binder, BoundLoss, LossKind, NoConstants, Problem, Reads, ensemble_logits, json, made, plain,
};
use crate::LossConfig;

/// The cross-entropy of each pixel.
fn of_pixels(loss: &LossConfig) -> Result<Box<dyn BoundLoss>> {
    plain(loss, |inputs| {
        let (Some(targets), Some(logits)) = (inputs.masks, inputs.student.maps.last()) else {
            return Err("there are no masks".into());
        };
        let masks = targets.masks.clone();
        Ok(kd_losses::pixel_cross_entropy(
            logits.clone(),
            masks,
            targets.void,
        )?)
    })
}

pub(super) const KINDS: &[LossKind] = &[
    LossKind::new::<CrossEntropyLossConfig>(
        "cross-entropy",
        Reads::Labels,
        || json(CrossEntropyLossConfig::new()),
        |loss, binder| {
            if binder.student.is_of_pixels {
                return of_pixels(loss);
            }
            let plain = made(loss, CrossEntropyLossConfig::init)?;
            let smoothing = loss.settings::<CrossEntropyLossConfig>()?.label_smoothing;
            match binder.class_weights.map(<[f64]>::to_vec) {
                None => labels(loss, move |logits, targets| plain.forward(logits, targets)),
                Some(weights) => labels(loss, move |logits, targets| {
                    weighted_cross_entropy(logits, targets, smoothing, &weights)
                }),
            }
        },
    ),
    LossKind::new::<SoftTargetLossConfig>(
        "kd",
        Reads::Logits,
        || json(SoftTargetLossConfig::new()),
        |loss, binder| {
            timed(
                loss,
                binder,
                SoftTargetLossConfig::init,
                |made, ours, theirs, _| made.forward(ours, theirs),
            )
        },
    )
    .with_weight(1.0),
    LossKind::new::<NoConstants>(
        "logit-regression",
        Reads::Logits,
        || json(NoConstants {}),
        |loss, binder| {
            pair(loss, binder, |ours, theirs, _| {
                kd_losses::logit_regression(ours, theirs)
            })
        },
    ),
    LossKind::new::<DecoupledKdLossConfig>(
        "dkd",
        Reads::Logits,
        || json(DecoupledKdLossConfig::new()),
        |loss, binder| {
            timed(
                loss,
                binder,
                DecoupledKdLossConfig::init,
                kd_losses::DecoupledKdLoss::forward,
            )
        },
    ),
    LossKind::new::<NormalisedKdLossConfig>(
        "nkd",
        Reads::Logits,
        || json(NormalisedKdLossConfig::new()),
        |loss, binder| {
            timed(
                loss,
                binder,
                NormalisedKdLossConfig::init,
                kd_losses::NormalisedKdLoss::forward,
            )
        },
    ),
    LossKind::new::<DistLossConfig>(
        "dist",
        Reads::Logits,
        || json(DistLossConfig::new()),
        |loss, binder| {
            timed(
                loss,
                binder,
                DistLossConfig::init,
                |made, ours, theirs, _| made.forward(ours, theirs),
            )
        },
    ),
    LossKind::new::<WeightedSoftLabelLossConfig>(
        "wsld",
        Reads::Logits,
        || json(WeightedSoftLabelLossConfig::new()),
        |loss, binder| {
            timed(
                loss,
                binder,
                WeightedSoftLabelLossConfig::init,
                kd_losses::WeightedSoftLabelLoss::forward,
            )
        },
    ),
    LossKind::new::<LogitStandardisationLossConfig>(
        "logit-standardisation",
        Reads::Logits,
        || json(LogitStandardisationLossConfig::new()),
        |loss, binder| {
            timed(
                loss,
                binder,
                LogitStandardisationLossConfig::init,
                |made, ours, theirs, _| made.forward(ours, theirs),
            )
        },
    ),
    LossKind::new::<MultiLevelLossConfig>(
        "mlkd",
        Reads::Logits,
        || json(MultiLevelLossConfig::new()),
        |loss, binder| {
            timed(
                loss,
                binder,
                MultiLevelLossConfig::init,
                |made, ours, theirs, _| made.forward(ours, theirs),
            )
        },
    ),
    LossKind::new::<ReverseKlLossConfig>(
        "reverse-kl",
        Reads::Logits,
        || json(ReverseKlLossConfig::new()),
        |loss, binder| {
            timed(
                loss,
                binder,
                ReverseKlLossConfig::init,
                |made, ours, theirs, _| made.forward(ours, theirs),
            )
        },
    ),
    LossKind::new::<JensenShannonLossConfig>(
        "jensen-shannon",
        Reads::Logits,
        || json(JensenShannonLossConfig::new()),
        |loss, binder| {
            timed(
                loss,
                binder,
                JensenShannonLossConfig::init,
                |made, ours, theirs, _| made.forward(ours, theirs),
            )
        },
    ),
    LossKind::new::<SoftCrossEntropyLossConfig>(
        "soft-cross-entropy",
        Reads::Logits,
        || json(SoftCrossEntropyLossConfig::new()),
        |loss, binder| {
            timed(
                loss,
                binder,
                SoftCrossEntropyLossConfig::init,
                |made, ours, theirs, _| made.forward(ours, theirs),
            )
        },
    ),
    LossKind::new::<AdversarialKlLossConfig>(
        "adversarial-kl",
        Reads::Logits,
        || json(AdversarialKlLossConfig::new()),
        |loss, binder| {
            timed(
                loss,
                binder,
                AdversarialKlLossConfig::init,
                |made, ours, theirs, _| made.forward(ours, theirs),
            )
        },
    ),
    LossKind::new::<BeliefMatchingLossConfig>(
        "belief-matching",
        Reads::Logits,
        || json(BeliefMatchingLossConfig::new()),
        |loss, binder| {
            timed(
                loss,
                binder,
                BeliefMatchingLossConfig::init,
                |made, ours, theirs, _| made.forward(ours, theirs),
            )
        },
    ),
    LossKind::new::<NoConstants>(
        "logit-l1",
        Reads::Logits,
        || json(NoConstants {}),
        |loss, binder| {
            pair(loss, binder, |ours, theirs, _| {
                kd_losses::logit_l1(ours, theirs)
            })
        },
    ),
    LossKind::new::<VirtualTeacherLossConfig>(
        "virtual-teacher",
        Reads::Labels,
        || json(VirtualTeacherLossConfig::new()),
        |loss, _| {
            let made = made(loss, VirtualTeacherLossConfig::init)?;
            labels(loss, move |logits, targets| made.forward(logits, targets))
        },
    ),
    LossKind::new::<NoConstants>(
        "one-hot-confidence",
        Reads::Labels,
        || json(NoConstants {}),
        |loss, _| labels(loss, |logits, _| kd_losses::one_hot_confidence(logits)),
    ),
    LossKind::new::<NoConstants>(
        "batch-entropy",
        Reads::Labels,
        || json(NoConstants {}),
        |loss, _| labels(loss, |logits, _| kd_losses::batch_entropy(logits)),
    ),
];

/// A loss of the student's logits and the labels.
fn labels(
    loss: &LossConfig,
    formula: impl Fn(Tensor<2>, Tensor<1, Int>) -> kd_losses::Result<Tensor<1>> + 'static,
) -> Result<Box<dyn BoundLoss>> {
    plain(loss, move |inputs| {
        let logits = inputs.student.output.clone();
        Ok(formula(logits, inputs.targets.clone())?)
    })
}

/// A loss of the student's logits, the teachers' and the labels, made of its constants; a temperature that
/// changes with time makes it anew in each step.
fn timed<C: DeserializeOwned + 'static, L: 'static>(
    loss: &LossConfig,
    binder: &mut Binder<'_>,
    init: impl Fn(&C) -> kd_losses::Result<L> + 'static,
    formula: impl Fn(&L, Tensor<2>, Tensor<2>, Tensor<1, Int>) -> kd_losses::Result<Tensor<1>> + 'static,
) -> Result<Box<dyn BoundLoss>> {
    let fixed = made(loss, &init)?;
    let config = loss.clone();
    logits(loss, binder, move |epoch, ours, theirs, targets| {
        let Some(now) = config.at_epoch(epoch) else {
            return Ok(formula(&fixed, ours, theirs, targets)?);
        };
        let now = made(&now, &init)?;
        Ok(formula(&now, ours, theirs, targets)?)
    })
}

/// As [`timed`], of a loss without constants.
fn pair(
    loss: &LossConfig,
    binder: &mut Binder<'_>,
    formula: impl Fn(Tensor<2>, Tensor<2>, Tensor<1, Int>) -> kd_losses::Result<Tensor<1>> + 'static,
) -> Result<Box<dyn BoundLoss>> {
    logits(loss, binder, move |_, ours, theirs, targets| {
        Ok(formula(ours, theirs, targets)?)
    })
}

/// A loss of the student's logits, the teachers' and the labels at an epoch, both logits standardised where
/// the recipe says so.
fn logits(
    loss: &LossConfig,
    binder: &mut Binder<'_>,
    formula: impl Fn(f64, Tensor<2>, Tensor<2>, Tensor<1, Int>) -> Result<Tensor<1>, Problem> + 'static,
) -> Result<Box<dyn BoundLoss>> {
    binder.request_logits();
    let (ensemble, config) = (binder.ensemble, loss.clone());
    let standard = loss
        .standardise()
        .then(|| LogitStandardisationLossConfig::new().init())
        .transpose()
        .map_err(super::constant_error)?;
    plain(loss, move |inputs| -> Result<Tensor<1>, Problem> {
        let mut ours = inputs.student.output.clone();
        let temperature = config.temperature_at(inputs.epoch).unwrap_or(1.0);
        let mut theirs = ensemble_logits(inputs, ensemble, temperature)?;
        if let Some(standard) = &standard {
            ours = standard.apply(ours)?;
            theirs = standard.apply(theirs)?;
        }
        formula(inputs.epoch, ours, theirs, inputs.targets.clone())
    })
}
