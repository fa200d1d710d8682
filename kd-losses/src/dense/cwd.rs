//! Channel-wise distillation: the distribution of each channel over positions.

use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use crate::features::relation::flat_channels;
use burn::config::Config;
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

/// KL divergence between the softened maps of each channel, taken as probabilities over positions.
///
/// ```text
/// p(c, i) = softmax over positions i of  teacher[c, i] / T
/// q(c, i) = softmax over positions i of  student[c, i] / T
/// loss    = T^2 * mean over samples and channels of  sum over i of  p(c, i) (log p(c, i) - log q(c, i))
///
/// c = channel     i = position     T = temperature
/// ```
///
/// # Shapes
///
/// - `student_features`, `teacher_features`: `[batch_size, channels, height, width]`, all equal; feature maps
///   or the logits of a dense prediction
/// - result: `[1]`
///
/// The result is in nats times `T^2`, never negative, and does not change when a number is added to all
/// positions of a channel. The factor `T^2` keeps the size of the gradient as `temperature` grows. It is
/// computed from logarithms of probabilities and finite for any finite map; a map of a single position
/// gives 0. Where the channels differ, an adapter brings the student to the teacher's.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// `temperature` not finite or not above 0; an empty batch; unequal batch sizes, channels, heights or widths;
/// tensors of different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::cwd;
///
/// let device = Device::flex();
/// // The teacher's channel is three times as active on the right, the student's everywhere alike.
/// let student = Tensor::<4>::from_data([[[[5.0, 5.0]]]], &device);
/// let teacher = Tensor::<4>::from_data([[[[0.0, 3.0_f32.ln()]]]], &device);
/// let expected = 0.25 * 0.5_f32.ln() + 0.75 * 1.5_f32.ln();
/// let loss = cwd(student, teacher, 1.0)?.into_scalar::<f32>();
/// assert!((loss - expected).abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Shu, Liu, Gao, Yan, Shen, "Channel-wise Knowledge Distillation for Dense Prediction", ICCV 2021, arXiv
/// 2011.13256, section 3. The paper divides by the number of channels and writes one sample; the public
/// implementations divide by samples and channels, as here.
pub fn cwd(
    student_features: Tensor<4>,
    teacher_features: Tensor<4>,
    temperature: f64,
) -> Result<Tensor<1>> {
    check_temperature(temperature)?;
    check::feature_pair("cwd", &student_features, &teacher_features)?;
    let log_probabilities = |map| log_softmax(flat_channels(map) * temperature.recip(), 2);
    let log_p = log_probabilities(teacher_features.without_autodiff());
    let log_q = log_probabilities(student_features);
    let divergence = (log_p.clone().exp() * (log_p - log_q)).sum_dim(2); // [batch_size, channels, 1]
    Ok(divergence.mean() * (temperature * temperature))
}

fn check_temperature(value: f64) -> Result<()> {
    check::positive("temperature", value, "the paper uses 4")
}

/// The constant of [`cwd`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct CwdLossConfig {
    /// The divisor of both maps, finite and above 0, the paper's T.
    ///
    /// 4, from the paper's experiments.
    #[config(default = 4.0)]
    pub temperature: f64,
}

impl CwdLossConfig {
    /// Checks the constant and makes the loss.
    ///
    /// # Errors
    ///
    /// `temperature` not finite or not above 0.
    pub fn init(&self) -> Result<CwdLoss> {
        check_temperature(self.temperature)?;
        Ok(CwdLoss {
            temperature: self.temperature,
        })
    }
}

/// [`cwd`] with its constant, made by [`CwdLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CwdLoss {
    temperature: f64,
}

impl CwdLoss {
    /// The weight usual beside a cross-entropy of weight 1 for logits: 3, the paper's alpha; it uses 50 for
    /// feature maps.
    pub const USUAL_WEIGHT: f64 = 3.0;

    /// [`cwd`] of two `[batch_size, channels, height, width]`.
    ///
    /// # Errors
    ///
    /// Those of [`cwd`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::CwdLossConfig;
    ///
    /// let device = Device::flex();
    /// let map = Tensor::<4>::from_data([[[[1.0, 2.0, 4.0]]]], &device);
    /// let loss = CwdLossConfig::new().init()?;
    /// assert!(loss.forward(map.clone() + 5.0, map)?.into_scalar::<f32>().abs() < 1e-5);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
    ) -> Result<Tensor<1>> {
        cwd(student_features, teacher_features, self.temperature)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "cwd",
    title: "Channel-wise distillation",
    family: Family::Dense,
    about: "divergence of each channel's softened map, as probabilities over positions",
    paper: Paper {
        authors: "Shu et al.",
        year: 2020,
        arxiv: "2011.13256",
        place: "section 3",
    },
    inputs: "two maps or dense logits `[batch, channels, height, width]`",
    constants: &[Constant {
        name: "temperature",
        source: "the paper",
    }],
    defaults: Some(|| CwdLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: CwdLoss::USUAL_WEIGHT,
        source: "the paper, for logits; 50 for feature maps",
    }),
    cost: "",
    disagreements: "divided by channels (the paper, for one sample) or by samples and channels (the code); a \
        default temperature of 1 in public code, 4 in the paper's experiments; here samples and channels, \
        temperature 4",
};
