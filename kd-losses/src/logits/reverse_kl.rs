//! The reverse Kullback-Leibler divergence: from the student's distribution to the teacher's.

use super::parts::{divergence, log_softened};
use crate::catalogue::{Constant, Family, LossInfo, Paper};
use crate::check;
use crate::error::Result;
use burn::config::Config;
use burn::tensor::Tensor;

/// Kullback-Leibler divergence of the teacher from the student: it draws the student to a part of what the
/// teacher finds likely, not to all of it.
///
/// ```text
/// loss = T^2 * mean over samples of  sum over k of  q[k] (log q[k] - log p[k])
///
/// q = softmax(student_logits / T)      T = temperature
/// p = softmax(teacher_logits / T)
/// ```
///
/// # Shapes
///
/// - `student_logits`, `teacher_logits`: `[batch_size, num_classes]`
/// - result: `[1]`
///
/// `temperature` is finite and above 0. The result is in nats times T squared: summed over classes, the mean
/// over the batch, never negative, 0 where both agree up to a shift of the logits.
/// [`soft_target`](crate::soft_target) charges for what the teacher finds likely and the student does not;
/// this charges for what the student finds likely and the teacher does not, so that a small student settles
/// on one of the teacher's modes. Its gradient fades where the student is certain, right or wrong: with
/// respect to `student_logits[j]` it is `T q[j] (log (q[j] / p[j]) - KL(q || p)) / batch_size`.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one. Values and gradients are finite for logits of 1e4 and beyond.
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
/// use kd_losses::{reverse_kl, soft_target};
///
/// let device = Device::flex();
/// // The teacher is torn between two classes, the student has settled on one of them.
/// let teacher = Tensor::<2>::from_data([[9.0, 9.0, 0.0]], &device);
/// let student = Tensor::<2>::from_data([[9.0, 0.0, 0.0]], &device);
/// let reverse = reverse_kl(student.clone(), teacher.clone(), 1.0)?.into_scalar::<f32>();
/// let forward = soft_target(student, teacher, 1.0)?.into_scalar::<f32>();
/// assert!(reverse < 0.7 && forward > 3.0);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Gu, Dong, Wei, Huang, "`MiniLLM`: Knowledge Distillation of Large Language Models", ICLR 2024, arXiv
/// 2306.08543, takes it for sequences that the student samples, and its gradient from a policy. This is the
/// divergence of one prediction, differentiated directly, with the temperature and the T squared of
/// [`soft_target`](crate::soft_target).
pub fn reverse_kl(
    student_logits: Tensor<2>,
    teacher_logits: Tensor<2>,
    temperature: f64,
) -> Result<Tensor<1>> {
    check::temperature(temperature)?;
    check::logits_pair("reverse_kl", &student_logits, &teacher_logits)?;

    let log_p = log_softened(teacher_logits.without_autodiff(), temperature);
    let log_q = log_softened(student_logits, temperature);
    Ok(divergence(log_q, log_p).mean() * (temperature * temperature))
}

/// The constant of [`reverse_kl`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReverseKlLossConfig {
    /// The divisor of both logits, finite and above 0.
    ///
    /// 1: the paper does not soften.
    #[config(default = 1.0)]
    pub temperature: f64,
}

impl ReverseKlLossConfig {
    /// Checks the constant and makes the loss.
    ///
    /// # Errors
    ///
    /// `temperature` not finite or not above 0.
    pub fn init(&self) -> Result<ReverseKlLoss> {
        check::temperature(self.temperature)?;
        Ok(ReverseKlLoss {
            temperature: self.temperature,
        })
    }
}

/// [`reverse_kl`] with its constant, made by [`ReverseKlLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReverseKlLoss {
    temperature: f64,
}

impl ReverseKlLoss {
    /// [`reverse_kl`] of two `[batch_size, num_classes]`.
    ///
    /// # Errors
    ///
    /// Those of [`reverse_kl`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::ReverseKlLossConfig;
    ///
    /// let device = Device::flex();
    /// let logits = Tensor::<2>::from_data([[1.0, 2.0, 3.0]], &device);
    /// let loss = ReverseKlLossConfig::new().with_temperature(4.0).init()?;
    /// let value = loss.forward(logits.clone() + 5.0, logits)?.into_scalar::<f32>();
    /// assert!(value.abs() < 1e-5);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_logits: Tensor<2>,
        teacher_logits: Tensor<2>,
    ) -> Result<Tensor<1>> {
        reverse_kl(student_logits, teacher_logits, self.temperature)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "reverse-kl",
    title: "Reverse KL",
    family: Family::Logits,
    about: "KL divergence of the teacher from the student",
    paper: Paper {
        authors: "Gu et al.",
        year: 2023,
        arxiv: "2306.08543",
        place: "the reverse divergence",
    },
    inputs: "two logits `[batch, classes]`",
    constants: &[Constant {
        name: "temperature",
        source: "the paper does not soften",
    }],
    defaults: Some(|| ReverseKlLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: None,
    cost: "",
    disagreements: "differentiated directly (here) or by a policy gradient over sequences that the student \
        samples (the paper); with T squared here, as in `kd`",
};
