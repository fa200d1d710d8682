//! Losses of logits that equal another loss, or whose value is known otherwise.

use super::batch::{Batch, ROUNDING, batch, rotated};
use crate::support::numbers;
use crate::{cases, failed, value};
use kd_losses::{
    SoftCrossEntropyLossConfig, VirtualTeacherSoftening, adversarial_kl, batch_alignment,
    belief_matching, class_alignment, cross_entropy, decoupled_kd, dist, jensen_shannon,
    reverse_kl, soft_cross_entropy, soft_target, virtual_teacher,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn decoupled_kd_with_the_hidden_weight_is_soft_target(batch in batch(), temperature in 0.5_f64..8.0) {
        // beta = 1 - p[y] is one number in a batch of one only.
        let (student, teacher) = (batch.student.narrow(0, 0, 1), batch.teacher.narrow(0, 0, 1));
        let targets = batch.targets.narrow(0, 0, 1);
        let p = burn::tensor::activation::softmax(teacher.clone() / temperature, 1);
        let rest = 1.0 - p.gather(1, targets.clone().reshape([1, 1])).into_scalar::<f64>();
        let decoupled = value(decoupled_kd(
            student.clone(), teacher.clone(), targets, 1.0, rest.max(0.0), temperature,
        ))?;
        let usual = value(soft_target(student, teacher, temperature))?;
        let tolerance = 1e-4 * (usual + temperature * temperature);
        prop_assert!((decoupled - usual).abs() <= tolerance, "{decoupled}, {usual}");
    }

    #[test]
    fn dist_of_equal_logits_is_what_epsilon_leaves(
        batch in batch(), temperature in 2.0_f64..8.0, epsilon in 1e-6_f64..1e-2,
    ) {
        let teacher = batch.teacher;
        let p = burn::tensor::activation::softmax(teacher.clone() / temperature, 1);
        let centred = p.clone() - p.mean_dim(1);
        let norms = numbers(centred.square().sum_dim(1)); // the squares
        let left = norms.iter().map(|square| 1.0 - square / (square.max(epsilon * epsilon) + epsilon));
        let expected = temperature * temperature * left.sum::<f64>() / norms.len() as f64;
        let rows = value(dist(teacher.clone(), teacher.clone(), 1.0, 0.0, temperature, epsilon))?;
        prop_assert!((rows - expected).abs() < 1e-3 * (1.0 + expected), "rows {rows}, {expected}");
        // The columns of one sample have nothing to correlate: all of the term is left.
        let one = teacher.narrow(0, 0, 1);
        let columns = value(dist(one.clone(), one, 0.0, 1.0, temperature, epsilon))?;
        let all = temperature * temperature;
        prop_assert!((columns - all).abs() < 1e-4 * all, "columns {columns}");
    }

    #[test]
    fn neither_level_sees_the_order_that_it_sums_over(
        batch in batch(), temperature in 0.5_f64..8.0,
    ) {
        let turned = batch.student.clone().flip([0]);
        let classes = value(class_alignment(turned.clone(), batch.student.clone(), &[temperature]))?;
        prop_assert!(classes < 1e-5, "{classes}");
        // The batch level sees no order of classes of the student alone.
        let samples = value(batch_alignment(rotated(&batch.student), batch.student, &[temperature]))?;
        prop_assert!(samples < 1e-5, "{samples}");
    }

    #[test]
    fn virtual_teacher_is_soft_target_of_a_made_teacher(
        batch in batch(), probability in 0.05_f64..0.99, temperature in 0.5_f64..20.0,
    ) {
        let [_, num_classes] = batch.student.dims();
        let rest = (1.0 - probability) / (num_classes - 1) as f64;
        let lead = (probability / rest).ln();
        // Logits of a teacher with these probabilities.
        let teacher = batch.targets.clone().one_hot::<2>(num_classes).float() * lead;
        let usual = value(soft_target(batch.student.clone(), teacher, temperature))?;
        let loss = value(virtual_teacher(
            batch.student, batch.targets, probability, temperature, VirtualTeacherSoftening::Logarithms,
        ))?;
        let tolerance = 1e-4 * usual.abs() + ROUNDING * (1.0 + temperature * temperature);
        prop_assert!((loss - usual).abs() <= tolerance, "{loss}, {usual}");
    }

    #[test]
    fn virtual_teacher_of_the_authors_is_label_smoothing_less_its_entropy(
        batch in batch(), probability in 0.05_f64..0.99, temperature in 1.0_f64..20.0,
    ) {
        let [_, num_classes] = batch.student.dims();
        let classes = num_classes as f64;
        let rest = (1.0 - probability) / (classes - 1.0);
        let weights = [(probability / temperature).exp(), (rest / temperature).exp()];
        let total = weights[0] + (classes - 1.0) * weights[1];
        let (label, other) = (weights[0] / total, weights[1] / total);
        prop_assume!(label >= other);
        let entropy = -(label * label.ln() + (classes - 1.0) * other * other.ln());
        let smoothed = value(cross_entropy(
            batch.student.clone(), batch.targets.clone(), classes * other,
        ))?;
        let loss = value(virtual_teacher(
            batch.student, batch.targets, probability, temperature, VirtualTeacherSoftening::Probabilities,
        ))?;
        prop_assert!((loss - (smoothed - entropy)).abs() <= 1e-4 * (1.0 + smoothed), "{loss}, {smoothed}");
        prop_assert!(loss >= -ROUNDING, "{loss}");
    }

    #[test]
    fn reverse_kl_is_soft_target_with_the_sides_changed(batch in batch(), temperature in 0.5_f64..8.0) {
        let Batch { student, teacher, .. } = batch;
        let reverse = value(reverse_kl(student.clone(), teacher.clone(), temperature))?;
        let forward = value(soft_target(teacher, student, temperature))?;
        let tolerance = 1e-4 * forward.abs() + ROUNDING * (1.0 + temperature * temperature);
        prop_assert!((reverse - forward).abs() <= tolerance, "{reverse}, {forward}");
    }

    #[test]
    fn jensen_shannon_tends_to_the_two_kullback_leibler_divergences(batch in batch()) {
        // Logits of at most 2, so that the remainder is small: it is of the order of beta.
        let (student, teacher) = (batch.student * 0.25, batch.teacher * 0.25);
        let forward = value(soft_target(student.clone(), teacher.clone(), 1.0))?;
        let reverse = value(reverse_kl(student.clone(), teacher.clone(), 1.0))?;
        let share = 1e-3;
        let near = |beta| value(jensen_shannon(student.clone(), teacher.clone(), beta, 1.0));
        let (low, high) = (near(share)? / share, near(1.0 - share)? / share);
        prop_assert!((low - forward).abs() <= 0.05 * forward + 1e-3, "{low}, {forward}");
        prop_assert!((high - reverse).abs() <= 0.05 * reverse + 1e-3, "{high}, {reverse}");
    }

    #[test]
    fn jensen_shannon_at_one_half_has_no_sides(batch in batch(), temperature in 0.5_f64..8.0) {
        let Batch { student, teacher, .. } = batch;
        let there = value(jensen_shannon(student.clone(), teacher.clone(), 0.5, temperature))?;
        let back = value(jensen_shannon(teacher, student, 0.5, temperature))?;
        prop_assert!((there - back).abs() <= ROUNDING * (1.0 + temperature * temperature));
    }

    #[test]
    fn soft_cross_entropy_of_hard_targets_is_cross_entropy(batch in batch()) {
        let [_, num_classes] = batch.student.dims();
        let hard = batch.targets.clone().one_hot::<2>(num_classes).float();
        let soft = value(soft_cross_entropy(batch.student.clone(), hard))?;
        let plain = value(cross_entropy(batch.student, batch.targets, 0.0))?;
        prop_assert!((soft - plain).abs() <= ROUNDING * (1.0 + plain), "{soft}, {plain}");
    }

    #[test]
    fn soft_cross_entropy_less_the_entropy_is_soft_target(batch in batch(), temperature in 0.5_f64..8.0) {
        let config = SoftCrossEntropyLossConfig::new().with_temperature(temperature);
        let loss = config.init().map_err(failed)?;
        let Batch { student, teacher, .. } = batch;
        let entropy = value(loss.forward(teacher.clone(), teacher.clone()))?;
        let found = value(loss.forward(student.clone(), teacher.clone()))? - entropy;
        let usual = value(soft_target(student, teacher, temperature))?;
        let tolerance = 1e-4 * usual.abs() + 2.0 * ROUNDING * (1.0 + entropy);
        prop_assert!((found - usual).abs() <= tolerance, "{found}, {usual}");
    }

    #[test]
    fn adversarial_kl_and_belief_matching_are_parts_of_soft_target(
        batch in batch(), temperature in 0.5_f64..8.0,
    ) {
        let square = temperature * temperature;
        // Where the student is the teacher but less sure, both decide the same everywhere.
        let (student, teacher) = (batch.teacher.clone() * 0.5, batch.teacher);
        let usual = value(soft_target(student.clone(), teacher.clone(), temperature))?;
        let tolerance = 1e-4 * usual.abs() + ROUNDING * (1.0 + square);
        let adversarial = value(adversarial_kl(student.clone(), teacher.clone(), temperature))?;
        prop_assert!((adversarial + usual).abs() <= tolerance, "{adversarial}, {usual}");
        let belief = value(belief_matching(student, teacher.clone(), temperature))?;
        prop_assert!((belief * square - usual).abs() <= tolerance, "{belief}, {usual}");
        // Where it is the opposite, nowhere; only a teacher of equal logits decides the same.
        let opposite = value(adversarial_kl(teacher.clone().neg(), teacher, temperature))?;
        prop_assert!(opposite.abs() <= ROUNDING, "{opposite}");
    }
}
