//! Networks of known kinds of input, maps and output: those that methods take.

use burn::tensor::Tensor;

use crate::network::output::NetworkOutput;
use crate::network::preprocessing::NetworkInput;
use crate::network::rows::Rows;
use crate::network::staged::StagedNetwork;

/// A network for one of the tasks of kd: a class for each sample, or for each pixel.
///
/// It is implemented for every [`StagedNetwork`] of these types: the input is made from a batch, maps are
/// `[batch_size, channels, height, width]` (a network for text has maps of height 1), the dense
/// representation is a vector or a map.
pub trait TaskNetwork:
    StagedNetwork<Input: NetworkInput, Map = Tensor<4>, Dense: Rows, Output: NetworkOutput>
{
}

impl<N> TaskNetwork for N where
    N: StagedNetwork<Input: NetworkInput, Map = Tensor<4>, Dense: Rows, Output: NetworkOutput>
{
}

/// A network from samples to logits `[batch_size, num_classes]`: implemented for every [`StagedNetwork`] with
/// these types.
pub trait Classifier:
    StagedNetwork<Input: NetworkInput, Map = Tensor<4>, Dense = Tensor<2>, Output = Tensor<2>>
{
}

impl<N> Classifier for N where
    N: StagedNetwork<Input: NetworkInput, Map = Tensor<4>, Dense = Tensor<2>, Output = Tensor<2>>
{
}

/// A [`Classifier`] of images.
pub trait ImageClassifier: Classifier + StagedNetwork<Input = Tensor<4>> {}

impl<N> ImageClassifier for N where N: Classifier + StagedNetwork<Input = Tensor<4>> {}
