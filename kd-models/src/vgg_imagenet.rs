//! VGG with batch norm for large images.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::pool::{AdaptiveAvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, Linear, Relu};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, Error, Result, Scheme, initialise};
use kd_kernels::max_pool2d;
use serde::{Deserialize, Serialize};

use crate::chain::{Chain, staged};
use crate::layers::{
    Counter, MOST_BLOCKS, blank_conv, check_input, check_most, check_size, check_widths, fold,
    linear, norm, normed_relu,
};
use crate::spec::check_classes;

/// Widths and depths of a VGG for large images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LargeVggConfig {
    /// Output channels of the convolutions of the five groups.
    pub widths: [usize; 5],
    /// Convolutions of each group.
    pub convolutions: [usize; 5],
    /// Units of each of the two hidden linear layers.
    pub hidden: usize,
}

/// The smallest side that leaves a pixel after five poolings.
const SMALLEST: usize = 32;

/// The side of the map that the linear layers take.
const SIDE: usize = 7;

impl LargeVggConfig {
    /// Configuration A of the paper; 132,868,840 parameters for 1000 classes.
    pub const VGG11: Self = Self::groups([1, 1, 2, 2, 2]);
    /// Configuration B of the paper; 133,053,736 parameters for 1000 classes.
    pub const VGG13: Self = Self::groups([2, 2, 2, 2, 2]);
    /// Configuration D of the paper; 138,365,992 parameters for 1000 classes.
    pub const VGG16: Self = Self::groups([2, 2, 3, 3, 3]);
    /// Configuration E of the paper; 143,678,248 parameters for 1000 classes.
    pub const VGG19: Self = Self::groups([2, 2, 4, 4, 4]);

    const fn groups(convolutions: [usize; 5]) -> Self {
        Self {
            widths: [64, 128, 256, 512, 512],
            convolutions,
            hidden: 4096,
        }
    }

    pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_input("a VGG for large images", input, SMALLEST)?;
        check_classes(classes)?;
        if self.convolutions.contains(&0) {
            let problem = format!("must be 1 or more, got {:?}", self.convolutions);
            return Err(Error::config("convolutions", problem));
        }
        check_most("convolutions", &self.convolutions, MOST_BLOCKS)?;
        check_widths(&self.widths)?;
        check_widths(&[self.hidden])?;
        let counts = self.convolutions.into_iter().zip(self.widths);
        check_size(counts.map(|(count, width)| [count, width]))
    }
}

/// The VGG of its paper with batch norms (`vgg16-imagenet`), as in torchvision (`vgg16_bn`).
///
/// Five groups of 3x3 convolutions, each with a bias, a batch norm and a ReLU, max pooling by 2 behind each
/// group, average pooling to 7x7, two linear layers with a ReLU each, and the last one. `vgg16` is the
/// network of the CRD benchmark for small images, which has one linear layer.
///
/// * **Stages**: `block0` to `block4`. Their maps are taken after the ReLU and before the pooling, at 1, 1/2,
///   1/4, 1/8 and 1/16 of the input's size.
/// * **Dense**: the output of the second hidden layer, 4096 features; both belong to the head's part of the
///   network, and the head is affine.
/// * **Names** in files: torchvision's, `features.0` (convolution), `features.1` (norm), `features.3`, ...,
///   `classifier.0`, `.3`, `.6`.
/// * **Initial weights**: convolutions normal with variance `2 / fan_out`, linear layers normal with standard
///   deviation 0.01, biases 0, norms 1 and 0.
/// * **Deviations**: there is no dropout between the linear layers; the paper's networks have no batch norm.
///
/// # References
///
/// Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
/// arXiv:1409.1556, table 1.
#[derive(Module, Debug)]
pub struct LargeVgg {
    features: Vec<Layer>,
    classifier: Classifier,
    /// Convolutions of each group.
    convolutions: [usize; 5],
}

/// A layer. Activations and poolings have no tensors, but take a number in files.
#[derive(Module, Debug)]
enum Layer {
    Conv(Conv2d),
    /// The norm of the convolution before it, empty once folded.
    Norm(Option<BatchNorm>),
    Relu(Relu),
    Pool(MaxPool2d),
}

/// The three linear layers: `.0`, `.3` and `.6` in files, where activations and dropout take numbers.
type Classifier = (Linear, Relu, Relu, Linear, Relu, Relu, Linear);

impl LargeVgg {
    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the images are smaller than 32x32, a size is 0, or there are fewer than 2
    /// classes.
    pub fn new(
        config: &LargeVggConfig,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let blank = Self::blank(config, input, classes, device)?;
        initialise(&blank, Self::SCHEME, seed)
    }

    pub(crate) fn blank(
        config: &LargeVggConfig,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        let mut channels = input[0];
        let mut features = Vec::new();
        for (width, count) in config.widths.into_iter().zip(config.convolutions) {
            for _ in 0..count {
                let conv = blank_conv([channels, width], 3, 1).with_bias(true);
                features.push(Layer::Conv(conv.init(device)));
                features.push(Layer::Norm(norm(width, device)));
                features.push(Layer::Relu(Relu::new()));
                channels = width;
            }
            features.push(Layer::Pool(
                MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            ));
        }
        let hidden = config.hidden;
        Ok(Self {
            features,
            classifier: (
                linear(channels * SIDE * SIDE, hidden, device),
                Relu::new(),
                Relu::new(),
                linear(hidden, hidden, device),
                Relu::new(),
                Relu::new(),
                linear(hidden, classes, device),
            ),
            convolutions: config.convolutions,
        })
    }

    /// The places of a group's layers, without those of its pooling.
    fn places(&self, group: usize) -> std::ops::Range<usize> {
        let length = |count: usize| 3 * count + 1;
        let start = self.convolutions[..group]
            .iter()
            .map(|&count| length(count))
            .sum();
        start..start + length(self.convolutions[group]) - 1
    }

    /// The pooling behind a group.
    fn pool(&self, group: usize, map: Tensor<4>) -> Tensor<4> {
        match &self.features[self.places(group).end] {
            Layer::Pool(pool) => max_pool2d(pool, map),
            _ => map,
        }
    }
}

/// The average of as many windows a side as the linear layers take pixels; the map itself where it has so
/// many.
fn to_side(map: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = map.dims();
    if [height, width] == [SIDE, SIDE] {
        return map;
    }
    AdaptiveAvgPool2dConfig::new([SIDE, SIDE])
        .init()
        .forward(map)
}

impl Chain for LargeVgg {
    const SCHEME: Scheme = Scheme::KaimingFanOutSmallLinear;

    fn stages(&self) -> Vec<String> {
        (0..5).map(|group| format!("block{group}")).collect()
    }

    fn paths(&self, stage: usize) -> Vec<String> {
        let places = self.places(stage);
        places.map(|place| format!("features.{place}")).collect()
    }

    fn run(&self, stage: usize, map: Tensor<4>) -> Tensor<4> {
        let map = if stage == 0 {
            map
        } else {
            self.pool(stage - 1, map)
        };
        let layers = self.features[self.places(stage)].chunks(3);
        layers.fold(map, |map, layers| match layers {
            [Layer::Conv(conv), Layer::Norm(norm), ..] => normed_relu(conv, norm.as_ref(), map),
            _ => map,
        })
    }

    fn dense(&self, map: Tensor<4>) -> Tensor<2> {
        let (first, _, _, second, ..) = &self.classifier;
        let map = to_side(self.pool(4, map));
        relu(second.forward(relu(first.forward(map.flatten(1, 3)))))
    }

    fn last(&self) -> &Linear {
        &self.classifier.6
    }

    fn count(&self, costs: &mut Costs, input: [usize; 3]) -> Result<()> {
        check_input("a VGG for large images", input, SMALLEST)?;
        let mut map = input;
        for (group, stage) in self.stages().iter().enumerate() {
            let mut at = Counter::inside(costs, stage, "features");
            for place in self.places(group).step_by(3) {
                if let [Layer::Conv(conv), Layer::Norm(norm), ..] = &self.features[place..] {
                    let names = [place, place + 1].map(|place| place.to_string());
                    map = at.normed([&names[0], &names[1]], conv, norm.as_ref(), map)?;
                }
            }
            map = [map[0], map[1] / 2, map[2] / 2];
        }
        let (first, _, _, second, _, _, last) = &self.classifier;
        for (name, layer) in [("0", first), ("3", second), ("6", last)] {
            costs.linear("head", &format!("classifier.{name}"), layer, 1);
        }
        Ok(())
    }

    fn fold(&mut self) {
        for place in 1..self.features.len() {
            let (before, after) = self.features.split_at_mut(place);
            if let (Some(Layer::Conv(conv)), Some(Layer::Norm(norm))) =
                (before.last_mut(), after.first_mut())
            {
                fold(conv, norm);
            }
        }
    }
}

staged!(LargeVgg);
