//! Knowledge distillation with softened targets.

use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::config::Config;
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

/// Kullback-Leibler divergence of the student from the teacher, both softened by a temperature.
///
/// ```text
/// loss = T^2 * mean over samples of  sum over k of  p[k] (log p[k] - log q[k])
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
/// `temperature` is finite and above 0. The result is in nats times T squared: summed over classes,
/// the mean over the batch, 0 where both agree up to a shift of the logits. The gradient with
/// respect to the student's logits is `T (q - p) / batch_size`, whose size hardly depends on a
/// large T: that is what T squared is for.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the
/// student is on the autodiff one. Values and gradients are finite for logits of 1e4 and beyond. In
/// 32-bit floats the rounding of the two log-softmax is multiplied by T squared too: at T = 20
/// expect an absolute error of up to 2e-4 in the value of a single sample; the gradient does not suffer.
///
/// # Errors
///
/// `temperature` outside its range; an empty batch; unequal batch sizes or numbers of classes;
/// tensors of different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::soft_target;
///
/// let device = Device::flex();
/// let teacher = Tensor::<2>::from_data([[4.0, 0.0]], &device);
/// let student = Tensor::<2>::from_data([[0.0, 0.0]], &device.autodiff()).require_grad();
///
/// let loss = soft_target(student.clone(), teacher, 4.0)?;
/// let gradient = student.grad(&loss.backward()).expect("the student learns");
/// // T (q - p): 4 * (1/2 - 1 / (1 + e^-1)) for the first class
/// let first = gradient.into_data().iter::<f64>().next().unwrap_or_default();
/// assert!((first + 0.924_234).abs() < 1e-5);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv 1503.02531, section 2:
/// equation (1) is the softmax with a temperature, equation (2) the gradient, equation (4) its limit for
/// large T, and the text before section 2.1 asks for the factor T squared. The paper writes a cross-entropy
/// with the soft targets; the divergence used here, as by nearly everyone since, is that minus the teacher's
/// entropy, which is constant, so the gradients are equal and the value has its minimum at 0.
pub fn soft_target(
    student_logits: Tensor<2>,
    teacher_logits: Tensor<2>,
    temperature: f64,
) -> Result<Tensor<1>> {
    check::temperature(temperature)?;
    check::logits_pair("soft_target", &student_logits, &teacher_logits)?;

    let log_p = log_softmax(teacher_logits.without_autodiff() / temperature, 1);
    let log_q = log_softmax(student_logits / temperature, 1);
    let divergence = (log_p.clone().exp() * (log_p - log_q)).sum_dim(1); // [batch_size, 1]
    Ok(divergence.mean() * (temperature * temperature))
}

/// The constant of [`soft_target`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct SoftTargetLossConfig {
    /// The divisor of both logits, finite and above 0, the paper's T.
    ///
    /// 4: Hinton et al. have no single value (20 for the large MNIST students, 2.5 to 4 for the
    /// smallest, section 3; 1, 2, 5 and 10 tried on speech, section 4); 4 is what the published code
    /// of Zagoruyko and Komodakis (arXiv 1612.03928) and the later comparisons on CIFAR-100 (Tian et
    /// al., arXiv 1910.10699) use.
    #[config(default = 4.0)]
    pub temperature: f64,
}

impl SoftTargetLossConfig {
    /// Checks the constant and makes the loss.
    ///
    /// # Errors
    ///
    /// `temperature` not finite or not above 0.
    pub fn init(&self) -> Result<SoftTargetLoss> {
        check::temperature(self.temperature)?;
        Ok(SoftTargetLoss {
            temperature: self.temperature,
        })
    }
}

/// [`soft_target`] with its constant, made by [`SoftTargetLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftTargetLoss {
    temperature: f64,
}

impl SoftTargetLoss {
    /// The weight usual beside a cross-entropy of weight 0.1: 0.9.
    ///
    /// Hinton et al. say only that the hard labels should weigh considerably less (section 2); 0.9
    /// and 0.1 are the values of Tian et al., arXiv 1910.10699.
    pub const USUAL_WEIGHT: f64 = 0.9;

    /// [`soft_target`] of two `[batch_size, num_classes]`.
    ///
    /// # Errors
    ///
    /// Those of [`soft_target`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::SoftTargetLossConfig;
    ///
    /// let device = Device::flex();
    /// let logits = Tensor::<2>::from_data([[1.0, 2.0, 3.0]], &device);
    /// let loss = SoftTargetLossConfig::new().init()?;
    /// // A shift of the logits changes no probability.
    /// let value = loss.forward(logits.clone() + 5.0, logits)?.into_scalar::<f32>();
    /// assert!(value.abs() < 1e-5);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_logits: Tensor<2>,
        teacher_logits: Tensor<2>,
    ) -> Result<Tensor<1>> {
        soft_target(student_logits, teacher_logits, self.temperature)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "kd",
    title: "Knowledge distillation",
    family: Family::Logits,
    about: "KL divergence from the teacher's softened probabilities",
    paper: Paper {
        authors: "Hinton et al.",
        year: 2015,
        arxiv: "1503.02531",
        place: "section 2",
    },
    inputs: "two logits `[batch, classes]`",
    constants: &[Constant {
        name: "temperature",
        source: "the comparisons on CIFAR-100, 1910.10699; the paper: 1 to 20",
    }],
    defaults: Some(|| SoftTargetLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: SoftTargetLoss::USUAL_WEIGHT,
        source: "1910.10699, beside a cross-entropy of weight 0.1",
    }),
    cost: "",
    disagreements: "the divergence summed over classes, or its mean over classes too (smaller by the number \
        of classes, from a default reduction; some then double it); with or without T squared; here summed \
        over classes, mean over the batch, times T squared, so that the gradient keeps its size",
};
