//! The teacher's dense representation and its affine head, found by asking the teacher.

use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{Batch, DENSE_TAP, Draws, Error, Requested, Result, Rows, Teacher};

use crate::output::{ChunkOutput, check_kind};

/// Vectors on which the head is compared with its matrix; of pixels, images.
const PROBES: usize = 4;
/// Height and width of those images.
const PROBE_SIZE: [usize; 2] = [6, 8];
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
        let head = Self::of_answers(teacher.classify(rows)?, features);
        let dense = probes(features, PROBES, device);
        let found = teacher.classify(dense.clone())?;
        if head.gives(dense, found) {
            return Ok(head);
        }
        let problem = "has a head that is no single linear layer, which a class cannot take over; use a \
                       teacher whose head is linear";
        Err(Error::config("teacher", problem))
    }

    /// The head of a teacher that outputs a class for each pixel, whose dense representation has `features`
    /// channels: the same for images of one pixel.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the teacher does not lend its head, or the head is not an affine function of the
    /// channels of a pixel alone, as a convolution larger than 1x1 is not.
    pub fn of_pixels(teacher: &dyn Teacher, features: usize, device: &Device) -> Result<Self> {
        let eye = Tensor::<2>::eye(features, device);
        let rows = Tensor::cat(vec![eye, Tensor::zeros([1, features], device)], 0);
        let answers = teacher.classify_pixels(rows.into_map())?;
        let refused = || {
            let problem = "has a head that is no 1x1 convolution on maps of the size of the images: the \
                           logits of a pixel must be an affine function of that pixel's channels alone, for \
                           a class to take it over; use a teacher with such a head, as a U-Net of family \
                           `skd-unet` with `head = 1`";
            Error::config("teacher", problem)
        };
        if answers.dims()[2..] != [1, 1] {
            return Err(refused());
        }
        let head = Self::of_answers(answers.into_rows(), features);
        let [height, width] = PROBE_SIZE;
        let vectors = probes(features, PROBES * height * width, device);
        let maps = Tensor::<4>::from_vectors(vectors.clone(), &[features, height, width]);
        let found = teacher.classify_pixels(maps)?;
        if found.dims()[2..] == PROBE_SIZE && head.gives(vectors, found.vectors()) {
            return Ok(head);
        }
        Err(refused())
    }

    /// The head by its logits for the unit vectors, and for zeros in the last row.
    fn of_answers(logits: Tensor<2>, features: usize) -> Self {
        let bias = logits.clone().narrow(0, features, 1); // [1, num_classes]
        Self {
            weight: logits.narrow(0, 0, features) - bias.clone(),
            bias: bias.flatten(0, 1),
        }
    }

    /// Whether the matrix gives the logits `found` for these vectors.
    fn gives(&self, dense: Tensor<2>, found: Tensor<2>) -> bool {
        let expected = dense.matmul(self.weight.clone()) + self.bias.clone().unsqueeze();
        let size = found.clone().abs().max().into_scalar::<f32>();
        let off = (found - expected).abs().max().into_scalar::<f32>();
        off <= TOLERANCE * size.max(f32::MIN_POSITIVE)
    }
}

/// Any vectors, `[count, features]`, always the same.
fn probes(features: usize, count: usize, device: &Device) -> Tensor<2> {
    let mut draws = Draws::new(0, "affine head of a teacher", features as u64, 0);
    #[expect(clippy::cast_possible_truncation, reason = "any numbers will do")]
    let numbers: Vec<f32> = (0..count * features)
        .map(|_| (3.0 * draws.normal()) as f32)
        .collect();
    Tensor::from_data(TensorData::new(numbers, [count, features]), device)
}

/// The dense representation of a teacher for a batch, `[batch_size, features]`, or `[batch_size, features,
/// height, width]`, on the plain device.
pub(crate) fn dense<O: ChunkOutput>(teacher: &dyn Teacher, batch: &Batch) -> Result<O> {
    let missing = || Error::config("teacher", "has given no dense vector; use a classifier");
    let maps = teacher
        .answer(batch, &Requested::at_taps([DENSE_TAP]))?
        .maps;
    let map = maps.into_iter().next().ok_or_else(missing)?;
    check_kind::<O>(&map.dims()[1..])?;
    Ok(O::from_map(map))
}
