//! Teacher-free regularisation by a virtual teacher.

use super::parts::{log_softened, of_target};
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::config::Config;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::{Int, Tensor};

/// The softening of the distribution `u` of a virtual teacher by the temperature `T`.
///
/// The two differ by far: with 100 classes, `a = 0.99` and `T = 20` the label has 1.05 times the probability
/// of another class in the first, 1.58 times in the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum VirtualTeacherSoftening {
    /// `p = softmax(u / T)`, the probabilities taken for logits; the student is not softened and there is no
    /// factor T squared: the authors' published code.
    Probabilities,
    /// `p = softmax(log u / T)`, as logits of a real teacher with these probabilities would be softened; the
    /// student is softened too, and the factor is T squared.
    Logarithms,
}

/// Divergence of the student from a made teacher who is right, and equally unsure of all other classes.
///
/// ```text
/// loss = mean over samples of  KL(p || q)            Probabilities
///        T^2 * mean over samples of  KL(p || q)      Logarithms
///
/// u[k] = a at the sample's target, (1 - a) / (K - 1) elsewhere
/// p    = softmax(u / T)           q = softmax(logits)          Probabilities
/// p    = softmax(log u / T)       q = softmax(logits / T)      Logarithms
///
/// a = correct_probability      T = temperature      K = num_classes
/// ```
///
/// # Shapes
///
/// - `logits`: `[batch_size, num_classes]`, of the student, at least two classes
/// - `targets`: `[batch_size]`, each from 0 to `num_classes - 1`
/// - result: `[1]`
///
/// `correct_probability` is above 0 and below 1, `temperature` is finite and above 0. The result is in nats
/// (times T squared), summed over classes, the mean over the batch, never negative, 0 at the student whose
/// probabilities are `p`. There is no teacher: this is a label smoothing whose share of the label is `p`.
/// Values and gradients are finite for logits of 1e4 and beyond, and a target out of range is **not checked**
/// (see [`cross_entropy`](crate::cross_entropy)).
///
/// # Errors
///
/// A constant outside its range; an empty batch; fewer than two classes; unequal batch sizes; tensors on
/// different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kd_losses::{VirtualTeacherSoftening, virtual_teacher};
///
/// let device = Device::flex();
/// let targets = Tensor::<1, Int>::from_data([0], &device);
/// // The student that the virtual teacher wants: 0.9 for the label of two classes.
/// let logits = Tensor::<2>::from_data([[9.0_f32.ln(), 0.0]], &device);
/// let loss = virtual_teacher(logits, targets, 0.9, 20.0, VirtualTeacherSoftening::Logarithms)?;
/// assert!(loss.into_scalar::<f32>().abs() < 1e-3);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Yuan, Tay, Li, Wang, Feng, "Revisiting Knowledge Distillation via Label Smoothing Regularization", CVPR
/// 2020, arXiv 1909.11723, the regularisation Tf-KD reg. The paper speaks of a virtual teacher softened by a
/// temperature, which can be read as for the logits of a real one; the authors' code puts the *probabilities*
/// through the softmax, leaves the student as it is, and takes the mean over classes too, which it then
/// multiplies by a number that its settings choose by network: 100 for `ResNet`-18 on CIFAR-100, which makes
/// it [`VirtualTeacherSoftening::Probabilities`] here. The other method of the paper, Tf-KD self, is
/// [`soft_target`](crate::soft_target) with a trained network of the student's own architecture as the
/// teacher.
pub fn virtual_teacher(
    logits: Tensor<2>,
    targets: Tensor<1, Int>,
    correct_probability: f64,
    temperature: f64,
    softening: VirtualTeacherSoftening,
) -> Result<Tensor<1>> {
    check_constants(correct_probability, temperature)?;
    check::labelled("virtual_teacher", ("logits", &logits), &targets)?;
    check::two_classes("virtual_teacher", "logits", &logits)?;

    let [_batch_size, num_classes] = logits.dims();
    let others = (num_classes - 1) as f64;
    let rest = (1.0 - correct_probability) / others;
    // What the label has in the softmax more than another class, as a logit.
    let (lead, student, factor) = match softening {
        VirtualTeacherSoftening::Probabilities => {
            ((correct_probability - rest) / temperature, 1.0, 1.0)
        }
        VirtualTeacherSoftening::Logarithms => {
            let lead = (correct_probability / rest).ln() / temperature;
            (lead, temperature, temperature * temperature)
        }
    };
    // Less the larger of the two logits, `lead` and 0, whose exponential may be too large for any float.
    let largest = lead.max(0.0);
    let log_sum = ((lead - largest).exp() + others * (-largest).exp()).ln() + largest;
    let (log_label, log_other) = (lead - log_sum, -log_sum);
    let (label, other) = (log_label.exp(), log_other.exp());
    let entropy = -(label * log_label + others * other * log_other);

    let log_q = log_softened(logits, student);
    let of_label = of_target(log_q.clone(), &targets).mean();
    // sum of p log q = (label - other) log q[y] + other * sum over all of log q
    let cross = of_label * (label - other) + log_q.sum_dim(1).mean() * other;
    Ok((cross + entropy) * -factor)
}

fn check_constants(correct_probability: f64, temperature: f64) -> Result<()> {
    let ok = correct_probability > 0.0 && correct_probability < 1.0;
    let (range, advice) = ("above 0 and below 1", "the authors use 0.99");
    check::constant(
        "correct_probability",
        correct_probability,
        ok,
        range,
        advice,
    )?;
    check::positive("temperature", temperature, "the authors use 20")
}

/// The constants of [`virtual_teacher`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct VirtualTeacherLossConfig {
    /// The virtual teacher's probability of the label, above 0 and below 1, the paper's a.
    ///
    /// 0.99, the authors' code.
    #[config(default = 0.99)]
    pub correct_probability: f64,
    /// The temperature of the virtual teacher, finite and above 0, the paper's tau.
    ///
    /// 20, the authors' settings for `ResNet`-18 on CIFAR-100; those for other networks have 10 or 40.
    #[config(default = 20.0)]
    pub temperature: f64,
    /// The softening by the temperature.
    ///
    /// The form of the authors' published code by default.
    #[config(default = "VirtualTeacherSoftening::Probabilities")]
    pub softening: VirtualTeacherSoftening,
}

impl VirtualTeacherLossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// A constant outside its range.
    pub fn init(&self) -> Result<VirtualTeacherLoss> {
        check_constants(self.correct_probability, self.temperature)?;
        Ok(VirtualTeacherLoss {
            correct_probability: self.correct_probability,
            temperature: self.temperature,
            softening: self.softening,
        })
    }
}

/// [`virtual_teacher`] with its constants, made by [`VirtualTeacherLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VirtualTeacherLoss {
    correct_probability: f64,
    temperature: f64,
    softening: VirtualTeacherSoftening,
}

impl VirtualTeacherLoss {
    /// The weight usual beside a cross-entropy of weight 0.9: 0.1, the authors' settings for `ResNet`-18 on
    /// CIFAR-100.
    pub const USUAL_WEIGHT: f64 = 0.1;

    /// [`virtual_teacher`] of `logits` `[batch_size, num_classes]` and `targets` `[batch_size]`.
    ///
    /// # Errors
    ///
    /// Those of [`virtual_teacher`] on shapes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Int, Tensor};
    /// use kd_losses::VirtualTeacherLossConfig;
    ///
    /// let device = Device::flex();
    /// let targets = Tensor::<1, Int>::from_data([0], &device);
    /// let loss = VirtualTeacherLossConfig::new().init()?;
    /// // So soft is this teacher that a student without an opinion is nearly right.
    /// let value = loss.forward(Tensor::zeros([1, 100], &device), targets)?.into_scalar::<f32>();
    /// assert!(value.abs() < 1e-4);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Result<Tensor<1>> {
        let (probability, temperature) = (self.correct_probability, self.temperature);
        virtual_teacher(logits, targets, probability, temperature, self.softening)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "virtual-teacher",
    title: "Teacher-free regularisation",
    family: Family::Logits,
    about: "KL divergence from a made teacher who is right and equally unsure of all else",
    paper: Paper {
        authors: "Yuan et al.",
        year: 2019,
        arxiv: "1909.11723",
        place: "Tf-KD reg",
    },
    inputs: "logits `[batch, classes]`, targets `[batch]`",
    constants: &[
        Constant {
            name: "correct_probability",
            source: "the authors' code",
        },
        Constant {
            name: "temperature",
            source: "the authors' settings for ResNet-18 on CIFAR-100; 10 or 40 for others",
        },
        Constant {
            name: "softening",
            source: "the authors' code",
        },
    ],
    defaults: Some(|| VirtualTeacherLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: VirtualTeacherLoss::USUAL_WEIGHT,
        source: "the authors' settings for ResNet-18 on CIFAR-100, beside a cross-entropy of weight 0.9",
    }),
    cost: "",
    disagreements: "the authors' code puts probabilities through the softmax and leaves the student \
        unsoftened, the paper can be read as softening logarithms, and the student: `softening`; its mean \
        over classes is multiplied by a number chosen by network, 100 for ResNet-18 with 100 classes, which \
        makes it the sum used here",
};
