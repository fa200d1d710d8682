//! The generalised Jensen-Shannon divergence.

use super::parts::log_softened;
use crate::catalogue::{Constant, Family, LossInfo, Paper};
use crate::check;
use crate::error::Result;
use burn::config::Config;
use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;

/// Generalised Jensen-Shannon divergence: of student and of teacher from their mixture.
///
/// ```text
/// loss = T^2 * mean over samples of  b KL(p || m) + (1 - b) KL(q || m),      m = b p + (1 - b) q
///
/// p = softmax(teacher_logits / T)      b = beta
/// q = softmax(student_logits / T)      T = temperature
/// ```
///
/// # Shapes
///
/// - `student_logits`, `teacher_logits`: `[batch_size, num_classes]`
/// - result: `[1]`
///
/// `beta` is above 0 and below 1, `temperature` is finite and above 0. The result is in nats times T squared:
/// summed over classes, the mean over the batch, never negative, 0 where both agree up to a shift of the
/// logits, and **bounded**, by `T^2 (-b ln b - (1 - b) ln (1 - b))`, at most `T^2 ln 2`, however far the two
/// are apart. With `b = 1/2` it is the Jensen-Shannon divergence, in which student and teacher may change
/// places. Divided by `b` it tends to [`soft_target`](crate::soft_target) as `b` tends to 0; divided by
/// `1 - b` it tends to [`reverse_kl`](crate::reverse_kl) as `b` tends to 1. It is **not** divided here: a
/// `beta` near 0 or 1 wants a large weight.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one. Values and gradients are finite for logits of 1e4 and beyond.
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
/// use kd_losses::jensen_shannon;
///
/// let device = Device::flex();
/// let teacher = Tensor::<2>::from_data([[1e4, -1e4]], &device);
/// let student = Tensor::<2>::from_data([[-1e4, 1e4]], &device);
/// // They have nothing in common: ln 2, not 2e4.
/// let loss = jensen_shannon(student, teacher, 0.5, 1.0)?;
/// assert!((loss.into_scalar::<f32>() - 2_f32.ln()).abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Agarwal, Vieillard, Zhou, Stanczyk, Ramos, Geist, Bachem, "On-Policy Distillation of Language Models:
/// Learning from Self-Generated Mistakes", ICLR 2024, arXiv 2306.13649, equation (1), for each token; here
/// for each sample. T squared is ours, as in [`soft_target`](crate::soft_target); common code for language
/// models has the temperature without it. Code that accepts `beta` of 0 and 1 returns the two
/// Kullback-Leibler divergences there, which the formula does not: it is 0 at both.
pub fn jensen_shannon(
    student_logits: Tensor<2>,
    teacher_logits: Tensor<2>,
    beta: f64,
    temperature: f64,
) -> Result<Tensor<1>> {
    check_constants(beta, temperature)?;
    check::logits_pair("jensen_shannon", &student_logits, &teacher_logits)?;

    let log_p = log_softened(teacher_logits.without_autodiff(), temperature);
    let log_q = log_softened(student_logits, temperature);
    // The logit of the teacher's share in the mixture. With it
    // log (p / m) = log sigmoid(share) - log b,  log (q / m) = log sigmoid(-share) - log (1 - b)
    // which no rounding to 0 of p, q or m can spoil.
    let share = log_p.clone() - log_q.clone() + (beta.ln() - (-beta).ln_1p());
    let of_teacher = log_p.exp() * (log_sigmoid(share.clone()) - beta.ln());
    let of_student = log_q.exp() * (log_sigmoid(share.neg()) - (-beta).ln_1p());
    let each = of_teacher * beta + of_student * (1.0 - beta);
    Ok(each.sum_dim(1).mean() * (temperature * temperature))
}

fn check_constants(beta: f64, temperature: f64) -> Result<()> {
    let ok = beta > 0.0 && beta < 1.0;
    let advice = "0.5 is usual; use `soft_target` for its limit at 0, `reverse_kl` for that at 1";
    check::constant("beta", beta, ok, "above 0 and below 1", advice)?;
    check::temperature(temperature)
}

/// The constants of [`jensen_shannon`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct JensenShannonLossConfig {
    /// Share of the teacher in the mixture, above 0 and below 1, the paper's beta.
    ///
    /// 0.5, the Jensen-Shannon divergence; the paper tries 0.1, 0.5 and 0.9, and which is best depends on the
    /// task.
    #[config(default = 0.5)]
    pub beta: f64,
    /// The divisor of both logits, finite and above 0.
    ///
    /// 1, not softened, as common code for language models.
    #[config(default = 1.0)]
    pub temperature: f64,
}

impl JensenShannonLossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// A constant outside its range.
    pub fn init(&self) -> Result<JensenShannonLoss> {
        check_constants(self.beta, self.temperature)?;
        Ok(JensenShannonLoss {
            beta: self.beta,
            temperature: self.temperature,
        })
    }
}

/// [`jensen_shannon`] with its constants, made by [`JensenShannonLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JensenShannonLoss {
    beta: f64,
    temperature: f64,
}

impl JensenShannonLoss {
    /// [`jensen_shannon`] of two `[batch_size, num_classes]`.
    ///
    /// # Errors
    ///
    /// Those of [`jensen_shannon`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::JensenShannonLossConfig;
    ///
    /// let device = Device::flex();
    /// let logits = Tensor::<2>::from_data([[1.0, 2.0, 3.0]], &device);
    /// let loss = JensenShannonLossConfig::new().with_beta(0.1).init()?;
    /// let value = loss.forward(logits.clone() + 5.0, logits)?.into_scalar::<f32>();
    /// assert!(value.abs() < 1e-6);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_logits: Tensor<2>,
        teacher_logits: Tensor<2>,
    ) -> Result<Tensor<1>> {
        jensen_shannon(student_logits, teacher_logits, self.beta, self.temperature)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "jensen-shannon",
    title: "Generalised Jensen-Shannon",
    family: Family::Logits,
    about: "KL divergences of student and teacher from their mixture, bounded",
    paper: Paper {
        authors: "Agarwal et al.",
        year: 2023,
        arxiv: "2306.13649",
        place: "equation (1)",
    },
    inputs: "two logits `[batch, classes]`",
    constants: &[
        Constant {
            name: "beta",
            source: "the Jensen-Shannon divergence; the paper tries 0.1, 0.5 and 0.9",
        },
        Constant {
            name: "temperature",
            source: "not softened, as common code for language models",
        },
    ],
    defaults: Some(|| JensenShannonLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: None,
    cost: "",
    disagreements: "at a `beta` of 0 or 1 some code returns the KL divergence that the divided loss tends \
        to, though it does not divide elsewhere; here both ends are refused; T squared here, as in `kd`, \
        none in common code",
};
