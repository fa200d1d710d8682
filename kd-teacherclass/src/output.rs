//! Outputs of students: the chunk of each sample, or of each pixel.

use std::fmt::Debug;

use burn::module::{Module, ModuleDisplay, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, Error, NetworkOutput, Result, Rows, Teacher};

use crate::objective::chunk_mse;
use crate::teacher_head::TeacherHead;

/// An output of students, whose second axis are the units of a chunk: `[batch_size, units]`, a chunk for each
/// sample, or `[batch_size, units, height, width]`, one for each pixel.
///
/// What is done with chunks is done with each pixel as with a sample: [`ChunkOutput::vectors`] has a row for
/// each of them.
pub trait ChunkOutput: NetworkOutput {
    /// The head of a class of such students.
    type Head: ClassHead<Self>;

    /// Chunks side by side: joined along the units.
    #[must_use]
    fn side_by_side(chunks: Vec<Self>) -> Self;

    /// Some neighbouring units.
    #[must_use]
    fn units(self, start: usize, length: usize) -> Self;

    /// Without what is below 0.
    #[must_use]
    fn rectified(self) -> Self;

    /// Times `factors`, one for each unit of each sample, `[batch_size, units]`; all pixels of a sample have
    /// the same.
    #[must_use]
    fn scaled(self, factors: Tensor<2>) -> Self;

    /// The mean squared difference from a constant: [`chunk_mse`].
    ///
    /// # Errors
    ///
    /// As [`chunk_mse`].
    fn mse(self, target: Self) -> Result<Tensor<1>>;

    /// A row for each sample or pixel, `[positions, units]`; pixels row by row, sample by sample.
    fn vectors(self) -> Tensor<2>;

    /// The opposite of [`ChunkOutput::vectors`]; `like` is the shape of a sample, whose first number may be
    /// another.
    fn from_vectors(vectors: Tensor<2>, like: &[usize]) -> Self;

    /// The opposite of [`Rows::into_map`].
    fn from_map(map: Tensor<4>) -> Self;

    /// Why a map of the shape `[units, height, width]` is no dense representation of this kind, if it is
    /// none.
    fn unfit(shape: &[usize]) -> Option<&'static str>;

    /// The head of a teacher whose dense representation has `features` units.
    ///
    /// # Errors
    ///
    /// As [`TeacherHead::of`].
    fn teacher_head(teacher: &dyn Teacher, features: usize, device: &Device)
    -> Result<TeacherHead>;
}

/// The head of a class: one linear layer, for each sample or for each pixel.
pub trait ClassHead<O>: Module + ModuleDisplay + Debug {
    /// A head of any weights.
    fn blank(features: usize, classes: usize, device: &Device) -> Self;

    /// The head of a teacher as a layer.
    fn of(head: &TeacherHead, device: &Device) -> Self;

    /// The logits of the joined chunks.
    fn apply(&self, dense: O) -> O;

    /// The same head for vectors `[positions, features]`.
    fn linear(&self) -> Linear;

    /// Counts it for images of `[channels, height, width]`.
    ///
    /// # Errors
    ///
    /// If it cannot take the maps of such images.
    fn count(&self, costs: &mut Costs, input: [usize; 3]) -> Result<()>;
}

impl ChunkOutput for Tensor<2> {
    type Head = Linear;

    fn side_by_side(chunks: Vec<Self>) -> Self {
        Self::cat(chunks, 1)
    }

    fn units(self, start: usize, length: usize) -> Self {
        self.narrow(1, start, length)
    }

    fn rectified(self) -> Self {
        relu(self)
    }

    fn scaled(self, factors: Tensor<2>) -> Self {
        self * factors
    }

    fn mse(self, target: Self) -> Result<Tensor<1>> {
        chunk_mse(self, target)
    }

    fn vectors(self) -> Tensor<2> {
        self
    }

    fn from_vectors(vectors: Tensor<2>, _like: &[usize]) -> Self {
        vectors
    }

    fn from_map(map: Tensor<4>) -> Self {
        map.into_rows()
    }

    fn unfit(shape: &[usize]) -> Option<&'static str> {
        let problem = "has a map in place of a dense vector; use a classifier";
        (shape[1..] != [1, 1]).then_some(problem)
    }

    fn teacher_head(
        teacher: &dyn Teacher,
        features: usize,
        device: &Device,
    ) -> Result<TeacherHead> {
        TeacherHead::of(teacher, features, device)
    }
}

impl ChunkOutput for Tensor<4> {
    type Head = Conv2d;

    fn side_by_side(chunks: Vec<Self>) -> Self {
        Self::cat(chunks, 1)
    }

    fn units(self, start: usize, length: usize) -> Self {
        self.narrow(1, start, length)
    }

    fn rectified(self) -> Self {
        relu(self)
    }

    fn scaled(self, factors: Tensor<2>) -> Self {
        self * factors.into_map()
    }

    fn mse(self, target: Self) -> Result<Tensor<1>> {
        chunk_mse(self, target)
    }

    fn vectors(self) -> Tensor<2> {
        let [batch_size, units, height, width] = self.dims();
        self.permute([0, 2, 3, 1])
            .reshape([batch_size * height * width, units])
    }

    fn from_vectors(vectors: Tensor<2>, like: &[usize]) -> Self {
        let [positions, units] = vectors.dims();
        let [height, width] = [1, 2].map(|axis| like.get(axis).copied().unwrap_or(1));
        let pixels = (height * width).max(1);
        vectors
            .reshape([positions / pixels, height, width, units])
            .permute([0, 3, 1, 2])
    }

    fn from_map(map: Tensor<4>) -> Self {
        map
    }

    fn unfit(_shape: &[usize]) -> Option<&'static str> {
        None
    }

    fn teacher_head(
        teacher: &dyn Teacher,
        features: usize,
        device: &Device,
    ) -> Result<TeacherHead> {
        TeacherHead::of_pixels(teacher, features, device)
    }
}

impl ClassHead<Tensor<2>> for Linear {
    fn blank(features: usize, classes: usize, device: &Device) -> Self {
        LinearConfig::new(features, classes).init(device)
    }

    fn of(head: &TeacherHead, device: &Device) -> Self {
        let [features, classes] = head.weight.dims();
        let mut layer = LinearConfig::new(features, classes).init(device);
        layer.weight = Param::from_tensor(head.weight.clone());
        layer.bias = Some(Param::from_tensor(head.bias.clone()));
        layer
    }

    fn apply(&self, dense: Tensor<2>) -> Tensor<2> {
        self.forward(dense)
    }

    fn linear(&self) -> Linear {
        self.clone()
    }

    fn count(&self, costs: &mut Costs, _input: [usize; 3]) -> Result<()> {
        costs.linear("head", "head", self, 1);
        Ok(())
    }
}

/// A 1x1 convolution.
impl ClassHead<Tensor<4>> for Conv2d {
    fn blank(features: usize, classes: usize, device: &Device) -> Self {
        Conv2dConfig::new([features, classes], [1, 1]).init(device)
    }

    fn of(head: &TeacherHead, device: &Device) -> Self {
        let [features, classes] = head.weight.dims();
        let mut layer = Self::blank(features, classes, device);
        let weight = head.weight.clone().transpose(); // [num_classes, features]
        layer.weight = Param::from_tensor(weight.reshape([classes, features, 1, 1]));
        layer.bias = Some(Param::from_tensor(head.bias.clone()));
        layer
    }

    fn apply(&self, dense: Tensor<4>) -> Tensor<4> {
        self.forward(dense)
    }

    fn linear(&self) -> Linear {
        let weight = self.weight.val();
        let [classes, features, _, _] = weight.dims();
        let device = weight.device();
        let mut layer = LinearConfig::new(features, classes).init(&device);
        layer.weight = Param::from_tensor(weight.reshape([classes, features]).transpose());
        layer.bias.clone_from(&self.bias);
        layer
    }

    fn count(&self, costs: &mut Costs, [_, height, width]: [usize; 3]) -> Result<()> {
        let [_, features, _, _]: [usize; 4] = self.weight.lazy_shape().dims();
        costs.conv2d("head", "head", self, [features, height, width])?;
        Ok(())
    }
}

/// The error of a dense representation of another kind than that of the students.
pub(crate) fn check_kind<O: ChunkOutput>(shape: &[usize]) -> Result<()> {
    match O::unfit(shape) {
        Some(problem) => Err(Error::config("teacher", problem)),
        None => Ok(()),
    }
}
