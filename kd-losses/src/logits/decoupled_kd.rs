//! Decoupled knowledge distillation.

use super::parts::{divergence, log_sum_exp, of_others, of_target, softened};
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::config::Config;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// Decoupled knowledge distillation: how sure the teacher is of the label, and its distribution over the
/// other classes.
///
/// ```text
/// loss = T^2 * mean over samples of  (alpha TCKD + beta NCKD)
///
/// TCKD = KL( (p[y], 1 - p[y])  ||  (q[y], 1 - q[y]) )                  target class
/// NCKD = KL( p[k] / (1 - p[y])  ||  q[k] / (1 - q[y]) ),  k != y       other classes
///
/// p = softmax(teacher_logits / T)      q = softmax(student_logits / T)
/// y = the sample's target              T = temperature
/// ```
///
/// # Shapes
///
/// - `student_logits`, `teacher_logits`: `[batch_size, num_classes]`, at least two classes
/// - `targets`: `[batch_size]`, each from 0 to `num_classes - 1`
/// - result: `[1]`
///
/// `alpha` and `beta` are finite and at least 0, `temperature` is finite and above 0. The result is in nats
/// times T squared: summed over classes, the mean over the batch, never negative, 0 where both agree up to a
/// shift of the logits. With `alpha = 1` and, for each sample, `beta = 1 - p[y]` it is
/// [`soft_target`](crate::soft_target): that is how the paper finds the weight by which the usual loss hides
/// the other classes. With two classes NCKD is 0.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one. All is computed from logarithms; values and gradients are finite for logits of 1e4
/// and beyond, and a target out of range is **not checked** (see [`cross_entropy`](crate::cross_entropy)).
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
/// use kd_losses::decoupled_kd;
///
/// let device = Device::flex();
/// let teacher = Tensor::<2>::from_data([[5.0, 1.0, 0.0]], &device);
/// let student = Tensor::<2>::from_data([[2.0, 1.0, 0.0]], &device);
/// let targets = Tensor::<1, Int>::from_data([0], &device);
///
/// // They agree on the other classes, so that NCKD weighs nothing.
/// let one = decoupled_kd(student.clone(), teacher.clone(), targets.clone(), 1.0, 1.0, 4.0)?;
/// let eight = decoupled_kd(student, teacher, targets, 1.0, 8.0, 4.0)?;
/// assert!((one.into_scalar::<f32>() - eight.into_scalar::<f32>()).abs() < 1e-5);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Zhao, Cui, Song, Qiu, Liang, "Decoupled Knowledge Distillation", CVPR 2022, arXiv 2203.08679, section 3.
/// As in the authors' code, T squared multiplies both parts. That code hides the target from NCKD by taking
/// 1000 from its softened logit, which shows through once logits differ by more, and takes the logarithm of
/// summed probabilities, which is minus infinity once they underflow; here both are exact. Its weight grows
/// over the first 20 epochs, which is left to the schedule of weights.
pub fn decoupled_kd(
    student_logits: Tensor<2>,
    teacher_logits: Tensor<2>,
    targets: Tensor<1, Int>,
    alpha: f64,
    beta: f64,
    temperature: f64,
) -> Result<Tensor<1>> {
    check_constants(alpha, beta, temperature)?;
    check::labelled_pair("decoupled_kd", &student_logits, &teacher_logits, &targets)?;
    check::two_classes("decoupled_kd", "student_logits", &student_logits)?;

    let teacher = softened(teacher_logits.without_autodiff(), temperature);
    let student = softened(student_logits, temperature);
    let teacher_others = of_others(teacher.clone(), &targets); // [batch_size, num_classes - 1]
    let student_others = of_others(student.clone(), &targets);
    // The target against the rest: the two probabilities are the softmax of these two numbers.
    let log_p = target_and_rest(of_target(teacher, &targets), teacher_others.clone());
    let log_q = target_and_rest(of_target(student, &targets), student_others.clone());
    let target_part = divergence(log_p, log_q); // [batch_size, 1]
    let other_part = divergence(
        log_softmax(teacher_others, 1),
        log_softmax(student_others, 1),
    );
    let per_sample = target_part * alpha + other_part * beta;
    Ok(per_sample.mean() * (temperature * temperature))
}

/// `(log p[y], log (1 - p[y]))`, `[batch_size, 2]`.
fn target_and_rest(target: Tensor<2>, others: Tensor<2>) -> Tensor<2> {
    log_softmax(Tensor::cat(vec![target, log_sum_exp(others)], 1), 1)
}

fn check_constants(alpha: f64, beta: f64, temperature: f64) -> Result<()> {
    check::not_negative("alpha", alpha, "the authors use 1")?;
    check::not_negative("beta", beta, "the authors use 8, less for some pairs")?;
    check::temperature(temperature)
}

/// The constants of [`decoupled_kd`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct DecoupledKdLossConfig {
    /// Weight of the part of the target class, finite and at least 0, the paper's alpha.
    ///
    /// 1 in the paper and in the authors' code.
    #[config(default = 1.0)]
    pub alpha: f64,
    /// Weight of the part of the other classes, finite and at least 0, the paper's beta.
    ///
    /// 8, the authors' code for CIFAR-100; it is tuned by pair of networks.
    #[config(default = 8.0)]
    pub beta: f64,
    /// The divisor of both logits, finite and above 0, the paper's T.
    ///
    /// 4, the authors' code for CIFAR-100.
    #[config(default = 4.0)]
    pub temperature: f64,
}

impl DecoupledKdLossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// A constant outside its range.
    pub fn init(&self) -> Result<DecoupledKdLoss> {
        check_constants(self.alpha, self.beta, self.temperature)?;
        Ok(DecoupledKdLoss {
            alpha: self.alpha,
            beta: self.beta,
            temperature: self.temperature,
        })
    }
}

/// [`decoupled_kd`] with its constants, made by [`DecoupledKdLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecoupledKdLoss {
    alpha: f64,
    beta: f64,
    temperature: f64,
}

impl DecoupledKdLoss {
    /// The weight usual beside a cross-entropy of weight 1: 1, which the authors' code reaches linearly over
    /// 20 epochs.
    pub const USUAL_WEIGHT: f64 = 1.0;

    /// [`decoupled_kd`] of two `[batch_size, num_classes]` and `targets` `[batch_size]`.
    ///
    /// # Errors
    ///
    /// Those of [`decoupled_kd`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Int, Tensor};
    /// use kd_losses::DecoupledKdLossConfig;
    ///
    /// let device = Device::flex();
    /// let logits = Tensor::<2>::from_data([[1.0, 2.0, 3.0]], &device);
    /// let targets = Tensor::<1, Int>::from_data([2], &device);
    /// let loss = DecoupledKdLossConfig::new().with_beta(2.0).init()?;
    /// let value = loss.forward(logits.clone() + 5.0, logits, targets)?.into_scalar::<f32>();
    /// assert!(value.abs() < 1e-5);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_logits: Tensor<2>,
        teacher_logits: Tensor<2>,
        targets: Tensor<1, Int>,
    ) -> Result<Tensor<1>> {
        let (alpha, beta, temperature) = (self.alpha, self.beta, self.temperature);
        decoupled_kd(
            student_logits,
            teacher_logits,
            targets,
            alpha,
            beta,
            temperature,
        )
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "dkd",
    title: "Decoupled KD",
    family: Family::Logits,
    about: "KL divergences of target against rest and among the other classes, weighted apart",
    paper: Paper {
        authors: "Zhao et al.",
        year: 2022,
        arxiv: "2203.08679",
        place: "section 3",
    },
    inputs: "two logits `[batch, classes]`, targets `[batch]`",
    constants: &[
        Constant {
            name: "alpha",
            source: "the authors' code",
        },
        Constant {
            name: "beta",
            source: "the authors' code, CIFAR-100; tuned by pair",
        },
        Constant {
            name: "temperature",
            source: "the authors' code, CIFAR-100",
        },
    ],
    defaults: Some(|| DecoupledKdLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: DecoupledKdLoss::USUAL_WEIGHT,
        source: "the authors' code, reached over 20 epochs",
    }),
    cost: "",
    disagreements: "the authors' code takes 1000 from the target's softened logit to hide it, which fails \
        for large logits, and the logarithm of a sum that may be 0; others bound the probabilities; here \
        exact, from logarithms",
};
