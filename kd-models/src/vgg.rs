//! VGG for small images.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, Linear, Relu};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, Error, Result, Scheme, initialise};
use kd_kernels::{batch_norm, conv2d, max_pool2d};
use serde::{Deserialize, Serialize};

use crate::chain::{Chain, staged};
use crate::layers::{
    Counter, MOST_BLOCKS, blank_conv, check_input, check_size, check_widths, fold, linear, norm,
};
use crate::spec::check_classes;

/// Widths of a VGG: the output channels of each convolution, in five groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VggConfig {
    /// Output channels of the convolutions of each group.
    pub widths: [Vec<usize>; 5],
}

impl VggConfig {
    /// One convolution in each group: 64, 128, 256, 512, 512.
    pub fn vgg8() -> Self {
        Self::groups([1, 1, 1, 1, 1])
    }

    /// Configuration A of the paper.
    pub fn vgg11() -> Self {
        Self::groups([1, 1, 2, 2, 2])
    }

    /// Configuration B of the paper.
    pub fn vgg13() -> Self {
        Self::groups([2, 2, 2, 2, 2])
    }

    /// Configuration D of the paper.
    pub fn vgg16() -> Self {
        Self::groups([2, 2, 3, 3, 3])
    }

    /// Configuration E of the paper.
    pub fn vgg19() -> Self {
        Self::groups([2, 2, 4, 4, 4])
    }

    fn groups(convolutions: [usize; 5]) -> Self {
        let widths = [64, 128, 256, 512, 512];
        let group = |index: usize| vec![widths[index]; convolutions[index]];
        Self {
            widths: [0, 1, 2, 3, 4].map(group),
        }
    }

    pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_input("a VGG", input, SMALLEST)?;
        check_classes(classes)?;
        if self.widths.iter().any(Vec::is_empty) {
            let problem = format!(
                "must have a convolution in each group, got {:?}",
                self.widths
            );
            return Err(Error::config("widths", problem));
        }
        if let Some(group) = self.widths.iter().find(|group| group.len() > MOST_BLOCKS) {
            let problem = format!(
                "must have at most {MOST_BLOCKS} convolutions in each group, got {}",
                group.len()
            );
            return Err(Error::config("widths", problem));
        }
        let widths = self.widths.concat();
        check_widths(&widths)?;
        check_size(widths.into_iter().map(|width| [1, width]))
    }
}

/// The smallest side that leaves a pixel after three poolings.
const SMALLEST: usize = 8;

/// The side from which there is a fourth pooling.
const LARGE: usize = 64;

/// The VGG of the CRD benchmark: batch norm, and one linear layer after global average pooling.
///
/// Five groups of 3x3 convolutions, each with a bias, a batch norm and a ReLU; max pooling by 2 after the
/// first three groups, and after the fourth as well for images of 64 or more pixels a side; global average
/// pooling; a linear layer. The networks of the paper end in three linear layers instead.
///
/// * **Stages**: `block0` to `block4`. Their maps are taken after the ReLU and before the pooling, at 1, 1/2,
///   1/4, 1/8 and 1/8 of the input's size (1/16 for large images).
/// * **Dense**: the pooled vector, 512 features.
/// * **Names** in files: `blockS.0` (convolution), `blockS.1` (norm), `blockS.3`, `blockS.4`, ...,
///   `classifier`.
/// * **Initial weights**: convolutions normal with variance `2 / fan_out`, the linear layer normal with
///   standard deviation 0.01, biases 0, norms 1 and 0.
///
/// # References
///
/// Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
/// arXiv:1409.1556, table 1, as in Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR
/// 2020, arXiv:1910.10699, which has the batch norms and adds `vgg8`. That code pools a fourth time for
/// images of 64 pixels alone.
#[derive(Module, Debug)]
pub struct Vgg {
    block0: Vec<Layer>,
    block1: Vec<Layer>,
    block2: Vec<Layer>,
    block3: Vec<Layer>,
    block4: Vec<Layer>,
    classifier: Linear,
    pool: MaxPool2d,
    /// After how many groups there is a pooling.
    poolings: usize,
}

/// A layer of a group. Activations have no tensors, but take a number in files.
#[derive(Module, Debug)]
enum Layer {
    Conv(Conv2d),
    /// The norm of the convolution before it, empty once folded.
    Norm(Option<BatchNorm>),
    Relu(Relu),
}

impl Vgg {
    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the images are smaller than 8x8, a width is 0, a group is empty, or there are
    /// fewer than 2 classes.
    pub fn new(
        config: &VggConfig,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let blank = Self::blank(config, input, classes, device)?;
        initialise(&blank, Self::SCHEME, seed)
    }

    pub(crate) fn blank(
        config: &VggConfig,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        let mut channels = input[0];
        let mut group = |index: usize| {
            let widths = config.widths[index].iter();
            let mut layers: Vec<Layer> = widths
                .flat_map(|&width| {
                    let conv = blank_conv([channels, width], 3, 1).with_bias(true);
                    channels = width;
                    [
                        Layer::Conv(conv.init(device)),
                        Layer::Norm(norm(width, device)),
                        Layer::Relu(Relu::new()),
                    ]
                })
                .collect();
            // The last activation belongs to no group: its output is the map.
            layers.pop();
            layers
        };
        let [block0, block1, block2, block3, block4] = [0, 1, 2, 3, 4].map(&mut group);
        let large = input[1].min(input[2]) >= LARGE;
        Ok(Self {
            block0,
            block1,
            block2,
            block3,
            block4,
            classifier: linear(channels, classes, device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            poolings: if large { 4 } else { 3 },
        })
    }

    fn groups(&self) -> [&[Layer]; 5] {
        [
            &self.block0,
            &self.block1,
            &self.block2,
            &self.block3,
            &self.block4,
        ]
    }
}

impl Layer {
    fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Conv(conv) => conv2d(conv, map),
            Self::Norm(Some(norm)) => batch_norm(norm, map),
            Self::Norm(None) => map,
            Self::Relu(_) => relu(map),
        }
    }
}

impl Chain for Vgg {
    const SCHEME: Scheme = Scheme::KaimingFanOutSmallLinear;

    fn stages(&self) -> Vec<String> {
        (0..5).map(|group| format!("block{group}")).collect()
    }

    fn paths(&self, stage: usize) -> Vec<String> {
        self.stages().into_iter().skip(stage).take(1).collect()
    }

    fn run(&self, stage: usize, map: Tensor<4>) -> Tensor<4> {
        let map = if (1..=self.poolings).contains(&stage) {
            max_pool2d(&self.pool, map)
        } else {
            map
        };
        let layers = self.groups()[stage].iter();
        relu(layers.fold(map, |map, layer| layer.forward(map)))
    }

    fn last(&self) -> &Linear {
        &self.classifier
    }

    fn count(&self, costs: &mut Costs, input: [usize; 3]) -> Result<()> {
        check_input("a VGG", input, SMALLEST)?;
        let mut map = input;
        for (index, (stage, layers)) in self.stages().iter().zip(self.groups()).enumerate() {
            if (1..=self.poolings).contains(&index) {
                map = [map[0], map[1] / 2, map[2] / 2];
            }
            let mut at = Counter::inside(costs, stage, stage);
            for (index, layer) in layers.iter().enumerate() {
                match layer {
                    Layer::Conv(conv) => map = at.conv(&index.to_string(), conv, map)?,
                    Layer::Norm(norm) => at.norm(&index.to_string(), norm.as_ref(), map),
                    Layer::Relu(_) => {}
                }
            }
        }
        costs.linear("head", "classifier", &self.classifier, 1);
        Ok(())
    }

    fn fold(&mut self) {
        let groups = [
            &mut self.block0,
            &mut self.block1,
            &mut self.block2,
            &mut self.block3,
            &mut self.block4,
        ];
        for layers in groups {
            let mut before = None;
            for layer in layers {
                match layer {
                    Layer::Conv(conv) => before = Some(conv),
                    Layer::Norm(norm) => {
                        if let Some(conv) = before.take() {
                            fold(conv, norm);
                        }
                    }
                    Layer::Relu(_) => {}
                }
            }
        }
    }
}

staged!(Vgg);
