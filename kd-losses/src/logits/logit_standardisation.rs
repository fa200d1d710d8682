//! Logit standardisation.

use super::parts::{divergence, log_softened};
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use crate::norm::bounded_root;
use burn::config::Config;
use burn::tensor::Tensor;

/// Each row of logits with a mean of 0 and a standard deviation of 1: the step before any loss of softened
/// logits.
///
/// ```text
/// result[k] = (z[k] - mean z) / (max(s, e) + e)
/// s = root of  sum over k of (z[k] - mean z)^2 / (K - 1)
///
/// z = a sample's logits      K = num_classes      e = epsilon
/// ```
///
/// # Shapes
///
/// - `logits`: `[batch_size, num_classes]`
/// - result: the same
///
/// `epsilon` is from 1e-15 to 1 and its square must be representable. The result does not change when a
/// number is added to a sample's logits, nor when they are multiplied by a positive one, as long as `s` is
/// large against `epsilon`; it is at most `(K - 1) / root of K` in size. Equal logits become zeros, and so
/// does the only logit of one class.
///
/// Value and gradient are finite for logits of 1e4 and beyond, and for equal ones. **The gradient is divided
/// by `s` too**: it grows as a row's spread shrinks, to `1 / (2 e)` at equal logits.
///
/// The result has a gradient with respect to whatever is given, a teacher too: the losses that follow take
/// their teacher as a constant.
///
/// # Errors
///
/// `epsilon` outside its range; an empty batch.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kd_losses::{decoupled_kd, standardised};
///
/// let device = Device::flex();
/// let teacher = Tensor::<2>::from_data([[9.0, 6.0, 3.0]], &device);
/// let student = Tensor::<2>::from_data([[3.0, 2.0, 1.0]], &device);
/// let targets = Tensor::<1, Int>::from_data([0], &device);
///
/// // In front of any loss: decoupled KD with a base temperature of 2 sees that the two agree.
/// let (student, teacher) = (standardised(student, 1e-7)?, standardised(teacher, 1e-7)?);
/// let loss = decoupled_kd(student, teacher, targets, 1.0, 8.0, 2.0)?;
/// assert!(loss.into_scalar::<f32>().abs() < 1e-4);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Sun, Ren, Li, Wang, Cao, "Logit Standardization in Knowledge Distillation", CVPR 2024, arXiv 2403.01427.
/// As in the authors' code, the standard deviation divides by `K - 1` and 1e-7 is added to it; here it is
/// also bounded by `epsilon`, so that the gradient of equal logits is finite.
pub fn standardised(logits: Tensor<2>, epsilon: f64) -> Result<Tensor<2>> {
    check_epsilon(epsilon)?;
    check::filled("standardised", "logits", &logits)?;

    let [_batch_size, num_classes] = logits.dims();
    // Less the largest first, a constant that cancels out: the mean of equal large logits is not quite those
    // logits.
    let largest = logits.clone().without_autodiff().max_dim(1); // [batch_size, 1]
    let logits = logits - largest;
    let centred = logits.clone() - logits.mean_dim(1);
    let freedom = num_classes.saturating_sub(1).max(1) as f64;
    let variance = centred.clone().square().sum_dim(1) * freedom.recip(); // [batch_size, 1]
    Ok(centred / (bounded_root(variance, epsilon) + epsilon))
}

/// Knowledge distillation of standardised logits.
///
/// ```text
/// loss = soft_target(standardised(student_logits), standardised(teacher_logits), T)
///
/// T = temperature, the base temperature
/// ```
///
/// # Shapes
///
/// - `student_logits`, `teacher_logits`: `[batch_size, num_classes]`
/// - result: `[1]`
///
/// The student need not match the size of the teacher's logits, only their relations: the result is 0
/// wherever one row is the other times a positive number, plus a number. It is in nats times T squared, as
/// [`soft_target`](crate::soft_target) is, and never negative; for the range of `epsilon` and the size of
/// gradients see [`standardised`].
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// A constant outside its range; an empty batch; unequal batch sizes or numbers of classes; tensors of
/// different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::logit_standardisation;
///
/// let device = Device::flex();
/// let teacher = Tensor::<2>::from_data([[40.0, 20.0, 0.0]], &device);
/// let student = Tensor::<2>::from_data([[0.3, 0.2, 0.1]], &device);
/// assert!(logit_standardisation(student, teacher, 2.0, 1e-7)?.into_scalar::<f32>() < 1e-5);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// As for [`standardised`]. The paper speaks of a temperature of its own for each sample, the standard
/// deviation times the base temperature; it is the same.
pub fn logit_standardisation(
    student_logits: Tensor<2>,
    teacher_logits: Tensor<2>,
    temperature: f64,
    epsilon: f64,
) -> Result<Tensor<1>> {
    check_constants(temperature, epsilon)?;
    check::logits_pair("logit_standardisation", &student_logits, &teacher_logits)?;

    let teacher = standardised(teacher_logits.without_autodiff(), epsilon)?;
    let student = standardised(student_logits, epsilon)?;
    let log_p = log_softened(teacher, temperature);
    let log_q = log_softened(student, temperature);
    Ok(divergence(log_p, log_q).mean() * (temperature * temperature))
}

fn check_constants(temperature: f64, epsilon: f64) -> Result<()> {
    check::temperature(temperature)?;
    check_epsilon(epsilon)
}

fn check_epsilon(epsilon: f64) -> Result<()> {
    let ok = (1e-15..=1.0).contains(&epsilon);
    let advice = "1e-7 suits 32-bit floats, 1e-3 16-bit ones";
    check::constant("epsilon", epsilon, ok, "from 1e-15 to 1", advice)
}

/// The constants of [`logit_standardisation`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct LogitStandardisationLossConfig {
    /// The divisor of both standardised logits, finite and above 0, the paper's base temperature.
    ///
    /// 2, the command of the authors' code; some pairs of networks have 3.
    #[config(default = 2.0)]
    pub temperature: f64,
    /// Smallest standard deviation, also added to it, from 1e-15 to 1.
    ///
    /// 1e-7, the authors' code.
    #[config(default = 1e-7)]
    pub epsilon: f64,
}

impl LogitStandardisationLossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// A constant outside its range.
    pub fn init(&self) -> Result<LogitStandardisationLoss> {
        check_constants(self.temperature, self.epsilon)?;
        Ok(LogitStandardisationLoss {
            temperature: self.temperature,
            epsilon: self.epsilon,
        })
    }
}

/// [`logit_standardisation`] with its constants, made by [`LogitStandardisationLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogitStandardisationLoss {
    temperature: f64,
    epsilon: f64,
}

impl LogitStandardisationLoss {
    /// The weight usual beside a cross-entropy of weight 0.1: 9, the command of the authors' code.
    pub const USUAL_WEIGHT: f64 = 9.0;

    /// [`standardised`] logits, `[batch_size, num_classes]`, for use before another loss.
    ///
    /// # Errors
    ///
    /// An empty batch.
    pub fn apply(&self, logits: Tensor<2>) -> Result<Tensor<2>> {
        standardised(logits, self.epsilon)
    }

    /// [`logit_standardisation`] of two `[batch_size, num_classes]`.
    ///
    /// # Errors
    ///
    /// Those of [`logit_standardisation`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::{LogitStandardisationLossConfig, soft_target};
    ///
    /// let device = Device::flex();
    /// let student = Tensor::<2>::from_data([[1.0, 0.0, 0.0]], &device);
    /// let teacher = Tensor::<2>::from_data([[0.0, 0.0, 1.0]], &device);
    /// let loss = LogitStandardisationLossConfig::new().init()?;
    ///
    /// let whole = loss.forward(student.clone(), teacher.clone())?;
    /// let parts = soft_target(loss.apply(student)?, loss.apply(teacher)?, 2.0)?;
    /// assert_eq!(whole.into_scalar::<f32>(), parts.into_scalar::<f32>());
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_logits: Tensor<2>,
        teacher_logits: Tensor<2>,
    ) -> Result<Tensor<1>> {
        let (temperature, epsilon) = (self.temperature, self.epsilon);
        logit_standardisation(student_logits, teacher_logits, temperature, epsilon)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "logit-standardisation",
    title: "Logit standardisation",
    family: Family::Logits,
    about: "KL divergence after each row of logits has got mean 0 and standard deviation 1",
    paper: Paper {
        authors: "Sun et al.",
        year: 2024,
        arxiv: "2403.01427",
        place: "the step before the softmax",
    },
    inputs: "two logits `[batch, classes]`",
    constants: &[
        Constant {
            name: "temperature",
            source: "the authors' command; 3 for some pairs",
        },
        Constant {
            name: "epsilon",
            source: "the authors' code",
        },
    ],
    defaults: Some(|| LogitStandardisationLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: LogitStandardisationLoss::USUAL_WEIGHT,
        source: "the authors' command, beside a cross-entropy of weight 0.1",
    }),
    cost: "",
    disagreements: "the standard deviation over K or K - 1 (K - 1, as the authors' code); 1e-7 added to it \
        or a bound (both here, so that the gradient of equal logits is finite)",
};
