//! Pearson feature distillation: maps compared by correlation.

use crate::catalogue::{Constant, Family, LossInfo, Paper};
use crate::check;
use crate::error::Result;
use crate::features::relation::inverse_root;
use burn::config::Config;
use burn::tensor::Tensor;

/// One less the Pearson correlation of student and teacher, channel by channel.
///
/// ```text
/// m[c] = mean over samples and positions of  f[c]
/// v[c] = mean over samples and positions of  (f[c] - m[c])^2
/// u[c] = (f[c] - m[c]) / sqrt(v[c])                 0 where sqrt(v[c]) is at most e sqrt(v[c] + m[c]^2)
/// loss = 1/2 mean over samples, channels and positions of  (u(student) - u(teacher))^2
///      = 1 - mean over channels of r[c]
///
/// f = features     c = channel     r[c] = correlation of the two maps of a channel     e = epsilon
/// ```
///
/// # Shapes
///
/// - `student_features`, `teacher_features`: `[batch_size, channels, height, width]`, all equal
/// - result: `[1]`
///
/// The result has no unit, is from 0 to 2, and does not change when a channel of one side is multiplied by a
/// number above 0 or shifted. `epsilon` is from 1e-15 to 1, the standard deviation over the root mean square
/// at or below which a channel counts as constant: it gets no gradient, and adds 1/2 where only one side is
/// constant, 0 where both are. It should be above the rounding of a mean: 1e-5 suits 32-bit floats. Where the
/// channels differ, an adapter brings the student to the teacher's.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// `epsilon` outside its range; an empty batch; unequal batch sizes, channels, heights or widths; tensors of
/// different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::pkd;
///
/// let device = Device::flex();
/// let student = Tensor::<4>::from_data([[[[1.0, 2.0, 4.0]]]], &device);
/// // As active at the same places, on another scale; then exactly the other way round.
/// let alike = pkd(student.clone(), student.clone() * 9.0 - 2.0, 1e-5)?;
/// assert!(alike.into_scalar::<f32>() < 1e-6);
/// let opposite = pkd(student.clone(), student.neg(), 1e-5)?;
/// assert!((opposite.into_scalar::<f32>() - 2.0).abs() < 1e-5);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Cao, Zhang, Gao, Cheng, Cheng, Zhang, "PKD: General Distillation Framework for Object Detectors via
/// Pearson Correlation Coefficient", `NeurIPS` 2022, arXiv 2207.02039. The public code divides by the
/// standard deviation with `n - 1` in place of `n`, which makes the loss smaller by `(n - 1) / n` for `n`
/// samples and positions, adds 1e-6 to it, and resizes maps of unequal size.
pub fn pkd(
    student_features: Tensor<4>,
    teacher_features: Tensor<4>,
    epsilon: f64,
) -> Result<Tensor<1>> {
    super::relation::epsilon(epsilon)?;
    check::feature_pair("pkd", &student_features, &teacher_features)?;
    let student = standardised(student_features, epsilon);
    let teacher = standardised(teacher_features.without_autodiff(), epsilon);
    Ok((student - teacher).square().mean() * 0.5)
}

/// `u`, `[batch_size, channels, height * width]`.
fn standardised(features: Tensor<4>, epsilon: f64) -> Tensor<3> {
    let features = super::relation::flat_channels(features);
    // [1, channels, 1], as the variance
    let mean = features.clone().mean_dim(0).mean_dim(2);
    let centred = features - mean.clone();
    let variance = centred.clone().square().mean_dim(0).mean_dim(2);
    let bound = (variance.clone() + mean.square()) * (epsilon * epsilon);
    let constant = variance.clone().lower_equal(bound);
    centred * inverse_root(variance, constant)
}

/// The constant of [`pkd`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct PkdLossConfig {
    /// Standard deviation over root mean square at or below which a channel counts as constant, from 1e-15
    /// to 1.
    ///
    /// 1e-5, our choice: about the rounding of a mean in 32-bit floats.
    #[config(default = 1e-5)]
    pub epsilon: f64,
}

impl PkdLossConfig {
    /// Checks the constant and makes the loss.
    ///
    /// # Errors
    ///
    /// `epsilon` outside its range.
    pub fn init(&self) -> Result<PkdLoss> {
        super::relation::epsilon(self.epsilon)?;
        Ok(PkdLoss {
            epsilon: self.epsilon,
        })
    }
}

/// [`pkd`] with its constant, made by [`PkdLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PkdLoss {
    epsilon: f64,
}

impl PkdLoss {
    /// [`pkd`] of two `[batch_size, channels, height, width]`.
    ///
    /// # Errors
    ///
    /// Those of [`pkd`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::PkdLossConfig;
    ///
    /// let device = Device::flex();
    /// let map = Tensor::<4>::from_data([[[[1.0, 2.0], [4.0, -1.0]]]], &device);
    /// let loss = PkdLossConfig::new().init()?;
    /// assert!(loss.forward(map.clone() * 3.0 + 1.0, map)?.into_scalar::<f32>() < 1e-6);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
    ) -> Result<Tensor<1>> {
        pkd(student_features, teacher_features, self.epsilon)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "pkd",
    title: "Pearson feature distillation",
    family: Family::Features,
    about: "one less the correlation of the maps, channel by channel",
    paper: Paper {
        authors: "Cao et al.",
        year: 2022,
        arxiv: "2207.02039",
        place: "section 3",
    },
    inputs: "two maps `[batch, channels, height, width]`",
    constants: &[Constant {
        name: "epsilon",
        source: "ours",
    }],
    defaults: Some(|| PkdLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: None,
    cost: "",
    disagreements: "the standard deviation with n - 1 (the public code) or n, which alone makes the loss one \
        less the correlation; 1e-6 added to it, or channels without variance left out; here n, left out",
};
