//! DenseNet-BC for small images.

use burn::module::{
    Content, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
};
use burn::nn::conv::Conv2d;
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, Error, Result, Scheme, initialise_parts};
use kd_kernels::{batch_norm, conv2d};
use serde::{Deserialize, Serialize};

use crate::chain::{Chain, staged};
use crate::layers::{
    Counter, check_blocks, check_input, check_size, check_widths, conv, fold, linear, norm,
    normed_relu,
};
use crate::spec::check_classes;

/// Depth and growth of a DenseNet-BC with three dense blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenseNetConfig {
    /// Channels of the stem.
    pub stem: usize,
    /// Channels that each layer adds, `k`.
    pub growth: usize,
    /// Channels in the middle of a layer, as a multiple of the growth.
    pub bottleneck: usize,
    /// Layers, of two convolutions each, of the three blocks.
    pub layers: [usize; 3],
}

/// The smallest side that leaves a pixel after two poolings.
const SMALLEST: usize = 4;

impl DenseNetConfig {
    /// DenseNet-BC with 40 layers and growth 12: 6 layers a block; 188,092 parameters for 3 channels and 100
    /// classes.
    pub const DENSENET_40_12: Self = Self {
        stem: 24,
        growth: 12,
        bottleneck: 4,
        layers: [6; 3],
    };

    pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_input("a DenseNet", input, SMALLEST)?;
        check_classes(classes)?;
        check_blocks(&self.layers)?;
        if self.bottleneck == 0 {
            return Err(Error::config("bottleneck", "must be 1 or more, got 0"));
        }
        let middle = self.bottleneck.saturating_mul(self.growth);
        check_widths(&[self.stem, self.growth, middle])?;
        check_widths(&self.channels().concat())?;
        // A layer has a norm of all channels before it.
        let [begin, end] = [0, 1].map(|end| self.channels().map(|channels| channels[end]));
        let sizes = |block: usize| [self.layers[block], begin[block].max(end[block]) + middle];
        check_size([0, 1, 2].map(sizes))
    }

    /// The channels before and after each block; a transition halves them.
    fn channels(&self) -> [[usize; 2]; 3] {
        let mut before = self.stem;
        self.layers.map(|layers| {
            let channels = [before, before + layers * self.growth];
            before = channels[1] / 2;
            channels
        })
    }
}

/// The DenseNet-BC for small images in the code of OKDDip (`okddip-densenet-40-12`).
///
/// A 3x3 convolution to 24 channels without a norm and three dense blocks of layers, each of which adds
/// `growth` channels to all those before it; norm, ReLU, a 1x1 convolution to half the channels and average
/// pooling by 2 between the blocks; norm, ReLU, global average pooling and a linear layer.
///
/// ```text
/// layer(x) = conv2(relu(norm2(conv1(relu(norm1(x))))))     conv1 1x1, conv2 3x3
/// x'       = (x, layer(x))
/// ```
///
/// * **Stages**: `stem`, `block1`, `block2`, `block3`. The transition behind a block belongs to its stage,
///   the last norm and its ReLU to that of the last; the maps are at 1, 1/2, 1/4 and 1/4 of the input's size.
///   That of the stem is of either sign, as are those behind a transition.
/// * **Dense**: the pooled vector, 132 features.
/// * **Names** in files: `features.conv0`, `features.denseblockB.denselayerL.norm1`, `.conv1`, `.norm2`,
///   `.conv2`, `features.transitionB.norm`, `.conv`, `features.norm_final`, `classifier`.
/// * **Initial weights**: convolutions normal with variance `2 / fan_in`, the weights of the linear layer
///   uniform in `+-1/sqrt(fan_in)`, its bias 0, norms 1 and 0.
/// * [`fold_norms`](kd_core::StagedNetwork::fold_norms) folds `norm2` of each layer; the other norms follow
///   no convolution alone.
///
/// With branches that share the stages up to `block2` each branch has a last block of its own. In OKDDip's
/// code all branches hold one object there, so that they differ in the last norm and the linear layer alone.
///
/// # References
///
/// Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks", CVPR 2017,
/// arXiv:1608.06993, as in the public code of Chen, Mei, Wang, Feng, Chen, "Online Knowledge Distillation
/// with Diverse Peers", AAAI 2020, arXiv:1912.00350. That code pools 8x8 windows, which for 32x32 images is
/// the global pooling done here.
#[derive(Module, Debug)]
pub struct DenseNet {
    features: Features,
    classifier: Linear,
    pool: AvgPool2d,
}

/// All but the linear layer.
#[derive(Module, Debug)]
struct Features {
    conv0: Conv2d,
    denseblock1: DenseBlock,
    transition1: Transition,
    denseblock2: DenseBlock,
    transition2: Transition,
    denseblock3: DenseBlock,
    norm_final: BatchNorm,
}

/// Norm, ReLU and the 1x1 convolution between two blocks.
#[derive(Module, Debug)]
struct Transition {
    norm: BatchNorm,
    conv: Conv2d,
}

/// One layer of a block.
#[derive(Module, Debug)]
struct DenseLayer {
    norm1: BatchNorm,
    conv1: Conv2d,
    norm2: Option<BatchNorm>,
    conv2: Conv2d,
}

/// The layers of a block: `denselayer1`, `denselayer2`, ... in files.
#[derive(Clone, Debug)]
struct DenseBlock(Vec<DenseLayer>);

/// The name of a layer in files.
fn layer_name(index: usize) -> String {
    format!("denselayer{}", index + 1)
}

impl DenseNet {
    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the images are smaller than 4x4, a size is 0, or there are fewer than 2 classes.
    pub fn new(
        config: &DenseNetConfig,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        Self::blank(config, input, classes, device)?.drawn(seed)
    }

    /// The same with initial weights.
    pub(crate) fn drawn(&self, seed: u64) -> Result<Self> {
        let scheme = |layer: &str| match layer {
            "classifier" => Scheme::KaimingFanOutZeroBias,
            _ => Self::SCHEME,
        };
        initialise_parts(self, scheme, seed)
    }

    pub(crate) fn blank(
        config: &DenseNetConfig,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        let channels = config.channels();
        let block = |index: usize| DenseBlock::new(config, index, device);
        let transition = |index: usize| Transition {
            norm: BatchNormConfig::new(channels[index][1]).init(device),
            conv: conv([channels[index][1], channels[index + 1][0]], 1, 1, device),
        };
        let last = channels[2][1];
        Ok(Self {
            features: Features {
                conv0: conv([input[0], config.stem], 3, 1, device),
                denseblock1: block(0),
                transition1: transition(0),
                denseblock2: block(1),
                transition2: transition(1),
                denseblock3: block(2),
                norm_final: BatchNormConfig::new(last).init(device),
            },
            classifier: linear(last, classes, device),
            pool: AvgPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
        })
    }
}

impl DenseBlock {
    fn new(config: &DenseNetConfig, index: usize, device: &Device) -> Self {
        let middle = config.bottleneck * config.growth;
        let layer = |layer: usize| {
            let before = config.channels()[index][0] + layer * config.growth;
            DenseLayer {
                norm1: BatchNormConfig::new(before).init(device),
                conv1: conv([before, middle], 1, 1, device),
                norm2: norm(middle, device),
                conv2: conv([middle, config.growth], 3, 1, device),
            }
        };
        Self((0..config.layers[index]).map(layer).collect())
    }

    fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let mut maps = vec![map];
        for layer in &self.0 {
            let map = layer.forward(Tensor::cat(maps.clone(), 1));
            maps.push(map);
        }
        Tensor::cat(maps, 1)
    }

    fn count(&self, at: (&mut Costs, &str, &str), input: [usize; 3]) -> Result<[usize; 3]> {
        let (costs, stage, path) = at;
        let mut map = input;
        for (index, layer) in self.0.iter().enumerate() {
            let path = format!("{path}.{}", layer_name(index));
            let mut at = Counter::inside(costs, stage, path);
            at.norm("norm1", Some(&layer.norm1), map);
            let names = ["conv1", "norm2"];
            let middle = at.normed(names, &layer.conv1, layer.norm2.as_ref(), map)?;
            map[0] += at.conv("conv2", &layer.conv2, middle)?[0];
        }
        Ok(map)
    }
}

impl DenseLayer {
    fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let active = relu(batch_norm(&self.norm1, map));
        let middle = normed_relu(&self.conv1, self.norm2.as_ref(), active);
        conv2d(&self.conv2, middle)
    }
}

impl Transition {
    fn forward(&self, map: Tensor<4>, pool: &AvgPool2d) -> Tensor<4> {
        let active = relu(batch_norm(&self.norm, map));
        pool.forward(conv2d(&self.conv, active))
    }

    fn count(&self, mut at: Counter<'_>, input: [usize; 3]) -> Result<[usize; 3]> {
        at.norm("norm", Some(&self.norm), input);
        let [channels, height, width] = at.conv("conv", &self.conv, input)?;
        Ok([channels, height / 2, width / 2])
    }
}

impl Chain for DenseNet {
    /// Of the convolutions; [`DenseNet::drawn`] has that of the linear layer.
    const SCHEME: Scheme = Scheme::KaimingFanIn;

    fn stages(&self) -> Vec<String> {
        ["stem", "block1", "block2", "block3"]
            .map(str::to_owned)
            .to_vec()
    }

    fn paths(&self, stage: usize) -> Vec<String> {
        let parts = match stage {
            0 => vec!["conv0"],
            1 => vec!["denseblock1", "transition1"],
            2 => vec!["denseblock2", "transition2"],
            3 => vec!["denseblock3", "norm_final"],
            _ => Vec::new(),
        };
        let path = |part: &str| format!("features.{part}");
        parts.into_iter().map(path).collect()
    }

    fn run(&self, stage: usize, map: Tensor<4>) -> Tensor<4> {
        let all = &self.features;
        match stage {
            0 => conv2d(&all.conv0, map),
            1 => (all.transition1).forward(all.denseblock1.forward(map), &self.pool),
            2 => (all.transition2).forward(all.denseblock2.forward(map), &self.pool),
            _ => relu(batch_norm(&all.norm_final, all.denseblock3.forward(map))),
        }
    }

    fn last(&self) -> &Linear {
        &self.classifier
    }

    fn count(&self, costs: &mut Costs, input: [usize; 3]) -> Result<()> {
        check_input("a DenseNet", input, SMALLEST)?;
        let all = &self.features;
        let mut map =
            Counter::inside(costs, "stem", "features").conv("conv0", &all.conv0, input)?;
        for (index, block, transition) in [
            (1, &all.denseblock1, &all.transition1),
            (2, &all.denseblock2, &all.transition2),
        ] {
            let stage = format!("block{index}");
            let path = format!("features.denseblock{index}");
            map = block.count((costs, &stage, &path), map)?;
            let path = format!("features.transition{index}");
            map = transition.count(Counter::inside(costs, &stage, path), map)?;
        }
        let last = (&mut *costs, "block3", "features.denseblock3");
        map = all.denseblock3.count(last, map)?;
        Counter::inside(costs, "block3", "features").norm("norm_final", Some(&all.norm_final), map);
        costs.linear("head", "classifier", &self.classifier, 1);
        Ok(())
    }

    fn fold(&mut self) {
        let all = &mut self.features;
        for block in [
            &mut all.denseblock1,
            &mut all.denseblock2,
            &mut all.denseblock3,
        ] {
            for layer in &mut block.0 {
                fold(&mut layer.conv1, &mut layer.norm2);
            }
        }
    }
}

staged!(DenseNet);

// Written out for the names of its layers, which a derived module takes from fields or places.
impl Module for DenseBlock {
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.0.collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        Self(self.0.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        Self(self.0.to_device(device))
    }

    fn train(self) -> Self {
        Self(self.0.train())
    }

    fn valid(&self) -> Self {
        Self(self.0.valid())
    }

    fn materialize(self) -> Self {
        Self(self.0.materialize())
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        for (index, layer) in self.0.iter().enumerate() {
            let name = layer_name(index);
            visitor.enter_module(&name, "Struct:DenseBlock");
            layer.visit(visitor);
            visitor.exit_module(&name, "Struct:DenseBlock");
        }
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let layers = self.0.into_iter().enumerate().map(|(index, layer)| {
            let name = layer_name(index);
            mapper.enter_module(&name, "Struct:DenseBlock");
            let layer = layer.map(mapper);
            mapper.exit_module(&name, "Struct:DenseBlock");
            layer
        });
        Self(layers.collect())
    }
}

impl ModuleDisplayDefault for DenseBlock {
    fn content(&self, content: Content) -> Option<Content> {
        self.0.content(content)
    }

    fn num_params(&self) -> usize {
        Module::num_params(self)
    }
}

impl ModuleDisplay for DenseBlock {}
