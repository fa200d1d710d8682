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

use super::{
    Binder, BoundLoss, LossKind, NoConstants, Problem, Reads, ensemble_logits, json, made, plain,
};
use crate::LossConfig;

pub(super) const KINDS: &[LossKind] = &[
    LossKind::new::<CrossEntropyLossConfig>(
        "cross-entropy",
        Reads::Labels,
        || json(CrossEntropyLossConfig::new()),
        |loss, binder| {
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
            let made = made(loss, SoftTargetLossConfig::init)?;
            pair(loss, binder, move |ours, theirs, _| {
                made.forward(ours, theirs)
            })
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
            let made = made(loss, DecoupledKdLossConfig::init)?;
            pair(loss, binder, move |ours, theirs, targets| {
                made.forward(ours, theirs, targets)
            })
        },
    ),
    LossKind::new::<NormalisedKdLossConfig>(
        "nkd",
        Reads::Logits,
        || json(NormalisedKdLossConfig::new()),
        |loss, binder| {
            let made = made(loss, NormalisedKdLossConfig::init)?;
            pair(loss, binder, move |ours, theirs, targets| {
                made.forward(ours, theirs, targets)
            })
        },
    ),
    LossKind::new::<DistLossConfig>(
        "dist",
        Reads::Logits,
        || json(DistLossConfig::new()),
        |loss, binder| {
            let made = made(loss, DistLossConfig::init)?;
            pair(loss, binder, move |ours, theirs, _| {
                made.forward(ours, theirs)
            })
        },
    ),
    LossKind::new::<WeightedSoftLabelLossConfig>(
        "wsld",
        Reads::Logits,
        || json(WeightedSoftLabelLossConfig::new()),
        |loss, binder| {
            let made = made(loss, WeightedSoftLabelLossConfig::init)?;
            pair(loss, binder, move |ours, theirs, targets| {
                made.forward(ours, theirs, targets)
            })
        },
    ),
    LossKind::new::<LogitStandardisationLossConfig>(
        "logit-standardisation",
        Reads::Logits,
        || json(LogitStandardisationLossConfig::new()),
        |loss, binder| {
            let made = made(loss, LogitStandardisationLossConfig::init)?;
            pair(loss, binder, move |ours, theirs, _| {
                made.forward(ours, theirs)
            })
        },
    ),
    LossKind::new::<MultiLevelLossConfig>(
        "mlkd",
        Reads::Logits,
        || json(MultiLevelLossConfig::new()),
        |loss, binder| {
            let made = made(loss, MultiLevelLossConfig::init)?;
            pair(loss, binder, move |ours, theirs, _| {
                made.forward(ours, theirs)
            })
        },
    ),
    LossKind::new::<ReverseKlLossConfig>(
        "reverse-kl",
        Reads::Logits,
        || json(ReverseKlLossConfig::new()),
        |loss, binder| {
            let made = made(loss, ReverseKlLossConfig::init)?;
            pair(loss, binder, move |ours, theirs, _| {
                made.forward(ours, theirs)
            })
        },
    ),
    LossKind::new::<JensenShannonLossConfig>(
        "jensen-shannon",
        Reads::Logits,
        || json(JensenShannonLossConfig::new()),
        |loss, binder| {
            let made = made(loss, JensenShannonLossConfig::init)?;
            pair(loss, binder, move |ours, theirs, _| {
                made.forward(ours, theirs)
            })
        },
    ),
    LossKind::new::<SoftCrossEntropyLossConfig>(
        "soft-cross-entropy",
        Reads::Logits,
        || json(SoftCrossEntropyLossConfig::new()),
        |loss, binder| {
            let made = made(loss, SoftCrossEntropyLossConfig::init)?;
            pair(loss, binder, move |ours, theirs, _| {
                made.forward(ours, theirs)
            })
        },
    ),
    LossKind::new::<AdversarialKlLossConfig>(
        "adversarial-kl",
        Reads::Logits,
        || json(AdversarialKlLossConfig::new()),
        |loss, binder| {
            let made = made(loss, AdversarialKlLossConfig::init)?;
            pair(loss, binder, move |ours, theirs, _| {
                made.forward(ours, theirs)
            })
        },
    ),
    LossKind::new::<BeliefMatchingLossConfig>(
        "belief-matching",
        Reads::Logits,
        || json(BeliefMatchingLossConfig::new()),
        |loss, binder| {
            let made = made(loss, BeliefMatchingLossConfig::init)?;
            pair(loss, binder, move |ours, theirs, _| {
                made.forward(ours, theirs)
            })
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

/// A loss of the student's logits, the teachers' and the labels, both logits standardised where the recipe
/// says so.
fn pair(
    loss: &LossConfig,
    binder: &mut Binder<'_>,
    formula: impl Fn(Tensor<2>, Tensor<2>, Tensor<1, Int>) -> kd_losses::Result<Tensor<1>> + 'static,
) -> Result<Box<dyn BoundLoss>> {
    binder.request_logits();
    let (ensemble, temperature) = (binder.ensemble, loss.temperature().unwrap_or(1.0));
    let standard = loss
        .standardise()
        .then(|| LogitStandardisationLossConfig::new().init())
        .transpose()
        .map_err(super::constant_error)?;
    plain(loss, move |inputs| -> Result<Tensor<1>, Problem> {
        let mut ours = inputs.student.output.clone();
        let mut theirs = ensemble_logits(inputs, ensemble, temperature)?;
        if let Some(standard) = &standard {
            ours = standard.apply(ours)?;
            theirs = standard.apply(theirs)?;
        }
        Ok(formula(ours, theirs, inputs.targets.clone())?)
    })
}
