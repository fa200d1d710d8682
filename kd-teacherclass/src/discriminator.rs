//! The discriminator of a chunk: a trunk with one output that tells the teacher's chunks from a student's,
//! and one that names the teacher's chunk.

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::{leaky_relu, relu};
use burn::tensor::{Device, Tensor};
use kd_core::{Result, Scheme, initialise};
use serde::{Deserialize, Serialize};

/// The slope of a leaky ReLU for negative numbers, as in the official code.
const SLOPE: f64 = 0.2;
/// Added to the variance by the batch norms: Keras' default, with which the official code runs.
const EPSILON: f64 = 1e-3;
/// The share of a batch in the running statistics: Keras' default, which is 0.99 for the share that stays.
const MOMENTUM: f64 = 0.01;

/// The trunks of the official code, by data set and number of students.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Trunk {
    /// MNIST: 64, 128, 256, 512, 1024 units.
    #[default]
    Mnist,
    /// Fashion-MNIST: the same, the first layer without a bias.
    FashionMnist,
    /// Fashion-MNIST with 4 students: without the last block.
    FashionMnistShort,
    /// CIFAR-10 with 1 or 2 students: 128, 128, 128, 256, 256, 512, 512, 1024 units.
    Cifar10,
    /// CIFAR-10 with 4 or 8 students: 128, 128, 128, 256, 256 units.
    Cifar10Short,
}

/// A layer of a trunk: linear, then a ReLU, a batch norm and a leaky ReLU, each where it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a layer that is there or is not"
)]
pub struct TrunkLayer {
    /// Its units.
    pub width: usize,
    /// Whether the linear layer has a bias.
    pub bias: bool,
    /// Whether a ReLU follows it.
    pub relu: bool,
    /// Whether a batch norm follows that.
    pub norm: bool,
    /// Whether a leaky ReLU of slope 0.2 follows that.
    pub leaky: bool,
}

impl TrunkLayer {
    fn leaky(width: usize) -> Self {
        Self {
            width,
            bias: true,
            relu: false,
            norm: false,
            leaky: true,
        }
    }

    fn norm_leaky(width: usize) -> Self {
        Self {
            norm: true,
            ..Self::leaky(width)
        }
    }

    fn relu_norm(width: usize) -> Self {
        Self {
            relu: true,
            leaky: false,
            ..Self::norm_leaky(width)
        }
    }
}

impl Trunk {
    /// Its layers, first to last.
    pub fn layers(self) -> Vec<TrunkLayer> {
        let grey = |bias| {
            let first = TrunkLayer {
                bias,
                ..TrunkLayer::leaky(64)
            };
            let rest = [128, 256, 512, 1024].map(TrunkLayer::norm_leaky);
            [vec![first], rest.to_vec()].concat()
        };
        let short = || {
            let rest = [128, 128, 256, 256].map(TrunkLayer::relu_norm);
            [vec![TrunkLayer::leaky(128)], rest.to_vec()].concat()
        };
        match self {
            Self::Mnist => grey(true),
            Self::FashionMnist => grey(false),
            Self::FashionMnistShort => grey(false).into_iter().take(4).collect(),
            Self::Cifar10Short => short(),
            Self::Cifar10 => {
                let mut layers = short();
                layers[4].leaky = true;
                let plain = |width| TrunkLayer {
                    leaky: false,
                    ..TrunkLayer::norm_leaky(width)
                };
                let full = |width| TrunkLayer {
                    relu: true,
                    ..TrunkLayer::norm_leaky(width)
                };
                layers.extend([plain(512), full(512), plain(1024)]);
                layers
            }
        }
    }
}

#[derive(Module, Debug)]
struct Block {
    linear: Linear,
    norm: Option<BatchNorm>,
    relu: bool,
    leaky: bool,
}

impl Block {
    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let mut hidden = self.linear.forward(input);
        if self.relu {
            hidden = relu(hidden);
        }
        if let Some(norm) = &self.norm {
            hidden = norm.forward(hidden);
        }
        if self.leaky {
            hidden = leaky_relu(hidden, SLOPE);
        }
        hidden
    }
}

/// The discriminator of one chunk, thrown away after training.
///
/// ```text
/// chunk -> trunk -> 1 unit: whether it is the teacher's      (a logit; the official code has a sigmoid on
/// it)
///                -> m units: the teacher's chunk             (linear)
/// ```
#[derive(Module, Debug)]
pub struct Discriminator {
    trunk: Vec<Block>,
    adversarial: Linear,
    reconstruction: Linear,
}

/// The output of a discriminator.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// Whether the chunk is the teacher's, before the sigmoid, `[batch_size, 1]`.
    pub adversarial: Tensor<2>,
    /// The teacher's chunk as it is guessed, `[batch_size, chunk_length]`.
    pub reconstruction: Tensor<2>,
}

impl Discriminator {
    /// A discriminator of chunks of `length` units with these layers, drawn from `seed` as Keras draws:
    /// uniform with variance `2 / (fan_in + fan_out)`, biases of zero.
    ///
    /// # Errors
    ///
    /// As [`kd_core::initialise`].
    pub fn new(length: usize, layers: &[TrunkLayer], seed: u64, device: &Device) -> Result<Self> {
        let mut inputs = length;
        let block = |layer: &TrunkLayer| {
            let linear = LinearConfig::new(inputs, layer.width).with_bias(layer.bias);
            inputs = layer.width;
            let norm = BatchNormConfig::new(layer.width)
                .with_epsilon(EPSILON)
                .with_momentum(MOMENTUM);
            Block {
                linear: linear.init(device),
                norm: layer.norm.then(|| norm.init(device)),
                relu: layer.relu,
                leaky: layer.leaky,
            }
        };
        let trunk = layers.iter().map(block).collect();
        let blank = Self {
            trunk,
            adversarial: LinearConfig::new(inputs, 1).init(device),
            reconstruction: LinearConfig::new(inputs, length).init(device),
        };
        initialise(&blank, Scheme::XavierUniformZeroBias, seed)
    }

    /// Judges chunks, `[batch_size, chunk_length]`.
    pub fn forward(&self, chunk: Tensor<2>) -> Judgement {
        let blocks = self.trunk.iter();
        let hidden = blocks.fold(chunk, |hidden, block| block.forward(hidden));
        Judgement {
            adversarial: self.adversarial.forward(hidden.clone()),
            reconstruction: self.reconstruction.forward(hidden),
        }
    }
}

#[cfg(test)]
mod tests {
    use kd_core::{Names, tensor_shapes};

    use super::*;

    /// All numbers, running statistics as well, as Keras counts.
    fn count(trunk: Trunk, length: usize) -> usize {
        let device = Device::flex();
        let found = Discriminator::new(length, &trunk.layers(), 0, &device).unwrap();
        let shapes = tensor_shapes(&found, Names::Burn);
        shapes
            .values()
            .map(|shape| shape.iter().product::<usize>())
            .sum()
    }

    #[test]
    fn discriminators_are_as_large_as_those_of_the_official_code() {
        assert_eq!(count(Trunk::Mnist, 256), 985_793);
        assert_eq!(count(Trunk::Mnist, 64), 776_705);
        assert_eq!(count(Trunk::Mnist, 64) - count(Trunk::FashionMnist, 64), 64);
        // Without 512 -> 1024 and its norm, the outputs read 512 units.
        let block = 512 * 1024 + 1024 + 4 * 1024;
        let outputs = (1024 - 512) * 65;
        let short = count(Trunk::FashionMnist, 64) - block - outputs;
        assert_eq!(count(Trunk::FashionMnistShort, 64), short);
        let widths = |trunk: Trunk| trunk.layers().iter().map(|l| l.width).collect::<Vec<_>>();
        assert_eq!(
            widths(Trunk::Cifar10),
            [128, 128, 128, 256, 256, 512, 512, 1024]
        );
        assert_eq!(widths(Trunk::Cifar10Short), [128, 128, 128, 256, 256]);
    }
}
