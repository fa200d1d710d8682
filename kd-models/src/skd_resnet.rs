//! The ResNets of Stagewise KD: equal widths at every depth, and a head of two linear layers.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::pool::MaxPool2d;
use burn::nn::{BatchNorm, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, Error, Result, Scheme, initialise};
use serde::{Deserialize, Serialize};

use crate::block::{Block, BlockKind, Shortcut};
use crate::chain::{Chain, staged, stem_and_fields};
use crate::layers::{conv, fold, halving_pool, linear, maximum_and_average, norm};
use crate::resnet_body::{Body, Pooling};
use crate::resnet_large::LargeResNetConfig;

/// The stem of a ResNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StemKind {
    /// A 7x7 convolution with stride 2, and 3x3 maximum pooling with stride 2 behind it.
    Large,
    /// A 3x3 convolution with stride 1 and no pooling, for small images.
    Small,
}

/// Depth, widths and stem of a ResNet of Stagewise KD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkdResNetConfig {
    /// Basic blocks in each group.
    pub blocks: [usize; 4],
    /// Channels of each group; the stem has as many as the first.
    pub widths: [usize; 4],
    /// The stem.
    pub stem: StemKind,
}

impl SkdResNetConfig {
    /// Blocks 1, 1, 1, 1: the smallest student of the paper.
    pub const RESNET10: Self = Self::ordinary([1, 1, 1, 1]);
    /// Blocks 1, 1, 2, 2.
    pub const RESNET14: Self = Self::ordinary([1, 1, 2, 2]);
    /// Blocks 2, 2, 2, 2.
    pub const RESNET18: Self = Self::ordinary([2, 2, 2, 2]);
    /// Blocks 2, 2, 3, 2; not He's ResNet-20 for CIFAR, which has three groups.
    pub const RESNET20: Self = Self::ordinary([2, 2, 3, 2]);
    /// Blocks 3, 3, 3, 3.
    pub const RESNET26: Self = Self::ordinary([3, 3, 3, 3]);
    /// Blocks 3, 4, 6, 3: the teacher of the paper.
    pub const RESNET34: Self = Self::ordinary([3, 4, 6, 3]);

    /// The paper's widths 64, 128, 256 and 512, and its stem.
    pub const fn ordinary(blocks: [usize; 4]) -> Self {
        Self {
            blocks,
            widths: [64, 128, 256, 512],
            stem: StemKind::Large,
        }
    }

    /// The same with a quarter of the paper's widths: 16, 32, 64 and 128.
    ///
    /// This family is not the paper's: it is for runs that take minutes on a CPU.
    #[must_use]
    pub const fn small(self) -> Self {
        Self {
            widths: [16, 32, 64, 128],
            ..self
        }
    }

    /// The same with another stem.
    #[must_use]
    pub const fn with_stem(self, stem: StemKind) -> Self {
        Self { stem, ..self }
    }

    pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        self.body().check(input, classes)?;
        if self.widths[3] < 2 {
            let problem = format!(
                "must end with 2 or more, as the head's hidden layer has half as many features, got {:?}",
                self.widths
            );
            return Err(Error::config("widths", problem));
        }
        Ok(())
    }

    /// The groups, blank.
    pub(crate) fn groups(&self, device: &Device) -> [Vec<Block>; 4] {
        self.body().groups(Shortcut::Downsample, device)
    }

    /// The convolution of the stem, blank.
    pub(crate) fn conv1(&self, channels: usize, device: &Device) -> Conv2d {
        let (kernel, stride) = match self.stem {
            StemKind::Large => (7, 2),
            StemKind::Small => (3, 1),
        };
        conv([channels, self.widths[0]], kernel, stride, device)
    }

    fn body(&self) -> LargeResNetConfig {
        LargeResNetConfig {
            block: BlockKind::Basic,
            blocks: self.blocks,
            stem: self.widths[0],
            widths: self.widths,
        }
    }
}

/// A ResNet of Stagewise KD (`skd-resnet10` to `skd-resnet34`, `skd-small-resnet10` to `skd-small-resnet34`).
///
/// The body is torchvision's ResNet of basic blocks: a 7x7 convolution with stride 2, 3x3 maximum pooling
/// with stride 2, four groups of 64, 128, 256 and 512 channels, the first block of each group but the first
/// halving the size. Students and teacher differ in the number of blocks alone, so that the maps of equal
/// stages have equal shapes:
///
/// | network | blocks | stage | map at 224x224 | at 32x32 |
/// | --- | --- | --- | --- | --- |
/// | `resnet10` | 1, 1, 1, 1 | `stem` | 64x112x112 | 64x16x16 |
/// | `resnet14` | 1, 1, 2, 2 | `layer1` | 64x56x56 | 64x8x8 |
/// | `resnet18` | 2, 2, 2, 2 | `layer2` | 128x28x28 | 128x4x4 |
/// | `resnet20` | 2, 2, 3, 2 | `layer3` | 256x14x14 | 256x2x2 |
/// | `resnet26` | 3, 3, 3, 3 | `layer4` | 512x7x7 | 512x1x1 |
/// | `resnet34` | 3, 4, 6, 3 | | | |
///
/// * **Stages**: `stem`, `layer1` to `layer4`. Their maps are taken after the ReLU, that of the stem **before
///   the pooling**, which has no parameters and belongs to the beginning of `layer1`. In
///   [`ImageNetResNet`](crate::ImageNetResNet) it belongs to the stem.
/// * **Dense**: the maximum of each channel and then its average, 1024 features.
/// * **Head**: a linear layer to 256 features, ReLU, a linear layer to the classes; in general
///   `2 C -> C / 2 -> classes` for `C` channels of the last group.
/// * **Names** in files: `conv1`, `bn1`, `layerS.I.conv1`, `.bn1`, ..., `layerS.0.downsample.0` and `.1`,
///   `fc`, `fc2`.
/// * **Initial weights**: convolutions normal with variance `2 / fan_out`, linear layers uniform in
///   `+-1/sqrt(fan_in)` as PyTorch has them, norms 1 and 0.
///
/// Where this is not the paper's: the paper's teacher has a head of its own, with batch norms, dropout and
/// 512 features between; here it has the students' head, as Stagewise KD compares nothing but the maps. The
/// networks called `small`, with widths 16, 32, 64 and 128 and a head `256 -> 64 -> classes` by the same
/// rule, are ours, and so are the stems of the networks called `-cifar`, a 3x3 convolution with stride 1 and
/// no pooling: the paper has the large stem for images of 32x32 pixels, too.
///
/// # References
///
/// Kulkarni, Panchi, Raparthy, Chiddarwar, "Data Efficient Stagewise Knowledge Distillation", 2020,
/// arXiv:1911.06786; names, head, initialisation and the places of the maps are those of its public code,
/// <https://github.com/IvLabs/stagewise-knowledge-distillation>.
#[derive(Module, Debug)]
pub struct SkdResNet {
    conv1: Conv2d,
    bn1: Option<BatchNorm>,
    pool: Option<MaxPool2d>,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    fc: Linear,
    fc2: Linear,
}

impl SkdResNet {
    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a size is 0, the last width is 1, or there are fewer than 2 classes.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_core::StagedNetwork;
    /// use kd_models::{SkdResNet, SkdResNetConfig};
    ///
    /// let device = Device::flex();
    /// let config = SkdResNetConfig::RESNET10.small();
    /// let network = SkdResNet::new(&config, [3, 32, 32], 10, 0, &device)?;
    /// let trace = network.forward_traced(&Tensor::zeros([2, 3, 32, 32], &device));
    /// assert_eq!(trace.maps[network.tap("stem")?].dims(), [2, 16, 16, 16]);
    /// assert_eq!((trace.dense.dims(), trace.output.dims()), ([2, 256], [2, 10]));
    /// # Ok::<(), kd_core::Error>(())
    /// ```
    pub fn new(
        config: &SkdResNetConfig,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let blank = Self::blank(config, input, classes, device)?;
        initialise(&blank, Self::SCHEME, seed)
    }

    pub(crate) fn blank(
        config: &SkdResNetConfig,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        let [layer1, layer2, layer3, layer4] = config.groups(device);
        let channels = config.widths[3];
        Ok(Self {
            conv1: config.conv1(input[0], device),
            bn1: norm(config.widths[0], device),
            pool: (config.stem == StemKind::Large).then(halving_pool),
            layer1,
            layer2,
            layer3,
            layer4,
            fc: linear(2 * channels, channels / 2, device),
            fc2: linear(channels / 2, classes, device),
        })
    }

    fn body(&self) -> Body<'_> {
        Body {
            conv1: &self.conv1,
            bn1: self.bn1.as_ref(),
            pooling: self
                .pool
                .as_ref()
                .map_or(Pooling::None, Pooling::BeginsGroups),
            groups: vec![&self.layer1, &self.layer2, &self.layer3, &self.layer4],
            head: vec![("fc", &self.fc), ("fc2", &self.fc2)],
        }
    }
}

impl Chain for SkdResNet {
    const SCHEME: Scheme = Scheme::KaimingFanOut;

    fn stages(&self) -> Vec<String> {
        self.body().stages()
    }

    fn paths(&self, stage: usize) -> Vec<String> {
        stem_and_fields(self.stages(), stage)
    }

    fn run(&self, stage: usize, map: Tensor<4>) -> Tensor<4> {
        self.body().run(stage, map)
    }

    fn dense(&self, map: Tensor<4>) -> Tensor<2> {
        maximum_and_average(map)
    }

    fn last(&self) -> &Linear {
        &self.fc2
    }

    fn head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc2.forward(relu(self.fc.forward(dense)))
    }

    fn count(&self, costs: &mut Costs, input: [usize; 3]) -> Result<()> {
        self.body().count(costs, input)
    }

    fn fold(&mut self) {
        fold(&mut self.conv1, &mut self.bn1);
        let groups = [
            &mut self.layer1,
            &mut self.layer2,
            &mut self.layer3,
            &mut self.layer4,
        ];
        groups.into_iter().flatten().for_each(Block::fold);
    }
}

staged!(SkdResNet);
