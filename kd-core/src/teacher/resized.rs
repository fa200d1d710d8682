//! A teacher that takes images of another size than those of the data.

use burn::tensor::Tensor;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::loader::batch::{Batch, Samples};
use crate::network::preprocessing::Preprocessing;
use crate::network::tensors::{Tensors, hex};
use crate::teacher::answer::{Answer, Requested};
use crate::teacher::contract::Teacher;

/// A teacher that is given each view in a size of its own: a teacher itself.
///
/// The view is made first, as the student sees it, and then scaled: bilinear between the centres of pixels,
/// without antialiasing. So student and teacher see the same part of the image, turned and shifted alike.
#[derive(Debug)]
pub struct ResizedTeacher<T> {
    teacher: T,
    size: [usize; 2],
}

impl<T: Teacher> ResizedTeacher<T> {
    /// `teacher`, which takes images of this height and width.
    pub fn new(teacher: T, size: [usize; 2]) -> Self {
        Self { teacher, size }
    }

    fn resized(&self, batch: &Batch) -> Result<Batch> {
        let images = batch.pixels()?;
        let [_, _, height, width] = images.dims();
        let mut batch = batch.clone();
        if [height, width] != self.size {
            let options = InterpolateOptions::new(InterpolateMode::Bilinear)
                .with_align_corners(false)
                .with_output_size(self.size);
            batch.samples = Samples::Images(interpolate(images, options));
        }
        Ok(batch)
    }
}

impl<T: Teacher> Teacher for ResizedTeacher<T> {
    fn stage_names(&self) -> Vec<String> {
        self.teacher.stage_names()
    }

    fn answer(&self, batch: &Batch, requested: &Requested) -> Result<Answer> {
        self.teacher.answer(&self.resized(batch)?, requested)
    }

    fn hash(&self) -> String {
        let [height, width] = self.size;
        let own = format!("{} at {height}x{width}", self.teacher.hash());
        hex(&Sha256::digest(own.as_bytes()))
    }

    fn preprocessing(&self) -> Option<&Preprocessing> {
        self.teacher.preprocessing()
    }

    fn classify(&self, dense: Tensor<2>) -> Result<Tensor<2>> {
        self.teacher.classify(dense)
    }

    fn classify_pixels(&self, dense: Tensor<4>) -> Result<Tensor<4>> {
        self.teacher.classify_pixels(dense)
    }

    fn parameters(&self) -> Option<u64> {
        self.teacher.parameters()
    }

    fn stage_tensors(&self, stage: usize) -> Option<Tensors> {
        self.teacher.stage_tensors(stage)
    }
}
