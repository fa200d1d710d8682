//! Pair-wise distillation: the likeness of the positions of a map.

use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use crate::features::relation::{epsilon as check_epsilon, flat_channels, gram, unit};
use burn::config::Config;
use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;

/// Mean squared difference of the affinities between the patches of a map.
///
/// ```text
/// f[i]    = maximum of the features over the positions of patch i, channel by channel
/// a[i, j] = f[i] . f[j] / (||f[i]|| ||f[j]||)                         0 where a norm is at most e
/// loss    = mean over samples and all i and j of  (a(student)[i, j] - a(teacher)[i, j])^2
///
/// patch = max(1, floor(scale * height)) x max(1, floor(scale * width)) positions, cut off at the lower and
///         right edges
/// ||.|| = the l2 norm over channels      e = epsilon
/// ```
///
/// # Shapes
///
/// - `student_features`: `[batch_size, channels, height, width]`
/// - `teacher_features`: the same, except that the number of channels may differ
/// - result: `[1]`
///
/// The result has no unit, is from 0 to 4, and does not change when the features of one side are multiplied
/// by a number above 0. `scale` is above 0 and at most 1: 0.5 makes 4 patches (up to 9 for an odd size), 1 a
/// single one, whose affinity with itself tells nothing; a scale below `1 / height` and `1 / width` compares
/// single positions. `epsilon` is from 1e-15 to 1; a patch of zeros has no affinity with any and gets no
/// gradient.
///
/// With `n` patches, about `1 / scale^2`, time is `n^2 * channels` and memory `n^2` for each sample: a map of
/// 64 x 64 compared position by position takes 64 MiB a sample for each of three tensors.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// A constant outside its range; an empty batch; unequal batch sizes, heights or widths; tensors of different
/// dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::pair_wise_affinity;
///
/// let device = Device::flex();
/// // Two positions: alike to the student, opposite to the teacher.
/// let student = Tensor::<4>::from_data([[[[1.0, 2.0]]]], &device);
/// let teacher = Tensor::<4>::from_data([[[[1.0, -3.0]]]], &device);
/// let loss = pair_wise_affinity(student, teacher, 0.5, 1e-8)?.into_scalar::<f32>();
/// // Two of four pairs differ by 2.
/// assert!((loss - 2.0).abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Liu, Chen, Liu, Qin, Luo, Wang, "Structured Knowledge Distillation for Semantic Segmentation", CVPR 2019,
/// arXiv 1903.04197, section 3. The maxima of patches are those of the authors' code. The code takes norms as
/// constants in the gradient, so that a feature's length gets one, too; here the gradient is that of the
/// formula.
pub fn pair_wise_affinity(
    student_features: Tensor<4>,
    teacher_features: Tensor<4>,
    scale: f64,
    epsilon: f64,
) -> Result<Tensor<1>> {
    check_constants(scale, epsilon)?;
    check::map_pair("pair_wise_affinity", &student_features, &teacher_features)?;
    let student = affinities(student_features, scale, epsilon);
    let teacher = affinities(teacher_features.without_autodiff(), scale, epsilon);
    Ok((student - teacher).square().mean())
}

/// `a`, `[batch_size, patches, patches]`.
fn affinities(features: Tensor<4>, scale: f64, epsilon: f64) -> Tensor<3> {
    let [_batch_size, _channels, height, width] = features.dims();
    let patch = [height, width].map(|size| part(size, scale));
    let pooled = if patch == [1, 1] {
        features
    } else {
        // The last patch along an axis may be smaller than the others.
        max_pool2d(features, MaxPoolOptions::new(patch).with_ceil_mode(true))
    };
    let patches = flat_channels(pooled).transpose(); // [batch_size, patches, channels]
    gram(unit(patches, 2, epsilon))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "scale is above 0 and at most 1"
)]
fn part(size: usize, scale: f64) -> usize {
    ((size as f64 * scale) as usize).max(1)
}

fn check_constants(scale: f64, epsilon: f64) -> Result<()> {
    let ok = scale > 0.0 && scale <= 1.0;
    let advice = "the authors' code uses 0.5";
    check::constant("scale", scale, ok, "above 0 and at most 1", advice)?;
    check_epsilon(epsilon)
}

/// The constants of [`pair_wise_affinity`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct PairWiseAffinityLossConfig {
    /// Height of a patch as a share of the map's, and width likewise; above 0 and at most 1.
    ///
    /// 0.5, from the authors' code.
    #[config(default = 0.5)]
    pub scale: f64,
    /// Norm at or below which a patch counts as zero, from 1e-15 to 1.
    ///
    /// 1e-8, which the authors' code adds to norms.
    #[config(default = 1e-8)]
    pub epsilon: f64,
}

impl PairWiseAffinityLossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// A constant outside its range.
    pub fn init(&self) -> Result<PairWiseAffinityLoss> {
        check_constants(self.scale, self.epsilon)?;
        Ok(PairWiseAffinityLoss {
            scale: self.scale,
            epsilon: self.epsilon,
        })
    }
}

/// [`pair_wise_affinity`] with its constants, made by [`PairWiseAffinityLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairWiseAffinityLoss {
    scale: f64,
    epsilon: f64,
}

impl PairWiseAffinityLoss {
    /// The weight usual beside a cross-entropy of weight 1: 10, the paper's lambda 1.
    pub const USUAL_WEIGHT: f64 = 10.0;

    /// [`pair_wise_affinity`] of two `[batch_size, channels, height, width]`.
    ///
    /// # Errors
    ///
    /// Those of [`pair_wise_affinity`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::PairWiseAffinityLossConfig;
    ///
    /// let device = Device::flex();
    /// let student = Tensor::<4>::ones([2, 3, 4, 4], &device);
    /// let teacher = Tensor::<4>::ones([2, 8, 4, 4], &device) * 7.0;
    /// let loss = PairWiseAffinityLossConfig::new().init()?;
    /// // To both, all positions are alike.
    /// assert!(loss.forward(student, teacher)?.into_scalar::<f32>() < 1e-12);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
    ) -> Result<Tensor<1>> {
        pair_wise_affinity(student_features, teacher_features, self.scale, self.epsilon)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "pair-wise-affinity",
    title: "Pair-wise distillation",
    family: Family::Dense,
    about: "difference of the affinities between the positions of a map",
    paper: Paper {
        authors: "Liu et al.",
        year: 2019,
        arxiv: "1903.04197",
        place: "section 3",
    },
    inputs: "two maps `[batch, channels, height, width]`, channels may differ",
    constants: &[
        Constant {
            name: "scale",
            source: "the authors' code",
        },
        Constant {
            name: "epsilon",
            source: "the authors' code",
        },
    ],
    defaults: Some(|| PairWiseAffinityLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: PairWiseAffinityLoss::USUAL_WEIGHT,
        source: "the paper",
    }),
    cost: "time and memory patches^2 a sample, about 1 / scale^4",
    disagreements: "all positions, or maxima of patches of half the map's size, 4 in all (the authors' \
        code); norms as constants in the gradient (the authors' code) or not; here patches, with the full \
        gradient",
};
