//! The networks of factor transfer: the paraphraser and the translator.

use crate::adapters::conv_norm::{ConvNorm, norm_parameters, normalise};
use crate::seeded::{Kernel, Layers};
use burn::module::Module;
use burn::nn::BatchNorm;
use burn::nn::conv::ConvTranspose2d;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::Tensor;
use burn::tensor::activation::leaky_relu;

/// Slope of each leaky ReLU for negative values, that of the authors' code.
const SLOPE: f64 = 0.1;

/// The norm behind each convolution of a paraphraser or a translator, before the leaky ReLU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FactorNorm {
    /// Nothing; the convolution has a bias.
    None,
    /// A batch norm; the convolution has no bias, which the batch norm would take away again.
    Batch,
}

/// Three 3x3 convolutions from `channels` to `factor` channels: the first half of the paraphraser, and the
/// translator.
#[derive(Module, Debug)]
pub(crate) struct Encoder {
    blocks: Vec<ConvNorm>,
}

impl Encoder {
    pub(crate) fn new(
        layers: &mut Layers<'_>,
        channels: usize,
        factor: usize,
        norm: FactorNorm,
    ) -> Self {
        let widths = [(channels, channels), (channels, factor), (factor, factor)];
        let blocks = widths.map(|(from, to)| match norm {
            FactorNorm::Batch => ConvNorm::normed(layers, from, to, Kernel::SQUARE),
            FactorNorm::None => ConvNorm::plain(layers, from, to, Kernel::SQUARE.with_bias()),
        });
        let blocks = blocks.into();
        Self { blocks }
    }

    pub(crate) fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let blocks = self.blocks.iter();
        blocks.fold(map, |map, block| leaky_relu(block.forward(map), SLOPE))
    }

    pub(crate) fn extra_parameters(&self) -> usize {
        self.blocks.iter().map(ConvNorm::extra_parameters).sum()
    }
}

/// Three transposed 3x3 convolutions from `factor` to `channels` channels: the second half of the
/// paraphraser.
#[derive(Module, Debug)]
pub(crate) struct Decoder {
    blocks: Vec<TransposedNorm>,
}

/// A transposed convolution that keeps height and width, and a batch norm behind it where there is one.
#[derive(Module, Debug)]
struct TransposedNorm {
    conv: ConvTranspose2d,
    norm: Option<BatchNorm>,
}

impl Decoder {
    pub(crate) fn new(
        layers: &mut Layers<'_>,
        factor: usize,
        channels: usize,
        norm: FactorNorm,
    ) -> Self {
        let normed = norm == FactorNorm::Batch;
        let widths = [(factor, factor), (factor, channels), (channels, channels)];
        let blocks = widths.map(|(from, to)| TransposedNorm {
            conv: layers.conv_transpose(from, to, !normed),
            norm: normed.then(|| layers.batch_norm(to)),
        });
        let blocks = blocks.into();
        Self { blocks }
    }

    pub(crate) fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        self.blocks.iter().fold(map, |map, block| {
            let map = normalise(block.norm.as_ref(), block.conv.forward(map));
            leaky_relu(map, SLOPE)
        })
    }

    pub(crate) fn extra_parameters(&self) -> usize {
        let count =
            |block: &TransposedNorm| block.conv.num_params() + norm_parameters(block.norm.as_ref());
        self.blocks.iter().map(count).sum()
    }
}
