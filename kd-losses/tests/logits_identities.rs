//! Where one loss of logits is another, or has a value that is known otherwise.

#[path = "support/logits.rs"]
mod support;

use kd_losses::{
    VirtualTeacherSoftening, batch_alignment, class_alignment, cross_entropy, decoupled_kd, dist,
    soft_target, virtual_teacher,
};
use proptest::prelude::*;
use support::{ROUNDING, batch, config, numbers, rotated, value};

proptest! {
    #![proptest_config(config())]

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
}
