//! MobileNetV2 for small images.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, Linear, Relu};
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, Error, Result, Scheme, initialise};
use serde::{Deserialize, Serialize};

use crate::chain::{Chain, staged};
use crate::layers::{
    Counter, check_blocks, check_input, check_most, check_size, check_widths, conv, fold,
    grouped_conv, linear, norm, normed, normed_relu,
};
use crate::spec::check_classes;

/// One row of the table of a MobileNetV2: blocks of the same width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvertedResiduals {
    /// Channels of the middle of a block as a multiple of its input's, `t`; 1 to 32.
    pub expansion: usize,
    /// Output channels, `c`.
    pub width: usize,
    /// Blocks, `n`.
    pub blocks: usize,
    /// The stride of the first block, 1 or 2, `s`.
    pub stride: usize,
}

/// Widths and depths of a MobileNetV2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MobileNetV2Config {
    /// Channels of the stem.
    pub stem: usize,
    /// The seven groups of blocks.
    pub groups: [InvertedResiduals; 7],
    /// Channels of the last convolution, and features of the dense representation.
    pub last: usize,
}

impl MobileNetV2Config {
    /// The network of the CRD benchmark: expansion 6, half the widths except in the last convolution; 812,836
    /// parameters for 3 channels and 100 classes.
    pub const HALF: Self = Self {
        stem: 16,
        groups: [
            row(1, 8, 1, 1),
            row(6, 12, 2, 1),
            row(6, 16, 3, 2),
            row(6, 32, 4, 2),
            row(6, 48, 3, 1),
            row(6, 80, 3, 2),
            row(6, 160, 1, 1),
        ],
        last: 1280,
    };

    pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_input("a MobileNetV2", input, 1)?;
        check_classes(classes)?;
        check_widths(&[self.stem, self.last])?;
        check_widths(&self.groups.map(|group| group.width))?;
        check_blocks(&self.groups.map(|group| group.blocks))?;
        for group in self.groups {
            if group.expansion == 0 {
                return Err(Error::config("expansion", "must be 1 or more, got 0"));
            }
            check_most("expansion", &[group.expansion], LARGEST_EXPANSION)?;
            if !matches!(group.stride, 1 | 2) {
                let problem = format!("must be 1 or 2, got {}", group.stride);
                return Err(Error::config("stride", problem));
            }
        }
        // The middle of a group's first block has the width of the group before it.
        let before = self.groups.map(|group| group.width).into_iter();
        let before = std::iter::once(self.stem).chain(before);
        check_size(before.zip(self.groups).map(|(before, group)| {
            [
                2 * group.expansion * group.blocks + 1,
                before.max(group.width),
            ]
        }))
    }
}

/// The largest expansion of a block.
const LARGEST_EXPANSION: usize = 32;

const fn row(expansion: usize, width: usize, blocks: usize, stride: usize) -> InvertedResiduals {
    InvertedResiduals {
        expansion,
        width,
        blocks,
        stride,
    }
}

/// The MobileNetV2 of the CRD benchmark: half the widths, for small images.
///
/// A strided 3x3 convolution, seven groups of inverted residual blocks, a 1x1 convolution, global average
/// pooling, a linear layer. It differs from the paper's: ReLU instead of ReLU6, the second group does not
/// halve the size, the first block has its 1x1 convolution although it expands nothing, no dropout.
///
/// ```text
/// block(x) = conv 1x1 - norm - relu - depthwise conv 3x3 - norm - relu - conv 1x1 - norm
///            (+ x where shapes agree)
/// ```
///
/// * **Stages**: `stem`, `blocks0` to `blocks6`, `conv2`; for 32x32 pixels at 16, 16, 16, 8, 4, 4, 2, 2, 2.
///   The maps of the blocks have no activation behind them and are of either sign; those of the stem and of
///   `conv2` are taken after the ReLU. The benchmark's five features are `stem`, `blocks1`, `blocks2`,
///   `blocks4`, `blocks6`.
/// * **Dense**: the pooled vector, 1280 features.
/// * **Names** in files: `conv1.0`, `conv1.1`, `blocks.G.I.conv.0`, `.1`, `.3`, `.4`, `.6`, `.7`, `conv2.0`,
///   `conv2.1`, `classifier.0`.
/// * **Initial weights**: convolutions normal with variance `2 / (kernel area * output channels)`, the linear
///   layer normal with standard deviation 0.01, biases 0, norms 1 and 0.
///
/// # References
///
/// Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR
/// 2018, arXiv:1801.04381, table 2, as in Tian, Krishnan, Isola, "Contrastive Representation Distillation",
/// ICLR 2020, arXiv:1910.10699.
#[derive(Module, Debug)]
pub struct MobileNetV2 {
    conv1: Normed,
    blocks: Vec<Vec<InvertedResidual>>,
    conv2: Normed,
    classifier: [Linear; 1],
}

/// A convolution and its norm: `.0` and `.1` in files.
type Normed = (Conv2d, Option<BatchNorm>);

/// A block; `conv` is the sequence that it is in files, activations included.
#[derive(Module, Debug)]
struct InvertedResidual {
    conv: Sequence,
    /// Whether the input is added: a part of the structure, which equal widths alone do not tell.
    adds: bool,
}

type Sequence = (
    Conv2d,
    Option<BatchNorm>,
    Relu,
    Conv2d,
    Option<BatchNorm>,
    Relu,
    Conv2d,
    Option<BatchNorm>,
);

impl MobileNetV2 {
    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a size is 0, a stride is neither 1 nor 2, or there are fewer than 2 classes.
    pub fn new(
        config: &MobileNetV2Config,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let blank = Self::blank(config, input, classes, device)?;
        initialise(&blank, Self::SCHEME, seed)
    }

    pub(crate) fn blank(
        config: &MobileNetV2Config,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        let mut channels = config.stem;
        let mut group = |row: &InvertedResiduals| {
            let block = |index: usize| {
                let stride = if index == 0 { row.stride } else { 1 };
                let before = std::mem::replace(&mut channels, row.width);
                InvertedResidual::new([before, row.width], row.expansion, stride, device)
            };
            (0..row.blocks).map(block).collect()
        };
        let blocks = config.groups.iter().map(&mut group).collect();
        let stem = conv([input[0], config.stem], 3, 2, device);
        let last = conv([channels, config.last], 1, 1, device);
        Ok(Self {
            conv1: (stem, norm(config.stem, device)),
            blocks,
            conv2: (last, norm(config.last, device)),
            classifier: [linear(config.last, classes, device)],
        })
    }
}

impl InvertedResidual {
    fn new([before, width]: [usize; 2], expansion: usize, stride: usize, device: &Device) -> Self {
        let middle = before * expansion;
        Self {
            conv: (
                conv([before, middle], 1, 1, device),
                norm(middle, device),
                Relu::new(),
                grouped_conv([middle, middle], 3, stride, middle, device),
                norm(middle, device),
                Relu::new(),
                conv([middle, width], 1, 1, device),
                norm(width, device),
            ),
            adds: stride == 1 && before == width,
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let (expand, norm1, _, depthwise, norm2, _, project, norm3) = &self.conv;
        let hidden = normed_relu(expand, norm1.as_ref(), input.clone());
        let hidden = normed_relu(depthwise, norm2.as_ref(), hidden);
        if self.adds {
            kd_kernels::ConvLayer::new(project)
                .norm(norm3.as_ref())
                .plus(input)
                .forward(hidden)
        } else {
            normed(project, norm3.as_ref(), hidden)
        }
    }

    fn count(&self, mut at: Counter<'_>, input: [usize; 3]) -> Result<[usize; 3]> {
        let (expand, norm1, _, depthwise, norm2, _, project, norm3) = &self.conv;
        let map = at.normed(["conv.0", "conv.1"], expand, norm1.as_ref(), input)?;
        let map = at.normed(["conv.3", "conv.4"], depthwise, norm2.as_ref(), map)?;
        at.normed(["conv.6", "conv.7"], project, norm3.as_ref(), map)
    }

    fn fold(&mut self) {
        let (expand, norm1, _, depthwise, norm2, _, project, norm3) = &mut self.conv;
        fold(expand, norm1);
        fold(depthwise, norm2);
        fold(project, norm3);
    }
}

impl Chain for MobileNetV2 {
    const SCHEME: Scheme = Scheme::KaimingFanOutSmallLinear;

    fn stages(&self) -> Vec<String> {
        let groups = (0..self.blocks.len()).map(|group| format!("blocks{group}"));
        let stem = std::iter::once("stem".to_owned());
        stem.chain(groups).chain(["conv2".to_owned()]).collect()
    }

    fn paths(&self, stage: usize) -> Vec<String> {
        let path = match stage {
            0 => "conv1".to_owned(),
            stage if stage <= self.blocks.len() => format!("blocks.{}", stage - 1),
            _ => "conv2".to_owned(),
        };
        vec![path]
    }

    fn run(&self, stage: usize, map: Tensor<4>) -> Tensor<4> {
        match stage {
            0 => normed_relu(&self.conv1.0, self.conv1.1.as_ref(), map),
            stage if stage <= self.blocks.len() => self.blocks[stage - 1]
                .iter()
                .fold(map, |map, block| block.forward(map)),
            _ => normed_relu(&self.conv2.0, self.conv2.1.as_ref(), map),
        }
    }

    fn last(&self) -> &Linear {
        &self.classifier[0]
    }

    fn count(&self, costs: &mut Costs, input: [usize; 3]) -> Result<()> {
        check_input("a MobileNetV2", input, 1)?;
        let (stem, norm) = &self.conv1;
        let mut at = Counter::new(costs, "stem");
        let mut map = at.normed(["conv1.0", "conv1.1"], stem, norm.as_ref(), input)?;
        for (group, blocks) in self.blocks.iter().enumerate() {
            let stage = format!("blocks{group}");
            for (index, block) in blocks.iter().enumerate() {
                let at = Counter::inside(costs, &stage, format!("blocks.{group}.{index}"));
                map = block.count(at, map)?;
            }
        }
        let (last, norm) = &self.conv2;
        Counter::new(costs, "conv2").normed(["conv2.0", "conv2.1"], last, norm.as_ref(), map)?;
        costs.linear("head", "classifier.0", &self.classifier[0], 1);
        Ok(())
    }

    fn fold(&mut self) {
        for (conv, norm) in [&mut self.conv1, &mut self.conv2] {
            fold(conv, norm);
        }
        let blocks = self.blocks.iter_mut().flatten();
        blocks.for_each(InvertedResidual::fold);
    }
}

staged!(MobileNetV2);
