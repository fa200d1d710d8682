//! The VGG of the code of OKDDip.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, Linear, Relu};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, Error, Result, Scheme, initialise};
use kd_kernels::max_pool2d;
use serde::{Deserialize, Serialize};

use crate::chain::{Chain, staged};
use crate::layers::{
    Counter, MOST_BLOCKS, average, blank_conv, check_input, check_most, check_size, check_widths,
    fold, linear, norm, normed_relu,
};
use crate::spec::check_classes;

/// Widths and depths of the VGG of OKDDip's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OkddipVggConfig {
    /// Output channels of the two convolutions of the stem, and of those of the four groups.
    pub widths: [usize; 5],
    /// Convolutions of each of the four groups.
    pub convolutions: [usize; 4],
    /// Units of each of the two hidden linear layers.
    pub hidden: usize,
}

/// The smallest side that leaves a pixel after five poolings.
const SMALLEST: usize = 32;

impl OkddipVggConfig {
    /// Configuration D of the VGG paper with hidden layers of 512 units; 15,299,748 parameters for 3 channels
    /// and 100 classes.
    pub const VGG16: Self = Self {
        widths: [64, 128, 256, 512, 512],
        convolutions: [2, 3, 3, 3],
        hidden: 512,
    };

    pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_input("OKDDip's VGG", input, SMALLEST)?;
        check_classes(classes)?;
        if self.convolutions.contains(&0) {
            let problem = format!("must be 1 or more, got {:?}", self.convolutions);
            return Err(Error::config("convolutions", problem));
        }
        check_most("convolutions", &self.convolutions, MOST_BLOCKS)?;
        check_widths(&self.widths)?;
        check_widths(&[self.hidden])?;
        let counts = [2].into_iter().chain(self.convolutions);
        check_size(counts.zip(self.widths).map(|(count, width)| [count, width]))
    }
}

/// The VGG of the code of OKDDip (`okddip-vgg16`): batch norm, and three linear layers.
///
/// A stem of two 3x3 convolutions and four groups of two or three, each with a bias, a batch norm and a ReLU,
/// max pooling by 2 behind the stem and behind each group; two linear layers with a ReLU each, and the last
/// one. `vgg16`, the network of the CRD benchmark, has one linear layer and pools less often.
///
/// * **Stages**: `stem`, `layer1` to `layer4`. Their maps are taken after the pooling, at 1/2, 1/4, 1/8, 1/16
///   and 1/32 of the input's size.
/// * **Dense**: the output of the second hidden layer, 512 features; both belong to the head's part of the
///   network. So the head is affine, which losses on classifiers ask for. OKDDip's attention reads the vector
///   before the hidden layers.
/// * **Names** in files: `conv1`, `bn1`, `conv2`, `bn2`, `layerS.0` (convolution), `layerS.1` (norm),
///   `layerS.3`, `layerS.4`, ..., `classifier.0`, `.3`, `.6`.
/// * **Initial weights**: convolutions normal with variance `2 / fan_out`, linear layers normal with standard
///   deviation 0.01, biases 0, norms 1 and 0.
/// * **Deviations**: there is no dropout, as in that code's network alone; its networks of several branches
///   have dropout of 0.5 between the linear layers. Images of more than 32 pixels a side leave a map of more
///   than one pixel, which is averaged; that code takes 32 pixels only.
///
/// # References
///
/// Chen, Mei, Wang, Feng, Chen, "Online Knowledge Distillation with Diverse Peers", AAAI 2020,
/// arXiv:1912.00350: the network of its public code, after Simonyan, Zisserman, ICLR 2015, arXiv:1409.1556.
#[derive(Module, Debug)]
pub struct OkddipVgg {
    conv1: Conv2d,
    bn1: Option<BatchNorm>,
    conv2: Conv2d,
    bn2: Option<BatchNorm>,
    layer1: Vec<Layer>,
    layer2: Vec<Layer>,
    layer3: Vec<Layer>,
    layer4: Vec<Layer>,
    classifier: Classifier,
    pool: MaxPool2d,
}

/// A layer of a group. Activations have no tensors, but take a number in files.
#[derive(Module, Debug)]
enum Layer {
    Conv(Conv2d),
    /// The norm of the convolution before it, empty once folded.
    Norm(Option<BatchNorm>),
    Relu(Relu),
}

/// The three linear layers: `.0`, `.3` and `.6` in files, where activations and dropout take numbers.
type Classifier = (Linear, Relu, Relu, Linear, Relu, Relu, Linear);

impl OkddipVgg {
    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the images are smaller than 32x32, a size is 0, or there are fewer than 2
    /// classes.
    pub fn new(
        config: &OkddipVggConfig,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let blank = Self::blank(config, input, classes, device)?;
        initialise(&blank, Self::SCHEME, seed)
    }

    pub(crate) fn blank(
        config: &OkddipVggConfig,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        let (widths, hidden) = (config.widths, config.hidden);
        let group = |index: usize| {
            let channels = [widths[index], widths[index + 1]];
            group(config.convolutions[index], channels, device)
        };
        let wide_conv = |channels| blank_conv(channels, 3, 1).with_bias(true).init(device);
        let [layer1, layer2, layer3, layer4] = [0, 1, 2, 3].map(group);
        Ok(Self {
            conv1: wide_conv([input[0], widths[0]]),
            bn1: norm(widths[0], device),
            conv2: wide_conv([widths[0], widths[0]]),
            bn2: norm(widths[0], device),
            layer1,
            layer2,
            layer3,
            layer4,
            classifier: (
                linear(widths[4], hidden, device),
                Relu::new(),
                Relu::new(),
                linear(hidden, hidden, device),
                Relu::new(),
                Relu::new(),
                linear(hidden, classes, device),
            ),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
        })
    }

    fn groups(&self) -> [&[Layer]; 4] {
        [&self.layer1, &self.layer2, &self.layer3, &self.layer4]
    }
}

/// Convolutions from `before` to `width` channels and on, each with its norm and its activation.
fn group(convolutions: usize, [before, width]: [usize; 2], device: &Device) -> Vec<Layer> {
    let layers = |index: usize| {
        let channels = if index == 0 { before } else { width };
        let conv = blank_conv([channels, width], 3, 1).with_bias(true);
        [
            Layer::Conv(conv.init(device)),
            Layer::Norm(norm(width, device)),
            Layer::Relu(Relu::new()),
        ]
    };
    (0..convolutions).flat_map(layers).collect()
}

/// The convolutions of a group, each with its norm.
fn convolutions(layers: &[Layer]) -> impl Iterator<Item = (&Conv2d, Option<&BatchNorm>)> {
    layers.windows(2).filter_map(|pair| match pair {
        [Layer::Conv(conv), Layer::Norm(norm)] => Some((conv, norm.as_ref())),
        _ => None,
    })
}

impl Chain for OkddipVgg {
    const SCHEME: Scheme = Scheme::KaimingFanOutSmallLinear;

    fn stages(&self) -> Vec<String> {
        ["stem", "layer1", "layer2", "layer3", "layer4"]
            .map(str::to_owned)
            .to_vec()
    }

    fn paths(&self, stage: usize) -> Vec<String> {
        match stage {
            0 => ["conv1", "bn1", "conv2", "bn2"].map(str::to_owned).to_vec(),
            _ => self.stages().into_iter().skip(stage).take(1).collect(),
        }
    }

    fn run(&self, stage: usize, map: Tensor<4>) -> Tensor<4> {
        let map = if stage == 0 {
            let map = normed_relu(&self.conv1, self.bn1.as_ref(), map);
            normed_relu(&self.conv2, self.bn2.as_ref(), map)
        } else {
            convolutions(self.groups()[stage - 1])
                .fold(map, |map, (conv, norm)| normed_relu(conv, norm, map))
        };
        max_pool2d(&self.pool, map)
    }

    fn dense(&self, map: Tensor<4>) -> Tensor<2> {
        let (first, _, _, second, ..) = &self.classifier;
        relu(second.forward(relu(first.forward(average(map)))))
    }

    fn last(&self) -> &Linear {
        &self.classifier.6
    }

    fn count(&self, costs: &mut Costs, input: [usize; 3]) -> Result<()> {
        check_input("OKDDip's VGG", input, SMALLEST)?;
        let pooled = |[channels, height, width]: [usize; 3]| [channels, height / 2, width / 2];
        let mut at = Counter::new(costs, "stem");
        let map = at.normed(["conv1", "bn1"], &self.conv1, self.bn1.as_ref(), input)?;
        let map = at.normed(["conv2", "bn2"], &self.conv2, self.bn2.as_ref(), map)?;
        let mut map = pooled(map);
        for (stage, layers) in self.stages()[1..].iter().zip(self.groups()) {
            let mut at = Counter::inside(costs, stage, stage);
            for (index, (conv, norm)) in convolutions(layers).enumerate() {
                let names = [3 * index, 3 * index + 1].map(|place| place.to_string());
                map = at.normed([&names[0], &names[1]], conv, norm, map)?;
            }
            map = pooled(map);
        }
        let (first, _, _, second, _, _, last) = &self.classifier;
        for (name, layer) in [("0", first), ("3", second), ("6", last)] {
            costs.linear("head", &format!("classifier.{name}"), layer, 1);
        }
        Ok(())
    }

    fn fold(&mut self) {
        fold(&mut self.conv1, &mut self.bn1);
        fold(&mut self.conv2, &mut self.bn2);
        let groups = [
            &mut self.layer1,
            &mut self.layer2,
            &mut self.layer3,
            &mut self.layer4,
        ];
        for layers in groups {
            for three in layers.chunks_mut(3) {
                if let [Layer::Conv(conv), Layer::Norm(norm), ..] = three {
                    fold(conv, norm);
                }
            }
        }
    }
}

staged!(OkddipVgg);
