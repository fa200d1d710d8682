//! Flow of solution procedure: the change of features from one layer to the next.

use super::relation::flat_channels;
use crate::catalogue::{Family, LossInfo, Paper};
use crate::check;
use crate::error::{Axis, Error, Result};
use burn::serde::{Deserialize, Serialize};
use burn::tensor::Tensor;
use burn::tensor::module::{adaptive_avg_pool2d, max_pool2d};
use burn::tensor::ops::MaxPoolOptions;

const NAME: &str = "fsp";
const STUDENT: [&str; 2] = ["student[0]", "student[1]"];
const TEACHER: [&str; 2] = ["teacher[0]", "teacher[1]"];

/// Squared difference of the matrices that relate the channels of one layer to those of a later one.
///
/// ```text
/// G[c, d] = mean over positions of  f0[c] f1[d]
/// loss    = mean over samples of  sum over c and d of  (G(student)[c, d] - G(teacher)[c, d])^2
///
/// f0, f1 = the maps of the two layers of one network, the larger max-pooled to the size of the smaller
/// c, d   = a channel of the first layer and one of the second
/// ```
///
/// # Shapes
///
/// - `student`: the maps of two layers, `[batch_size, channels0, height0, width0]` and
///   `[batch_size, channels1, height1, width1]`. Along each axis the larger size must be a multiple of the
///   smaller.
/// - `teacher`: the same batch size, `channels0` and `channels1`; heights and widths may be others
/// - result: `[1]`
///
/// The result has the unit of a feature to the fourth power, and is never negative; a sign that both maps of
/// a network share changes nothing. It is finite for any features whose fourth power, times
/// `channels0 * channels1`, does not overflow. Where channels differ, an adapter brings the student's to the
/// teacher's.
///
/// Time is `channels0 * channels1` times the smaller map, memory `channels0 * channels1`, both for each
/// sample.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// An empty batch; unequal batch sizes; unequal channels at the same place; sizes of which the larger is not
/// a multiple of the smaller; tensors of different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::fsp;
///
/// let device = Device::flex();
/// let map = |values: [f32; 2]| Tensor::<4>::from_data([[[values]]], &device);
/// let pixel = |value: f32| Tensor::<4>::from_data([[[[value]]]], &device);
/// // G is 3 * 2 for the student, whose larger map has a maximum of 3, and (1 * 1 + 2 * 2) / 2 for the
/// // teacher.
/// let loss = fsp([map([1.0, 3.0]), pixel(2.0)], [map([1.0, 2.0]), map([1.0, 2.0])])?;
/// assert_eq!(loss.into_scalar::<f32>(), (6.0_f32 - 2.5).powi(2));
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Yim, Joo, Bae, Kim, "A Gift from Knowledge Distillation: Fast Optimization, Network Minimization and
/// Transfer Learning", CVPR 2017, equations (1) and (2), for one pair of layers. Tian et al. (arXiv
/// 1910.10699) pool by averages and take the mean over the entries of the matrices in place of the sum, which
/// their weight of 50 belongs to. The paper trains in two stages, with this loss alone first.
pub fn fsp(student: [Tensor<4>; 2], teacher: [Tensor<4>; 2]) -> Result<Tensor<1>> {
    fsp_pooled(student, teacher, FspPooling::Max)
}

/// The pooling that brings the larger map of a pair to the size of the smaller one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FspPooling {
    /// The largest of each window, as in the paper.
    #[default]
    Max,
    /// The mean of each window, as in much public code.
    Average,
}

/// [`fsp`] with a choice of how the larger map is pooled.
///
/// # Errors
///
/// As [`fsp`].
pub fn fsp_pooled(
    student: [Tensor<4>; 2],
    teacher: [Tensor<4>; 2],
    pooling: FspPooling,
) -> Result<Tensor<1>> {
    let channels = || [(Axis::Batch, 0..1), (Axis::Channels, 1..2)];
    for place in 0..2 {
        let names = [STUDENT[place], TEACHER[place]];
        check::pair(NAME, names, &student[place], &teacher[place], channels())?;
    }
    let batch = [(Axis::Batch, 0..1)];
    check::pair(NAME, STUDENT, &student[0], &student[1], batch)?;
    let student = flow(STUDENT, student, pooling)?;
    let teacher = flow(TEACHER, teacher.map(Tensor::without_autodiff), pooling)?;
    let squares = (student - teacher).square(); // [batch_size, channels0, channels1]
    Ok(squares.sum_dim(2).sum_dim(1).mean())
}

/// `G`, `[batch_size, channels0, channels1]`.
fn flow(names: [&'static str; 2], maps: [Tensor<4>; 2], pooling: FspPooling) -> Result<Tensor<3>> {
    let [first, second] = &maps;
    let (first, second) = (first.dims(), second.dims());
    let size = [2, 3].map(|axis| first[axis].min(second[axis]));
    let divides =
        |shape: [usize; 4]| shape[2].is_multiple_of(size[0]) && shape[3].is_multiple_of(size[1]);
    if !divides(first) || !divides(second) {
        return Err(Error::UnequalShapes {
            loss: NAME,
            axis: Axis::MapSize,
            left: names[0],
            left_shape: first.to_vec(),
            right: names[1],
            right_shape: second.to_vec(),
        });
    }
    let [first, second] = maps.map(|map| flat_channels(pool_to(map, size, pooling)));
    let positions = (size[0] * size[1]) as f64;
    Ok(first.matmul(second.transpose()) * positions.recip())
}

fn pool_to(map: Tensor<4>, [height, width]: [usize; 2], pooling: FspPooling) -> Tensor<4> {
    let [_batch_size, _channels, from_height, from_width] = map.dims();
    let window = [from_height / height, from_width / width];
    if window == [1, 1] {
        return map;
    }
    match pooling {
        FspPooling::Max => max_pool2d(map, MaxPoolOptions::new(window)),
        FspPooling::Average => adaptive_avg_pool2d(map, [height, width]),
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "fsp",
    title: "Flow of solution procedure",
    family: Family::Features,
    about: "difference of the matrices that relate two layers' channels",
    paper: Paper {
        authors: "Yim et al.",
        year: 2017,
        arxiv: "",
        place: "CVPR 2017, equations (1) and (2)",
    },
    inputs: "two maps `[batch, channels, height, width]` of each network, sizes may differ",
    constants: &[],
    defaults: None,
    extra_parameters: "none",
    usual_weight: None,
    cost: "channels0 * channels1 a sample, times the size of the smaller map in time",
    disagreements: "the sum over the entries of a matrix (the paper), or their mean (1910.10699, with a \
        weight of 50), or norms that are not squared (torchdistill); the larger map max-pooled (the paper) \
        or averaged; here the paper",
};
