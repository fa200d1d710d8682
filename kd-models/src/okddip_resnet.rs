//! The ResNets of three groups of bottlenecks in the code of OKDDip.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, Linear};
use burn::tensor::Device;
use kd_core::{Error, Result, Scheme, initialise};
use serde::{Deserialize, Serialize};

use crate::block::{Block, Shortcut};
use crate::chain::Chain;
use crate::layers::{check_blocks, check_input, check_size, check_widths, conv, linear, norm};
use crate::resnet_body::{Body, Pooling, resnet};
use crate::spec::check_classes;

/// The output of a bottleneck has so many times the channels of its group's width.
const EXPANSION: usize = 4;

/// Depth and widths of a ResNet with three groups of bottlenecks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OkddipResNetConfig {
    /// Blocks in each group.
    pub blocks: [usize; 3],
    /// Channels of the stem.
    pub stem: usize,
    /// Widths of the groups; the output of a block has four times as many channels.
    pub widths: [usize; 3],
    /// Channels in the middle of a block, as a multiple of its group's width.
    pub widening: usize,
}

impl OkddipResNetConfig {
    /// Called ResNet-110: 12 bottlenecks in each group; 1,170,868 parameters for 3 channels and 100 classes.
    pub const RESNET110: Self = Self::ordinary(12, 1);
    /// Called WRN-20-8: 2 bottlenecks in each group, 8 times as wide inside; 6,871,220 parameters for 3
    /// channels and 100 classes.
    pub const WRN_20_8: Self = Self::ordinary(2, 8);

    /// A stem of 16 and groups of 16, 32 and 64.
    const fn ordinary(blocks: usize, widening: usize) -> Self {
        Self {
            blocks: [blocks; 3],
            stem: 16,
            widths: [16, 32, 64],
            widening,
        }
    }

    pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_input("a ResNet", input, 1)?;
        check_classes(classes)?;
        check_blocks(&self.blocks)?;
        check_widths(&[self.stem])?;
        check_widths(&self.widths)?;
        if self.widening == 0 {
            return Err(Error::config("widening", "must be 1 or more, got 0"));
        }
        let inner = self.widths.map(|width| width.saturating_mul(self.widening));
        check_widths(&inner)?;
        let sizes = |group: usize| {
            let channels = 2 * inner[group] + EXPANSION * self.widths[group];
            [self.blocks[group], channels]
        };
        check_size([0, 1, 2].map(sizes))
    }

    fn groups(&self, device: &Device) -> [Vec<Block>; 3] {
        [0, 1, 2].map(|index| {
            let before = match index {
                0 => self.stem,
                _ => EXPANSION * self.widths[index - 1],
            };
            let (width, stride) = (self.widths[index], if index == 0 { 1 } else { 2 });
            let block = |channels: usize, stride: usize| {
                let channels = [channels, width * self.widening, EXPANSION * width];
                Block::bottleneck(channels, stride, Shortcut::Downsample, device)
            };
            let rest = (1..self.blocks[index]).map(|_| block(EXPANSION * width, 1));
            std::iter::once(block(before, stride)).chain(rest).collect()
        })
    }
}

/// The ResNet of three groups of bottlenecks in the code of OKDDip (`okddip-resnet110`, `okddip-wrn-20-8`).
///
/// A 3x3 convolution to 16 channels, three groups of bottlenecks with outputs of 64, 128 and 256 channels,
/// the first block of the second and third group halving the size, global average pooling and a linear
/// layer. The 3x3 convolution of a bottleneck has the stride; where shapes differ, and so in the first group
/// as well, the shortcut is a 1x1 convolution and a batch norm.
///
/// Two networks that the papers on online distillation compare are of this kind, and neither is what its name
/// says elsewhere: their ResNet-110 has 12 bottlenecks a group where that of He et al. has 18 pairs of 3x3
/// convolutions (`resnet110`), and their WRN-20-8 is no network of Zagoruyko and Komodakis (`wrn-40-2` is):
/// its blocks are 8 times as wide inside, and their outputs are not.
///
/// * **Stages**: `stem`, `layer1`, `layer2`, `layer3`. Their maps are taken after the ReLU, at 1, 1, 1/2 and
///   1/4 of the input's size.
/// * **Dense**: the pooled vector, 256 features.
/// * **Names** in files: `conv1`, `bn1`, `layerS.I.conv1`, `.bn1`, ..., `layerS.0.downsample.0` and `.1`,
///   `fc`.
/// * **Initial weights**: convolutions normal with variance `2 / fan_out`, the linear layer uniform in
///   `+-1/sqrt(fan_in)`, norms 1 and 0.
///
/// # References
///
/// Chen, Mei, Wang, Feng, Chen, "Online Knowledge Distillation with Diverse Peers", AAAI 2020,
/// arXiv:1912.00350: the networks of its public code.
#[derive(Module, Debug)]
pub struct OkddipResNet {
    conv1: Conv2d,
    bn1: Option<BatchNorm>,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    fc: Linear,
}

impl OkddipResNet {
    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a size is 0 or there are fewer than 2 classes.
    pub fn new(
        config: &OkddipResNetConfig,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let blank = Self::blank(config, input, classes, device)?;
        initialise(&blank, Self::SCHEME, seed)
    }

    pub(crate) fn blank(
        config: &OkddipResNetConfig,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        let [layer1, layer2, layer3] = config.groups(device);
        Ok(Self {
            conv1: conv([input[0], config.stem], 3, 1, device),
            bn1: norm(config.stem, device),
            layer1,
            layer2,
            layer3,
            fc: linear(EXPANSION * config.widths[2], classes, device),
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

resnet!(
    OkddipResNet,
    [layer1, layer2, layer3],
    fc,
    Scheme::KaimingFanOut
);
