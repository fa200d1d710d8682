//! Normalised knowledge distillation.

use super::parts::{of_others, of_target, softened};
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::config::Config;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// Normalised knowledge distillation (NKD): a soft label for the target, a cross-entropy among the other
/// classes.
///
/// ```text
/// loss = mean over samples of  -p[y] log q[y]  -  gamma T^2 sum over k != y of  P[k] log Q[k]
///
/// p = softmax(teacher_logits)      P = softmax over k != y of teacher_logits[k] / T
/// q = softmax(student_logits)      Q = softmax over k != y of student_logits[k] / T
/// y = the sample's target          T = temperature
/// ```
///
/// # Shapes
///
/// - `student_logits`, `teacher_logits`: `[batch_size, num_classes]`, at least two classes
/// - `targets`: `[batch_size]`, each from 0 to `num_classes - 1`
/// - result: `[1]`
///
/// `gamma` is finite and at least 0, `temperature` is finite and above 0 and softens the second term only.
/// The result is in nats, the mean over the batch, never negative. Its terms are cross-entropies, so that it
/// is **not 0 where both agree**: there the second term has its minimum, the entropy of the teacher, while
/// the first goes on pulling `q[y]` towards 1, in proportion to `p[y]`. With two classes the second term
/// is 0.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one. Values and gradients are finite for logits of 1e4 and beyond, and a target out of
/// range is **not checked** (see [`cross_entropy`](crate::cross_entropy)).
///
/// # Errors
///
/// A constant outside its range; an empty batch; fewer than two classes; unequal batch sizes or numbers of
/// classes; tensors of different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kd_losses::normalised_kd;
///
/// let device = Device::flex();
/// let teacher = Tensor::<2>::from_data([[0.0, 0.0]], &device);
/// let student = Tensor::<2>::from_data([[0.0, 0.0]], &device);
/// let targets = Tensor::<1, Int>::from_data([1], &device);
/// // Half of ln 2: the teacher is half sure of the label, and there is one other class.
/// let loss = normalised_kd(student, teacher, targets, 1.5, 1.0)?;
/// assert!((loss.into_scalar::<f32>() - 0.346_574).abs() < 1e-5);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Yang, Zeng, Li, Zhang, Yuan, Li, "From Knowledge Distillation to Self-Knowledge Distillation: A Unified
/// Approach with Normalized Loss and Customized Soft Labels", ICCV 2023, arXiv 2303.13005. The cross-entropy
/// with the hard label, which the total of the paper has too, is not in here: it is
/// [`cross_entropy`](crate::cross_entropy) beside this. As in the authors' code, the first term is not
/// softened and T squared multiplies the second. A version of that code masks nothing (it writes ones into a
/// mask of ones), so that its second term is over all classes; here, as in the paper, it leaves out the
/// target.
pub fn normalised_kd(
    student_logits: Tensor<2>,
    teacher_logits: Tensor<2>,
    targets: Tensor<1, Int>,
    gamma: f64,
    temperature: f64,
) -> Result<Tensor<1>> {
    check_constants(gamma, temperature)?;
    check::labelled_pair("normalised_kd", &student_logits, &teacher_logits, &targets)?;
    check::two_classes("normalised_kd", "student_logits", &student_logits)?;

    let teacher = teacher_logits.without_autodiff();
    let p = of_target(log_softmax(teacher.clone(), 1), &targets).exp(); // [batch_size, 1]
    let log_q = of_target(log_softmax(student_logits.clone(), 1), &targets);
    let target_part = (p * log_q).mean();
    // [batch_size, num_classes - 1]
    let log_others = |logits: Tensor<2>| {
        let others = of_others(logits, &targets);
        log_softmax(softened(others, temperature), 1)
    };
    let others = log_others(teacher).exp() * log_others(student_logits);
    let other_part = others.sum_dim(1).mean() * (gamma * temperature * temperature);
    Ok((target_part + other_part).neg())
}

fn check_constants(gamma: f64, temperature: f64) -> Result<()> {
    check::not_negative("gamma", gamma, "the authors use 1.5")?;
    check::temperature(temperature)
}

/// The constants of [`normalised_kd`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct NormalisedKdLossConfig {
    /// Weight of the part of the other classes, finite and at least 0, the paper's gamma.
    ///
    /// 1.5, the default of the authors' code, for `ImageNet`; its settings for CIFAR-100 have 3.5.
    #[config(default = 1.5)]
    pub gamma: f64,
    /// The divisor of the logits of the other classes, finite and above 0, the paper's lambda.
    ///
    /// 1, the default of the authors' code, for `ImageNet`; its settings for CIFAR-100 have 3.
    #[config(default = 1.0)]
    pub temperature: f64,
}

impl NormalisedKdLossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// A constant outside its range.
    pub fn init(&self) -> Result<NormalisedKdLoss> {
        check_constants(self.gamma, self.temperature)?;
        Ok(NormalisedKdLoss {
            gamma: self.gamma,
            temperature: self.temperature,
        })
    }
}

/// [`normalised_kd`] with its constants, made by [`NormalisedKdLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormalisedKdLoss {
    gamma: f64,
    temperature: f64,
}

impl NormalisedKdLoss {
    /// The weight usual beside a cross-entropy of weight 1: 1, the authors' code.
    pub const USUAL_WEIGHT: f64 = 1.0;

    /// [`normalised_kd`] of two `[batch_size, num_classes]` and `targets` `[batch_size]`.
    ///
    /// # Errors
    ///
    /// Those of [`normalised_kd`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Int, Tensor};
    /// use kd_losses::NormalisedKdLossConfig;
    ///
    /// let device = Device::flex();
    /// let teacher = Tensor::<2>::from_data([[50.0, 0.0, 0.0]], &device);
    /// let student = Tensor::<2>::from_data([[50.0, 0.0, 0.0]], &device);
    /// let targets = Tensor::<1, Int>::from_data([0], &device);
    /// let loss = NormalisedKdLossConfig::new().init()?;
    /// // Sure of the label; among the two others the entropy ln 2 is left, times gamma.
    /// let value = loss.forward(student, teacher, targets)?.into_scalar::<f32>();
    /// assert!((value - 1.5 * 2_f32.ln()).abs() < 1e-5);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_logits: Tensor<2>,
        teacher_logits: Tensor<2>,
        targets: Tensor<1, Int>,
    ) -> Result<Tensor<1>> {
        let (gamma, temperature) = (self.gamma, self.temperature);
        normalised_kd(student_logits, teacher_logits, targets, gamma, temperature)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "nkd",
    title: "Normalised KD",
    family: Family::Logits,
    about: "cross-entropy with the teacher's probability of the label, and among the other classes",
    paper: Paper {
        authors: "Yang et al.",
        year: 2023,
        arxiv: "2303.13005",
        place: "the loss NKD",
    },
    inputs: "two logits `[batch, classes]`, targets `[batch]`",
    constants: &[
        Constant {
            name: "gamma",
            source: "the authors' code; 3.5 for CIFAR-100",
        },
        Constant {
            name: "temperature",
            source: "the authors' code; 3 for CIFAR-100",
        },
    ],
    defaults: Some(|| NormalisedKdLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: NormalisedKdLoss::USUAL_WEIGHT,
        source: "the authors' code",
    }),
    cost: "",
    disagreements: "a version of the authors' code leaves the target among the other classes, by a mask of \
        ones; here it is left out, as in the paper and in later copies; the cross-entropy with the hard \
        label is a term of its own",
};
