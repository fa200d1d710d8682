//! The treatment of maps of unequal size: an error, or the larger is pooled.

use crate::check;
use crate::error::{Axis, Error, Result};
use burn::serde::{Deserialize, Serialize};
use burn::tensor::Tensor;
use burn::tensor::module::adaptive_avg_pool2d;

/// The treatment of maps of different height or width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MapSizes {
    /// They must be equal; anything else is an error.
    MustMatch,
    /// Along each axis the larger map is brought to the smaller by adaptive average pooling.
    PoolLarger,
}

impl MapSizes {
    /// The height and width at which two maps `[batch_size, channels, height, width]` are compared.
    pub(crate) fn common(
        self,
        loss: &'static str,
        student_shape: [usize; 4],
        teacher_shape: [usize; 4],
    ) -> Result<[usize; 2]> {
        let [_, _, student_height, student_width] = student_shape;
        let [_, _, teacher_height, teacher_width] = teacher_shape;
        if self == Self::MustMatch && student_shape[2..] != teacher_shape[2..] {
            return Err(Error::UnequalShapes {
                loss,
                axis: Axis::MapSize,
                left: "student_features",
                left_shape: student_shape.to_vec(),
                right: "teacher_features",
                right_shape: teacher_shape.to_vec(),
            });
        }
        Ok([
            student_height.min(teacher_height),
            student_width.min(teacher_width),
        ])
    }

    /// Two maps of the widths that a module was made for, in one size; the teacher's comes back as a
    /// constant.
    pub(crate) fn pair(
        self,
        loss: &'static str,
        (student, student_channels): (Tensor<4>, usize),
        (teacher, teacher_channels): (Tensor<4>, usize),
    ) -> Result<(Tensor<4>, Tensor<4>)> {
        check::sample_pair(loss, &student, &teacher)?;
        check::width(loss, "student_features", &student, student_channels)?;
        check::width(loss, "teacher_features", &teacher, teacher_channels)?;
        let size = self.common(loss, student.dims(), teacher.dims())?;
        Ok((
            pool_to(student, size),
            pool_to(teacher.without_autodiff(), size),
        ))
    }
}

/// The map in this height and width, `[batch_size, channels, size[0], size[1]]`.
pub(crate) fn pool_to(features: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = features.dims();
    if [height, width] == size {
        return features;
    }
    adaptive_avg_pool2d(features, size)
}
