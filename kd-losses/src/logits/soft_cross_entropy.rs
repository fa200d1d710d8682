//! Cross-entropy with soft targets.

use super::parts::{log_softened, softened};
use crate::catalogue::{Constant, Family, LossInfo, Paper};
use crate::check;
use crate::error::{Axis, Result};
use burn::config::Config;
use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, softmax};

/// Cross-entropy of logits with given probabilities.
///
/// ```text
/// loss = -mean over samples of  sum over k of  t[k] log q[k]
///
/// t = soft_targets      q = softmax(logits)
/// ```
///
/// # Shapes
///
/// - `logits`: `[batch_size, num_classes]`
/// - `soft_targets`: the same, each row of probabilities: not negative, with the sum 1
/// - result: `[1]`
///
/// The result is in nats, summed over classes, the mean over the batch, never negative; its minimum, at
/// `q = t`, is the entropy of the targets, **not 0**. The rows are **not checked**, which would wait for the
/// device; a row with another sum counts by that sum. Values and gradients are finite for logits of 1e4 and
/// beyond.
///
/// The targets are constants: no gradient reaches them, and they may live on the plain device while the
/// logits are on the autodiff one. The logits may be a teacher's, whose images are being made: targets drawn
/// from a Dirichlet distribution are given like any others.
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
/// use kd_losses::soft_cross_entropy;
///
/// let device = Device::flex();
/// let logits = Tensor::<2>::from_data([[0.0, 0.0]], &device);
/// let targets = Tensor::<2>::from_data([[0.25, 0.75]], &device);
/// let loss = soft_cross_entropy(logits, targets)?;
/// assert!((loss.into_scalar::<f32>() - 2_f32.ln()).abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv 1503.02531, section 2,
/// for a teacher's probabilities. Nayak, Mopuri, Shaj, Babu, Chakraborty, "Zero-Shot Knowledge Distillation
/// in Deep Networks", ICML 2019, arXiv 1905.08114, for data impressions: images for which the teacher's
/// output, softened, is a vector drawn from a Dirichlet distribution; give the logits divided by the
/// temperature.
pub fn soft_cross_entropy(logits: Tensor<2>, soft_targets: Tensor<2>) -> Result<Tensor<1>> {
    let axes = [(Axis::Batch, 0..1), (Axis::Classes, 1..2)];
    let names = ["logits", "soft_targets"];
    check::pair("soft_cross_entropy", names, &logits, &soft_targets, axes)?;

    let each = soft_targets.without_autodiff() * log_softmax(logits, 1);
    Ok(each.sum_dim(1).mean().neg()) // of [batch_size, 1]
}

/// The constant of [`SoftCrossEntropyLoss`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct SoftCrossEntropyLossConfig {
    /// The divisor of both logits, finite and above 0.
    ///
    /// 4, as for [`soft_target`](crate::soft_target).
    #[config(default = 4.0)]
    pub temperature: f64,
}

impl SoftCrossEntropyLossConfig {
    /// Checks the constant and makes the loss.
    ///
    /// # Errors
    ///
    /// `temperature` not finite or not above 0.
    pub fn init(&self) -> Result<SoftCrossEntropyLoss> {
        check::temperature(self.temperature)?;
        Ok(SoftCrossEntropyLoss {
            temperature: self.temperature,
        })
    }
}

/// [`soft_cross_entropy`] with a teacher's softened probabilities, made by [`SoftCrossEntropyLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftCrossEntropyLoss {
    temperature: f64,
}

impl SoftCrossEntropyLoss {
    /// [`soft_cross_entropy`] of `student_logits / T` and `softmax(teacher_logits / T)`, both `[batch_size,
    /// num_classes]`, times T squared.
    ///
    /// It is [`soft_target`](crate::soft_target) plus the teacher's entropy times T squared, which is
    /// constant: the gradients are equal.
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
    /// use kd_losses::SoftCrossEntropyLossConfig;
    ///
    /// let device = Device::flex();
    /// let logits = Tensor::<2>::zeros([3, 10], &device);
    /// let loss = SoftCrossEntropyLossConfig::new().with_temperature(2.0).init()?;
    /// // The entropy of ten equal classes, times T squared.
    /// let value = loss.forward(logits.clone(), logits)?.into_scalar::<f32>();
    /// assert!((value - 4.0 * 10_f32.ln()).abs() < 1e-5);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_logits: Tensor<2>,
        teacher_logits: Tensor<2>,
    ) -> Result<Tensor<1>> {
        check::logits_pair("soft_cross_entropy", &student_logits, &teacher_logits)?;
        let temperature = self.temperature;
        let p = softmax(softened(teacher_logits.without_autodiff(), temperature), 1);
        let each = p * log_softened(student_logits, temperature);
        Ok(each.sum_dim(1).mean() * -(temperature * temperature))
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "soft-cross-entropy",
    title: "Cross-entropy, soft targets",
    family: Family::Logits,
    about: "cross-entropy with given probabilities, or with the teacher's softened ones",
    paper: Paper {
        authors: "Hinton et al.",
        year: 2015,
        arxiv: "1503.02531",
        place: "section 2; Dirichlet targets: 1905.08114",
    },
    inputs: "two logits, or logits and probabilities, `[batch, classes]`",
    constants: &[Constant {
        name: "temperature",
        source: "as `kd`",
    }],
    defaults: Some(|| SoftCrossEntropyLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: None,
    cost: "",
    disagreements: "this is `kd` plus the teacher's entropy, so that the value is not 0 at equality; with or \
        without T squared (with, for a teacher's logits; given probabilities are taken as they are)",
};
