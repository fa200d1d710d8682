//! The teacher's dense vector and its affine head, found by asking the teacher.

use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{Batch, DENSE_TAP, Draws, Error, Requested, Result, Rows, Teacher};

/// Vectors on which the head is compared with its matrix.
const PROBES: usize = 4;
/// Difference, as a share of the largest logit, up to which a head counts as affine.
const TOLERANCE: f32 = 1e-4;

/// The head of a teacher as a matrix and a vector: `logits = dense * weight + bias`.
#[derive(Clone, Debug)]
pub struct TeacherHead {
    /// `[features, num_classes]`.
    pub weight: Tensor<2>,
    /// `[num_classes]`.
    pub bias: Tensor<1>,
}

impl TeacherHead {
    /// The head of `teacher`, whose dense vector has `features` numbers.
    ///
    /// ```text
    /// bias = head(0)      weight = head(I) - bias
    /// ```
    ///
    /// So a batch norm between dense vector and last layer becomes part of the matrix.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the teacher does not lend its head, or the head is not affine.
    pub fn of(teacher: &dyn Teacher, features: usize, device: &Device) -> Result<Self> {
        let eye = Tensor::<2>::eye(features, device);
        let rows = Tensor::cat(vec![eye, Tensor::zeros([1, features], device)], 0);
        let logits = teacher.classify(rows)?;
        let bias = logits.clone().narrow(0, features, 1); // [1, num_classes]
        let head = Self {
            weight: logits.narrow(0, 0, features) - bias.clone(),
            bias: bias.flatten(0, 1),
        };
        head.check(teacher, features, device)?;
        Ok(head)
    }

    /// Compares matrix and head on a few vectors.
    fn check(&self, teacher: &dyn Teacher, features: usize, device: &Device) -> Result<()> {
        let mut draws = Draws::new(0, "affine head of a teacher", features as u64, 0);
        #[expect(clippy::cast_possible_truncation, reason = "any numbers will do")]
        let numbers: Vec<f32> = (0..PROBES * features)
            .map(|_| (3.0 * draws.normal()) as f32)
            .collect();
        let dense = Tensor::<2>::from_data(TensorData::new(numbers, [PROBES, features]), device);
        let found = teacher.classify(dense.clone())?;
        let expected = dense.matmul(self.weight.clone()) + self.bias.clone().unsqueeze();
        let size = found.clone().abs().max().into_scalar::<f32>();
        let off = (found - expected).abs().max().into_scalar::<f32>();
        if off <= TOLERANCE * size.max(f32::MIN_POSITIVE) {
            return Ok(());
        }
        let problem = "has a head that is no single linear layer, which a class cannot take over; use a \
                       teacher whose head is linear";
        Err(Error::config("teacher", problem))
    }
}

/// The dense vectors of a teacher for a batch, `[batch_size, features]`, on the plain device.
pub(crate) fn dense(teacher: &dyn Teacher, batch: &Batch) -> Result<Tensor<2>> {
    let missing = || Error::config("teacher", "has given no dense vector; use a classifier");
    let maps = teacher
        .answer(batch, &Requested::at_taps([DENSE_TAP]))?
        .maps;
    let map = maps.into_iter().next().ok_or_else(missing)?;
    if map.dims()[2..] != [1, 1] {
        let problem = "has a map in place of a dense vector; use a classifier";
        return Err(Error::config("teacher", problem));
    }
    Ok(map.into_rows())
}
