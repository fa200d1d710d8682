//! What a network must be to be distilled stage by stage.

use burn::tensor::Tensor;
use kd_core::StagedNetwork;

use crate::{Prediction, Rows};

/// A network from images through feature maps to logits, of each image or of each pixel.
///
/// It is implemented for every [`StagedNetwork`] with these types: classifiers, whose dense representation is `[batch_size,
/// features]` and whose output is `[batch_size, num_classes]`, and networks for segmentation, where both have four axes.
pub trait StageNetwork:
    StagedNetwork<Input = Tensor<4>, Map = Tensor<4>, Dense: Rows, Output: Prediction>
{
}

impl<N> StageNetwork for N where
    N: StagedNetwork<Input = Tensor<4>, Map = Tensor<4>, Dense: Rows, Output: Prediction>
{
}
