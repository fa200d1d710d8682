//! What holds for any logits: zero at equality, never negative, what changes nothing.

#[path = "support/logits.rs"]
mod support;

use kd_losses::{
    batch_alignment, class_alignment, decoupled_kd, dist, instance_alignment,
    logit_standardisation, multi_level, normalised_kd, soft_target, standardised,
    weighted_soft_label,
};
use proptest::prelude::*;
use support::{
    Batch, ROUNDING, batch, check_divergence, check_invariance, config, failed, numbers, value,
};

proptest! {
    #![proptest_config(config())]

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
            let (plain, other) = (&plain[row * num_classes..][..num_classes], &other[row * num_classes..][..num_classes]);
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
}
