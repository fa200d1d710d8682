//! Hint-based training: feature maps compared element by element.

use crate::catalogue::{Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::tensor::Tensor;

/// Mean squared difference of two feature maps of equal shape.
///
/// ```text
/// loss = mean over samples, channels, height and width of  (s - t)^2
///
/// s = student_features      t = teacher_features, the hint
/// ```
///
/// # Shapes
///
/// - `student_features`, `teacher_features`: `[batch_size, channels, height, width]`, all equal
/// - result: `[1]`
///
/// Where the widths differ, a [`Regressor`](crate::Regressor) brings the student to the teacher's.
/// The result is in squared units of the features, never negative. The teacher is a constant: no
/// gradient reaches it, and it may live on the plain device while the student is on the autodiff one.
///
/// # Errors
///
/// An empty batch; unequal batch sizes, channels, heights or widths; tensors of different dtypes or
/// on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::hint;
///
/// let device = Device::flex();
/// let student = Tensor::<4>::zeros([2, 3, 4, 4], &device);
/// let teacher = Tensor::<4>::ones([2, 3, 4, 4], &device) * 3.0;
/// assert_eq!(hint(student, teacher)?.into_scalar::<f32>(), 9.0);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Romero, Ballas, Ebrahimi Kahou, Chassang, Gatta, Bengio, "`FitNets`: Hints for Thin Deep Nets",
/// ICLR 2015, arXiv 1412.6550, equation (3). The paper has half the *sum* of squares over the map;
/// we follow the public implementations, which take the mean over all elements, so that a weight
/// does not depend on the size of the map. The paper's value, averaged over the batch, is this times
/// `channels * height * width / 2`.
pub fn hint(student_features: Tensor<4>, teacher_features: Tensor<4>) -> Result<Tensor<1>> {
    check::feature_pair("hint", &student_features, &teacher_features)?;
    Ok(mean_squared_difference(student_features, teacher_features))
}

/// [`hint`] of maps whose shapes are known to agree.
pub(crate) fn mean_squared_difference(student: Tensor<4>, teacher: Tensor<4>) -> Tensor<1> {
    (student - teacher.without_autodiff()).square().mean()
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "hint",
    title: "FitNets hint",
    family: Family::Features,
    about: "mean squared difference of two feature maps, with a learned regressor",
    paper: Paper {
        authors: "Romero et al.",
        year: 2014,
        arxiv: "1412.6550",
        place: "equation (3)",
    },
    inputs: "two maps `[batch, channels, height, width]`",
    constants: &[],
    defaults: None,
    extra_parameters: "`(student_channels + 1) * teacher_channels` with a regressor",
    usual_weight: Some(UsualWeight {
        value: 100.0,
        source: "1910.10699",
    }),
    cost: "",
    disagreements: "half the sum of squares (the paper), or the mean over all elements; here the mean, so \
        that a weight does not depend on the size of the map. The regressor: a wide unpadded kernel and a \
        nonlinearity (the paper), strided 3x3 with batch norm and ReLU, or a plain 1x1; here a plain 1x1, \
        pooling only if asked",
};
