//! ResNets with four groups: for large images as in torchvision, and with a stem for small ones as in the CRD
//! benchmark.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::pool::MaxPool2d;
use burn::nn::{BatchNorm, Linear};
use burn::tensor::Device;
use kd_core::{Result, Scheme, initialise};
use serde::{Deserialize, Serialize};

use crate::block::{Block, BlockKind, Shortcut};
use crate::chain::Chain;
use crate::free_blocks::FreeBlocks;
use crate::layers::{
    check_blocks, check_input, check_size, check_widths, conv, halving_pool, linear, norm,
};
use crate::resnet_body::{Body, Pooling, group, resnet};
use crate::spec::check_classes;

/// Depth, widths and kind of blocks of a ResNet with four groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LargeResNetConfig {
    /// The kind of its blocks.
    pub block: BlockKind,
    /// Blocks in each group.
    pub blocks: [usize; 4],
    /// Channels of the stem.
    pub stem: usize,
    /// Width of the blocks of each group; a bottleneck's output has four times as many channels.
    pub widths: [usize; 4],
}

impl LargeResNetConfig {
    /// Basic blocks: 2, 2, 2, 2.
    pub const RESNET18: Self = Self::ordinary(BlockKind::Basic, [2, 2, 2, 2]);
    /// Basic blocks: 3, 4, 6, 3.
    pub const RESNET34: Self = Self::ordinary(BlockKind::Basic, [3, 4, 6, 3]);
    /// Bottlenecks: 3, 4, 6, 3.
    pub const RESNET50: Self = Self::ordinary(BlockKind::Bottleneck, [3, 4, 6, 3]);

    /// The widths of the paper: a stem of 64 and groups of 64, 128, 256 and 512.
    pub const fn ordinary(block: BlockKind, blocks: [usize; 4]) -> Self {
        Self {
            block,
            blocks,
            stem: 64,
            widths: [64, 128, 256, 512],
        }
    }

    /// The same structure block by block.
    pub fn free(&self) -> FreeBlocks {
        let expansion = self.block.expansion();
        let inner = |width: usize| vec![width; if expansion == 1 { 1 } else { 2 }];
        FreeBlocks::of(self.stem, &self.blocks, &self.widths, expansion, inner)
    }

    pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_input("a ResNet", input, 1)?;
        check_classes(classes)?;
        check_blocks(&self.blocks)?;
        check_widths(&[self.stem])?;
        check_widths(&self.widths)?;
        let convolutions = 2 * self.block.expansion();
        check_size(
            [0, 1, 2, 3].map(|group| [convolutions * self.blocks[group], self.widths[group]]),
        )
    }

    pub(crate) fn groups(&self, shortcut: Shortcut, device: &Device) -> [Vec<Block>; 4] {
        [0, 1, 2, 3].map(|index| {
            let before = match index {
                0 => self.stem,
                _ => self.features(index - 1),
            };
            let channels = [before, self.widths[index]];
            let stride = if index == 0 { 1 } else { 2 };
            let blocks = self.blocks[index];
            group(self.block, blocks, channels, stride, shortcut, device)
        })
    }

    /// Output channels of a group.
    fn features(&self, group: usize) -> usize {
        self.widths[group] * self.block.expansion()
    }
}

/// The ResNet for large images (`resnet18`, `resnet34`, `resnet50`), as in torchvision.
///
/// A 7x7 convolution with stride 2 and 3x3 max pooling with stride 2, four groups of blocks with 64, 128, 256
/// and 512 channels, the first block of each group but the first halving the size, global average pooling and
/// a linear layer. The output of a bottleneck has four times its width, and its 3x3 convolution has the
/// stride (in the paper it is the first 1x1). Where shapes differ, the shortcut is a 1x1 convolution and a
/// batch norm.
///
/// * **Stages**: `stem`, `layer1` to `layer4`. Their maps are taken after the ReLU, that of the stem after
///   the pooling, at 1/4, 1/4, 1/8, 1/16 and 1/32 of the input's size.
/// * **Dense**: the pooled vector, 512 features, with bottlenecks 2048.
/// * **Names** in files: `conv1`, `bn1`, `layerS.I.conv1`, `.bn1`, ..., `layerS.0.downsample.0` and `.1`,
///   `fc`.
/// * **Initial weights**: convolutions normal with variance `2 / fan_out`, the linear layer uniform in
///   `+-1/sqrt(fan_in)`, norms 1 and 0.
///
/// # References
///
/// He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385, table 1;
/// names, initialisation and place of the stride are torchvision's.
#[derive(Module, Debug)]
pub struct ImageNetResNet {
    conv1: Conv2d,
    bn1: Option<BatchNorm>,
    pool: MaxPool2d,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    fc: Linear,
}

/// The same ResNet with a stem for small images (`resnet18-cifar`, `resnet34-cifar`, `resnet50-cifar`).
///
/// As [`ImageNetResNet`], except: the stem is a 3x3 convolution with stride 1 and has no pooling.
///
/// * **Stages** and **dense** as there; the maps are at 1, 1, 1/2, 1/4 and 1/8 of the input's size.
/// * **Names** in files: `conv1`, `bn1`, `layerS.I.conv1`, `.bn1`, ..., `layerS.0.shortcut.0` and `.1`,
///   `linear`.
/// * **Initial weights** as there.
///
/// # References
///
/// Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020, arXiv:1910.10699: the
/// `ResNet50` of its CIFAR-100 tables; the names go back to Liu, "Train CIFAR10 with PyTorch", 2017.
#[derive(Module, Debug)]
pub struct CifarStemResNet {
    conv1: Conv2d,
    bn1: Option<BatchNorm>,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    linear: Linear,
}

impl ImageNetResNet {
    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](kd_core::Error::Config) if a size is 0 or there are fewer than 2 classes.
    pub fn new(
        config: &LargeResNetConfig,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let blank = Self::blank(config, input, classes, device)?;
        initialise(&blank, Self::SCHEME, seed)
    }

    pub(crate) fn blank(
        config: &LargeResNetConfig,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        Ok(Self::built(&config.free(), input, classes, device))
    }

    pub(crate) fn of_blocks(
        config: &FreeBlocks,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check_large(input, classes)?;
        Ok(Self::built(config, input, classes, device))
    }

    fn built(config: &FreeBlocks, input: [usize; 3], classes: usize, device: &Device) -> Self {
        let [layer1, layer2, layer3, layer4] = config.groups(Shortcut::Downsample, device);
        Self {
            conv1: conv([input[0], config.stem], 7, 2, device),
            bn1: norm(config.stem, device),
            pool: halving_pool(),
            layer1,
            layer2,
            layer3,
            layer4,
            fc: linear(config.features(), classes, device),
        }
    }

    fn body(&self) -> Body<'_> {
        Body {
            conv1: &self.conv1,
            bn1: self.bn1.as_ref(),
            pooling: Pooling::EndsStem(&self.pool),
            groups: vec![&self.layer1, &self.layer2, &self.layer3, &self.layer4],
            head: vec![("fc", &self.fc)],
        }
    }
}

impl CifarStemResNet {
    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](kd_core::Error::Config) if a size is 0 or there are fewer than 2 classes.
    pub fn new(
        config: &LargeResNetConfig,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let blank = Self::blank(config, input, classes, device)?;
        initialise(&blank, Self::SCHEME, seed)
    }

    pub(crate) fn blank(
        config: &LargeResNetConfig,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        Ok(Self::built(&config.free(), input, classes, device))
    }

    pub(crate) fn of_blocks(
        config: &FreeBlocks,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check_large(input, classes)?;
        Ok(Self::built(config, input, classes, device))
    }

    fn built(config: &FreeBlocks, input: [usize; 3], classes: usize, device: &Device) -> Self {
        let [layer1, layer2, layer3, layer4] = config.groups(Shortcut::Named, device);
        Self {
            conv1: conv([input[0], config.stem], 3, 1, device),
            bn1: norm(config.stem, device),
            layer1,
            layer2,
            layer3,
            layer4,
            linear: linear(config.features(), classes, device),
        }
    }

    fn body(&self) -> Body<'_> {
        Body {
            conv1: &self.conv1,
            bn1: self.bn1.as_ref(),
            pooling: Pooling::None,
            groups: vec![&self.layer1, &self.layer2, &self.layer3, &self.layer4],
            head: vec![("linear", &self.linear)],
        }
    }
}

resnet!(
    ImageNetResNet,
    [layer1, layer2, layer3, layer4],
    fc,
    Scheme::KaimingFanOut
);
resnet!(
    CifarStemResNet,
    [layer1, layer2, layer3, layer4],
    linear,
    Scheme::KaimingFanOut
);
