//! Losses of logits: zero at equality, never negative, which changes of the logits change nothing.

use super::batch::{Batch, ROUNDING, batch, check_divergence, check_invariance};
use crate::support::numbers;
use crate::{cases, failed, value};
use burn::tensor::activation::softmax;
use kd_losses::{
    adversarial_kl, batch_alignment, belief_matching, class_alignment, decoupled_kd, dist,
    instance_alignment, jensen_shannon, logit_l1, logit_standardisation, multi_level,
    normalised_kd, reverse_kl, soft_cross_entropy, soft_target, standardised, weighted_soft_label,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn decoupled_kd_is_a_divergence(batch in batch(), temperature in 0.5_f64..8.0, beta in 0.0_f64..8.0) {
        let loss = |batch: Batch| {
            decoupled_kd(batch.student, batch.teacher, batch.targets, 1.0, beta, temperature)
        };
        check_divergence(&batch, &loss, 10.0 * (1.0 + temperature * temperature))?;
    }

    #[test]
    fn dist_is_bounded_and_blind_for_shift_and_order(
        batch in batch(), temperature in 0.5_f64..8.0,
    ) {
        let loss = |batch: Batch| dist(batch.student, batch.teacher, 1.0, 0.7, temperature, 1e-8);
        let scale = 1.0 + temperature * temperature;
        let plain = value(loss(batch.clone()))?;
        let largest = 2.0 * 1.7 * temperature * temperature;
        prop_assert!((-ROUNDING * scale..=largest + ROUNDING * scale).contains(&plain), "{plain}");
        // Columns of improbable classes are near the bound of the norms, where rounding counts.
        check_invariance(&batch, &|batch| {
            dist(batch.student, batch.teacher, 1.0, 0.7, temperature, 1e-3)
        }, 10.0 * scale)?;
    }

    #[test]
    fn normalised_kd_is_not_negative_and_blind_for_shift_and_order(
        batch in batch(), temperature in 0.5_f64..4.0, gamma in 0.0_f64..3.0,
    ) {
        let loss = |batch: Batch| {
            normalised_kd(batch.student, batch.teacher, batch.targets, gamma, temperature)
        };
        let plain = value(loss(batch.clone()))?;
        prop_assert!(plain >= -ROUNDING, "{plain}");
        check_invariance(&batch, &loss, 1.0 + temperature * temperature)?;
    }

    #[test]
    fn weighted_soft_label_is_a_divergence_and_at_most_soft_target(
        batch in batch(), temperature in 0.5_f64..8.0,
    ) {
        let loss = |batch: Batch| {
            weighted_soft_label(batch.student, batch.teacher, batch.targets, temperature, 1e-7)
        };
        let scale = 1.0 + temperature * temperature;
        let equal = value(loss(batch.equal()))?;
        prop_assert!(equal.abs() <= ROUNDING * scale, "{equal} at equality");
        let plain = value(loss(batch.clone()))?;
        let whole = value(soft_target(batch.student, batch.teacher, temperature))?;
        let rounding = ROUNDING * scale * (1.0 + whole);
        prop_assert!((-rounding..=whole + rounding).contains(&plain), "{plain} of {whole}");
    }

    #[test]
    fn standardised_rows_have_mean_0_and_deviation_1_whatever_the_scale(
        batch in batch(), scale in 0.1_f64..100.0, shift in -20.0_f64..20.0,
    ) {
        let [batch_size, num_classes] = batch.student.dims();
        let plain = standardised(batch.student.clone(), 1e-7).map_err(failed)?;
        let other = standardised(batch.student.clone() * scale + shift, 1e-7).map_err(failed)?;
        let (plain, other) = (numbers(plain), numbers(other));
        for row in 0..batch_size {
            let plain = &plain[row * num_classes..][..num_classes];
            let other = &other[row * num_classes..][..num_classes];
            let sum: f64 = plain.iter().sum();
            prop_assert!(sum.abs() < 1e-3, "sum {sum}");
            let spread = plain.iter().map(|z| z * z).sum::<f64>() / (num_classes - 1) as f64;
            prop_assert!((spread - 1.0).abs() < 1e-2, "variance {spread}");
            for (plain, other) in plain.iter().zip(other) {
                prop_assert!((plain - other).abs() < 2e-2, "{plain}, scaled {other}");
            }
        }
    }

    #[test]
    fn logit_standardisation_sees_no_scale(
        batch in batch(), scale in 0.5_f64..50.0, temperature in 0.5_f64..8.0,
    ) {
        let loss = |batch: Batch| {
            logit_standardisation(batch.student, batch.teacher, temperature, 1e-7)
        };
        let rounding = 20.0 * (1.0 + temperature * temperature);
        let equal = value(loss(batch.equal()))?;
        prop_assert!(equal.abs() <= ROUNDING * rounding, "{equal} at equality");
        let plain = value(loss(batch.clone()))?;
        prop_assert!(plain >= -ROUNDING * rounding, "{plain}");
        let scaled = value(loss(Batch { student: batch.student.clone() * scale, ..batch }))?;
        prop_assert!((plain - scaled).abs() <= ROUNDING * rounding * (1.0 + plain), "{plain}, {scaled}");
    }

    #[test]
    fn multi_level_is_a_divergence_and_the_sum_of_its_levels(
        batch in batch(), weights in prop::array::uniform3(0.0_f64..3.0),
    ) {
        let temperatures = [1.5, 4.0];
        let [one, two, three] = weights;
        let loss = |batch: Batch| {
            multi_level(batch.student, batch.teacher, &temperatures, one, two, three)
        };
        check_divergence(&batch, &loss, 100.0)?;
        let (s, t) = (batch.student.clone(), batch.teacher.clone());
        let whole = value(loss(batch))?;
        let instance = value(instance_alignment(s.clone(), t.clone(), &temperatures))?;
        let batches = value(batch_alignment(s.clone(), t.clone(), &temperatures))?;
        let classes = value(class_alignment(s, t, &temperatures))?;
        let sum = one * instance + two * batches + three * classes;
        prop_assert!((whole - sum).abs() <= 1e-4 * (1.0 + sum), "{whole}, {sum}");
    }

    #[test]
    fn reverse_kl_is_a_divergence(batch in batch(), temperature in 0.5_f64..8.0) {
        let loss = |batch: Batch| reverse_kl(batch.student, batch.teacher, temperature);
        check_divergence(&batch, &loss, 1.0 + temperature * temperature)?;
    }

    #[test]
    fn jensen_shannon_is_a_bounded_divergence(
        batch in batch(), temperature in 0.5_f64..8.0, beta in 0.05_f64..0.95, scale in 1.0_f64..100.0,
    ) {
        let loss = |batch: Batch| {
            jensen_shannon(batch.student * scale, batch.teacher * scale, beta, temperature)
        };
        let rounding = scale * (1.0 + temperature * temperature);
        check_divergence(&batch, &loss, rounding)?;
        let bound = -(beta * beta.ln() + (1.0 - beta) * (1.0 - beta).ln());
        let bound = temperature * temperature * bound;
        let found = value(loss(batch))?;
        prop_assert!(found <= bound + ROUNDING * rounding, "{found}, bound {bound}");
    }

    #[test]
    fn soft_cross_entropy_is_at_least_the_entropy_of_its_targets(batch in batch()) {
        let targets = softmax(batch.teacher.clone(), 1);
        let least = value(soft_cross_entropy(batch.teacher.clone(), targets.clone()))?;
        let found = value(soft_cross_entropy(batch.student.clone(), targets))?;
        prop_assert!(least >= 0.0 && found >= least - ROUNDING, "{found}, least {least}");
        let loss = |batch: Batch| soft_cross_entropy(batch.student, softmax(batch.teacher, 1));
        check_invariance(&batch, &loss, 1.0)?;
    }

    #[test]
    fn belief_matching_is_a_divergence(batch in batch(), temperature in 0.5_f64..8.0) {
        let loss = |batch: Batch| belief_matching(batch.student, batch.teacher, temperature);
        check_divergence(&batch, &loss, 1.0)?;
    }

    #[test]
    fn adversarial_kl_is_never_positive_and_at_least_minus_soft_target(
        batch in batch(), temperature in 0.5_f64..8.0,
    ) {
        let loss = |batch: Batch| adversarial_kl(batch.student, batch.teacher, temperature);
        let found = value(loss(batch.clone()))?;
        let whole = value(soft_target(batch.student.clone(), batch.teacher.clone(), temperature))?;
        let rounding = ROUNDING * (1.0 + temperature * temperature);
        prop_assert!(found <= rounding && found >= -whole * 1.0001 - rounding, "{found} of {whole}");
        check_invariance(&batch, &loss, 1.0 + temperature * temperature)?;
    }

    #[test]
    fn logit_l1_is_a_distance(batch in batch(), scale in -20.0_f64..20.0) {
        let Batch { student, teacher, .. } = batch;
        prop_assert!(value(logit_l1(teacher.clone(), teacher.clone()))? == 0.0);
        let there = value(logit_l1(student.clone(), teacher.clone()))?;
        let back = value(logit_l1(teacher.clone(), student.clone()))?;
        prop_assert!(there >= 0.0 && (there - back).abs() <= ROUNDING);
        let scaled = value(logit_l1(student * scale, teacher * scale))?;
        prop_assert!((scaled - scale.abs() * there).abs() <= 1e-4 * (1.0 + scaled), "{scaled}");
    }
}
