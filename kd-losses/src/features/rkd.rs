//! Relational knowledge distillation: distances and angles between the samples of a batch.

use super::relation::{Pairs, huber};
use crate::catalogue::{Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::tensor::Tensor;

/// Huber distance of the pairwise distances within a batch, in units of their mean.
///
/// ```text
/// d[i, j] = ||x[i] - x[j]||
/// m       = mean of d[i, j] over the pairs i != j
/// loss    = mean over all i and j, the diagonal too, of
///           huber(d(student)[i, j] / m(student) - d(teacher)[i, j] / m(teacher))
///
/// x[i] = embedding of sample i     ||.|| = the l2 norm
/// huber(a) = a^2 / 2 for |a| <= 1, |a| - 1/2 else
/// ```
///
/// # Shapes
///
/// - `student_embedding`: `[batch_size, features]`
/// - `teacher_embedding`: the same batch size; the number of features may differ
/// - result: `[1]`
///
/// The result has no unit, is never negative, and does not change when the embeddings of one side are
/// shifted, rotated or multiplied by a number other than 0. With a single sample it is 0. Two samples at the
/// same point, as far as the float type can tell (their squared distance is below 8 steps of it), have a
/// distance of 0 without a gradient: the slope of a norm at 0 is 0 / 0. Where all samples are at one point,
/// all distances are 0. Distances come from dot products of the embeddings less their mean, so that memory is
/// `batch_size^2`.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// An empty batch; unequal batch sizes; tensors of different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::rkd_distance;
///
/// let device = Device::flex();
/// let student = Tensor::<2>::from_data([[0.0], [1.0], [2.0]], &device);
/// // The same line, ten times as long and somewhere in a plane.
/// let teacher = Tensor::<2>::from_data([[5.0, 5.0], [11.0, 13.0], [17.0, 21.0]], &device);
/// assert!(rkd_distance(student, teacher)?.into_scalar::<f32>() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Park, Kim, Lu, Cho, "Relational Knowledge Distillation", CVPR 2019, arXiv 1904.05068, section 3.2.1. The
/// paper sums over pairs of distinct samples; the authors' code takes the mean over all `batch_size^2`, of
/// which the diagonal is 0, and so do we: the mean over distinct pairs is this times
/// `batch_size / (batch_size - 1)`. The code's `m` is the mean over the pairs i != j, as in the paper, and
/// bounds squared distances by 1e-12 from below; here a distance may be 0.
pub fn rkd_distance(
    student_embedding: Tensor<2>,
    teacher_embedding: Tensor<2>,
) -> Result<Tensor<1>> {
    check::embedding_batches("rkd_distance", &student_embedding, &teacher_embedding)?;
    let student = relative_distances(student_embedding);
    let teacher = relative_distances(teacher_embedding.without_autodiff());
    Ok(huber(student - teacher).mean())
}

/// `d / m`, `[batch_size, batch_size]`.
fn relative_distances(embedding: Tensor<2>) -> Tensor<2> {
    let [batch_size, _features] = embedding.dims();
    let distances = Pairs::new(embedding).distances();
    let pairs = (batch_size * (batch_size - 1)).max(1);
    // Times the inverse: Burn's gradient of a division by a number takes that number in 32-bit floats.
    let mean = distances.clone().sum() * (1.0 / pairs as f64); // [1]
    // Without any distance there is nothing to divide.
    let none = mean.clone().equal_elem(0.0);
    distances / mean.mask_fill(none, 1.0).unsqueeze()
}

/// Huber distance of the angles that each three samples of a batch form.
///
/// ```text
/// e[i, j]    = (x[i] - x[j]) / ||x[i] - x[j]||
/// a[i, j, k] = e[i, j] . e[k, j]                  the cosine of the angle at sample j
/// loss       = mean over all i, j and k of  huber(a(student)[i, j, k] - a(teacher)[i, j, k])
///
/// x[i] = embedding of sample i     ||.|| = the l2 norm
/// huber(a) = a^2 / 2 for |a| <= 1, |a| - 1/2 else
/// ```
///
/// # Shapes
///
/// - `student_embedding`: `[batch_size, features]`
/// - `teacher_embedding`: the same batch size; the number of features may differ
/// - result: `[1]`
///
/// The result has no unit, is from 0 to 1.5, and does not change when the embeddings of one side are shifted,
/// rotated or multiplied by a number other than 0. With one sample or two it is 0, unless two are at the same
/// point on one side. Two samples at the same point, as far as the float type can tell (their squared
/// distance is below 8 steps of it), have `e = 0` without a gradient.
///
/// Time and memory are `batch_size^3`: each of about ten tensors kept for the gradient has that many numbers,
/// 4 bytes each, so a batch of 64 takes 10 MiB, 256 0.6 GiB, 512 5 GiB. The number of features adds
/// `batch_size^2` of time for each, no memory: the cosines come from dot products `G` of the embeddings,
/// `(x[i] - x[j]) . (x[k] - x[j]) = G[i, k] - G[i, j] - G[j, k] + G[j, j]`.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// An empty batch; unequal batch sizes; tensors of different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::rkd_angle;
///
/// let device = Device::flex();
/// // A triangle, and the same one turned, twice as large.
/// let student = Tensor::<2>::from_data([[0.0, 0.0], [3.0, 0.0], [0.0, 1.0]], &device);
/// let teacher = Tensor::<2>::from_data([[1.0, 1.0], [1.0, 7.0], [-1.0, 1.0]], &device);
/// assert!(rkd_angle(student, teacher)?.into_scalar::<f32>() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Park, Kim, Lu, Cho, "Relational Knowledge Distillation", CVPR 2019, arXiv 1904.05068, section 3.2.2. The
/// paper sums over triplets of distinct samples; the authors' code takes the mean over all `batch_size^3`,
/// among them those with `i = j` or `k = j`, which are 0, and those with `i = k`, which are 0 unless samples
/// coincide, and so do we.
pub fn rkd_angle(student_embedding: Tensor<2>, teacher_embedding: Tensor<2>) -> Result<Tensor<1>> {
    check::embedding_batches("rkd_angle", &student_embedding, &teacher_embedding)?;
    let student = cosines(student_embedding);
    let teacher = cosines(teacher_embedding.without_autodiff());
    Ok(huber(student - teacher).mean())
}

/// `a` as `[j, i, k]`.
fn cosines(embedding: Tensor<2>) -> Tensor<3> {
    let [batch_size, _features] = embedding.dims();
    let pairs = Pairs::new(embedding);
    let inverse = pairs.inverse_distances();
    // G[j, i] - G[j, j] / 2, so that the sum of two of them is what is to be taken from G[i, k].
    let from_vertex = pairs.gram.clone() - pairs.squares * 0.5;
    let column = [batch_size, batch_size, 1];
    let row = [batch_size, 1, batch_size];
    let sides = from_vertex.clone().reshape(column) + from_vertex.reshape(row);
    let dots = pairs.gram.unsqueeze::<3>() - sides;
    let lengths = inverse.clone().reshape(column) * inverse.reshape(row);
    // What rounding carries beyond 1 has no slope.
    (dots * lengths).clamp(-1.0, 1.0)
}

const PAPER: Paper = Paper {
    authors: "Park et al.",
    year: 2019,
    arxiv: "1904.05068",
    place: "section 3.2.1",
};

pub(crate) const DISTANCE: LossInfo = LossInfo {
    name: "rkd-distance",
    title: "Relational KD, distances",
    family: Family::Features,
    about: "difference of the pairwise distances within a batch",
    paper: PAPER,
    inputs: "two embeddings `[batch, features]`, features may differ",
    constants: &[],
    defaults: None,
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: 25.0,
        source: "the paper on CIFAR-100, and 1910.10699; 1 in metric learning",
    }),
    cost: "time batch^2 times features, memory batch^2",
    disagreements: "the sum over pairs of distinct samples (the paper), or the mean over all batch^2 with a \
        diagonal of zeros (the authors' code); distances divided by their mean over distinct samples (paper \
        and code), or over all batch^2; here the authors' code, except that samples at one point have a \
        distance of 0 instead of 1e-6",
};

pub(crate) const ANGLE: LossInfo = LossInfo {
    name: "rkd-angle",
    title: "Relational KD, angles",
    family: Family::Features,
    about: "difference of the angles between three samples of a batch",
    paper: Paper {
        place: "section 3.2.2",
        ..PAPER
    },
    inputs: "two embeddings `[batch, features]`, features may differ",
    constants: &[],
    defaults: None,
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: 50.0,
        source: "the paper on CIFAR-100, and 1910.10699; 2 in metric learning",
    }),
    cost: "time and memory batch^3, about 10 tensors of that size",
    disagreements: "the sum over triplets of distinct samples (the paper), or the mean over all batch^3 (the \
        authors' code); here the authors' code",
};
