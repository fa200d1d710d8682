//! Weighted soft labels.

use super::parts::{divergence, log_softened, of_target};
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::config::Config;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// Weighted soft labels (WSLD): the softened divergence, less of it where the student is ahead of the
/// teacher.
///
/// ```text
/// loss = T^2 * mean over samples of  w KL(p || q)
/// w    = 1 - exp(-CE(student) / (CE(teacher) + e))
///
/// p = softmax(teacher_logits / T)      CE(.) = -log softmax(logits)[y], not softened
/// q = softmax(student_logits / T)      y = the sample's target
/// T = temperature                      e = epsilon
/// ```
///
/// # Shapes
///
/// - `student_logits`, `teacher_logits`: `[batch_size, num_classes]`
/// - `targets`: `[batch_size]`, each from 0 to `num_classes - 1`
/// - result: `[1]`
///
/// `temperature` is finite and above 0, `epsilon` is from 1e-15 to 1. The result is in nats times T squared:
/// summed over classes, the mean over the batch, never negative, 0 where both agree. The weight `w` is
/// between 0 and 1 and **a constant**: no gradient flows through it. It is 1 where the teacher is certain of
/// the label and the student is not, 0 where the student is certain of it, and finite in any case,
/// `CE(teacher) = 0` included.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one. Values and gradients are finite for logits of 1e4 and beyond, and a target out of
/// range is **not checked** (see [`cross_entropy`](crate::cross_entropy)).
///
/// # Errors
///
/// A constant outside its range; an empty batch; unequal batch sizes or numbers of classes; tensors of
/// different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kd_losses::{soft_target, weighted_soft_label};
///
/// let device = Device::flex();
/// let teacher = Tensor::<2>::from_data([[50.0, 0.0]], &device);
/// let student = Tensor::<2>::from_data([[0.0, 0.0]], &device);
/// let targets = Tensor::<1, Int>::from_data([0], &device);
/// // The teacher is certain and right: the whole divergence.
/// let all = soft_target(student.clone(), teacher.clone(), 2.0)?.into_scalar::<f32>();
/// let loss = weighted_soft_label(student, teacher, targets, 2.0, 1e-7)?.into_scalar::<f32>();
/// assert!((loss - all).abs() < 1e-5);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Zhou, Song, Chen, Zhou, Wang, Yuan, Zhang, "Rethinking Soft Labels for Knowledge Distillation: A
/// Bias-Variance Tradeoff Perspective", ICLR 2021, arXiv 2102.00650. As in the authors' code, the weight
/// comes from losses that are not softened, has no gradient, and has 1e-7 in its denominator. They weigh a
/// cross-entropy with the soft labels, we the divergence, which is that minus the teacher's entropy: since
/// the weight is a constant the gradients are equal, and the value has its minimum at 0.
pub fn weighted_soft_label(
    student_logits: Tensor<2>,
    teacher_logits: Tensor<2>,
    targets: Tensor<1, Int>,
    temperature: f64,
    epsilon: f64,
) -> Result<Tensor<1>> {
    check_constants(temperature, epsilon)?;
    let name = "weighted_soft_label";
    check::labelled_pair(name, &student_logits, &teacher_logits, &targets)?;

    let teacher = teacher_logits.without_autodiff();
    // [batch_size, 1]; rounding must not carry it below 0
    let cross_entropy = |logits: Tensor<2>| {
        let log_q = log_softmax(logits, 1);
        of_target(log_q, &targets).neg().clamp_min(0.0)
    };
    let of_student = cross_entropy(student_logits.clone().without_autodiff());
    let ratio = of_student / (cross_entropy(teacher.clone()) + epsilon);
    let weight = ratio.neg().exp().neg() + 1.0;
    let log_p = log_softened(teacher, temperature);
    let log_q = log_softened(student_logits, temperature);
    let weighted = weight * divergence(log_p, log_q); // [batch_size, 1]
    Ok(weighted.mean() * (temperature * temperature))
}

fn check_constants(temperature: f64, epsilon: f64) -> Result<()> {
    check::temperature(temperature)?;
    let ok = (1e-15..=1.0).contains(&epsilon);
    let advice = "the authors use 1e-7";
    check::constant("epsilon", epsilon, ok, "from 1e-15 to 1", advice)
}

/// The constants of [`weighted_soft_label`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct WeightedSoftLabelLossConfig {
    /// The divisor of both logits, finite and above 0, the paper's tau.
    ///
    /// 2, the authors' code, for `ImageNet`; the settings of Yang et al. (arXiv 2303.13005) for CIFAR-100
    /// have 4.
    #[config(default = 2.0)]
    pub temperature: f64,
    /// The number added to the teacher's cross-entropy before it divides, from 1e-15 to 1.
    ///
    /// 1e-7, the authors' code.
    #[config(default = 1e-7)]
    pub epsilon: f64,
}

impl WeightedSoftLabelLossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// A constant outside its range.
    pub fn init(&self) -> Result<WeightedSoftLabelLoss> {
        check_constants(self.temperature, self.epsilon)?;
        Ok(WeightedSoftLabelLoss {
            temperature: self.temperature,
            epsilon: self.epsilon,
        })
    }
}

/// [`weighted_soft_label`] with its constants, made by [`WeightedSoftLabelLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightedSoftLabelLoss {
    temperature: f64,
    epsilon: f64,
}

impl WeightedSoftLabelLoss {
    /// The weight usual beside a cross-entropy of weight 1: 2.5, the authors' alpha for `ImageNet`.
    ///
    /// The settings of Yang et al. (arXiv 2303.13005) for CIFAR-100 have 2.25, with a temperature of 4.
    pub const USUAL_WEIGHT: f64 = 2.5;

    /// [`weighted_soft_label`] of two `[batch_size, num_classes]` and `targets` `[batch_size]`.
    ///
    /// # Errors
    ///
    /// Those of [`weighted_soft_label`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Int, Tensor};
    /// use kd_losses::WeightedSoftLabelLossConfig;
    ///
    /// let device = Device::flex();
    /// let teacher = Tensor::<2>::from_data([[1.0, 0.0]], &device);
    /// let student = Tensor::<2>::from_data([[80.0, 0.0]], &device);
    /// let targets = Tensor::<1, Int>::from_data([0], &device);
    /// let loss = WeightedSoftLabelLossConfig::new().init()?;
    /// // The student is right already: it is not called back.
    /// assert!(loss.forward(student, teacher, targets)?.into_scalar::<f32>() < 1e-6);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_logits: Tensor<2>,
        teacher_logits: Tensor<2>,
        targets: Tensor<1, Int>,
    ) -> Result<Tensor<1>> {
        let (temperature, epsilon) = (self.temperature, self.epsilon);
        weighted_soft_label(
            student_logits,
            teacher_logits,
            targets,
            temperature,
            epsilon,
        )
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "wsld",
    title: "Weighted soft labels",
    family: Family::Logits,
    about: "the softened divergence, weighted by how far the student is behind the teacher",
    paper: Paper {
        authors: "Zhou et al.",
        year: 2021,
        arxiv: "2102.00650",
        place: "the weighted soft labels",
    },
    inputs: "two logits `[batch, classes]`, targets `[batch]`",
    constants: &[
        Constant {
            name: "temperature",
            source: "the authors' code, ImageNet; 4 for CIFAR-100 in 2303.13005",
        },
        Constant {
            name: "epsilon",
            source: "the authors' code",
        },
    ],
    defaults: Some(|| WeightedSoftLabelLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: WeightedSoftLabelLoss::USUAL_WEIGHT,
        source: "the authors' code, ImageNet; 2.25 for CIFAR-100 in 2303.13005",
    }),
    cost: "",
    disagreements: "the weight from softened or from plain cross-entropies (plain, as the authors' code), \
        with or without 1e-7 in its denominator (with); a cross-entropy is weighted (the authors) or the \
        divergence (here), which have equal gradients",
};
