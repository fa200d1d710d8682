//! Similarity-preserving distillation: the likeness of the samples of a batch.

use super::relation::{epsilon as check_epsilon, gram, unit};
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::config::Config;
use burn::tensor::Tensor;

/// Squared difference of the similarities between the samples of a batch.
///
/// ```text
/// G[i, j] = f[i] . f[j]                    f[i] = the features of sample i as one vector
/// N[i, :] = G[i, :] / ||G[i, :]||          0 where the norm is at most e
/// loss    = sum over i and j of (N(student)[i, j] - N(teacher)[i, j])^2 / batch_size^2
///
/// ||.|| = the l2 norm      e = epsilon
/// ```
///
/// # Shapes
///
/// - `student_features`: `[batch_size, channels, height, width]`
/// - `teacher_features`: the same batch size; channels, height and width may differ
/// - result: `[1]`
///
/// The result has no unit, is never negative, at most `4 / batch_size`, and does not change when all features
/// of one side are multiplied by a number. With a single sample it is 0 unless one side's features are all
/// zero. `epsilon` is from 1e-15 to 1, in squared units of the features; a sample of zeros has no similarity
/// with any other and gets no gradient through its own row. Features whose fourth power, times the number of
/// samples, overflows are too large.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one. Time is `batch_size^2` times the size of a map, memory `batch_size^2`.
///
/// # Errors
///
/// `epsilon` outside its range; an empty batch; unequal batch sizes; tensors of different dtypes or on
/// different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::similarity_preserving;
///
/// let device = Device::flex();
/// // The student takes both samples for the same, the teacher for entirely different.
/// let student = Tensor::<4>::ones([2, 1, 1, 1], &device);
/// let teacher = Tensor::<4>::from_data([[[[1.0]], [[0.0]]], [[[0.0]], [[1.0]]]], &device);
/// // Rows [1, 1] / sqrt(2) and [1, 0]: each differs by (1 - 0.7071)^2 + 0.7071^2.
/// let loss = similarity_preserving(student, teacher, 1e-12)?.into_scalar::<f32>();
/// assert!((loss - 0.292_893).abs() < 1e-5);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Tung, Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019, arXiv 1907.09682, section 3. One
/// pair of layers; the paper sums over the pairs. The bound on the norm is that of the usual implementation,
/// which gives a row of zeros a slope of `1 / epsilon`; here it has none.
pub fn similarity_preserving(
    student_features: Tensor<4>,
    teacher_features: Tensor<4>,
    epsilon: f64,
) -> Result<Tensor<1>> {
    check_epsilon(epsilon)?;
    check::sample_pair(
        "similarity_preserving",
        &student_features,
        &teacher_features,
    )?;
    let student = similarities(student_features, epsilon);
    let teacher = similarities(teacher_features.without_autodiff(), epsilon);
    Ok((student - teacher).square().mean())
}

/// `N`, `[batch_size, batch_size]`.
fn similarities(features: Tensor<4>, epsilon: f64) -> Tensor<2> {
    let rows: Tensor<2> = features.flatten(1, 3);
    unit(gram(rows), 1, epsilon)
}

/// The constant of [`similarity_preserving`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct SimilarityPreservingLossConfig {
    /// Norm of a row of similarities at or below which it counts as zero, from 1e-15 to 1, in squared units
    /// of the features.
    ///
    /// 1e-12, the default of the normalisation in Tian et al.'s implementation (arXiv 1910.10699).
    #[config(default = 1e-12)]
    pub epsilon: f64,
}

impl SimilarityPreservingLossConfig {
    /// Checks the constant and makes the loss.
    ///
    /// # Errors
    ///
    /// `epsilon` outside its range.
    pub fn init(&self) -> Result<SimilarityPreservingLoss> {
        check_epsilon(self.epsilon)?;
        Ok(SimilarityPreservingLoss {
            epsilon: self.epsilon,
        })
    }
}

/// [`similarity_preserving`] with its constant, made by [`SimilarityPreservingLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimilarityPreservingLoss {
    epsilon: f64,
}

impl SimilarityPreservingLoss {
    /// The weight usual beside a cross-entropy of weight 1: 3000, the paper's gamma on CIFAR-10 and that of
    /// Tian et al., arXiv 1910.10699, on CIFAR-100.
    pub const USUAL_WEIGHT: f64 = 3000.0;

    /// [`similarity_preserving`] of two `[batch_size, channels, height, width]`.
    ///
    /// # Errors
    ///
    /// Those of [`similarity_preserving`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::SimilarityPreservingLossConfig;
    ///
    /// let device = Device::flex();
    /// let student = Tensor::<4>::ones([3, 2, 4, 4], &device);
    /// let teacher = Tensor::<4>::ones([3, 8, 2, 2], &device) * 7.0;
    /// let loss = SimilarityPreservingLossConfig::new().init()?;
    /// // To both, all samples are alike.
    /// assert!(loss.forward(student, teacher)?.into_scalar::<f32>() < 1e-12);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
    ) -> Result<Tensor<1>> {
        similarity_preserving(student_features, teacher_features, self.epsilon)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "sp",
    title: "Similarity-preserving",
    family: Family::Features,
    about: "difference of the similarities between the samples of a batch",
    paper: Paper {
        authors: "Tung and Mori",
        year: 2019,
        arxiv: "1907.09682",
        place: "section 3",
    },
    inputs: "two maps `[batch, channels, height, width]`, all but the batch may differ",
    constants: &[Constant {
        name: "epsilon",
        source: "the comparisons on CIFAR-100, 1910.10699",
    }],
    defaults: Some(|| SimilarityPreservingLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: SimilarityPreservingLoss::USUAL_WEIGHT,
        source: "the paper",
    }),
    cost: "time batch^2 times the size of a map, memory batch^2",
    disagreements: "the sum over pairs divided by batch^2 (the paper), or left as it is; here the paper. A \
        row of zeros: a slope of one over the bound on the norm, or none; here none. Rows scaled to norm 1 \
        by the sum of squares (the paper), or by the sum of magnitudes (torchdistill, `p = 1`); here the \
        paper",
};
