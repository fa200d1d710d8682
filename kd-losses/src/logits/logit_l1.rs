//! The mean absolute difference of logits.

use crate::catalogue::{Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::tensor::Tensor;

/// Mean absolute difference between the logits of student and teacher; minus this is the loss of what makes
/// the images.
///
/// ```text
/// loss = mean over samples and classes of  |z[k] - v[k]|
///
/// z = student_logits      v = teacher_logits
/// ```
///
/// # Shapes
///
/// - `student_logits`, `teacher_logits`: `[batch_size, num_classes]`
/// - result: `[1]`
///
/// The result has the unit of a logit and is never negative; a shift of the logits of one side changes it.
/// Each element of the gradient is `1 / (batch_size * num_classes)` in size, however small the difference is,
/// and 0 where the two are equal.
///
/// # Gradients
///
/// **The teacher is not a constant here.** The student minimises the loss; a generator of images maximises
/// it: it minimises the negative, `-loss`, or `-log(1 + loss)`. The images reach the loss through both
/// networks, so a gradient flows into each side that is on the autodiff device, `teacher_logits` too. For the
/// student's step give the teacher's logits from the plain device, or use `without_autodiff`. The teacher's
/// *parameters* stay as they are because they require no gradient. Both sides must use the same checkpointing
/// strategy, or Burn panics.
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
/// use kd_losses::logit_l1;
///
/// let device = Device::flex();
/// let student = Tensor::<2>::from_data([[1.0, 0.0], [0.0, 0.0]], &device);
/// let teacher = Tensor::<2>::from_data([[3.0, 0.0], [0.0, -2.0]], &device);
/// assert_eq!(logit_l1(student, teacher)?.into_scalar::<f32>(), 1.0);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Fang, Song, Shen, Wang, Chen, Song, "Data-Free Adversarial Distillation", 2019, arXiv 1912.11006. As in
/// the authors' code it is the mean over classes too. Their code for classification gives the generator the
/// negative, that for segmentation the negative of `log(1 + loss)`, whose gradient fades where the two are
/// far apart.
pub fn logit_l1(student_logits: Tensor<2>, teacher_logits: Tensor<2>) -> Result<Tensor<1>> {
    check::logits_pair("logit_l1", &student_logits, &teacher_logits)?;
    Ok((student_logits - teacher_logits).abs().mean())
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "logit-l1",
    title: "Logit L1",
    family: Family::Logits,
    about: "mean absolute difference of the logits, whose gradient also reaches images through the teacher",
    paper: Paper {
        authors: "Fang et al.",
        year: 2019,
        arxiv: "1912.11006",
        place: "the discrepancy of student and teacher",
    },
    inputs: "two logits `[batch, classes]`; its negative for images that learn",
    constants: &[],
    defaults: None,
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: 1.0,
        source: "the only loss of the authors' code; -1 for the images",
    }),
    cost: "",
    disagreements: "for the images the negative, or minus log(1 + loss), in the same authors' code for \
        classification and for segmentation; the mean over classes too, as theirs",
};
