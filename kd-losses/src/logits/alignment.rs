//! The three levels of multi-level logit distillation.

use super::parts::{divergence, log_softened};
use crate::check;
use crate::error::Result;
use burn::tensor::Tensor;

/// The instance level of [`multi_level`](crate::multi_level): [`soft_target`](crate::soft_target), summed
/// over temperatures.
///
/// ```text
/// loss = sum over T of  T^2 * mean over samples of  KL(p || q)
///
/// p = softmax(teacher_logits / T)      q = softmax(student_logits / T)
/// T = each of the temperatures
/// ```
///
/// # Shapes
///
/// - `student_logits`, `teacher_logits`: `[batch_size, num_classes]`
/// - result: `[1]`, never negative, 0 where both agree up to a shift of the logits
///
/// # Errors
///
/// Those of [`multi_level`](crate::multi_level).
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::instance_alignment;
///
/// let device = Device::flex();
/// let logits = Tensor::<2>::from_data([[1.0, 2.0, 3.0]], &device);
/// let loss = instance_alignment(logits.clone() + 5.0, logits, &[2.0, 4.0])?;
/// assert!(loss.into_scalar::<f32>().abs() < 1e-5);
/// # Ok::<(), kd_losses::Error>(())
/// ```
pub fn instance_alignment(
    student_logits: Tensor<2>,
    teacher_logits: Tensor<2>,
    temperatures: &[f64],
) -> Result<Tensor<1>> {
    let name = "instance_alignment";
    sum(
        name,
        student_logits,
        teacher_logits,
        temperatures,
        |p, q, t| divergence(p, q).mean() * (t * t),
    )
}

/// The batch level of [`multi_level`](crate::multi_level): how alike the predictions of each two samples are.
///
/// ```text
/// loss = sum over T of  ||Q Q' - P P'||^2 / batch_size
///
/// P = softmax(teacher_logits / T), a row for a sample      ||.||^2 = sum of squares
/// Q = softmax(student_logits / T)                          ' = transposed
/// ```
///
/// # Shapes
///
/// - `student_logits`, `teacher_logits`: `[batch_size, num_classes]`
/// - result: `[1]`, never negative, 0 where both agree up to a shift of the logits
///
/// A batch of one compares its only sample with itself. Costs two matrices `[batch_size, batch_size]` for
/// each temperature.
///
/// # Errors
///
/// Those of [`multi_level`](crate::multi_level).
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::batch_alignment;
///
/// let device = Device::flex();
/// // The teacher tells two samples apart, the student confuses them: two of the four products are 1, not 0.
/// let teacher = Tensor::<2>::from_data([[900.0, 0.0], [0.0, 900.0]], &device);
/// let student = Tensor::<2>::from_data([[900.0, 0.0], [900.0, 0.0]], &device);
/// let loss = batch_alignment(student, teacher, &[4.0])?;
/// assert!((loss.into_scalar::<f32>() - 1.0).abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
pub fn batch_alignment(
    student_logits: Tensor<2>,
    teacher_logits: Tensor<2>,
    temperatures: &[f64],
) -> Result<Tensor<1>> {
    let batch_size = student_logits.dims()[0].max(1) as f64;
    let name = "batch_alignment";
    sum(
        name,
        student_logits,
        teacher_logits,
        temperatures,
        |p, q, _| {
            let gram = |log: Tensor<2>| {
                let probabilities = log.exp();
                probabilities.clone().matmul(probabilities.transpose())
            };
            (gram(q) - gram(p)).square().sum() * batch_size.recip()
        },
    )
}

/// The class level of [`multi_level`](crate::multi_level): how often each two classes are predicted together.
///
/// ```text
/// loss = sum over T of  ||Q' Q - P' P||^2 / num_classes
///
/// P = softmax(teacher_logits / T), a row for a sample      ||.||^2 = sum of squares
/// Q = softmax(student_logits / T)                          ' = transposed
/// ```
///
/// # Shapes
///
/// - `student_logits`, `teacher_logits`: `[batch_size, num_classes]`
/// - result: `[1]`, never negative, 0 where both agree up to a shift of the logits
///
/// The matrices are sums over the batch, so that the loss grows with the square of the batch size. Costs two
/// matrices `[num_classes, num_classes]` for each temperature.
///
/// # Errors
///
/// Those of [`multi_level`](crate::multi_level).
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::class_alignment;
///
/// let device = Device::flex();
/// // Which sample is which does not matter at this level, only which classes go together.
/// let teacher = Tensor::<2>::from_data([[2.0, 0.0], [0.0, 2.0]], &device);
/// let student = Tensor::<2>::from_data([[0.0, 2.0], [2.0, 0.0]], &device);
/// assert!(class_alignment(student, teacher, &[4.0])?.into_scalar::<f32>() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
pub fn class_alignment(
    student_logits: Tensor<2>,
    teacher_logits: Tensor<2>,
    temperatures: &[f64],
) -> Result<Tensor<1>> {
    let num_classes = student_logits.dims()[1].max(1) as f64;
    let name = "class_alignment";
    sum(
        name,
        student_logits,
        teacher_logits,
        temperatures,
        |p, q, _| {
            let gram = |log: Tensor<2>| {
                let probabilities = log.exp();
                probabilities.clone().transpose().matmul(probabilities)
            };
            (gram(q) - gram(p)).square().sum() * num_classes.recip()
        },
    )
}

/// Checks the inputs, then sums `part(log p, log q, T)` over the temperatures.
fn sum(
    loss: &'static str,
    student_logits: Tensor<2>,
    teacher_logits: Tensor<2>,
    temperatures: &[f64],
    part: impl Fn(Tensor<2>, Tensor<2>, f64) -> Tensor<1>,
) -> Result<Tensor<1>> {
    check_temperatures(temperatures)?;
    check::logits_pair(loss, &student_logits, &teacher_logits)?;
    let teacher = teacher_logits.without_autodiff();
    let parts = temperatures.iter().map(|&temperature| {
        let log_p = log_softened(teacher.clone(), temperature);
        let log_q = log_softened(student_logits.clone(), temperature);
        part(log_p, log_q, temperature)
    });
    Ok(Tensor::cat(parts.collect(), 0).sum())
}

/// At least one, each finite and above 0.
pub(super) fn check_temperatures(temperatures: &[f64]) -> Result<()> {
    let advice = "the authors use 2, 3, 4, 5 and 6";
    let some = !temperatures.is_empty();
    check::constant("temperatures", 0.0, some, "at least one number", advice)?;
    let mut each = temperatures.iter();
    each.try_for_each(|&temperature| check::positive("temperatures", temperature, advice))
}
