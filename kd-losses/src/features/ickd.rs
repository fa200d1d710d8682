//! Inter-channel correlation: the channels of a layer that are active together.

use super::relation::{epsilon as check_epsilon, flat_channels, gram, unit};
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::{Axis, Result};
use burn::config::Config;
use burn::tensor::Tensor;

/// Squared difference of the correlations between the channels of a map.
///
/// ```text
/// G[c, d] = sum over positions of  f[c] f[d]
/// N[c, :] = G[c, :] / ||G[c, :]||                      0 where the norm is at most e
/// loss    = mean over samples and channels c of  sum over d of  (N(student)[c, d] - N(teacher)[c, d])^2
///
/// f = features     c, d = channels     ||.|| = the l2 norm     e = epsilon
/// ```
///
/// # Shapes
///
/// - `student_features`: `[batch_size, channels, height, width]`
/// - `teacher_features`: the same batch size and channels; height and width may differ
/// - result: `[1]`
///
/// The result has no unit, is from 0 to 4, and does not change when a sample's features are multiplied by a
/// number. `epsilon` is from 1e-15 to 1, in squared units of the features; a channel of zeros has no
/// correlation with any and gets no gradient through its own row. Features whose fourth power, times the
/// number of channels, overflows are too large. The channels are compared one to one, so that an adapter has
/// to bring the student to the teacher's where their numbers differ, and may where they do not: the paper's
/// student has one.
///
/// Time is `channels^2` times the size of a map, memory `channels^2`, both for each sample.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// `epsilon` outside its range; an empty batch; unequal batch sizes or channels; tensors of different dtypes
/// or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::ickd;
///
/// let device = Device::flex();
/// // The student's two channels are active together, the teacher's apart.
/// let student = Tensor::<4>::from_data([[[[1.0, 0.0]], [[1.0, 0.0]]]], &device);
/// let teacher = Tensor::<4>::from_data([[[[1.0, 0.0]], [[0.0, 1.0]]]], &device);
/// // Rows [1, 1] / sqrt(2) and [1, 0]: each differs by (1 - 0.7071)^2 + 0.7071^2.
/// let loss = ickd(student, teacher, 1e-12)?.into_scalar::<f32>();
/// assert!((loss - 0.585_786).abs() < 1e-5);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Liu, Huang, Liu, Liang, Wang, Zhang, Yang, "Exploring Inter-Channel Correlation for Diversity-Preserved
/// Knowledge Distillation", ICCV 2021, arXiv 2202.03680, section 3: the variant for classification, ICKD-C.
/// The paper divides by the square of the number of channels and does not normalise; the authors' code
/// normalises the rows and divides by the number of channels, and so do we.
pub fn ickd(
    student_features: Tensor<4>,
    teacher_features: Tensor<4>,
    epsilon: f64,
) -> Result<Tensor<1>> {
    check_epsilon(epsilon)?;
    let names = ["student_features", "teacher_features"];
    let axes = [(Axis::Batch, 0..1), (Axis::Channels, 1..2)];
    check::pair("ickd", names, &student_features, &teacher_features, axes)?;
    let correlations = |map| unit(gram(flat_channels(map)), 2, epsilon); // [batch_size, channels, channels]
    let student = correlations(student_features);
    let teacher = correlations(teacher_features.without_autodiff());
    Ok((student - teacher).square().sum_dim(2).mean())
}

/// The constant of [`ickd`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct IckdLossConfig {
    /// Norm of a row of correlations at or below which it counts as zero, from 1e-15 to 1, in squared units
    /// of the features.
    ///
    /// 1e-12, the default of the normalisation that the authors' code calls.
    #[config(default = 1e-12)]
    pub epsilon: f64,
}

impl IckdLossConfig {
    /// Checks the constant and makes the loss.
    ///
    /// # Errors
    ///
    /// `epsilon` outside its range.
    pub fn init(&self) -> Result<IckdLoss> {
        check_epsilon(self.epsilon)?;
        Ok(IckdLoss {
            epsilon: self.epsilon,
        })
    }
}

/// [`ickd`] with its constant, made by [`IckdLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IckdLoss {
    epsilon: f64,
}

impl IckdLoss {
    /// The weight usual beside a cross-entropy of weight 1: 2.5, that of the authors' command on CIFAR-100,
    /// for the last map behind an adapter.
    pub const USUAL_WEIGHT: f64 = 2.5;

    /// [`ickd`] of two `[batch_size, channels, height, width]`.
    ///
    /// # Errors
    ///
    /// Those of [`ickd`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::IckdLossConfig;
    ///
    /// let device = Device::flex();
    /// let student = Tensor::<4>::ones([2, 3, 4, 4], &device);
    /// let teacher = Tensor::<4>::ones([2, 3, 2, 2], &device) * 7.0;
    /// let loss = IckdLossConfig::new().init()?;
    /// // To both, all channels are active together.
    /// assert!(loss.forward(student, teacher)?.into_scalar::<f32>() < 1e-12);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
    ) -> Result<Tensor<1>> {
        ickd(student_features, teacher_features, self.epsilon)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "ickd",
    title: "Inter-channel correlation",
    family: Family::Features,
    about: "difference of the correlations between the channels of a map",
    paper: Paper {
        authors: "Liu et al.",
        year: 2021,
        arxiv: "2202.03680",
        place: "ICCV 2021, section 3",
    },
    inputs: "two maps `[batch, channels, height, width]`, heights and widths may differ",
    constants: &[Constant {
        name: "epsilon",
        source: "the authors' code",
    }],
    defaults: Some(|| IckdLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: IckdLoss::USUAL_WEIGHT,
        source: "the authors' command on CIFAR-100",
    }),
    cost: "channels^2 a sample, times the size of a map in time",
    disagreements: "divided by channels^2 without normalisation (the paper), or rows normalised and divided \
        by channels (the authors' code), or divided by the batch twice (torchdistill); here the authors' \
        code",
};
