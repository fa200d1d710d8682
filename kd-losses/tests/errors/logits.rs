//! Errors of the losses of logits.

use crate::support::text;
use burn::tensor::{Device, Int, Tensor};
use kd_losses::{
    AdversarialKlLossConfig, BeliefMatchingLossConfig, DecoupledKdLossConfig, DistLossConfig,
    Error, JensenShannonLossConfig, LogitStandardisationLossConfig, MultiLevelLossConfig,
    NormalisedKdLossConfig, ReverseKlLossConfig, SoftCrossEntropyLossConfig,
    VirtualTeacherLossConfig, VirtualTeacherSoftening, WeightedSoftLabelLossConfig, adversarial_kl,
    batch_alignment, belief_matching, class_alignment, decoupled_kd, dist, instance_alignment,
    jensen_shannon, logit_l1, logit_standardisation, multi_level, normalised_kd, reverse_kl,
    soft_cross_entropy, standardised, virtual_teacher, weighted_soft_label,
};

fn matrix(batch_size: usize, num_classes: usize) -> Tensor<2> {
    Tensor::zeros([batch_size, num_classes], &Device::flex())
}

fn labels(batch_size: usize) -> Tensor<1, Int> {
    Tensor::zeros([batch_size], &Device::flex())
}

#[test]
fn shapes_of_logits_and_labels_must_agree() {
    let call =
        |student, teacher, targets| text(decoupled_kd(student, teacher, targets, 1.0, 8.0, 4.0));
    assert_eq!(
        call(matrix(2, 3), matrix(2, 4), labels(2)),
        "`decoupled_kd`: `student_logits` [2, 3] and `teacher_logits` [2, 4] differ in number of classes; \
         give teacher and student the same classes in the same order"
    );
    assert_eq!(
        call(matrix(2, 3), matrix(2, 3), labels(1)),
        "`decoupled_kd`: `student_logits` [2, 3] and `targets` [1] differ in batch size; take both from the \
         same batch"
    );
    assert_eq!(
        call(matrix(2, 1), matrix(2, 1), labels(2)),
        "`decoupled_kd`: `student_logits` [2, 1] has 1 class, at least 2 are needed; give the output of a \
         classifier"
    );
    assert_eq!(
        call(matrix(0, 3), matrix(0, 3), labels(0)),
        "`decoupled_kd`: `student_logits` [0, 3] has no elements; skip empty batches"
    );
}

#[test]
fn constants_of_decoupled_kd_have_ranges() {
    for (config, expected) in [
        (
            DecoupledKdLossConfig::new().with_alpha(-1.0),
            "`alpha` must be finite and at least 0, got -1; the authors use 1",
        ),
        (
            DecoupledKdLossConfig::new().with_beta(f64::NAN),
            "`beta` must be finite and at least 0, got NaN; the authors use 8, less for some pairs",
        ),
        (
            DecoupledKdLossConfig::new().with_temperature(0.0),
            "`temperature` must be finite and above 0, got 0; 1 to 20 are usual",
        ),
    ] {
        assert_eq!(text(config.init()), expected);
    }
}

type Loss = (
    &'static str,
    fn(Tensor<2>, Tensor<2>) -> Result<Tensor<1>, Error>,
);

const LOSSES: &[Loss] = &[
    ("dist", |s, t| dist(s, t, 1.0, 1.0, 1.0, 1e-8)),
    ("normalised_kd", |s, t| {
        normalised_kd(s, t, labels(2), 1.5, 1.0)
    }),
    ("weighted_soft_label", |s, t| {
        weighted_soft_label(s, t, labels(2), 2.0, 1e-7)
    }),
    ("logit_standardisation", |s, t| {
        logit_standardisation(s, t, 2.0, 1e-7)
    }),
    ("multi_level", |s, t| {
        multi_level(s, t, &[2.0], 0.0, 0.0, 0.0)
    }),
    ("instance_alignment", |s, t| {
        instance_alignment(s, t, &[2.0])
    }),
    ("batch_alignment", |s, t| batch_alignment(s, t, &[2.0])),
    ("reverse_kl", |s, t| reverse_kl(s, t, 1.0)),
    ("jensen_shannon", |s, t| jensen_shannon(s, t, 0.5, 1.0)),
    ("adversarial_kl", |s, t| adversarial_kl(s, t, 1.0)),
    ("belief_matching", |s, t| belief_matching(s, t, 1.0)),
    ("logit_l1", |s, t| logit_l1(s, t)),
    ("soft_cross_entropy", |s, t| {
        SoftCrossEntropyLossConfig::new().init()?.forward(s, t)
    }),
    ("class_alignment", |s, t| class_alignment(s, t, &[2.0])),
];

#[test]
fn every_loss_names_itself_when_shapes_differ() {
    for (name, loss) in LOSSES {
        assert_eq!(
            text(loss(matrix(2, 3), matrix(2, 4))),
            format!(
                "`{name}`: `student_logits` [2, 3] and `teacher_logits` [2, 4] differ in number of classes; \
                 give teacher and student the same classes in the same order"
            )
        );
        // A batch of one would be broadcast without a word.
        assert_eq!(
            text(loss(matrix(1, 3), matrix(2, 3))),
            format!(
                "`{name}`: `student_logits` [1, 3] and `teacher_logits` [2, 3] differ in batch size; \
                 take both from the same batch"
            )
        );
        assert_eq!(
            text(loss(matrix(0, 3), matrix(0, 3))),
            format!("`{name}`: `student_logits` [0, 3] has no elements; skip empty batches")
        );
    }
    assert_eq!(
        text(standardised(matrix(0, 3), 1e-7)),
        "`standardised`: `logits` [0, 3] has no elements; skip empty batches"
    );
    assert_eq!(
        text(soft_cross_entropy(matrix(2, 3), matrix(2, 4))),
        "`soft_cross_entropy`: `logits` [2, 3] and `soft_targets` [2, 4] differ in number of classes; \
         give teacher and student the same classes in the same order"
    );
    let virtual_teacher = |logits, targets| {
        text(virtual_teacher(
            logits,
            targets,
            0.99,
            20.0,
            VirtualTeacherSoftening::Probabilities,
        ))
    };
    assert_eq!(
        virtual_teacher(matrix(2, 3), labels(1)),
        "`virtual_teacher`: `logits` [2, 3] and `targets` [1] differ in batch size; take both from the same \
         batch"
    );
    assert_eq!(
        virtual_teacher(matrix(2, 1), labels(2)),
        "`virtual_teacher`: `logits` [2, 1] has 1 class, at least 2 are needed; give the output of a \
         classifier"
    );
}

#[test]
fn constants_have_ranges() {
    let epsilon = "`epsilon` must be from 1e-15 to 1, got 0; ";
    for (found, expected) in [
        (
            text(DistLossConfig::new().with_beta(-1.0).init()),
            "`beta` must be finite and at least 0, got -1; the authors use 1".to_owned(),
        ),
        (
            text(DistLossConfig::new().with_gamma(f64::INFINITY).init()),
            "`gamma` must be finite and at least 0, got inf; the authors use 1".to_owned(),
        ),
        (
            text(DistLossConfig::new().with_epsilon(0.0).init()),
            format!("{epsilon}1e-8 suits 32-bit floats, 1e-3 16-bit ones"),
        ),
        (
            text(NormalisedKdLossConfig::new().with_gamma(-0.1).init()),
            "`gamma` must be finite and at least 0, got -0.1; the authors use 1.5".to_owned(),
        ),
        (
            text(WeightedSoftLabelLossConfig::new().with_epsilon(0.0).init()),
            format!("{epsilon}the authors use 1e-7"),
        ),
        (
            text(
                LogitStandardisationLossConfig::new()
                    .with_epsilon(0.0)
                    .init(),
            ),
            format!("{epsilon}1e-7 suits 32-bit floats, 1e-3 16-bit ones"),
        ),
        (
            text(
                MultiLevelLossConfig::new()
                    .with_temperatures(Vec::new())
                    .init(),
            ),
            "`temperatures` must be at least one number, got 0; the authors use 2, 3, 4, 5 and 6"
                .to_owned(),
        ),
        (
            text(
                MultiLevelLossConfig::new()
                    .with_temperatures(vec![2.0, -1.0])
                    .init(),
            ),
            "`temperatures` must be finite and above 0, got -1; the authors use 2, 3, 4, 5 and 6"
                .to_owned(),
        ),
        (
            text(MultiLevelLossConfig::new().with_class_weight(-1.0).init()),
            "`class_weight` must be finite and at least 0, got -1; the authors use 1".to_owned(),
        ),
        (
            text(
                VirtualTeacherLossConfig::new()
                    .with_correct_probability(1.0)
                    .init(),
            ),
            "`correct_probability` must be above 0 and below 1, got 1; the authors use 0.99"
                .to_owned(),
        ),
        (
            text(JensenShannonLossConfig::new().with_beta(0.0).init()),
            "`beta` must be above 0 and below 1, got 0; 0.5 is usual; use `soft_target` for its limit at 0, \
             `reverse_kl` for that at 1".to_owned(),
        ),
        (
            text(VirtualTeacherLossConfig::new().with_temperature(0.0).init()),
            "`temperature` must be finite and above 0, got 0; the authors use 20".to_owned(),
        ),
    ] {
        assert_eq!(found, expected);
    }
    let temperature = "`temperature` must be finite and above 0, got 0; 1 to 20 are usual";
    for found in [
        text(AdversarialKlLossConfig::new().with_temperature(0.0).init()),
        text(BeliefMatchingLossConfig::new().with_temperature(0.0).init()),
        text(JensenShannonLossConfig::new().with_temperature(0.0).init()),
        text(ReverseKlLossConfig::new().with_temperature(0.0).init()),
        text(
            SoftCrossEntropyLossConfig::new()
                .with_temperature(0.0)
                .init(),
        ),
        text(DistLossConfig::new().with_temperature(0.0).init()),
        text(
            LogitStandardisationLossConfig::new()
                .with_temperature(0.0)
                .init(),
        ),
        text(NormalisedKdLossConfig::new().with_temperature(0.0).init()),
        text(
            WeightedSoftLabelLossConfig::new()
                .with_temperature(0.0)
                .init(),
        ),
    ] {
        assert_eq!(found, temperature);
    }
}
