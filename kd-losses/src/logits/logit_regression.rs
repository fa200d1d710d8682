//! Regression on the teacher's logits.

use crate::catalogue::{Family, LossInfo, Paper};
use crate::check;
use crate::error::Result;
use burn::tensor::Tensor;

/// Half the squared distance between the logits of student and teacher.
///
/// ```text
/// loss = mean over samples of  1/2 sum over k of (z[k] - v[k])^2
///
/// z = student_logits      v = teacher_logits
/// ```
///
/// # Shapes
///
/// - `student_logits`, `teacher_logits`: `[batch_size, num_classes]`
/// - result: `[1]`
///
/// The result has the unit of a squared logit and is never negative; a shift of the logits of one side
/// changes it. The gradient with respect to the student's logits is `(z - v) / batch_size`.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// An empty batch; unequal batch sizes or numbers of classes; tensors of different dtypes or on different
/// devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::logit_regression;
///
/// let device = Device::flex();
/// let student = Tensor::<2>::from_data([[1.0, 0.0], [0.0, 0.0]], &device);
/// let teacher = Tensor::<2>::from_data([[3.0, 0.0], [0.0, 0.0]], &device);
/// assert_eq!(logit_regression(student, teacher)?.into_scalar::<f32>(), 1.0);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Ba, Caruana, "Do Deep Nets Really Need to be Deep?", NIPS 2014, arXiv 1312.6184, equation (1).
pub fn logit_regression(student_logits: Tensor<2>, teacher_logits: Tensor<2>) -> Result<Tensor<1>> {
    check::logits_pair("logit_regression", &student_logits, &teacher_logits)?;
    let difference = student_logits - teacher_logits.without_autodiff();
    // [batch_size, 1]
    let per_sample = difference.square().sum_dim(1);
    Ok(per_sample.mean() * 0.5)
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "logit-regression",
    title: "Logit regression",
    family: Family::Logits,
    about: "half the squared distance of the logits",
    paper: Paper {
        authors: "Ba and Caruana",
        year: 2013,
        arxiv: "1312.6184",
        place: "equation (1)",
    },
    inputs: "two logits `[batch, classes]`",
    constants: &[],
    defaults: None,
    extra_parameters: "none",
    usual_weight: None,
    cost: "",
    disagreements: "half the sum over classes (the paper), the sum, or the mean over classes too, which \
        makes a weight depend on the number of classes; here half the sum",
};
