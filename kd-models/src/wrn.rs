//! Wide residual networks.
#![expect(non_snake_case, reason = "fields are called as in files")]

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, BatchNormConfig, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, Result, Scheme, initialise};
use kd_kernels::{batch_norm, conv2d};

use crate::block::FreeBlock;
use crate::chain::{Chain, staged, stem_and_fields};
use crate::free_blocks::FreeBlocks;
use crate::layers::{Counter, average, check_input, conv, fold, linear, norm, normed_relu};
use crate::resnet::ResNetConfig;

/// The wide residual network (WRN) of the CRD benchmark: norm and ReLU come before each convolution.
///
/// A 3x3 convolution to 16 channels, three groups of `n` blocks with `16k`, `32k` and `64k` channels, the
/// second and third group halving the size, a norm, a ReLU, global average pooling and a linear layer:
/// `wrn-D-k` has `D = 6n + 4`.
///
/// ```text
/// x'       = relu(bn1(x))
/// block(x) = conv2(relu(bn2(conv1(x')))) + (x, or the 1x1 convolution of x' where shapes differ)
/// ```
///
/// * **Stages**: `stem`, `block1`, `block2`, `block3`. Their maps are the sums before norm and ReLU, of
///   either sign, at 1, 1, 1/2 and 1/4 of the input's size.
/// * **Dense**: the pooled vector, `64k` features. The last norm belongs to the head.
/// * **Names** in files: `conv1`, `blockS.layer.I.bn1`, `.conv1`, `.bn2`, `.conv2`, `.convShortcut`, `bn1`,
///   `fc`.
/// * **Initial weights**: convolutions normal with variance `2 / fan_out`, the weights of the linear layer
///   uniform in `+-1/sqrt(fan_in)`, its bias 0, norms 1 and 0.
/// * [`fold_norms`](kd_core::StagedNetwork::fold_norms) folds `bn2` of each block; the other norms follow a
///   sum.
///
/// # References
///
/// Zagoruyko, Komodakis, "Wide Residual Networks", BMVC 2016, arXiv:1605.07146, as in Tian, Krishnan, Isola,
/// "Contrastive Representation Distillation", ICLR 2020, arXiv:1910.10699, without dropout. That code pools
/// 8x8 windows, which for 32x32 images is the global pooling done here.
#[derive(Module, Debug)]
pub struct WideResNet {
    conv1: Conv2d,
    block1: Group,
    block2: Group,
    block3: Group,
    bn1: BatchNorm,
    fc: Linear,
}

/// The blocks of one size; in files there is a `layer` between.
#[derive(Module, Debug)]
struct Group {
    layer: Vec<PreactivationBlock>,
}

/// A block whose norms come before its convolutions.
#[derive(Module, Debug)]
struct PreactivationBlock {
    bn1: BatchNorm,
    conv1: Conv2d,
    bn2: Option<BatchNorm>,
    conv2: Conv2d,
    convShortcut: Option<Conv2d>,
}

impl ResNetConfig {
    /// `wrn-D-k`: depth `D = 6n + 4` and widening factor `k`. A depth between is that of the next smaller
    /// network.
    pub const fn wide(depth: usize, widening: usize) -> Self {
        Self {
            blocks: depth.saturating_sub(4) / 6,
            widths: [16, 16 * widening, 32 * widening, 64 * widening],
        }
    }

    /// The structure of a wide ResNet with these widths, block by block.
    pub fn wide_blocks(&self) -> FreeBlocks {
        let [stem, widths @ ..] = self.widths;
        FreeBlocks::of(stem, &[self.blocks; 3], &widths, 1, |width| vec![width])
    }
}

impl WideResNet {
    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](kd_core::Error::Config) if a size is 0 or there are fewer than 2 classes.
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
        Self::of_blocks(&config.wide_blocks(), input, classes, device)
    }

    pub(crate) fn of_blocks(
        config: &FreeBlocks,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check_wide(input, classes)?;
        let block =
            |block: &FreeBlock, before: usize| PreactivationBlock::new(block, before, device);
        let [block1, block2, block3] = config.made(block).map(|layer| Group { layer });
        Ok(Self {
            conv1: conv([input[0], config.stem], 3, 1, device),
            block1,
            block2,
            block3,
            bn1: BatchNormConfig::new(config.features()).init(device),
            fc: linear(config.features(), classes, device),
        })
    }

    fn groups(&self) -> [&Group; 3] {
        [&self.block1, &self.block2, &self.block3]
    }
}

impl PreactivationBlock {
    fn new(block: &FreeBlock, before: usize, device: &Device) -> Self {
        let (width, stride) = (block.width, block.stride);
        let inner = block.inner.first().copied().unwrap_or(width);
        Self {
            bn1: BatchNormConfig::new(before).init(device),
            conv1: conv([before, inner], 3, stride, device),
            bn2: norm(inner, device),
            conv2: conv([inner, width], 3, 1, device),
            convShortcut: block
                .projects
                .then(|| conv([before, width], 1, stride, device)),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let active = relu(batch_norm(&self.bn1, input.clone()));
        let shortcut = match &self.convShortcut {
            Some(conv) => conv2d(conv, active.clone()),
            None => input,
        };
        let hidden = normed_relu(&self.conv1, self.bn2.as_ref(), active);
        conv2d(&self.conv2, hidden) + shortcut
    }

    fn count(&self, mut at: Counter<'_>, input: [usize; 3]) -> Result<[usize; 3]> {
        at.norm("bn1", Some(&self.bn1), input);
        let map = at.normed(["conv1", "bn2"], &self.conv1, self.bn2.as_ref(), input)?;
        if let Some(conv) = &self.convShortcut {
            at.conv("convShortcut", conv, input)?;
        }
        at.conv("conv2", &self.conv2, map)
    }
}

impl Chain for WideResNet {
    const SCHEME: Scheme = Scheme::KaimingFanOutZeroBias;

    fn stages(&self) -> Vec<String> {
        ["stem", "block1", "block2", "block3"]
            .map(str::to_owned)
            .to_vec()
    }

    fn paths(&self, stage: usize) -> Vec<String> {
        match stage {
            0 => vec!["conv1".into()],
            _ => stem_and_fields(self.stages(), stage),
        }
    }

    fn run(&self, stage: usize, map: Tensor<4>) -> Tensor<4> {
        match stage {
            0 => conv2d(&self.conv1, map),
            _ => self.groups()[stage - 1]
                .layer
                .iter()
                .fold(map, |map, block| block.forward(map)),
        }
    }

    fn dense(&self, map: Tensor<4>) -> Tensor<2> {
        average(relu(batch_norm(&self.bn1, map)))
    }

    fn last(&self) -> &Linear {
        &self.fc
    }

    fn count(&self, costs: &mut Costs, input: [usize; 3]) -> Result<()> {
        check_input("a wide ResNet", input, 1)?;
        let mut map = Counter::new(costs, "stem").conv("conv1", &self.conv1, input)?;
        for (stage, group) in self.stages()[1..].iter().zip(self.groups()) {
            for (index, block) in group.layer.iter().enumerate() {
                let path = format!("{stage}.layer.{index}");
                map = block.count(Counter::inside(costs, stage, path), map)?;
            }
        }
        Counter::new(costs, "head").norm("bn1", Some(&self.bn1), map);
        costs.linear("head", "fc", &self.fc, 1);
        Ok(())
    }

    fn fold(&mut self) {
        for group in [&mut self.block1, &mut self.block2, &mut self.block3] {
            for block in &mut group.layer {
                fold(&mut block.conv1, &mut block.bn2);
            }
        }
    }
}

staged!(WideResNet);
