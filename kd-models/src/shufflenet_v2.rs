//! ShuffleNet V2 for small images.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, Linear};
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, Error, Result, Scheme, initialise};
use serde::{Deserialize, Serialize};

use crate::chain::{Chain, staged, stem_and_fields};
use crate::layers::{
    Counter, check_blocks, check_input, check_size, check_widths, conv, fold, grouped_conv, linear,
    norm, normed, normed_relu, shuffle,
};
use crate::spec::check_classes;

/// Widths and depths of a ShuffleNet V2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShuffleNetV2Config {
    /// Channels of the stem.
    pub stem: usize,
    /// Output channels of the three groups of blocks, all even.
    pub widths: [usize; 3],
    /// Blocks in each group behind the one that halves the size.
    pub blocks: [usize; 3],
    /// Channels of the last convolution, and features of the dense representation.
    pub last: usize,
}

impl ShuffleNetV2Config {
    /// The network of the CRD benchmark, the paper's widths at 1x: 1,355,528 parameters for 3 channels and
    /// 100 classes.
    pub const CRD: Self = Self {
        stem: 24,
        widths: [116, 232, 464],
        blocks: [3, 7, 3],
        last: 1024,
    };

    pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_input("a ShuffleNet V2", input, 1)?;
        check_classes(classes)?;
        check_widths(&[self.stem, self.last])?;
        check_widths(&self.widths)?;
        // A group may have no block but the one that halves the size.
        check_blocks(&self.blocks.map(|blocks| blocks.max(1)))?;
        if self.widths.iter().any(|width| width % 2 != 0) {
            let problem = format!("must be even, as blocks halve them; got {:?}", self.widths);
            return Err(Error::config("widths", problem));
        }
        check_size([0, 1, 2].map(|group| [2 * (self.blocks[group] + 1), self.widths[group]]))
    }

    /// The same structure block by block.
    pub fn free(&self) -> ShuffleNetV2Blocks {
        let inner = |group: usize| vec![self.widths[group] / 2; self.blocks[group] + 1];
        ShuffleNetV2Blocks {
            stem: self.stem,
            widths: self.widths,
            inner: [0, 1, 2].map(inner),
            last: self.last,
        }
    }
}

/// The structure of a [`ShuffleNetV2`] block by block, as cutting channels leaves it. In `config.json` the
/// family is `shufflenet-v2-blocks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShuffleNetV2Blocks {
    /// Channels of the stem.
    pub stem: usize,
    /// Output channels of the three groups of blocks, all even.
    pub widths: [usize; 3],
    /// Channels of the depthwise convolution in the changed half of each block, by group; the first block
    /// halves the size.
    pub inner: [Vec<usize>; 3],
    /// Channels of the last convolution, and features of the dense representation.
    pub last: usize,
}

impl ShuffleNetV2Blocks {
    pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        let blocks = self.inner.each_ref().map(Vec::len);
        check_blocks(&blocks)?;
        let plain = ShuffleNetV2Config {
            stem: self.stem,
            widths: self.widths,
            blocks: blocks.map(|blocks| blocks - 1),
            last: self.last,
        };
        plain.check(input, classes)?;
        let inner = self.inner.concat();
        check_widths(&inner)?;
        check_size(inner.iter().map(|&width| [2, width]))
    }
}

/// The ShuffleNet V2 of the CRD benchmark: a 1x1 stem for small images.
///
/// A 1x1 convolution to 24 channels, three groups of blocks, each behind one that halves the size, a 1x1
/// convolution to 1024 channels, global average pooling and a linear layer. The paper's stem is a 3x3
/// convolution with stride 2 and max pooling.
///
/// ```text
/// block(x)   = shuffle([a, relu(norm3(conv3(norm2(conv2(relu(norm1(conv1(b))))))))])
/// halving(x) = shuffle([relu(norm2(conv2(norm1(conv1(x))))),
///                       relu(norm5(conv5(norm4(conv4(relu(norm3(conv3(x))))))))])
/// a, b       = the halves of x
/// ```
///
/// `conv2` of a block and `conv1` and `conv4` of a halving one are depthwise 3x3 convolutions, all others
/// 1x1.
///
/// * **Stages**: `stem`, `layer1`, `layer2`, `layer3`, `conv2`. Their maps are taken after the ReLU, at 1,
///   1/2, 1/4, 1/8 and 1/8 of the input's size; `conv2` is the last convolution.
/// * **Dense**: the pooled vector, 1024 features.
/// * **Names** in files: `conv1`, `bn1`, `layerS.I.conv1`, `.bn1`, ..., `conv2`, `bn2`, `linear`.
/// * **Initial weights**: as PyTorch's layers come, weights and biases uniform in `+-1/sqrt(fan_in)`, norms 1
///   and 0.
///
/// # References
///
/// Ma, Zhang, Zheng, Sun, "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", ECCV
/// 2018, arXiv:1807.11164, as in Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020,
/// arXiv:1910.10699. That code pools 4x4 windows, which for 32x32 images is the global pooling done here.
#[derive(Module, Debug)]
pub struct ShuffleNetV2 {
    conv1: Conv2d,
    bn1: Option<BatchNorm>,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    conv2: Conv2d,
    bn2: Option<BatchNorm>,
    linear: Linear,
}

/// A block of either kind. The kind is no part of the names in files.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a network has a few dozen")]
enum Block {
    Halving(HalvingBlock),
    Splitting(SplittingBlock),
}

/// A block that leaves half of the channels as they are.
#[derive(Module, Debug)]
struct SplittingBlock {
    conv1: Conv2d,
    bn1: Option<BatchNorm>,
    conv2: Conv2d,
    bn2: Option<BatchNorm>,
    conv3: Conv2d,
    bn3: Option<BatchNorm>,
}

/// A block of two branches that halves the size.
#[derive(Module, Debug)]
struct HalvingBlock {
    conv1: Conv2d,
    bn1: Option<BatchNorm>,
    conv2: Conv2d,
    bn2: Option<BatchNorm>,
    conv3: Conv2d,
    bn3: Option<BatchNorm>,
    conv4: Conv2d,
    bn4: Option<BatchNorm>,
    conv5: Conv2d,
    bn5: Option<BatchNorm>,
}

impl ShuffleNetV2 {
    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a size is 0, a width is odd, or there are fewer than 2 classes.
    pub fn new(
        config: &ShuffleNetV2Config,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let blank = Self::blank(config, input, classes, device)?;
        initialise(&blank, Self::SCHEME, seed)
    }

    pub(crate) fn blank(
        config: &ShuffleNetV2Config,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        Self::of_blocks(&config.free(), input, classes, device)
    }

    pub(crate) fn of_blocks(
        config: &ShuffleNetV2Blocks,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        let layer = |index: usize| {
            let width = config.widths[index];
            let before = match index {
                0 => config.stem,
                _ => config.widths[index - 1],
            };
            let inner = config.inner[index].iter().enumerate();
            let block = |(block, &inner): (usize, &usize)| match block {
                0 => Block::Halving(HalvingBlock::new([before, inner, width], device)),
                _ => Block::Splitting(SplittingBlock::new([inner, width], device)),
            };
            inner.map(block).collect()
        };
        let [layer1, layer2, layer3] = [0, 1, 2].map(layer);
        Ok(Self {
            conv1: conv([input[0], config.stem], 1, 1, device),
            bn1: norm(config.stem, device),
            layer1,
            layer2,
            layer3,
            conv2: conv([config.widths[2], config.last], 1, 1, device),
            bn2: norm(config.last, device),
            linear: linear(config.last, classes, device),
        })
    }

    fn layers(&self) -> [&[Block]; 3] {
        [&self.layer1, &self.layer2, &self.layer3]
    }
}

impl Block {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Halving(block) => block.forward(input),
            Self::Splitting(block) => block.forward(input),
        }
    }

    fn count(&self, at: Counter<'_>, input: [usize; 3]) -> Result<[usize; 3]> {
        match self {
            Self::Halving(block) => block.count(at, input),
            Self::Splitting(block) => block.count(at, input),
        }
    }

    fn fold(&mut self) {
        match self {
            Self::Halving(block) => {
                fold(&mut block.conv1, &mut block.bn1);
                fold(&mut block.conv2, &mut block.bn2);
                fold(&mut block.conv3, &mut block.bn3);
                fold(&mut block.conv4, &mut block.bn4);
                fold(&mut block.conv5, &mut block.bn5);
            }
            Self::Splitting(block) => {
                fold(&mut block.conv1, &mut block.bn1);
                fold(&mut block.conv2, &mut block.bn2);
                fold(&mut block.conv3, &mut block.bn3);
            }
        }
    }
}

impl SplittingBlock {
    fn new([inner, width]: [usize; 2], device: &Device) -> Self {
        let half = width / 2;
        Self {
            conv1: conv([half, inner], 1, 1, device),
            bn1: norm(inner, device),
            conv2: grouped_conv([inner, inner], 3, 1, inner, device),
            bn2: norm(inner, device),
            conv3: conv([inner, half], 1, 1, device),
            bn3: norm(half, device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [_, channels, _, _] = input.dims();
        let kept = input.clone().narrow(1, 0, channels / 2);
        let changed = input.narrow(1, channels / 2, channels / 2);
        let hidden = normed_relu(&self.conv1, self.bn1.as_ref(), changed);
        let hidden = normed(&self.conv2, self.bn2.as_ref(), hidden);
        let output = normed_relu(&self.conv3, self.bn3.as_ref(), hidden);
        shuffle(Tensor::cat(vec![kept, output], 1), 2)
    }

    fn count(
        &self,
        mut at: Counter<'_>,
        [channels, height, width]: [usize; 3],
    ) -> Result<[usize; 3]> {
        let half = [channels / 2, height, width];
        let map = at.normed(["conv1", "bn1"], &self.conv1, self.bn1.as_ref(), half)?;
        let map = at.normed(["conv2", "bn2"], &self.conv2, self.bn2.as_ref(), map)?;
        at.normed(["conv3", "bn3"], &self.conv3, self.bn3.as_ref(), map)?;
        Ok([channels, height, width])
    }
}

impl HalvingBlock {
    fn new([before, inner, width]: [usize; 3], device: &Device) -> Self {
        let half = width / 2;
        Self {
            conv1: grouped_conv([before, before], 3, 2, before, device),
            bn1: norm(before, device),
            conv2: conv([before, half], 1, 1, device),
            bn2: norm(half, device),
            conv3: conv([before, inner], 1, 1, device),
            bn3: norm(inner, device),
            conv4: grouped_conv([inner, inner], 3, 2, inner, device),
            bn4: norm(inner, device),
            conv5: conv([inner, half], 1, 1, device),
            bn5: norm(half, device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let left = normed(&self.conv1, self.bn1.as_ref(), input.clone());
        let left = normed_relu(&self.conv2, self.bn2.as_ref(), left);
        let right = normed_relu(&self.conv3, self.bn3.as_ref(), input);
        let right = normed(&self.conv4, self.bn4.as_ref(), right);
        let right = normed_relu(&self.conv5, self.bn5.as_ref(), right);
        shuffle(Tensor::cat(vec![left, right], 1), 2)
    }

    fn count(&self, mut at: Counter<'_>, input: [usize; 3]) -> Result<[usize; 3]> {
        let left = at.normed(["conv1", "bn1"], &self.conv1, self.bn1.as_ref(), input)?;
        at.normed(["conv2", "bn2"], &self.conv2, self.bn2.as_ref(), left)?;
        let right = at.normed(["conv3", "bn3"], &self.conv3, self.bn3.as_ref(), input)?;
        let right = at.normed(["conv4", "bn4"], &self.conv4, self.bn4.as_ref(), right)?;
        let right = at.normed(["conv5", "bn5"], &self.conv5, self.bn5.as_ref(), right)?;
        Ok([2 * right[0], right[1], right[2]])
    }
}

impl Chain for ShuffleNetV2 {
    const SCHEME: Scheme = Scheme::PyTorch;

    fn stages(&self) -> Vec<String> {
        ["stem", "layer1", "layer2", "layer3", "conv2"]
            .map(str::to_owned)
            .to_vec()
    }

    fn paths(&self, stage: usize) -> Vec<String> {
        match stage {
            4 => vec!["conv2".into(), "bn2".into()],
            _ => stem_and_fields(self.stages(), stage),
        }
    }

    fn run(&self, stage: usize, map: Tensor<4>) -> Tensor<4> {
        match stage {
            0 => normed_relu(&self.conv1, self.bn1.as_ref(), map),
            4 => normed_relu(&self.conv2, self.bn2.as_ref(), map),
            _ => self.layers()[stage - 1]
                .iter()
                .fold(map, |map, block| block.forward(map)),
        }
    }

    fn last(&self) -> &Linear {
        &self.linear
    }

    fn count(&self, costs: &mut Costs, input: [usize; 3]) -> Result<()> {
        check_input("a ShuffleNet V2", input, 1)?;
        let mut at = Counter::new(costs, "stem");
        let mut map = at.normed(["conv1", "bn1"], &self.conv1, self.bn1.as_ref(), input)?;
        for (stage, blocks) in self.stages()[1..].iter().zip(self.layers()) {
            for (index, block) in blocks.iter().enumerate() {
                let at = Counter::inside(costs, stage, format!("{stage}.{index}"));
                map = block.count(at, map)?;
            }
        }
        let mut at = Counter::new(costs, "conv2");
        at.normed(["conv2", "bn2"], &self.conv2, self.bn2.as_ref(), map)?;
        costs.linear("head", "linear", &self.linear, 1);
        Ok(())
    }

    fn fold(&mut self) {
        fold(&mut self.conv1, &mut self.bn1);
        fold(&mut self.conv2, &mut self.bn2);
        let layers = [&mut self.layer1, &mut self.layer2, &mut self.layer3];
        layers.into_iter().flatten().for_each(Block::fold);
    }
}

staged!(ShuffleNetV2);
