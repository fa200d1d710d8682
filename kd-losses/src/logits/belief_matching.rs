//! Zero-shot knowledge transfer by matching beliefs.

use super::parts::{divergence, log_softened};
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::config::Config;
use burn::tensor::Tensor;

/// Divergence of the student from the teacher on images that are made where they differ; minus this is the
/// loss of what makes them.
///
/// ```text
/// loss = mean over samples of  sum over k of  p[k] (log p[k] - log q[k])
///
/// p = softmax(teacher_logits / T)      T = temperature
/// q = softmax(student_logits / T)
/// ```
///
/// # Shapes
///
/// - `student_logits`, `teacher_logits`: `[batch_size, num_classes]`
/// - result: `[1]`
///
/// `temperature` is finite and above 0. The result is in nats: summed over classes, the mean over the batch,
/// never negative, 0 where both agree up to a shift of the logits. It is [`soft_target`](crate::soft_target)
/// without T squared, and with another gradient.
///
/// # Gradients
///
/// **The teacher is not a constant here.** The student minimises the loss, and a generator of images
/// maximises it: it minimises the negative, `-loss`. The images reach the loss through both networks, so a
/// gradient flows into each side that is on the autodiff device, `teacher_logits` too. For the student's step
/// give the teacher's logits from the plain device, or use `without_autodiff`. The teacher's *parameters*
/// stay as they are because they require no gradient. Both sides must use the same checkpointing strategy, or
/// Burn panics. Values and gradients are finite for logits of 1e4 and beyond.
///
/// # Errors
///
/// `temperature` outside its range; an empty batch; unequal batch sizes or numbers of classes; tensors of
/// different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::belief_matching;
///
/// let device = Device::flex().autodiff();
/// let image = Tensor::<2>::from_data([[1.0, 0.0]], &device).require_grad();
/// // The teacher's answer doubles what it sees, the student's is always the same.
/// let student = Tensor::<2>::from_data([[0.0, 0.0]], &device);
/// let for_the_image = belief_matching(student, image.clone() * 2.0, 1.0)?.neg();
/// let gradient = image.grad(&for_the_image.backward()).expect("the image learns, through the teacher");
/// // More of the first class makes them differ more.
/// assert!(gradient.into_data().iter::<f64>().next().is_some_and(|first| first < 0.0));
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Micaelli, Storkey, "Zero-shot Knowledge Transfer via Adversarial Belief Matching", `NeurIPS` 2019, arXiv
/// 1905.09768. The student's loss of the paper adds attention transfer over several layers:
/// [`attention_transfer`](crate::attention_transfer) with
/// [`AttentionDistance::MeanSquare`](crate::AttentionDistance::MeanSquare) and a weight of 250 each, the
/// authors' beta; the generator's has none. The authors' code takes the mean over classes too, by a default
/// reduction, so that its divergence is smaller by the number of classes (10 for its data) and 250 beside it
/// is 2500 beside this, where the sum over classes is that of the paper. At its temperature of 1 a factor T
/// squared would change nothing.
pub fn belief_matching(
    student_logits: Tensor<2>,
    teacher_logits: Tensor<2>,
    temperature: f64,
) -> Result<Tensor<1>> {
    check::temperature(temperature)?;
    check::logits_pair("belief_matching", &student_logits, &teacher_logits)?;

    let log_p = log_softened(teacher_logits, temperature);
    let log_q = log_softened(student_logits, temperature);
    Ok(divergence(log_p, log_q).mean()) // of [batch_size, 1]
}

/// The constant of [`belief_matching`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct BeliefMatchingLossConfig {
    /// The divisor of both logits, finite and above 0.
    ///
    /// 1, the authors' runs.
    #[config(default = 1.0)]
    pub temperature: f64,
}

impl BeliefMatchingLossConfig {
    /// Checks the constant and makes the loss.
    ///
    /// # Errors
    ///
    /// `temperature` not finite or not above 0.
    pub fn init(&self) -> Result<BeliefMatchingLoss> {
        check::temperature(self.temperature)?;
        Ok(BeliefMatchingLoss {
            temperature: self.temperature,
        })
    }
}

/// [`belief_matching`] with its constant, made by [`BeliefMatchingLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BeliefMatchingLoss {
    temperature: f64,
}

impl BeliefMatchingLoss {
    /// The weight for the student: 1, the paper; for what makes the images it is -1.
    pub const USUAL_WEIGHT: f64 = 1.0;

    /// [`belief_matching`] of two `[batch_size, num_classes]`; a gradient flows into both.
    ///
    /// # Errors
    ///
    /// Those of [`belief_matching`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::BeliefMatchingLossConfig;
    ///
    /// let device = Device::flex();
    /// let logits = Tensor::<2>::from_data([[1.0, 2.0, 3.0]], &device);
    /// let loss = BeliefMatchingLossConfig::new().init()?;
    /// assert!(loss.forward(logits.clone() + 5.0, logits)?.into_scalar::<f32>().abs() < 1e-5);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_logits: Tensor<2>,
        teacher_logits: Tensor<2>,
    ) -> Result<Tensor<1>> {
        belief_matching(student_logits, teacher_logits, self.temperature)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "belief-matching",
    title: "Zero-shot belief matching",
    family: Family::Logits,
    about: "KL divergence whose gradient also reaches images through the teacher",
    paper: Paper {
        authors: "Micaelli and Storkey",
        year: 2019,
        arxiv: "1905.09768",
        place: "the losses of student and generator",
    },
    inputs: "two logits `[batch, classes]`; its negative for images that learn",
    constants: &[Constant {
        name: "temperature",
        source: "the authors' runs",
    }],
    defaults: Some(|| BeliefMatchingLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: BeliefMatchingLoss::USUAL_WEIGHT,
        source: "the paper; -1 for the images",
    }),
    cost: "",
    disagreements: "the authors' code takes the mean over classes too, by a default reduction; here the sum, \
        as the paper, which is larger by the number of classes",
};
