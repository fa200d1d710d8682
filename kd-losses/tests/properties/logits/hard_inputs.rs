//! Losses of logits on large, equal and zero logits.

use crate::support::{Outcome, assert_finite, hard_pairs, numbers};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_losses::{
    AdversarialKlLoss, AdversarialKlLossConfig, BeliefMatchingLoss, BeliefMatchingLossConfig,
    DecoupledKdLoss, DecoupledKdLossConfig, DistLoss, DistLossConfig, JensenShannonLoss,
    JensenShannonLossConfig, LogitStandardisationLoss, LogitStandardisationLossConfig,
    MultiLevelLoss, MultiLevelLossConfig, NormalisedKdLoss, NormalisedKdLossConfig, ReverseKlLoss,
    ReverseKlLossConfig, SoftCrossEntropyLoss, SoftCrossEntropyLossConfig, VirtualTeacherLoss,
    VirtualTeacherLossConfig, VirtualTeacherSoftening, WeightedSoftLabelLoss,
    WeightedSoftLabelLossConfig, adversarial_kl, belief_matching, decoupled_kd, dist,
    jensen_shannon, logit_l1, logit_regression, logit_standardisation, multi_level, normalised_kd,
    reverse_kl, soft_cross_entropy, standardised, virtual_teacher, weighted_soft_label,
};

#[test]
fn every_loss_of_two_logits_survives_hard_inputs() -> Outcome {
    type Loss = (
        &'static str,
        fn(Tensor<2>, Tensor<2>, Tensor<1, Int>) -> kd_losses::Result<Tensor<1>>,
    );
    let losses: [Loss; 16] = [
        ("logit_regression", |s, t, _| logit_regression(s, t)),
        ("decoupled_kd", |s, t, y| {
            decoupled_kd(s, t, y, 1.0, 8.0, 4.0)
        }),
        ("dist", |s, t, _| dist(s, t, 1.0, 1.0, 1.0, 1e-8)),
        ("normalised_kd", |s, t, y| normalised_kd(s, t, y, 1.5, 1.0)),
        ("weighted_soft_label", |s, t, y| {
            weighted_soft_label(s, t, y, 2.0, 1e-7)
        }),
        ("logit_standardisation", |s, t, _| {
            logit_standardisation(s, t, 2.0, 1e-7)
        }),
        ("multi_level", |s, t, _| {
            multi_level(s, t, &[2.0, 6.0], 1.0, 1.0, 1.0)
        }),
        ("reverse_kl", |s, t, _| reverse_kl(s, t, 1.0)),
        ("jensen_shannon", |s, t, _| jensen_shannon(s, t, 0.5, 1.0)),
        ("soft_cross_entropy", |s, t, _| {
            soft_cross_entropy(s, softmax(t, 1))
        }),
        ("adversarial_kl", |s, t, _| adversarial_kl(s, t, 1.0)),
        ("belief_matching", |s, t, _| belief_matching(s, t, 1.0)),
        // The gradient with respect to the teacher's logits.
        ("belief_matching, teacher", |s, t, _| {
            belief_matching(t, s, 1.0)
        }),
        ("logit_l1", |s, t, _| logit_l1(s, t)),
        ("virtual_teacher", |s, _, y| {
            virtual_teacher(s, y, 0.99, 20.0, VirtualTeacherSoftening::Probabilities)
        }),
        ("virtual_teacher, logarithms", |s, _, y| {
            virtual_teacher(s, y, 0.99, 20.0, VirtualTeacherSoftening::Logarithms)
        }),
    ];
    for shape in [[4, 5], [1, 5], [3, 2], [1, 2]] {
        let labels: Vec<i64> = (0..shape[0])
            .map(|sample| i64::try_from(sample % shape[1]))
            .collect::<Result<_, _>>()?;
        for (name, student, teacher) in hard_pairs::<2>(shape) {
            let teacher = Tensor::<2>::from_data(teacher, &Device::flex());
            let targets = Tensor::<1, Int>::from_data(labels.as_slice(), &Device::flex());
            for (loss, function) in losses {
                assert_finite(&format!("{loss}, {name}"), student.clone(), |student| {
                    function(student, teacher.clone(), targets.clone())
                })?;
            }
        }
    }
    Ok(())
}

#[test]
fn a_virtual_teacher_that_is_hardly_softened_is_one_hot() -> Outcome {
    // The exponential of the lead of one class, divided by so small a temperature, is too large for any
    // float.
    for (probability, target) in [(0.99, 0), (1e-3, 1)] {
        let targets = Tensor::<1, Int>::from_data([target], &Device::flex());
        for softening in [
            VirtualTeacherSoftening::Probabilities,
            VirtualTeacherSoftening::Logarithms,
        ] {
            let what = format!("{softening:?}, {probability}");
            let logits = TensorData::from([[0.0_f32, 0.0]]);
            let value = assert_finite(&what, logits, |logits| {
                virtual_teacher(logits, targets.clone(), probability, 1e-4, softening)
            })?;
            let factor = match softening {
                VirtualTeacherSoftening::Logarithms => 1e-8,
                _ => 1.0,
            };
            let expected = 2.0_f64.ln() * factor;
            assert!(
                (value - expected).abs() <= 1e-5 * expected,
                "{what}: {value}"
            );
        }
    }
    Ok(())
}

#[test]
fn equal_logits_become_zeros_however_large() -> Outcome {
    // Numbers whose mean, in 32-bit floats, is another number.
    for (logit, num_classes) in [(3333.3_f32, 7), (-7777.7, 100), (1e4 / 3.0, 1000)] {
        let logits = Tensor::<2>::full([2, num_classes], logit, &Device::flex());
        let zeros = numbers(standardised(logits, 1e-7)?);
        assert!(
            zeros.iter().all(|z| z.abs() < 1e-12),
            "{logit}: {}",
            zeros[0]
        );
    }
    Ok(())
}

fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}

#[test]
fn public_types_are_send_and_sync() {
    send_and_sync::<DecoupledKdLoss>();
    send_and_sync::<DecoupledKdLossConfig>();
    send_and_sync::<DistLoss>();
    send_and_sync::<DistLossConfig>();
    send_and_sync::<LogitStandardisationLoss>();
    send_and_sync::<LogitStandardisationLossConfig>();
    send_and_sync::<MultiLevelLoss>();
    send_and_sync::<MultiLevelLossConfig>();
    send_and_sync::<VirtualTeacherLoss>();
    send_and_sync::<VirtualTeacherLossConfig>();
    send_and_sync::<VirtualTeacherSoftening>();
    send_and_sync::<AdversarialKlLoss>();
    send_and_sync::<AdversarialKlLossConfig>();
    send_and_sync::<BeliefMatchingLoss>();
    send_and_sync::<BeliefMatchingLossConfig>();
    send_and_sync::<JensenShannonLoss>();
    send_and_sync::<JensenShannonLossConfig>();
    send_and_sync::<ReverseKlLoss>();
    send_and_sync::<ReverseKlLossConfig>();
    send_and_sync::<SoftCrossEntropyLoss>();
    send_and_sync::<SoftCrossEntropyLossConfig>();
    send_and_sync::<NormalisedKdLoss>();
    send_and_sync::<NormalisedKdLossConfig>();
    send_and_sync::<WeightedSoftLabelLoss>();
    send_and_sync::<WeightedSoftLabelLossConfig>();
}
