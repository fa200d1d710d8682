//! What holds for any logits: zero at equality, never negative, what changes nothing, identities between losses.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_losses::{Error, decoupled_kd, dist, normalised_kd, soft_target, weighted_soft_label};
use proptest::prelude::*;

/// Rounding may carry a value that is zero a little below it.
const ROUNDING: f64 = 2e-5;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn failed(error: Error) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

fn value(loss: Result<Tensor<1>, Error>) -> Result<f64, TestCaseError> {
    Ok(loss.map_err(failed)?.into_scalar::<f64>())
}

/// The last class first, all others one up.
fn rotated(logits: &Tensor<2>) -> Tensor<2> {
    let [_, num_classes] = logits.dims();
    let last = logits.clone().narrow(1, num_classes - 1, 1);
    Tensor::cat(vec![last, logits.clone().narrow(1, 0, num_classes - 1)], 1)
}

/// Student, teacher and labels of one batch.
#[derive(Clone, Debug)]
struct Batch {
    student: Tensor<2>,
    teacher: Tensor<2>,
    targets: Tensor<1, Int>,
}

impl Batch {
    /// The classes in another order, the labels with them.
    fn rotated(&self) -> Self {
        let num_classes = i64::try_from(self.student.dims()[1]).unwrap_or(i64::MAX);
        Self {
            student: rotated(&self.student),
            teacher: rotated(&self.teacher),
            targets: (self.targets.clone() + 1).remainder_scalar(num_classes),
        }
    }

    fn shifted(&self, by: f64) -> Self {
        Self {
            student: self.student.clone() + by,
            ..self.clone()
        }
    }

    fn equal(&self) -> Self {
        Self {
            student: self.teacher.clone(),
            ..self.clone()
        }
    }
}

prop_compose! {
    fn batch()(shape in (1_usize..6, 2_usize..9))(
        student in prop::collection::vec(-8.0_f32..8.0, shape.0 * shape.1),
        teacher in prop::collection::vec(-8.0_f32..8.0, shape.0 * shape.1),
        targets in prop::collection::vec(0..i64::try_from(shape.1).unwrap_or(i64::MAX), shape.0),
        shape in Just([shape.0, shape.1]),
    ) -> Batch {
        let device = Device::flex();
        Batch {
            student: Tensor::from_data(TensorData::new(student, shape), &device),
            teacher: Tensor::from_data(TensorData::new(teacher, shape), &device),
            targets: Tensor::from_data(TensorData::new(targets, [shape[0]]), &device),
        }
    }
}

type Loss<'a> = &'a dyn Fn(Batch) -> Result<Tensor<1>, Error>;

/// Zero at equality, never negative, blind for a shift of the student's logits and for the order of classes.
fn check_divergence(batch: &Batch, loss: Loss<'_>, scale: f64) -> Result<(), TestCaseError> {
    let equal = value(loss(batch.equal()))?;
    prop_assert!(equal.abs() <= ROUNDING * scale, "{equal} at equality");
    let plain = value(loss(batch.clone()))?;
    prop_assert!(plain >= -ROUNDING * scale, "{plain} is negative");
    check_invariance(batch, loss, scale)
}

/// Blind for a shift of the student's logits and for the order of classes, but not for everything.
fn check_invariance(batch: &Batch, loss: Loss<'_>, scale: f64) -> Result<(), TestCaseError> {
    let plain = value(loss(batch.clone()))?;
    let tolerance = 1e-4 * plain.abs() + ROUNDING * scale;
    let shifted = value(loss(batch.shifted(13.0)))?;
    prop_assert!(
        (plain - shifted).abs() <= tolerance,
        "{plain}, shifted {shifted}"
    );
    let turned = value(loss(batch.rotated()))?;
    prop_assert!(
        (plain - turned).abs() <= tolerance,
        "{plain}, rotated {turned}"
    );
    Ok(())
}

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
    fn dist_of_equal_logits_is_zero_where_samples_differ(
        batch in batch(), temperature in 2.0_f64..8.0,
    ) {
        let teacher = batch.teacher.clone();
        let rows = value(dist(teacher.clone(), teacher.clone(), 1.0, 0.0, temperature, 1e-8))?;
        prop_assert!(rows.abs() < 1e-3, "rows {rows}");
        // The columns of one sample have nothing to correlate: all of the term is left.
        let one = teacher.narrow(0, 0, 1);
        let columns = value(dist(one.clone(), one, 0.0, 1.0, temperature, 1e-8))?;
        let all = temperature * temperature;
        prop_assert!((columns - all).abs() < 1e-4 * all, "columns {columns}");
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
}
