//! ResNets for small images, after He et al. and as in the CRD benchmark.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, BatchNormConfig, Initializer, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, CountCosts, Error, Result, StagedNetwork};

use crate::block::{BasicBlock, Shortcut, conv};
use crate::initialise::{Scheme, initialise};
use crate::known::check_classes;

/// Depth and widths of a ResNet with three groups of basic blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResNetConfig {
    /// Blocks in each of the three groups, `n`; the network is said to have `6n + 2` layers.
    pub blocks: usize,
    /// Channels of the stem and of the three groups.
    pub widths: [usize; 4],
}

/// The CIFAR ResNet of He et al. with shortcuts that have no parameters (option A).
///
/// A 3x3 convolution to 16 channels, three groups of `n` basic blocks with 16, 32 and 64 channels, the first block of the
/// second and third group halving the size, global average pooling and a linear layer: `6n + 2` layers. Where shapes
/// differ, the shortcut takes every second pixel and fills the new channels with zeros, half of them before and half
/// after.
///
/// * **Stages**: `stem`, `layer1`, `layer2`, `layer3`. Their maps are taken after the ReLU, at 1, 1, 1/2 and 1/4 of the
///   input's size.
/// * **Dense**: the pooled vector, 64 features.
/// * **Names** in files: `conv1`, `bn1`, `layerS.I.conv1`, `.bn1`, `.conv2`, `.bn2`, `linear`.
/// * **Initial weights**: convolutions and the linear layer normal with variance `2 / fan_in`, the bias uniform in
///   `+-1/sqrt(fan_in)`, norms 1 and 0.
///
/// # References
///
/// He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385, section 4.2. Names
/// and initialisation are those of Idelbayev, "Proper ResNet Implementation for CIFAR10/CIFAR100 in PyTorch", 2018.
#[derive(Module, Debug)]
pub struct HeResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<BasicBlock>,
    layer2: Vec<BasicBlock>,
    layer3: Vec<BasicBlock>,
    linear: Linear,
}

/// The ResNet of the CRD benchmark (`resnet8x4`, `resnet32x4`): 1x1 convolutions as shortcuts.
///
/// As [`HeResNet`], except: a block whose input and output differ in shape, and so the first block of `layer1` if it is
/// wider than the stem, has a strided 1x1 convolution and a batch norm as its shortcut (option B); `resnet8x4` has 32
/// channels in the stem and 64, 128, 256 in the groups.
///
/// * **Stages** and **dense** as in [`HeResNet`].
/// * **Names** in files: `conv1`, `bn1`, `layerS.I.conv1`, ..., `layerS.0.downsample.0` and `.1`, `fc`.
/// * **Initial weights**: convolutions normal with variance `2 / fan_out`, the linear layer uniform in
///   `+-1/sqrt(fan_in)`, norms 1 and 0.
///
/// # References
///
/// Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020, arXiv:1910.10699: the networks of its
/// CIFAR-100 tables. That code pools 8x8 windows, which for 32x32 images is the global pooling done here.
#[derive(Module, Debug)]
pub struct CrdResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<BasicBlock>,
    layer2: Vec<BasicBlock>,
    layer3: Vec<BasicBlock>,
    fc: Linear,
}

impl HeResNet {
    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a size is 0, widths shrink, or there are fewer than 2 classes.
    pub fn new(
        config: &ResNetConfig,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        initialise(
            &Self::blank(config, input, classes, device)?,
            Scheme::KaimingFanIn,
            seed,
        )
    }

    pub(crate) fn blank(
        config: &ResNetConfig,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        if !config.widths.is_sorted() {
            let problem = format!(
                "must not shrink, as new channels are zeros; got {:?}",
                config.widths
            );
            return Err(Error::config("widths", problem));
        }
        let [layer1, layer2, layer3] = config.groups(Shortcut::ZeroPadded, device);
        Ok(Self {
            conv1: conv([input[0], config.widths[0]], 3, 1, device),
            bn1: BatchNormConfig::new(config.widths[0]).init(device),
            layer1,
            layer2,
            layer3,
            linear: config.last_layer(classes, device),
        })
    }

    fn body(&self) -> Body<'_> {
        Body {
            conv1: &self.conv1,
            bn1: &self.bn1,
            groups: [&self.layer1, &self.layer2, &self.layer3],
            last: ("linear", &self.linear),
        }
    }
}

impl CrdResNet {
    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a size is 0 or there are fewer than 2 classes.
    pub fn new(
        config: &ResNetConfig,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        initialise(
            &Self::blank(config, input, classes, device)?,
            Scheme::KaimingFanOut,
            seed,
        )
    }

    pub(crate) fn blank(
        config: &ResNetConfig,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        let [layer1, layer2, layer3] = config.groups(Shortcut::Projection, device);
        Ok(Self {
            conv1: conv([input[0], config.widths[0]], 3, 1, device),
            bn1: BatchNormConfig::new(config.widths[0]).init(device),
            layer1,
            layer2,
            layer3,
            fc: config.last_layer(classes, device),
        })
    }

    fn body(&self) -> Body<'_> {
        Body {
            conv1: &self.conv1,
            bn1: &self.bn1,
            groups: [&self.layer1, &self.layer2, &self.layer3],
            last: ("fc", &self.fc),
        }
    }
}

/// Any image of at least one pixel can be taken.
pub(crate) fn check_input(input: [usize; 3]) -> Result<()> {
    if input.contains(&0) {
        let problem = format!("must have channels, height and width above 0, got {input:?}");
        return Err(Error::config("input", problem));
    }
    Ok(())
}

impl ResNetConfig {
    fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_input(input)?;
        check_classes(classes)?;
        if self.blocks == 0 {
            return Err(Error::config("blocks", "must be 1 or more, got 0"));
        }
        if self.widths.contains(&0) {
            return Err(Error::config(
                "widths",
                format!("must be above 0, got {:?}", self.widths),
            ));
        }
        Ok(())
    }

    fn groups(&self, shortcut: Shortcut, device: &Device) -> [Vec<BasicBlock>; 3] {
        [0, 1, 2].map(|group| {
            let (before, width) = (self.widths[group], self.widths[group + 1]);
            let stride = if group == 0 { 1 } else { 2 };
            let first = BasicBlock::new([before, width], stride, shortcut, device);
            let rest =
                (1..self.blocks).map(|_| BasicBlock::new([width, width], 1, shortcut, device));
            std::iter::once(first).chain(rest).collect()
        })
    }

    fn last_layer(&self, classes: usize, device: &Device) -> Linear {
        LinearConfig::new(self.widths[3], classes)
            .with_initializer(Initializer::Zeros)
            .init(device)
    }
}

/// What both kinds of ResNet do alike, seen through references.
struct Body<'a> {
    conv1: &'a Conv2d,
    bn1: &'a BatchNorm,
    groups: [&'a [BasicBlock]; 3],
    last: (&'static str, &'a Linear),
}

const STAGES: [&str; 4] = ["stem", "layer1", "layer2", "layer3"];

impl Body<'_> {
    fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
        match stage {
            0 => relu(self.bn1.forward(self.conv1.forward(input.clone()))),
            _ => self.groups[stage - 1]
                .iter()
                .fold(earlier[stage - 1].clone(), |map, block| block.forward(map)),
        }
    }

    fn costs(&self, input: [usize; 3]) -> Result<Costs> {
        check_input(input)?;
        let mut costs = Costs::new();
        let mut map = costs.conv2d(STAGES[0], "conv1", self.conv1, input)?;
        costs.batch_norm(STAGES[0], "bn1", self.bn1, map);
        for (stage, blocks) in STAGES[1..].iter().zip(self.groups) {
            for (index, block) in blocks.iter().enumerate() {
                map = block.count(&mut costs, stage, &format!("{stage}.{index}"), map)?;
            }
        }
        costs.linear("head", self.last.0, self.last.1, 1);
        Ok(costs)
    }
}

/// Global average pooling: `[batch_size, channels, height, width]` to `[batch_size, channels]`.
fn pool(map: &Tensor<4>) -> Tensor<2> {
    let [batch_size, channels, height, width] = map.dims();
    map.clone()
        .reshape([batch_size, channels, height * width])
        .mean_dim(2)
        .reshape([batch_size, channels])
}

fn stage_parameters(stage: usize) -> Vec<String> {
    match stage {
        0 => vec!["conv1".into(), "bn1".into()],
        _ => STAGES
            .iter()
            .skip(stage)
            .take(1)
            .map(ToString::to_string)
            .collect(),
    }
}

macro_rules! staged {
    ($network:ty) => {
        impl StagedNetwork for $network {
            type Input = Tensor<4>;
            type Map = Tensor<4>;
            type Dense = Tensor<2>;
            type Output = Tensor<2>;

            fn stage_names(&self) -> Vec<String> {
                STAGES.map(str::to_owned).to_vec()
            }

            fn forward_stage(
                &self,
                stage: usize,
                input: &Tensor<4>,
                earlier: &[Tensor<4>],
            ) -> Tensor<4> {
                self.body().forward_stage(stage, input, earlier)
            }

            fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
                pool(&maps[STAGES.len() - 1])
            }

            fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
                self.body().last.1.forward(dense)
            }

            fn stage_parameters(&self, stage: usize) -> Vec<String> {
                stage_parameters(stage)
            }
        }

        impl CountCosts for $network {
            fn costs(&self, input: [usize; 3]) -> Result<Costs> {
                self.body().costs(input)
            }
        }
    };
}

staged!(HeResNet);
staged!(CrdResNet);
