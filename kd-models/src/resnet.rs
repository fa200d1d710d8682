//! ResNets for small images, after He et al. and as in the CRD benchmark.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, Linear};
use burn::tensor::Device;
use kd_core::{Error, Result, Scheme, initialise};
use serde::{Deserialize, Serialize};

use crate::block::{Block, BlockKind, Shortcut};
use crate::chain::Chain;
use crate::layers::{check_blocks, check_input, check_size, check_widths, conv, linear, norm};
use crate::resnet_blocks::ResNetBlocks;
use crate::resnet_body::{Body, Pooling, group, resnet};
use crate::spec::check_classes;

/// Depth and widths of a ResNet with three groups of basic blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNetConfig {
    /// Blocks in each of the three groups, `n`; the network is said to have `6n + 2` layers.
    pub blocks: usize,
    /// Channels of the stem and of the three groups.
    pub widths: [usize; 4],
}

/// The CIFAR ResNet of He et al. with shortcuts that have no parameters (option A).
///
/// A 3x3 convolution to 16 channels, three groups of `n` basic blocks with 16, 32 and 64 channels, the first
/// block of the second and third group halving the size, global average pooling and a linear layer: `6n + 2`
/// layers. Where shapes differ, the shortcut takes every second pixel and fills the new channels with zeros,
/// half of them before and half after.
///
/// * **Stages**: `stem`, `layer1`, `layer2`, `layer3`. Their maps are taken after the ReLU, at 1, 1, 1/2 and
///   1/4 of the input's size.
/// * **Dense**: the pooled vector, 64 features.
/// * **Names** in files: `conv1`, `bn1`, `layerS.I.conv1`, `.bn1`, `.conv2`, `.bn2`, `linear`.
/// * **Initial weights**: convolutions and the linear layer normal with variance `2 / fan_in`, the bias
///   uniform in `+-1/sqrt(fan_in)`, norms 1 and 0.
///
/// # References
///
/// He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385, section
/// 4.2. Names and initialisation are those of Idelbayev, "Proper ResNet Implementation for CIFAR10/CIFAR100
/// in PyTorch", 2018.
#[derive(Module, Debug)]
pub struct HeResNet {
    conv1: Conv2d,
    bn1: Option<BatchNorm>,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    linear: Linear,
}

/// The ResNet of the CRD benchmark (`resnet8x4`, `resnet32x4`): 1x1 convolutions as shortcuts.
///
/// As [`HeResNet`], except: a block whose input and output differ in shape, and so the first block of
/// `layer1` if it is wider than the stem, has a strided 1x1 convolution and a batch norm as its shortcut
/// (option B); `resnet8x4` has 32 channels in the stem and 64, 128, 256 in the groups.
///
/// * **Stages** and **dense** as in [`HeResNet`].
/// * **Names** in files: `conv1`, `bn1`, `layerS.I.conv1`, ..., `layerS.0.downsample.0` and `.1`, `fc`.
/// * **Initial weights**: convolutions normal with variance `2 / fan_out`, the linear layer uniform in
///   `+-1/sqrt(fan_in)`, norms 1 and 0.
///
/// # References
///
/// Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020, arXiv:1910.10699: the
/// networks of its CIFAR-100 tables. That code pools 8x8 windows, which for 32x32 images is the global
/// pooling done here.
#[derive(Module, Debug)]
pub struct CrdResNet {
    conv1: Conv2d,
    bn1: Option<BatchNorm>,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
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
        let blank = Self::blank(config, input, classes, device)?;
        initialise(&blank, Self::SCHEME, seed)
    }

    pub(crate) fn blank(
        config: &ResNetConfig,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check_growing(input, classes)?;
        let [layer1, layer2, layer3] = config.groups(Shortcut::ZeroPadded, device);
        Ok(Self {
            conv1: conv([input[0], config.widths[0]], 3, 1, device),
            bn1: norm(config.widths[0], device),
            layer1,
            layer2,
            layer3,
            linear: linear(config.widths[3], classes, device),
        })
    }

    pub(crate) fn of_blocks(
        config: &ResNetBlocks,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check_padded(input, classes)?;
        let [layer1, layer2, layer3] = config.groups(device);
        Ok(Self {
            conv1: conv([input[0], config.stem], 3, 1, device),
            bn1: norm(config.stem, device),
            layer1,
            layer2,
            layer3,
            linear: linear(config.features(), classes, device),
        })
    }

    /// The same function with its shortcuts, which have no parameters, written as 1x1 convolutions whose
    /// weights are 1 and 0.
    ///
    /// Formats such as ONNX need no operation for them then. Its names are no longer those of PyTorch's
    /// network.
    #[must_use]
    pub fn with_explicit_shortcuts(mut self) -> Self {
        for group in [&mut self.layer1, &mut self.layer2, &mut self.layer3] {
            *group = std::mem::take(group)
                .into_iter()
                .map(Block::with_explicit_shortcut)
                .collect();
        }
        self
    }

    fn body(&self) -> Body<'_> {
        Body {
            conv1: &self.conv1,
            bn1: self.bn1.as_ref(),
            pooling: Pooling::None,
            groups: vec![&self.layer1, &self.layer2, &self.layer3],
            head: vec![("linear", &self.linear)],
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
        let blank = Self::blank(config, input, classes, device)?;
        initialise(&blank, Self::SCHEME, seed)
    }

    pub(crate) fn blank(
        config: &ResNetConfig,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        let [layer1, layer2, layer3] = config.groups(Shortcut::Downsample, device);
        Ok(Self {
            conv1: conv([input[0], config.widths[0]], 3, 1, device),
            bn1: norm(config.widths[0], device),
            layer1,
            layer2,
            layer3,
            fc: linear(config.widths[3], classes, device),
        })
    }

    pub(crate) fn of_blocks(
        config: &ResNetBlocks,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check_projected(input, classes)?;
        let [layer1, layer2, layer3] = config.groups(device);
        Ok(Self {
            conv1: conv([input[0], config.stem], 3, 1, device),
            bn1: norm(config.stem, device),
            layer1,
            layer2,
            layer3,
            fc: linear(config.features(), classes, device),
        })
    }

    fn body(&self) -> Body<'_> {
        Body {
            conv1: &self.conv1,
            bn1: self.bn1.as_ref(),
            pooling: Pooling::None,
            groups: vec![&self.layer1, &self.layer2, &self.layer3],
            head: vec![("fc", &self.fc)],
        }
    }
}

impl ResNetConfig {
    pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_input("a ResNet", input, 1)?;
        check_classes(classes)?;
        check_blocks(&[self.blocks])?;
        check_widths(&self.widths)?;
        check_size(self.widths.map(|width| [2 * self.blocks, width]))
    }

    /// As `check`, for shortcuts that have no parameters.
    pub(crate) fn check_growing(&self, input: [usize; 3], classes: usize) -> Result<()> {
        self.check(input, classes)?;
        if self.widths.is_sorted() {
            return Ok(());
        }
        let problem = format!(
            "must not shrink, as new channels are zeros; got {:?}",
            self.widths
        );
        Err(Error::config("widths", problem))
    }

    fn groups(&self, shortcut: Shortcut, device: &Device) -> [Vec<Block>; 3] {
        [0, 1, 2].map(|index| {
            let channels = [self.widths[index], self.widths[index + 1]];
            let stride = if index == 0 { 1 } else { 2 };
            let kind = BlockKind::Basic;
            group(kind, self.blocks, channels, stride, shortcut, device)
        })
    }
}

resnet!(
    HeResNet,
    [layer1, layer2, layer3],
    linear,
    Scheme::KaimingFanIn
);
resnet!(
    CrdResNet,
    [layer1, layer2, layer3],
    fc,
    Scheme::KaimingFanOut
);
