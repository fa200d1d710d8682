//! Random batches of logits and labels, and the checks of any divergence on them.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_losses::Error;
use proptest::prelude::*;

use crate::value;

/// Rounding may carry a value that is zero a little below it.
pub(crate) const ROUNDING: f64 = 2e-5;

/// The last class first, all others one up.
pub(crate) fn rotated(logits: &Tensor<2>) -> Tensor<2> {
    let [_, num_classes] = logits.dims();
    let last = logits.clone().narrow(1, num_classes - 1, 1);
    Tensor::cat(vec![last, logits.clone().narrow(1, 0, num_classes - 1)], 1)
}

/// Student, teacher and labels of one batch.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) student: Tensor<2>,
    pub(crate) teacher: Tensor<2>,
    pub(crate) targets: Tensor<1, Int>,
}

impl Batch {
    /// The classes in another order, the labels with them.
    pub(crate) fn rotated(&self) -> Self {
        let num_classes = i64::try_from(self.student.dims()[1]).unwrap_or(i64::MAX);
        Self {
            student: rotated(&self.student),
            teacher: rotated(&self.teacher),
            targets: (self.targets.clone() + 1).remainder_scalar(num_classes),
        }
    }

    pub(crate) fn shifted(&self, by: f64) -> Self {
        Self {
            student: self.student.clone() + by,
            ..self.clone()
        }
    }

    pub(crate) fn equal(&self) -> Self {
        Self {
            student: self.teacher.clone(),
            ..self.clone()
        }
    }
}

prop_compose! {
    /// One to five samples of two to eight classes.
    pub(crate) fn batch()(shape in (1_usize..6, 2_usize..9))(
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

pub(crate) type Loss<'a> = &'a dyn Fn(Batch) -> Result<Tensor<1>, Error>;

/// Zero at equality, never negative, blind for a shift of the student's logits and for the order of classes.
pub(crate) fn check_divergence(
    batch: &Batch,
    loss: Loss<'_>,
    scale: f64,
) -> Result<(), TestCaseError> {
    let equal = value(loss(batch.equal()))?;
    prop_assert!(equal.abs() <= ROUNDING * scale, "{equal} at equality");
    let plain = value(loss(batch.clone()))?;
    prop_assert!(plain >= -ROUNDING * scale, "{plain} is negative");
    check_invariance(batch, loss, scale)
}

/// Blind for a shift of the student's logits and for the order of classes, but not for everything.
pub(crate) fn check_invariance(
    batch: &Batch,
    loss: Loss<'_>,
    scale: f64,
) -> Result<(), TestCaseError> {
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
