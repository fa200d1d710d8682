//! ShuffleNet V1 for small images.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig};
use burn::nn::{BatchNorm, Linear, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, Error, Result, Scheme, initialise};
use serde::{Deserialize, Serialize};

use crate::chain::{Chain, staged, stem_and_fields};
use crate::layers::{
    Counter, check_blocks, check_input, check_size, check_widths, conv, fold, grouped_conv, halved,
    linear, norm, normed, normed_relu, shuffle,
};
use crate::spec::check_classes;

/// Widths and depths of a ShuffleNet V1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShuffleNetV1Config {
    /// Channels of the stem.
    pub stem: usize,
    /// Output channels of the three groups of blocks.
    pub widths: [usize; 3],
    /// Blocks in each group, the one that halves the size among them.
    pub blocks: [usize; 3],
    /// Into how many parts the channels of the 1x1 convolutions are divided.
    pub groups: usize,
}

impl ShuffleNetV1Config {
    /// The network of the CRD benchmark: 240, 480, 960 channels in 4, 8, 4 blocks, 3 groups; 949,258
    /// parameters for 3 channels and 100 classes.
    pub const CRD: Self = Self {
        stem: 24,
        widths: [240, 480, 960],
        blocks: [4, 8, 4],
        groups: 3,
    };

    pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_input("a ShuffleNet V1", input, 1)?;
        check_classes(classes)?;
        check_widths(&[self.stem])?;
        check_widths(&self.widths)?;
        check_blocks(&self.blocks)?;
        if self.groups == 0 {
            return Err(Error::config("groups", "must be 1 or more, got 0"));
        }
        let mut before = self.stem;
        for (index, width) in self.widths.into_iter().enumerate() {
            let Some(added) = width.checked_sub(before).filter(|&added| added > 0) else {
                let problem = format!(
                    "must grow from the stem's {} on, as a block that halves the size adds its \
                     channels to those it was given; got {:?}",
                    self.stem, self.widths
                );
                return Err(Error::config("widths", problem));
            };
            let alone = index == 0 && self.blocks[0] == 1;
            let divides = |size: usize| size.is_multiple_of(self.groups);
            let first = divides(added) && added >= 4 && divides(added / 4);
            let rest = alone || divides(width) && divides(width / 4);
            if !first || !rest || index > 0 && !divides(before) {
                let problem = format!(
                    "and their quarters must be divisible by the {} groups, and so must what each adds \
                     to the one before; got {:?} after a stem of {}",
                    self.groups, self.widths, self.stem
                );
                return Err(Error::config("widths", problem));
            }
            before = width;
        }
        check_size([0, 1, 2].map(|group| [2 * self.blocks[group], self.widths[group]]))
    }
}

/// The ShuffleNet V1 of the CRD benchmark: a 1x1 stem for small images.
///
/// A 1x1 convolution to 24 channels, three groups of blocks, each of which begins with a block that halves
/// the size, global average pooling and a linear layer. The paper's stem is a 3x3 convolution with stride 2
/// and max pooling, and it has no ReLU behind its depthwise convolutions.
///
/// ```text
/// body(x)  = norm3(conv3(relu(norm2(conv2(shuffle(relu(norm1(conv1(x)))))))))
/// block(x) = relu(body(x) + x), or where it halves the size relu([body(x), average pool 3x3 of x])
/// ```
///
/// `conv1` and `conv3` are 1x1 convolutions in groups (the very first `conv1` is not grouped), `conv2` is a
/// depthwise 3x3 one; the middle has a quarter of a block's new channels.
///
/// * **Stages**: `stem`, `layer1`, `layer2`, `layer3`. Their maps are taken after the ReLU, at 1, 1/2, 1/4
///   and 1/8 of the input's size.
/// * **Dense**: the pooled vector, 960 features.
/// * **Names** in files: `conv1`, `bn1`, `layerS.I.conv1`, `.bn1`, ..., `.conv3`, `.bn3`, `linear`.
/// * **Initial weights**: as PyTorch's layers come, weights and biases uniform in `+-1/sqrt(fan_in)`, norms 1
///   and 0.
///
/// # References
///
/// Zhang, Zhou, Lin, Sun, "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile
/// Devices", CVPR 2018, arXiv:1707.01083, as in Tian, Krishnan, Isola, "Contrastive Representation
/// Distillation", ICLR 2020, arXiv:1910.10699. That code pools 4x4 windows, which for 32x32 images is the
/// global pooling done here.
#[derive(Module, Debug)]
pub struct ShuffleNetV1 {
    conv1: Conv2d,
    bn1: Option<BatchNorm>,
    layer1: Vec<ShuffleBlock>,
    layer2: Vec<ShuffleBlock>,
    layer3: Vec<ShuffleBlock>,
    linear: Linear,
}

/// A block with grouped 1x1 convolutions and a shuffle between them.
#[derive(Module, Debug)]
struct ShuffleBlock {
    conv1: Conv2d,
    bn1: Option<BatchNorm>,
    conv2: Conv2d,
    bn2: Option<BatchNorm>,
    conv3: Conv2d,
    bn3: Option<BatchNorm>,
    /// The shortcut of a block that halves the size.
    pool: Option<AvgPool2d>,
}

impl ShuffleNetV1 {
    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a size is 0, the widths cannot be divided into groups, or there are fewer than 2
    /// classes.
    pub fn new(
        config: &ShuffleNetV1Config,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let blank = Self::blank(config, input, classes, device)?;
        initialise(&blank, Self::SCHEME, seed)
    }

    pub(crate) fn blank(
        config: &ShuffleNetV1Config,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        let layer = |index: usize| {
            let (width, groups) = (config.widths[index], config.groups);
            let (before, first) = match index {
                // The stem has too few channels to be divided.
                0 => (config.stem, 1),
                _ => (config.widths[index - 1], groups),
            };
            let halving = ShuffleBlock::new([before, width - before], 2, [first, groups], device);
            let rest = (1..config.blocks[index])
                .map(|_| ShuffleBlock::new([width, width], 1, [groups, groups], device));
            std::iter::once(halving).chain(rest).collect()
        };
        let [layer1, layer2, layer3] = [0, 1, 2].map(layer);
        Ok(Self {
            conv1: conv([input[0], config.stem], 1, 1, device),
            bn1: norm(config.stem, device),
            layer1,
            layer2,
            layer3,
            linear: linear(config.widths[2], classes, device),
        })
    }

    fn layers(&self) -> [&[ShuffleBlock]; 3] {
        [&self.layer1, &self.layer2, &self.layer3]
    }
}

impl ShuffleBlock {
    /// A block whose convolutions make `width` channels of `before`; `groups` of the first and of the last of
    /// them.
    fn new(
        [before, width]: [usize; 2],
        stride: usize,
        groups: [usize; 2],
        device: &Device,
    ) -> Self {
        let middle = width / 4;
        let pool = AvgPool2dConfig::new([3, 3])
            .with_strides([2, 2])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_count_include_pad(true);
        Self {
            conv1: grouped_conv([before, middle], 1, 1, groups[0], device),
            bn1: norm(middle, device),
            conv2: grouped_conv([middle, middle], 3, stride, middle, device),
            bn2: norm(middle, device),
            conv3: grouped_conv([middle, width], 1, 1, groups[1], device),
            bn3: norm(width, device),
            pool: (stride != 1).then(|| pool.init()),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let hidden = normed_relu(&self.conv1, self.bn1.as_ref(), input.clone());
        let hidden = shuffle(hidden, self.conv1.groups);
        let hidden = normed_relu(&self.conv2, self.bn2.as_ref(), hidden);
        let output = normed(&self.conv3, self.bn3.as_ref(), hidden);
        relu(match &self.pool {
            Some(pool) => Tensor::cat(vec![output, pool.forward(input)], 1),
            None => output + input,
        })
    }

    fn count(&self, mut at: Counter<'_>, input: [usize; 3]) -> Result<[usize; 3]> {
        let map = at.normed(["conv1", "bn1"], &self.conv1, self.bn1.as_ref(), input)?;
        let map = at.normed(["conv2", "bn2"], &self.conv2, self.bn2.as_ref(), map)?;
        let map = at.normed(["conv3", "bn3"], &self.conv3, self.bn3.as_ref(), map)?;
        Ok(match self.pool {
            Some(_) => {
                let [channels, height, width] = halved(input);
                [map[0] + channels, height, width]
            }
            None => map,
        })
    }

    fn fold(&mut self) {
        fold(&mut self.conv1, &mut self.bn1);
        fold(&mut self.conv2, &mut self.bn2);
        fold(&mut self.conv3, &mut self.bn3);
    }
}

impl Chain for ShuffleNetV1 {
    const SCHEME: Scheme = Scheme::PyTorch;

    fn stages(&self) -> Vec<String> {
        ["stem", "layer1", "layer2", "layer3"]
            .map(str::to_owned)
            .to_vec()
    }

    fn paths(&self, stage: usize) -> Vec<String> {
        stem_and_fields(self.stages(), stage)
    }

    fn run(&self, stage: usize, map: Tensor<4>) -> Tensor<4> {
        match stage {
            0 => normed_relu(&self.conv1, self.bn1.as_ref(), map),
            _ => self.layers()[stage - 1]
                .iter()
                .fold(map, |map, block| block.forward(map)),
        }
    }

    fn last(&self) -> &Linear {
        &self.linear
    }

    fn count(&self, costs: &mut Costs, input: [usize; 3]) -> Result<()> {
        check_input("a ShuffleNet V1", input, 1)?;
        let mut at = Counter::new(costs, "stem");
        let mut map = at.normed(["conv1", "bn1"], &self.conv1, self.bn1.as_ref(), input)?;
        for (stage, blocks) in self.stages()[1..].iter().zip(self.layers()) {
            for (index, block) in blocks.iter().enumerate() {
                let at = Counter::inside(costs, stage, format!("{stage}.{index}"));
                map = block.count(at, map)?;
            }
        }
        costs.linear("head", "linear", &self.linear, 1);
        Ok(())
    }

    fn fold(&mut self) {
        fold(&mut self.conv1, &mut self.bn1);
        let layers = [&mut self.layer1, &mut self.layer2, &mut self.layer3];
        layers.into_iter().flatten().for_each(ShuffleBlock::fold);
    }
}

staged!(ShuffleNetV1);
