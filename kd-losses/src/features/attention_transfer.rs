//! Attention transfer: the places of the image at which student and teacher are active.

use super::relation::epsilon as check_epsilon;
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use crate::norm::bounded_root;
use burn::config::Config;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::Tensor;

/// The distance of two normalised attention maps, from their difference `d`.
///
/// Per sample `d` has `height * width` elements. The three differ by more than a factor: a weight
/// tuned for one is meaningless for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AttentionDistance {
    /// Mean of `d^2` over samples *and* positions: the authors' published code.
    MeanSquare,
    /// Sum of `d^2` over positions, mean over samples: [`Self::MeanSquare`] times `height * width`.
    SquaredNorm,
    /// Square root of the sum of `d^2` over positions, mean over samples: the norm as printed in the
    /// paper's equation (2). Its gradient does not fade as the maps approach each other; at equality
    /// it is taken to be 0.
    Norm,
}

/// Distance between the attention maps of a student's and a teacher's layer.
///
/// ```text
/// F[y, x] = mean over channels of  features[c, y, x]^2
/// Q       = F / max(||F||, e)          per sample, F as a vector of height * width elements
/// d       = Q(student) - Q(teacher)
/// loss    = MeanSquare:   mean over samples and positions of d^2
///           SquaredNorm:  mean over samples of ||d||^2
///           Norm:         mean over samples of max(||d||, e)
///
/// ||.|| = the l2 norm       e = epsilon
/// ```
///
/// This is one pair of layers; the loss of the paper is the sum over the pairs.
///
/// # Shapes
///
/// - `student_features`: `[batch_size, channels, height, width]`
/// - `teacher_features`: the same, except that the number of channels may differ
/// - result: `[1]`
///
/// The result has no unit and is never negative; `Q` does not change when a sample's features are
/// multiplied by a number. `epsilon` is from 1e-15 to 1 and keeps value *and* gradient finite for a
/// map of zeros, where `Q` is 0 and its gradient too: the norm's own derivative there is 0 / 0. It
/// matters for features below `sqrt(epsilon)` in size only, 1e-6 by default. Its square must be
/// representable: with 16-bit floats choose 1e-3 or more. Features of up to 1e8 in size do not
/// overflow in 32-bit floats. A map of a single position has `Q = 1` whatever the features.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the
/// student is on the autodiff one.
///
/// # Errors
///
/// `epsilon` outside its range; an empty batch; unequal batch sizes, heights or widths; tensors of
/// different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::{AttentionDistance, attention_transfer};
///
/// let device = Device::flex();
/// // One looks to the left, the other to the right.
/// let student = Tensor::<4>::from_data([[[[2.0, 0.0]]]], &device);
/// let teacher = Tensor::<4>::from_data([[[[0.0, 3.0]]]], &device);
///
/// let loss = attention_transfer(student, teacher, AttentionDistance::MeanSquare, 1e-12)?;
/// assert!((loss.into_scalar::<f32>() - 1.0).abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Zagoruyko, Komodakis, "Paying More Attention to Attention: Improving the Performance of
/// Convolutional Neural Networks via Attention Transfer", ICLR 2017, arXiv 1612.03928, equation (2)
/// with p = 2 and the mapping `F_sum^2` of section 3.1. Three things differ between paper and the
/// authors' code, and we follow the code by default. The paper sums over channels, the code takes the
/// mean; after the normalisation that is the same. The paper prints `beta / 2` times the norm of `d`,
/// not squared, and says that beta is 1000 over the number of elements of map and batch; the code
/// takes `beta = 1000` times the mean square. Its early version bounded the *square* of the norm by
/// 1e-12, the later one the norm itself, as here.
pub fn attention_transfer(
    student_features: Tensor<4>,
    teacher_features: Tensor<4>,
    distance: AttentionDistance,
    epsilon: f64,
) -> Result<Tensor<1>> {
    check_epsilon(epsilon)?;
    check::map_pair("attention_transfer", &student_features, &teacher_features)?;

    let student = attention_map(student_features, epsilon);
    let teacher = attention_map(teacher_features.without_autodiff(), epsilon);
    let square = (student - teacher).square(); // [batch_size, height * width]
    Ok(match distance {
        AttentionDistance::MeanSquare => square.mean(),
        AttentionDistance::SquaredNorm => square.sum_dim(1).mean(),
        AttentionDistance::Norm => bounded_root(square.sum_dim(1), epsilon).mean(),
    })
}

/// `Q`, `[batch_size, height * width]`.
fn attention_map(features: Tensor<4>, epsilon: f64) -> Tensor<2> {
    let [batch_size, _channels, height, width] = features.dims();
    let energy = features.square().mean_dim(1); // [batch_size, 1, height, width]
    let energy = energy.reshape([batch_size, height * width]); // [batch_size, height * width]
    let norm = bounded_root(energy.clone().square().sum_dim(1), epsilon); // [batch_size, 1]
    energy / norm
}

/// The constants of [`attention_transfer`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct AttentionTransferLossConfig {
    /// The distance of two attention maps.
    ///
    /// The form of the authors' published code by default.
    #[config(default = "AttentionDistance::MeanSquare")]
    pub distance: AttentionDistance,
    /// Smallest norm a map is divided by, from 1e-15 to 1.
    ///
    /// 1e-12, the default of the normalisation that the authors' published code calls.
    #[config(default = 1e-12)]
    pub epsilon: f64,
}

impl AttentionTransferLossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// `epsilon` outside its range.
    pub fn init(&self) -> Result<AttentionTransferLoss> {
        check_epsilon(self.epsilon)?;
        Ok(AttentionTransferLoss {
            distance: self.distance,
            epsilon: self.epsilon,
        })
    }
}

/// [`attention_transfer`] with its constants, made by [`AttentionTransferLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionTransferLoss {
    distance: AttentionDistance,
    epsilon: f64,
}

impl AttentionTransferLoss {
    /// The weight usual beside a cross-entropy of weight 1: 1000, the authors' beta, for
    /// [`AttentionDistance::MeanSquare`], summed over the pairs of layers.
    ///
    /// The paper's formula halves it; the authors' code does not.
    pub const USUAL_WEIGHT: f64 = 1000.0;

    /// [`attention_transfer`] of two `[batch_size, channels, height, width]`.
    ///
    /// # Errors
    ///
    /// Those of [`attention_transfer`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::AttentionTransferLossConfig;
    ///
    /// let device = Device::flex();
    /// let student = Tensor::<4>::ones([2, 3, 4, 4], &device);
    /// let teacher = Tensor::<4>::ones([2, 8, 4, 4], &device) * 7.0;
    /// let loss = AttentionTransferLossConfig::new().init()?;
    /// // Both are active everywhere alike.
    /// assert!(loss.forward(student, teacher)?.into_scalar::<f32>() < 1e-12);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
    ) -> Result<Tensor<1>> {
        attention_transfer(
            student_features,
            teacher_features,
            self.distance,
            self.epsilon,
        )
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "attention-transfer",
    title: "Attention transfer",
    family: Family::Features,
    about: "difference of normalised attention maps",
    paper: Paper {
        authors: "Zagoruyko and Komodakis",
        year: 2016,
        arxiv: "1612.03928",
        place: "equation (2)",
    },
    inputs: "two maps `[batch, channels, height, width]`, channels may differ",
    constants: &[
        Constant {
            name: "distance",
            source: "the authors' code",
        },
        Constant {
            name: "epsilon",
            source: "the authors' code",
        },
    ],
    defaults: Some(|| AttentionTransferLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: AttentionTransferLoss::USUAL_WEIGHT,
        source: "the authors' code",
    }),
    cost: "",
    disagreements: "mean over samples and positions, sum over positions, or an unsquared norm (the paper); \
        `beta` halved (the paper) or not; the bound on the norm 1e-12, on its square, or 1e-6 added; here \
        the authors' code, the others as `distance`; the bound on the norm",
};
