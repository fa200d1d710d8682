//! Pixel-wise distillation: soft targets at each position.

use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::{Axis, Result};
use burn::config::Config;
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

/// KL divergence from the teacher's softened probabilities at each position.
///
/// ```text
/// p    = softmax over classes of  teacher_logits / T
/// q    = softmax over classes of  student_logits / T
/// loss = T^2 * mean over samples and positions of  sum over classes of  p (log p - log q)
///
/// T = temperature
/// ```
///
/// # Shapes
///
/// - `student_logits`, `teacher_logits`: `[batch_size, num_classes, height, width]`, all equal
/// - result: `[1]`
///
/// The result is in nats times `T^2`, never negative, and does not change when a number is added to all
/// classes of a position. The factor `T^2` keeps the size of the gradient as `temperature` grows. It is
/// computed from logarithms of probabilities and finite for any finite logits. Positions that the labels
/// ignore count as any other.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// `temperature` not finite or not above 0; an empty batch; unequal batch sizes, classes, heights or widths;
/// tensors of different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::pixel_wise;
///
/// let device = Device::flex();
/// // One position with two classes: the teacher is three to one, the student undecided.
/// let student = Tensor::<4>::from_data([[[[0.0]], [[0.0]]]], &device);
/// let teacher = Tensor::<4>::from_data([[[[3.0_f32.ln()]], [[0.0]]]], &device);
/// let expected = 0.75 * 1.5_f32.ln() + 0.25 * 0.5_f32.ln();
/// let loss = pixel_wise(student, teacher, 1.0)?.into_scalar::<f32>();
/// assert!((loss - expected).abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Liu, Chen, Liu, Qin, Luo, Wang, "Structured Knowledge Distillation for Semantic Segmentation", CVPR 2019,
/// arXiv 1903.04197, section 3. The paper writes the divergence the other way round, from student to teacher;
/// the authors' code has the teacher's probabilities as targets, as everyone else, and so do we. The code
/// takes the cross-entropy, larger by the teacher's entropy with an equal gradient, and sums over samples;
/// here their mean. Paper and code have no temperature.
pub fn pixel_wise(
    student_logits: Tensor<4>,
    teacher_logits: Tensor<4>,
    temperature: f64,
) -> Result<Tensor<1>> {
    check_temperature(temperature)?;
    let names = ["student_logits", "teacher_logits"];
    let axes = [
        (Axis::Batch, 0..1),
        (Axis::Classes, 1..2),
        (Axis::MapSize, 2..4),
    ];
    check::pair("pixel_wise", names, &student_logits, &teacher_logits, axes)?;
    let log_p = log_softmax(teacher_logits.without_autodiff() * temperature.recip(), 1);
    let log_q = log_softmax(student_logits * temperature.recip(), 1);
    let divergence = (log_p.clone().exp() * (log_p - log_q)).sum_dim(1); // [batch_size, 1, height, width]
    Ok(divergence.mean() * (temperature * temperature))
}

fn check_temperature(value: f64) -> Result<()> {
    let advice = "1 leaves the logits as they are";
    check::positive("temperature", value, advice)
}

/// The constant of [`pixel_wise`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct PixelWiseLossConfig {
    /// The divisor of both logits, finite and above 0.
    ///
    /// 1: the paper has no temperature.
    #[config(default = 1.0)]
    pub temperature: f64,
}

impl PixelWiseLossConfig {
    /// Checks the constant and makes the loss.
    ///
    /// # Errors
    ///
    /// `temperature` not finite or not above 0.
    pub fn init(&self) -> Result<PixelWiseLoss> {
        check_temperature(self.temperature)?;
        Ok(PixelWiseLoss {
            temperature: self.temperature,
        })
    }
}

/// [`pixel_wise`] with its constant, made by [`PixelWiseLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelWiseLoss {
    temperature: f64,
}

impl PixelWiseLoss {
    /// The weight usual beside a cross-entropy of weight 1: 10, the paper's lambda 1.
    pub const USUAL_WEIGHT: f64 = 10.0;

    /// [`pixel_wise`] of two `[batch_size, num_classes, height, width]`.
    ///
    /// # Errors
    ///
    /// Those of [`pixel_wise`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::PixelWiseLossConfig;
    ///
    /// let device = Device::flex();
    /// let logits = Tensor::<4>::ones([2, 5, 4, 4], &device);
    /// let loss = PixelWiseLossConfig::new().init()?;
    /// // A shift of the logits changes no probability.
    /// assert!(loss.forward(logits.clone() + 3.0, logits)?.into_scalar::<f32>().abs() < 1e-6);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_logits: Tensor<4>,
        teacher_logits: Tensor<4>,
    ) -> Result<Tensor<1>> {
        pixel_wise(student_logits, teacher_logits, self.temperature)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "pixel-wise",
    title: "Pixel-wise distillation",
    family: Family::Dense,
    about: "KL divergence from the teacher's probabilities at each position",
    paper: Paper {
        authors: "Liu et al.",
        year: 2019,
        arxiv: "1903.04197",
        place: "section 3",
    },
    inputs: "two dense logits `[batch, classes, height, width]`",
    constants: &[Constant {
        name: "temperature",
        source: "the paper, which has none",
    }],
    defaults: Some(|| PixelWiseLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: PixelWiseLoss::USUAL_WEIGHT,
        source: "the paper",
    }),
    cost: "",
    disagreements: "the divergence from student to teacher (the paper as printed), or with the teacher as \
        the target (the authors' code); a cross-entropy summed over samples (the code), or a divergence with \
        a mean over them; here the teacher as the target, a divergence, the mean",
};
