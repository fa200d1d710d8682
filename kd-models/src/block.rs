//! Residual blocks: two 3x3 convolutions, or three with a narrow middle, and a shortcut.

use burn::module::Module;
use burn::nn::BatchNorm;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor, s};
use kd_core::{Costs, Result};
use serde::{Deserialize, Serialize};

use crate::layers::{Counter, conv, fold, norm, normed, normed_relu};

/// The shortcut of a block whose input and output differ in shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortcut {
    /// Every second pixel, new channels filled with zeros: option A of He et al.
    ZeroPadded,
    /// A strided 1x1 convolution and a batch norm (option B), called `downsample` in files.
    Downsample,
    /// The same, called `shortcut` in files.
    Named,
}

/// The shortcut of a block whose structure is given block by block: [`ResidualBlock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum BlockShortcut {
    /// The input as it is: as many channels, stride 1.
    Identity,
    /// A strided 1x1 convolution and a batch norm (option B), whether or not the channels agree.
    Projection,
    /// Every `stride`-th pixel, with so many channels of zeros before and after (option A).
    Padded([usize; 2]),
}

/// A basic block of a network whose structure is given block by block: inner width, output width and shortcut
/// are each said, so that none follows from two numbers that happen to be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualBlock {
    /// Channels between the two convolutions.
    pub inner: usize,
    /// Output channels.
    pub width: usize,
    /// The stride of the first convolution, 1 or 2.
    pub stride: usize,
    /// The shortcut.
    pub shortcut: BlockShortcut,
}

/// A residual block whose widths are each given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreeBlock {
    /// Channels between its convolutions: one width between two, or two between the three of a bottleneck.
    pub inner: Vec<usize>,
    /// Output channels.
    pub width: usize,
    /// The stride, 1 or 2, of its first 3x3 convolution.
    pub stride: usize,
    /// Whether its shortcut is a 1x1 convolution, whether or not widths agree; or else its input.
    pub projects: bool,
}

/// A 1x1 convolution and its norm: `.0` and `.1` in files.
type Projection = (Conv2d, Option<BatchNorm>);

/// The kind of blocks that a ResNet is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BlockKind {
    /// Two 3x3 convolutions.
    Basic,
    /// A 1x1 convolution to the block's width, a 3x3 one that has the stride, and a 1x1 one to four times the
    /// width.
    Bottleneck,
}

impl BlockKind {
    /// The channels of a block's output, as a multiple of its width.
    pub const fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// A block of either kind. The kind is no part of the names in files.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a network has blocks of one kind, in a vector"
)]
pub(crate) enum Block {
    Basic(BasicBlock),
    Bottleneck(Bottleneck),
}

/// `relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))`.
#[derive(Module, Debug)]
pub(crate) struct BasicBlock {
    conv1: Conv2d,
    bn1: Option<BatchNorm>,
    conv2: Conv2d,
    bn2: Option<BatchNorm>,
    downsample: Option<Projection>,
    shortcut: Option<Projection>,
    /// Channels of zeros before and after those of the input, where the shortcut is no projection.
    padding: [usize; 2],
}

/// `relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) + shortcut(x))`.
#[derive(Module, Debug)]
pub(crate) struct Bottleneck {
    conv1: Conv2d,
    bn1: Option<BatchNorm>,
    conv2: Conv2d,
    bn2: Option<BatchNorm>,
    conv3: Conv2d,
    bn3: Option<BatchNorm>,
    downsample: Option<Projection>,
    shortcut: Option<Projection>,
}

impl Block {
    /// A block from `channels` to `width * kind.expansion()` channels, its weights blank.
    ///
    /// A bottleneck has no shortcut without parameters; [`Shortcut::ZeroPadded`] is a projection there.
    pub(crate) fn new(
        kind: BlockKind,
        [channels, width]: [usize; 2],
        stride: usize,
        shortcut: Shortcut,
        device: &Device,
    ) -> Self {
        let channels_out = width * kind.expansion();
        if kind == BlockKind::Bottleneck {
            return Self::bottleneck([channels, width, channels_out], stride, shortcut, device);
        }
        let [downsample, named] = projections([channels, channels_out], stride, shortcut, device);
        Self::Basic(BasicBlock {
            conv1: conv([channels, width], 3, stride, device),
            bn1: norm(width, device),
            conv2: conv([width, width], 3, 1, device),
            bn2: norm(width, device),
            downsample: downsample.filter(|_| shortcut == Shortcut::Downsample),
            shortcut: named,
            padding: halves(width.saturating_sub(channels)),
        })
    }

    /// A bottleneck from `channels` to `channels_out` channels with `width` between them, its weights blank.
    pub(crate) fn bottleneck(
        [channels, width, channels_out]: [usize; 3],
        stride: usize,
        shortcut: Shortcut,
        device: &Device,
    ) -> Self {
        let [downsample, shortcut] =
            projections([channels, channels_out], stride, shortcut, device);
        Self::Bottleneck(Bottleneck {
            conv1: conv([channels, width], 1, 1, device),
            bn1: norm(width, device),
            conv2: conv([width, width], 3, stride, device),
            bn2: norm(width, device),
            conv3: conv([width, channels_out], 1, 1, device),
            bn3: norm(channels_out, device),
            downsample,
            shortcut,
        })
    }

    /// A basic block of this structure on `channels` channels, its weights blank; a projection is called
    /// `downsample`.
    pub(crate) fn of_structure(block: &ResidualBlock, channels: usize, device: &Device) -> Self {
        let ResidualBlock {
            inner,
            width,
            stride,
            shortcut,
        } = *block;
        let projection = (shortcut == BlockShortcut::Projection).then(|| {
            let conv = conv([channels, width], 1, stride, device);
            (conv, norm(width, device))
        });
        Self::Basic(BasicBlock {
            conv1: conv([channels, inner], 3, stride, device),
            bn1: norm(inner, device),
            conv2: conv([inner, width], 3, 1, device),
            bn2: norm(width, device),
            downsample: projection,
            shortcut: None,
            padding: match shortcut {
                BlockShortcut::Padded(padding) => padding,
                BlockShortcut::Identity | BlockShortcut::Projection => [0, 0],
            },
        })
    }

    /// A block with free widths on `channels` channels, its weights blank; `shortcut` says how a projection
    /// is called.
    pub(crate) fn of_free(
        block: &FreeBlock,
        channels: usize,
        shortcut: Shortcut,
        device: &Device,
    ) -> Self {
        let (width, stride) = (block.width, block.stride);
        let is_named = shortcut == Shortcut::Named;
        let projection = |wanted: bool| {
            (block.projects && wanted).then(|| {
                let conv = conv([channels, width], 1, stride, device);
                (conv, norm(width, device))
            })
        };
        let (downsample, shortcut) = (projection(!is_named), projection(is_named));
        if let [first, second] = block.inner[..] {
            return Self::Bottleneck(Bottleneck {
                conv1: conv([channels, first], 1, 1, device),
                bn1: norm(first, device),
                conv2: conv([first, second], 3, stride, device),
                bn2: norm(second, device),
                conv3: conv([second, width], 1, 1, device),
                bn3: norm(width, device),
                downsample,
                shortcut,
            });
        }
        let inner = block.inner.first().copied().unwrap_or(width);
        Self::Basic(BasicBlock {
            conv1: conv([channels, inner], 3, stride, device),
            bn1: norm(inner, device),
            conv2: conv([inner, width], 3, 1, device),
            bn2: norm(width, device),
            downsample,
            shortcut,
            padding: [0, 0],
        })
    }

    pub(crate) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Basic(block) => block.forward(input),
            Self::Bottleneck(block) => block.forward(input),
        }
    }

    /// Folds the norms into the convolutions.
    pub(crate) fn fold(&mut self) {
        let projections = match self {
            Self::Basic(block) => {
                fold(&mut block.conv1, &mut block.bn1);
                fold(&mut block.conv2, &mut block.bn2);
                [&mut block.downsample, &mut block.shortcut]
            }
            Self::Bottleneck(block) => {
                fold(&mut block.conv1, &mut block.bn1);
                fold(&mut block.conv2, &mut block.bn2);
                fold(&mut block.conv3, &mut block.bn3);
                [&mut block.downsample, &mut block.shortcut]
            }
        };
        for (conv, norm) in projections.into_iter().flatten() {
            fold(conv, norm);
        }
    }

    /// Counts the block's layers and gives the shape of its output.
    pub(crate) fn count(
        &self,
        costs: &mut Costs,
        stage: &str,
        path: &str,
        input: [usize; 3],
    ) -> Result<[usize; 3]> {
        let mut at = Counter::inside(costs, stage, path);
        let (map, downsample, shortcut) = match self {
            Self::Basic(block) => {
                let map = at.normed(["conv1", "bn1"], &block.conv1, block.bn1.as_ref(), input)?;
                let map = at.normed(["conv2", "bn2"], &block.conv2, block.bn2.as_ref(), map)?;
                (map, &block.downsample, &block.shortcut)
            }
            Self::Bottleneck(block) => {
                let map = at.normed(["conv1", "bn1"], &block.conv1, block.bn1.as_ref(), input)?;
                let map = at.normed(["conv2", "bn2"], &block.conv2, block.bn2.as_ref(), map)?;
                let map = at.normed(["conv3", "bn3"], &block.conv3, block.bn3.as_ref(), map)?;
                (map, &block.downsample, &block.shortcut)
            }
        };
        if let Some((conv, norm)) = downsample {
            at.normed(["downsample.0", "downsample.1"], conv, norm.as_ref(), input)?;
        }
        if let Some((conv, norm)) = shortcut {
            at.normed(["shortcut.0", "shortcut.1"], conv, norm.as_ref(), input)?;
        }
        Ok(map)
    }
}

impl Block {
    /// The same function with a shortcut that has no parameters written as a 1x1 convolution whose weights
    /// are 1 and 0.
    pub(crate) fn with_explicit_shortcut(self) -> Self {
        match self {
            Self::Basic(mut block) if block.downsample.is_none() && block.shortcut.is_none() => {
                let [_, channels, _, _] = block.conv1.weight.dims();
                let [before, after] = block.padding;
                let width = before + channels + after;
                let stride = block.conv1.stride[0];
                if stride != 1 || channels != width {
                    let device = block.conv1.weight.device();
                    let mut thinning = conv([channels, width], 1, stride, &device);
                    let eye = Tensor::<2>::eye(channels, &device);
                    let zeros = |count: usize| Tensor::zeros([count, channels], &device);
                    let rows = Tensor::cat(vec![zeros(before), eye, zeros(after)], 0);
                    // [channels_out, channels_in, 1, 1]
                    thinning.weight = thinning
                        .weight
                        .map(|_| rows.reshape([width, channels, 1, 1]));
                    block.downsample = Some((thinning, None));
                }
                Self::Basic(block)
            }
            other => other,
        }
    }
}

impl BasicBlock {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let hidden = normed_relu(&self.conv1, self.bn1.as_ref(), input.clone());
        let projection = self.downsample.as_ref().or(self.shortcut.as_ref());
        let shortcut = if let Some((conv, norm)) = projection {
            normed(conv, norm.as_ref(), input)
        } else {
            zero_padded(input, self.conv1.stride[0], self.padding)
        };
        kd_kernels::ConvLayer::new(&self.conv2)
            .norm(self.bn2.as_ref())
            .plus(shortcut)
            .relu()
            .forward(hidden)
    }
}

impl Bottleneck {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let hidden = normed_relu(&self.conv1, self.bn1.as_ref(), input.clone());
        let hidden = normed_relu(&self.conv2, self.bn2.as_ref(), hidden);
        let shortcut = match self.downsample.as_ref().or(self.shortcut.as_ref()) {
            Some((conv, norm)) => normed(conv, norm.as_ref(), input),
            None => input,
        };
        kd_kernels::ConvLayer::new(&self.conv3)
            .norm(self.bn3.as_ref())
            .plus(shortcut)
            .relu()
            .forward(hidden)
    }
}

/// The shortcut of a block whose shapes differ, called `downsample` or `shortcut` in files.
fn projections(
    [channels, channels_out]: [usize; 2],
    stride: usize,
    shortcut: Shortcut,
    device: &Device,
) -> [Option<Projection>; 2] {
    let changes = stride != 1 || channels != channels_out;
    let projection = |wanted: bool| {
        (changes && wanted).then(|| {
            let conv = conv([channels, channels_out], 1, stride, device);
            (conv, norm(channels_out, device))
        })
    };
    let named = shortcut == Shortcut::Named;
    [projection(!named), projection(named)]
}

/// New channels before and after the others: half of them each, an odd one after.
fn halves(new: usize) -> [usize; 2] {
    [new / 2, new - new / 2]
}

/// Every `stride`-th pixel of `input`, with so many channels of zeros before and after.
fn zero_padded(input: Tensor<4>, stride: usize, [before, after]: [usize; 2]) -> Tensor<4> {
    let thinned = match isize::try_from(stride) {
        Ok(stride) if stride > 1 => input.slice(s![.., .., ..;stride, ..;stride]),
        _ => input,
    };
    let [batch_size, _, height, width] = thinned.dims();
    // Joining zeros takes a quarter of the time of `pad` on flex, which fills the whole result first.
    // Of the map's own precision, which need not be the device's usual one.
    let options = (&thinned.device(), thinned.dtype());
    let zeros = |count: usize| Tensor::zeros([batch_size, count, height, width], options);
    match (before, after) {
        (0, 0) => thinned,
        (0, after) => Tensor::cat(vec![thinned.clone(), zeros(after)], 1),
        (before, 0) => Tensor::cat(vec![zeros(before), thinned.clone()], 1),
        (before, after) => Tensor::cat(vec![zeros(before), thinned.clone(), zeros(after)], 1),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Int};

    use super::*;

    #[test]
    fn the_shortcut_without_parameters_thins_and_pads() {
        let device = Device::flex();
        let input = Tensor::<1, Int>::arange(0..2 * 3 * 3, &device)
            .float()
            .reshape([1, 2, 3, 3]);
        let output = zero_padded(input, 2, halves(3));
        assert_eq!(output.dims(), [1, 5, 2, 2]);
        let values = output.into_data().try_to_vec::<f32>().unwrap();
        let expected = [
            [0., 0., 0., 0.],
            [0., 2., 6., 8.],
            [9., 11., 15., 17.],
            [0., 0., 0., 0.],
            [0., 0., 0., 0.],
        ];
        assert_eq!(values, expected.as_flattened());
    }

    #[test]
    fn the_shortcut_without_parameters_keeps_the_precision() {
        let input = Tensor::<4>::ones([1, 2, 2, 2], &Device::flex()).cast(DType::F64);
        let output = zero_padded(input, 1, halves(3));
        assert_eq!((output.dtype(), output.dims()), (DType::F64, [1, 5, 2, 2]));
    }

    #[test]
    fn a_shortcut_that_changes_nothing_is_the_identity() {
        let input = Tensor::<4>::ones([2, 3, 5, 4], &Device::flex());
        let output = zero_padded(input.clone(), 1, halves(0));
        assert_eq!(output.into_data(), input.into_data());
    }
}
