//! The adversarial term of methods that make their own images.

use super::parts::{divergence, log_softened};
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::config::Config;
use burn::tensor::Tensor;

/// The loss of a generator of images that looks for places where the student is not yet like the teacher:
/// minus their divergence, where both decide the same.
///
/// ```text
/// loss = -T^2 * mean over samples of  m KL(p || q)
/// m    = 1 where the largest of student_logits and of teacher_logits are of one class, 0 elsewhere
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
/// `temperature` is finite and above 0. The result is in nats times T squared, the mean over **all** samples,
/// those with `m = 0` included; it is never positive, and **not bounded below**, so that it wants other terms
/// for the images beside it. Where several classes share the largest logit, the backend's `argmax` decides.
/// No gradient flows through `m`.
///
/// # Gradients
///
/// **This is not a loss of the student**, and the teacher is not a constant in it: the images reach the loss
/// through both networks. A gradient flows into each side that is on the autodiff device: `teacher_logits`
/// too. The teacher's *parameters* stay as they are because they require no gradient, or because only the
/// images are updated. Both sides must use the same checkpointing strategy, or Burn panics. Values and
/// gradients are finite for logits of 1e4 and beyond.
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
/// use kd_losses::adversarial_kl;
///
/// let device = Device::flex().autodiff();
/// let image = Tensor::<2>::from_data([[1.0, 0.0]], &device).require_grad();
/// // Two networks of one weight, one surer than the other.
/// let loss = adversarial_kl(image.clone() * 0.5, image.clone() * 3.0, 1.0)?;
/// let gradient = image.grad(&loss.backward()).expect("the image learns");
/// // More of the first class makes the surer one surer still: the two differ more, the loss falls.
/// assert!(gradient.into_data().iter::<f64>().next().is_some_and(|first| first < 0.0));
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Fang, Song, Wang, Shen, Wang, Song, "Contrastive Model Inversion for Data-Free Knowledge Distillation",
/// IJCAI 2021, arXiv 2105.08584, and Fang, Mo, Wang, Song, Bei, Zhang, Song, "Up to 100x Faster Data-free
/// Knowledge Distillation", AAAI 2022, arXiv 2112.15278: the form of the code of both, at a temperature of 1.
/// Yin et al., "Dreaming to Distill: Data-free Knowledge Transfer via `DeepInversion`", CVPR 2020, arXiv
/// 1912.08795, compete otherwise: by 1 minus the mean of `KL(m || p)` and `KL(m || q)`, `m` being the mixture
/// of both, at a temperature of 3, of bounded probabilities and without a mask. The code calls that a
/// Jensen-Shannon divergence, which has the mixture in the other place:
/// [`jensen_shannon`](crate::jensen_shannon).
pub fn adversarial_kl(
    student_logits: Tensor<2>,
    teacher_logits: Tensor<2>,
    temperature: f64,
) -> Result<Tensor<1>> {
    check::temperature(temperature)?;
    check::logits_pair("adversarial_kl", &student_logits, &teacher_logits)?;

    let decision = |logits: &Tensor<2>| logits.clone().without_autodiff().argmax(1);
    let apart = decision(&student_logits).not_equal(decision(&teacher_logits)); // [batch_size, 1]
    let log_p = log_softened(teacher_logits, temperature);
    let log_q = log_softened(student_logits, temperature);
    let masked = divergence(log_p, log_q).mask_fill(apart, 0.0);
    Ok(masked.mean() * -(temperature * temperature))
}

/// The constant of [`adversarial_kl`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct AdversarialKlLossConfig {
    /// The divisor of both logits, finite and above 0.
    ///
    /// 1, the authors' code.
    #[config(default = 1.0)]
    pub temperature: f64,
}

impl AdversarialKlLossConfig {
    /// Checks the constant and makes the loss.
    ///
    /// # Errors
    ///
    /// `temperature` not finite or not above 0.
    pub fn init(&self) -> Result<AdversarialKlLoss> {
        check::temperature(self.temperature)?;
        Ok(AdversarialKlLoss {
            temperature: self.temperature,
        })
    }
}

/// [`adversarial_kl`] with its constant, made by [`AdversarialKlLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdversarialKlLoss {
    temperature: f64,
}

impl AdversarialKlLoss {
    /// The weight usual beside a matching of the batch norm's statistics of weight 1: 0.5, the authors'
    /// command for CIFAR-10.
    pub const USUAL_WEIGHT: f64 = 0.5;

    /// [`adversarial_kl`] of two `[batch_size, num_classes]`; a gradient flows into both.
    ///
    /// # Errors
    ///
    /// Those of [`adversarial_kl`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::AdversarialKlLossConfig;
    ///
    /// let device = Device::flex();
    /// let loss = AdversarialKlLossConfig::new().init()?;
    /// // They decide for different classes: nothing is to be gained here.
    /// let student = Tensor::<2>::from_data([[1.0, 0.0]], &device);
    /// let teacher = Tensor::<2>::from_data([[0.0, 1.0]], &device);
    /// assert_eq!(loss.forward(student, teacher)?.into_scalar::<f32>(), 0.0);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_logits: Tensor<2>,
        teacher_logits: Tensor<2>,
    ) -> Result<Tensor<1>> {
        adversarial_kl(student_logits, teacher_logits, self.temperature)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "adversarial-kl",
    title: "Decision adversarial term",
    family: Family::Logits,
    about: "for images: minus the KL divergence where student and teacher decide the same; gradients into \
        both",
    paper: Paper {
        authors: "Fang et al.",
        year: 2021,
        arxiv: "2105.08584",
        place: "the adversarial term; also 2112.15278",
    },
    inputs: "two logits `[batch, classes]`, of images that learn",
    constants: &[Constant {
        name: "temperature",
        source: "the authors' code",
    }],
    defaults: Some(|| AdversarialKlLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: AdversarialKlLoss::USUAL_WEIGHT,
        source: "the authors' command for CIFAR-10, beside batch norm statistics of weight 1",
    }),
    cost: "",
    disagreements: "minus a masked KL divergence (here), or 1 minus the mean divergence of the mixture from \
        both, of bounded probabilities, without a mask (1912.08795); the mean over all samples (here, as the \
        authors) or over those that the mask leaves",
};
