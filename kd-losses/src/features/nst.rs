//! Neuron selectivity transfer: the patterns that the channels of a layer respond to.

use super::relation::{epsilon as check_epsilon, flat_channels, resolution, unit};
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::config::Config;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::Tensor;

/// The likeness of two channels, from their maps `x` and `y` of unit length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SelectivityKernel {
    /// `x . y`: the loss compares the means of the channels. Time and memory are those of a pass over the
    /// maps.
    Linear,
    /// `(x . y)^2`, the paper's polynomial kernel of degree 2 without an offset.
    Polynomial,
    /// `exp(-||x - y||^2 / (2 s))`, where `s` is the mean squared distance between the student's channels and
    /// the teacher's in a sample. The gradient goes through `s`, too.
    Gaussian,
}

/// Squared maximum mean discrepancy between the channels of student and teacher.
///
/// ```text
/// x[i] = map of the student's channel i / ||.||      0 where the norm is at most e
/// y[j] = map of the teacher's channel j / ||.||      0 where the norm is at most e
/// loss = mean over samples of  mean over i and i' of k(x[i], x[i'])
///                            + mean over j and j' of k(y[j], y[j'])
///                            - 2 mean over i and j of k(x[i], y[j])
///
/// k = kernel     ||.|| = the l2 norm over positions     e = epsilon
/// ```
///
/// # Shapes
///
/// - `student_features`: `[batch_size, channels, height, width]`
/// - `teacher_features`: the same, except that the number of channels may differ
/// - result: `[1]`
///
/// The result has no unit, is never negative but for rounding, and does not change when channels are
/// reordered, or multiplied by numbers above 0. `epsilon` is from 1e-15 to 1; a channel of zeros stays zero
/// and gets no gradient. The second term has no gradient and is part of the value all the same, so that equal
/// channels give 0.
///
/// Except for the linear kernel time is `channels^2` times the size of a map, memory `channels^2`, both for
/// each sample.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// `epsilon` outside its range; an empty batch; unequal batch sizes, heights or widths; tensors of different
/// dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::{SelectivityKernel, nst};
///
/// let device = Device::flex();
/// // The student's channel looks to the left, one of the teacher's to the left and one to the right.
/// let student = Tensor::<4>::from_data([[[[2.0, 0.0]]]], &device);
/// let teacher = Tensor::<4>::from_data([[[[5.0, 0.0]], [[0.0, 3.0]]]], &device);
/// let loss = nst(student, teacher, SelectivityKernel::Polynomial, 1e-12)?;
/// assert!((loss.into_scalar::<f32>() - (1.0 + 0.5 - 2.0 * 0.5)).abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Huang, Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer", 2017, arXiv
/// 1707.01219, section 4. The paper halves the loss by its weight, `lambda / 2`. It sets the Gaussian
/// kernel's width to the mean squared distance of the pairs and does not say of which; here the pairs of a
/// student's with a teacher's channel, in each sample.
pub fn nst(
    student_features: Tensor<4>,
    teacher_features: Tensor<4>,
    kernel: SelectivityKernel,
    epsilon: f64,
) -> Result<Tensor<1>> {
    check_epsilon(epsilon)?;
    check::map_pair("nst", &student_features, &teacher_features)?;
    let channels = |map| unit(flat_channels(map), 2, epsilon); // [batch_size, channels, height * width]
    let student = channels(student_features);
    let teacher = channels(teacher_features.without_autodiff());
    Ok(match kernel {
        // The three means of dot products are the squared distance of the mean channels.
        SelectivityKernel::Linear => {
            let difference = student.mean_dim(1) - teacher.mean_dim(1);
            difference.square().sum_dim(2).mean()
        }
        SelectivityKernel::Polynomial => {
            let mean = |x: Tensor<3>, y: Tensor<3>| x.matmul(y.transpose()).square().mean();
            let across = mean(student.clone(), teacher.clone()) * 2.0;
            mean(student.clone(), student) + mean(teacher.clone(), teacher) - across
        }
        SelectivityKernel::Gaussian => gaussian(student, teacher),
    })
}

fn gaussian(student: Tensor<3>, teacher: Tensor<3>) -> Tensor<1> {
    let across = squared_distances(student.clone(), teacher.clone());
    // Of each sample, [batch_size, 1, 1]. Below the rounding of a distance there is no width to speak of.
    let width = across.clone().mean_dim(1).mean_dim(2);
    let width = width.clamp_min(16.0 * resolution(&student));
    let mean = |distances: Tensor<3>| (distances / width.clone() * -0.5).exp().mean();
    let within = mean(squared_distances(student.clone(), student))
        + mean(squared_distances(teacher.clone(), teacher));
    within - mean(across) * 2.0
}

/// Of all pairs of a row of `x` with one of `y`, `[batch_size, rows of x, rows of y]`.
fn squared_distances(x: Tensor<3>, y: Tensor<3>) -> Tensor<3> {
    let squares = |rows: Tensor<3>| rows.square().sum_dim(2);
    let sums = squares(x.clone()) + squares(y.clone()).transpose();
    (sums - x.matmul(y.transpose()) * 2.0).clamp_min(0.0)
}

/// The constants of [`nst`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct NstLossConfig {
    /// The likeness of two channels. The polynomial kernel by default, as in public implementations.
    #[config(default = "SelectivityKernel::Polynomial")]
    pub kernel: SelectivityKernel,
    /// Norm at or below which a channel's map counts as zero, from 1e-15 to 1.
    ///
    /// 1e-12, the default of the normalisation in Tian et al.'s implementation (arXiv 1910.10699).
    #[config(default = 1e-12)]
    pub epsilon: f64,
}

impl NstLossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// `epsilon` outside its range.
    pub fn init(&self) -> Result<NstLoss> {
        check_epsilon(self.epsilon)?;
        Ok(NstLoss {
            kernel: self.kernel,
            epsilon: self.epsilon,
        })
    }
}

/// [`nst`] with its constants, made by [`NstLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NstLoss {
    kernel: SelectivityKernel,
    epsilon: f64,
}

impl NstLoss {
    /// The weight usual beside a cross-entropy of weight 1 for the polynomial kernel: 50, that of Tian et
    /// al., arXiv 1910.10699, summed over the pairs of layers.
    pub const USUAL_WEIGHT: f64 = 50.0;

    /// [`nst`] of two `[batch_size, channels, height, width]`.
    ///
    /// # Errors
    ///
    /// Those of [`nst`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::NstLossConfig;
    ///
    /// let device = Device::flex();
    /// let student = Tensor::<4>::ones([2, 3, 4, 4], &device);
    /// let teacher = Tensor::<4>::ones([2, 8, 4, 4], &device) * 7.0;
    /// let loss = NstLossConfig::new().init()?;
    /// // All channels respond everywhere alike.
    /// assert!(loss.forward(student, teacher)?.into_scalar::<f32>().abs() < 1e-5);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
    ) -> Result<Tensor<1>> {
        nst(
            student_features,
            teacher_features,
            self.kernel,
            self.epsilon,
        )
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "nst",
    title: "Neuron selectivity transfer",
    family: Family::Features,
    about: "maximum mean discrepancy between the channels' normalised maps",
    paper: Paper {
        authors: "Huang and Wang",
        year: 2017,
        arxiv: "1707.01219",
        place: "section 4",
    },
    inputs: "two maps `[batch, channels, height, width]`, channels may differ",
    constants: &[
        Constant {
            name: "kernel",
            source: "public code",
        },
        Constant {
            name: "epsilon",
            source: "the comparisons on CIFAR-100, 1910.10699",
        },
    ],
    defaults: Some(|| NstLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: NstLoss::USUAL_WEIGHT,
        source: "1910.10699",
    }),
    cost: "channels^2 a sample, times the size of a map in time; the linear kernel a pass over the maps",
    disagreements: "half the weight (the paper) or not; the term of the teacher alone, which has no \
        gradient, kept or left out; maps of unequal size pooled or refused; here not halved, kept, refused",
};
