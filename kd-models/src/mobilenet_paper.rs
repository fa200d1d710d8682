//! MobileNetV2 as its paper has it, block by block.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, Dropout, DropoutConfig, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, Error, Result, Scheme, initialise};
use serde::{Deserialize, Serialize};

use crate::chain::{Chain, staged};
use crate::layers::{
    Counter, MOST_BLOCKS, check_blocks, check_input, check_size, check_widths, conv, fold,
    grouped_conv, linear, norm, normed, normed_relu,
};
use crate::spec::check_classes;

/// An inverted residual block, each of its choices said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvertedBlock {
    /// Channels of the depthwise convolution; those of the input where the block does not expand.
    pub hidden: usize,
    /// Output channels.
    pub width: usize,
    /// The stride of the depthwise convolution, 1 or 2.
    pub stride: usize,
    /// Whether there is a 1x1 convolution before the depthwise one.
    pub expands: bool,
    /// Whether the input is added, which needs a stride of 1 and as many channels.
    pub adds: bool,
}

/// The structure of a [`PaperMobileNetV2`], block by block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvertedBlocks {
    /// Channels of the stem.
    pub stem: usize,
    /// The stride of the stem, 1 or 2.
    pub stem_stride: usize,
    /// The blocks of each stage.
    pub stages: Vec<Vec<InvertedBlock>>,
    /// Channels of the last convolution, and features of the dense representation.
    pub last: usize,
}

/// Rows of the paper's table 2: expansion, channels, repeats, stride of the first.
const TABLE: [[usize; 4]; 7] = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
];

impl InvertedBlocks {
    /// The paper's network for images of 224 pixels; 3,504,872 parameters for 1000 classes.
    pub fn imagenet() -> Self {
        Self::rows(32, 2, &TABLE, 1280)
    }

    /// The same for images of 32 pixels: stride 1 in the stem and in the 24 channel stage, as is usual.
    pub fn cifar() -> Self {
        let mut rows = TABLE;
        rows[1][3] = 1;
        Self::rows(32, 1, &rows, 1280)
    }

    /// A small one of our own for small images: stem 16, widths 16, 24, 32 and 48, last 128.
    pub fn mini() -> Self {
        let rows = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 2, 2], [6, 48, 1, 1]];
        Self::rows(16, 1, &rows, 128)
    }

    /// [`mini`](Self::mini) with a stem of stride 2, at a quarter of its multiply-accumulates.
    pub fn mini_strided() -> Self {
        Self {
            stem_stride: 2,
            ..Self::mini()
        }
    }

    fn rows(stem: usize, stem_stride: usize, rows: &[[usize; 4]], last: usize) -> Self {
        let mut channels = stem;
        let stage = |&[expansion, width, repeats, stride]: &[usize; 4]| {
            let block = |index: usize| {
                let before = std::mem::replace(&mut channels, width);
                InvertedBlock {
                    hidden: expansion * before,
                    width,
                    stride: if index == 0 { stride } else { 1 },
                    expands: expansion > 1,
                    // The first block of a stage changes size or width, and adds nothing.
                    adds: index > 0,
                }
            };
            (0..repeats).map(block).collect()
        };
        Self {
            stem,
            stem_stride,
            stages: rows.iter().map(stage).collect(),
            last,
        }
    }

    pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_input("a MobileNetV2", input, 1)?;
        check_classes(classes)?;
        check_blocks(&[self.stages.len()])?;
        check_blocks(&self.stages.iter().map(Vec::len).collect::<Vec<_>>())?;
        let blocks = || self.stages.iter().flatten();
        let widths = blocks().flat_map(|block| [block.hidden, block.width]);
        let widths: Vec<usize> = widths.chain([self.stem, self.last]).collect();
        check_widths(&widths)?;
        check_size(widths.iter().map(|&width| [2, width]))?;
        check_stride("stem_stride", self.stem_stride)?;
        if blocks().count() > MOST_BLOCKS {
            let problem = format!("must have at most {MOST_BLOCKS} blocks together");
            return Err(Error::config("stages", problem));
        }
        let mut channels = self.stem;
        for (stage, blocks) in self.stages.iter().enumerate() {
            for (index, block) in blocks.iter().enumerate() {
                check_block(&format!("stages.{stage}.{index}"), block, channels)?;
                channels = block.width;
            }
        }
        Ok(())
    }
}

fn check_stride(field: &str, stride: usize) -> Result<()> {
    if matches!(stride, 1 | 2) {
        return Ok(());
    }
    let problem = format!("must be 1 or 2, got {stride}");
    Err(Error::config(field, problem))
}

fn check_block(place: &str, block: &InvertedBlock, channels: usize) -> Result<()> {
    check_stride(&format!("{place}.stride"), block.stride)?;
    let (hidden, width) = (block.hidden, block.width);
    if !block.expands && hidden != channels {
        let problem = format!(
            "expands nothing, so `hidden` must be the {channels} channels of its input, got {hidden}"
        );
        return Err(Error::config(place, problem));
    }
    if block.adds && (block.stride != 1 || width != channels) {
        let problem = format!(
            "adds its input, which needs a stride of 1 and {channels} output channels, got stride {} and \
             {width}",
            block.stride
        );
        return Err(Error::config(place, problem));
    }
    Ok(())
}

/// The MobileNetV2 of its paper, for large images and in forms for small ones.
///
/// A strided 3x3 convolution, stages of inverted residual blocks, a 1x1 convolution, global average pooling,
/// a linear layer, ReLU6 throughout. Unlike [`MobileNetV2`](crate::MobileNetV2), the CRD benchmark's, its
/// first block has no 1x1 convolution before the depthwise one. Dropout before the linear layer is left out.
///
/// ```text
/// block(x) = [conv 1x1 - norm - relu6 -] depthwise conv 3x3 - norm - relu6 - conv 1x1 - norm
///            (+ x where the structure says so)
/// ```
///
/// * **Stages**: `stem`, `stage1`, `stage2`, ..., `last`. The maps of the blocks have no activation behind
///   them and are of either sign; those of the stem and of `last` are taken after the ReLU6.
/// * **Dense**: the pooled vector, 1280 features.
/// * **Names** in files: torchvision's, `features.0.0`, `features.0.1`, `features.I.conv.0.0`, ...,
///   `classifier.1`.
/// * **Initial weights**: convolutions normal with variance `2 / fan_out`, the linear layer normal with
///   standard deviation 0.01, biases 0, norms 1 and 0.
///
/// # References
///
/// Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR
/// 2018, arXiv:1801.04381, table 2.
#[derive(Module, Debug)]
pub struct PaperMobileNetV2 {
    features: Vec<Feature>,
    /// A dropout that is never run keeps the linear layer's place in files.
    classifier: (Dropout, Linear),
    /// The blocks of each stage.
    stages: Vec<usize>,
    /// Whether activations are made of operations that interchange formats have.
    is_portable: bool,
}

/// A convolution and its norm: `.0` and `.1` in files.
type Normed = (Conv2d, Option<BatchNorm>);

/// A layer or a block; the kind is no part of the names in files.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are blocks, in a vector"
)]
enum Feature {
    Layer(Normed),
    Block(Inverted),
}

#[derive(Module, Debug)]
struct Inverted {
    conv: InvertedLayers,
    adds: bool,
}

/// The sequence that a block is in files.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all blocks expand, in a vector"
)]
enum InvertedLayers {
    Expanding((Normed, Normed, Conv2d, Option<BatchNorm>)),
    Plain((Normed, Conv2d, Option<BatchNorm>)),
}

impl PaperMobileNetV2 {
    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a structure that is impossible or too large, or fewer than 2 classes.
    pub fn new(
        config: &InvertedBlocks,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let blank = Self::blank(config, input, classes, device)?;
        initialise(&blank, Self::SCHEME, seed)
    }

    pub(crate) fn blank(
        config: &InvertedBlocks,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        let layer = |channels: [usize; 2], kernel, stride| {
            let conv = conv(channels, kernel, stride, device);
            Feature::Layer((conv, norm(channels[1], device)))
        };
        let mut features = vec![layer([input[0], config.stem], 3, config.stem_stride)];
        let mut channels = config.stem;
        for block in config.stages.iter().flatten() {
            features.push(Feature::Block(Inverted::new(block, channels, device)));
            channels = block.width;
        }
        features.push(layer([channels, config.last], 1, 1));
        let head = linear(config.last, classes, device);
        Ok(Self {
            features,
            classifier: (DropoutConfig::new(0.0).init(), head),
            stages: config.stages.iter().map(Vec::len).collect(),
            is_portable: false,
        })
    }

    /// The same function with activations of operations that interchange formats have.
    pub(crate) fn with_portable_activations(self) -> Self {
        Self {
            is_portable: true,
            ..self
        }
    }

    /// The features of a stage.
    fn range(&self, stage: usize) -> std::ops::Range<usize> {
        let blocks = |stages: usize| self.stages.iter().take(stages).sum::<usize>();
        match stage {
            0 => 0..1,
            stage if stage <= self.stages.len() => 1 + blocks(stage - 1)..1 + blocks(stage),
            _ => self.features.len() - 1..self.features.len(),
        }
    }
}

impl Inverted {
    fn new(block: &InvertedBlock, channels: usize, device: &Device) -> Self {
        let hidden = block.hidden;
        let depthwise = (
            grouped_conv([hidden, hidden], 3, block.stride, hidden, device),
            norm(hidden, device),
        );
        let project = conv([hidden, block.width], 1, 1, device);
        let last = norm(block.width, device);
        let conv = if block.expands {
            let expand = conv([channels, hidden], 1, 1, device);
            let expand = (expand, norm(hidden, device));
            InvertedLayers::Expanding((expand, depthwise, project, last))
        } else {
            InvertedLayers::Plain((depthwise, project, last))
        };
        let adds = block.adds;
        Self { conv, adds }
    }

    fn parts(&self) -> (Option<&Normed>, &Normed, &Conv2d, Option<&BatchNorm>) {
        match &self.conv {
            InvertedLayers::Expanding((expand, depthwise, project, norm)) => {
                (Some(expand), depthwise, project, norm.as_ref())
            }
            InvertedLayers::Plain((depthwise, project, norm)) => {
                (None, depthwise, project, norm.as_ref())
            }
        }
    }

    fn forward(&self, input: Tensor<4>, is_portable: bool) -> Tensor<4> {
        let (expand, depthwise, project, norm) = self.parts();
        let hidden = match expand {
            Some(expand) => relu6(expand, input.clone(), is_portable),
            None => input.clone(),
        };
        let hidden = relu6(depthwise, hidden, is_portable);
        if !self.adds {
            return normed(project, norm, hidden);
        }
        let layer = kd_kernels::ConvLayer::new(project).norm(norm);
        layer.plus(input).forward(hidden)
    }

    fn count(&self, mut at: Counter<'_>, input: [usize; 3]) -> Result<[usize; 3]> {
        let (expand, depthwise, project, norm) = self.parts();
        let layers = expand.into_iter().chain([depthwise]);
        let (mut map, mut name) = (input, 0);
        for (conv, norm) in layers {
            let names = [format!("conv.{name}.0"), format!("conv.{name}.1")];
            map = at.normed([&names[0], &names[1]], conv, norm.as_ref(), map)?;
            name += 1;
        }
        let names = [format!("conv.{name}"), format!("conv.{}", name + 1)];
        at.normed([&names[0], &names[1]], project, norm, map)
    }

    fn fold(&mut self) {
        match &mut self.conv {
            InvertedLayers::Expanding((expand, depthwise, project, norm)) => {
                fold(&mut expand.0, &mut expand.1);
                fold(&mut depthwise.0, &mut depthwise.1);
                fold(project, norm);
            }
            InvertedLayers::Plain((depthwise, project, norm)) => {
                fold(&mut depthwise.0, &mut depthwise.1);
                fold(project, norm);
            }
        }
    }
}

/// `min(relu(norm(conv(input))), 6)`; Burn's ONNX exporter has no minimum, but `relu(x) - relu(x - 6)`.
fn relu6((conv, norm): &Normed, input: Tensor<4>, is_portable: bool) -> Tensor<4> {
    let map = normed_relu(conv, norm.as_ref(), input);
    if is_portable {
        return map.clone() - relu(map.sub_scalar(6.0));
    }
    map.clamp_max(6.0)
}

impl Chain for PaperMobileNetV2 {
    const SCHEME: Scheme = Scheme::KaimingFanOutSmallLinear;

    fn stages(&self) -> Vec<String> {
        let stages = (1..=self.stages.len()).map(|stage| format!("stage{stage}"));
        let stem = std::iter::once("stem".to_owned());
        stem.chain(stages).chain(["last".to_owned()]).collect()
    }

    fn paths(&self, stage: usize) -> Vec<String> {
        let features = self.range(stage);
        features.map(|index| format!("features.{index}")).collect()
    }

    fn run(&self, stage: usize, map: Tensor<4>) -> Tensor<4> {
        let features = self.features[self.range(stage)].iter();
        features.fold(map, |map, feature| match feature {
            Feature::Layer(layer) => relu6(layer, map, self.is_portable),
            Feature::Block(block) => block.forward(map, self.is_portable),
        })
    }

    fn last(&self) -> &Linear {
        &self.classifier.1
    }

    fn count(&self, costs: &mut Costs, input: [usize; 3]) -> Result<()> {
        check_input("a MobileNetV2", input, 1)?;
        let mut map = input;
        for (stage, name) in self.stages().iter().enumerate() {
            for index in self.range(stage) {
                let mut at = Counter::inside(costs, name, format!("features.{index}"));
                map = match &self.features[index] {
                    Feature::Layer((conv, norm)) => {
                        at.normed(["0", "1"], conv, norm.as_ref(), map)?
                    }
                    Feature::Block(block) => block.count(at, map)?,
                };
            }
        }
        costs.linear("head", "classifier.1", &self.classifier.1, 1);
        Ok(())
    }

    fn fold(&mut self) {
        for feature in &mut self.features {
            match feature {
                Feature::Layer((conv, norm)) => fold(conv, norm),
                Feature::Block(block) => block.fold(),
            }
        }
    }
}

staged!(PaperMobileNetV2);
