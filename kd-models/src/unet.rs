//! The U-Nets of Stagewise KD: an encoder from its ResNets, a decoder, and a convolution as head.

use burn::module::Module;
use burn::nn::BatchNorm;
use burn::nn::conv::Conv2d;
use burn::nn::pool::MaxPool2d;
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, CountCosts, Error, Result, Scheme, StagedNetwork, initialise_parts};
use serde::{Deserialize, Serialize};

use crate::block::Block;
use crate::chain::stem_and_fields;
use crate::layers::{
    Counter, blank_conv, check_input, check_widths, conv, doubled, fold, halving_pool, norm,
    normed_relu,
};
use crate::named::ModelNetwork;
use crate::resnet_body::{Body, Pooling};
use crate::skd_resnet::{SkdResNetConfig, StemKind};
use crate::spec::{NetworkSpec, check_classes};
use crate::structure::Structure;

/// Encoder and widths of a U-Net.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UNetConfig {
    /// The ResNet that the encoder is, without its head; its stem is [`StemKind::Large`].
    pub encoder: SkdResNetConfig,
    /// Channels of the maps of the five decoder blocks.
    pub decoder: [usize; 5],
    /// The side of the kernel of the head, 3 as in the paper or another odd number. With 1 the logits of a
    /// pixel are an affine function of its channels alone, which a class of students asks for.
    #[serde(default = "three", skip_serializing_if = "is_three")]
    pub head: usize,
}

fn three() -> usize {
    3
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_three(head: &usize) -> bool {
    *head == 3
}

impl UNetConfig {
    /// A decoder of the paper's widths 256, 128, 64, 32 and 16.
    pub const fn ordinary(encoder: SkdResNetConfig) -> Self {
        Self {
            encoder,
            decoder: [256, 128, 64, 32, 16],
            head: 3,
        }
    }

    /// A quarter of the paper's widths everywhere: 16, 32, 64 and 128 in the encoder, 64, 32, 16, 8 and 4 in
    /// the decoder.
    ///
    /// This family is not the paper's: it is for runs on a CPU.
    pub const fn small(encoder: SkdResNetConfig) -> Self {
        Self {
            encoder: encoder.small(),
            decoder: [64, 32, 16, 8, 4],
            head: 3,
        }
    }

    /// The same with another side of the head's kernel.
    #[must_use]
    pub const fn with_head(self, head: usize) -> Self {
        Self { head, ..self }
    }

    pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_input("a U-Net", input, 1)?;
        let [_, height, width] = input;
        if height % SIDE != 0 || width % SIDE != 0 {
            let problem = format!(
                "of a U-Net must have a height and a width that are multiples of {SIDE}, got \
                 {input:?}; resize or crop the images"
            );
            return Err(Error::config("input", problem));
        }
        check_classes(classes)?;
        if self.encoder.stem != StemKind::Large {
            let problem = "of a U-Net's encoder must be the large one, as the decoder doubles the size \
                five times";
            return Err(Error::config("stem", problem));
        }
        self.encoder.check(input, classes)?;
        if !(1..=LARGEST_HEAD).contains(&self.head) || self.head.is_multiple_of(2) {
            let problem = format!(
                "of a U-Net must be odd and at most {LARGEST_HEAD}, got {}",
                self.head
            );
            return Err(Error::config("head", problem));
        }
        check_widths(&self.decoder)
    }

    /// Parameters and multiply-accumulates of the network for one image, without building it; none if it
    /// cannot take the images.
    pub fn counts(&self, input: [usize; 3], classes: usize) -> Option<[u64; 2]> {
        let [channels, height, width] = input;
        if channels * height * width == 0 || height % SIDE != 0 || width % SIDE != 0 {
            return None;
        }
        let mut all = Counts([0, 0]);
        let at = |halved: u32| (height >> halved) * (width >> halved);
        let [first, ..] = self.encoder.widths;
        all.normed([channels, first], 7, at(1));
        let mut before = first;
        for (group, (&blocks, &width)) in self
            .encoder
            .blocks
            .iter()
            .zip(&self.encoder.widths)
            .enumerate()
        {
            let pixels = at(u32::try_from(group).ok()? + 2);
            for block in 0..blocks {
                all.normed([before, width], 3, pixels);
                all.normed([width, width], 3, pixels);
                // The first block of a group shrinks the map, but for the first group.
                if block == 0 && (group > 0 || before != width) {
                    all.normed([before, width], 1, pixels);
                }
                before = width;
            }
        }
        for (halved, [before, skip, width]) in (0..5).rev().zip(self.decoder_channels()) {
            all.normed([before + skip, width], 3, at(halved));
            all.normed([width, width], 3, at(halved));
        }
        let [.., last] = self.decoder;
        all.conv([last, classes], self.head, at(0));
        all.0[0] += classes as u64;
        Some(all.0)
    }

    /// Channels that each decoder block is given from the block before it, from the encoder, and that it
    /// makes.
    fn decoder_channels(&self) -> [[usize; 3]; BLOCKS] {
        let [first, second, third, last] = self.encoder.widths;
        let skips = [third, second, first, first, 0];
        [0, 1, 2, 3, 4].map(|block| {
            let before = if block == 0 {
                last
            } else {
                self.decoder[block - 1]
            };
            [before, skips[block], self.decoder[block]]
        })
    }
}

/// Parameters and multiply-accumulates of layers.
struct Counts([u64; 2]);

impl Counts {
    /// A convolution without bias whose map has so many pixels.
    fn conv(&mut self, channels: [usize; 2], kernel: usize, pixels: usize) {
        let weights = (channels[0] * channels[1] * kernel * kernel) as u64;
        self.0[0] += weights;
        self.0[1] += weights * pixels as u64;
    }

    /// A convolution and its batch norm, whose work does not count.
    fn normed(&mut self, channels: [usize; 2], kernel: usize, pixels: usize) {
        self.conv(channels, kernel, pixels);
        self.0[0] += 2 * channels[1] as u64;
    }
}

/// The largest side of the head's kernel.
const LARGEST_HEAD: usize = 15;
/// The name of the family in files.
const FAMILY: &str = "skd-unet";
/// Height and width must be multiples of this, as the encoder halves them five times.
const SIDE: usize = 32;
/// Stages of the encoder.
const ENCODER: usize = 5;
/// Blocks of the decoder.
const BLOCKS: usize = 5;

/// A U-Net of Stagewise KD (`skd-unet-resnet10` to `skd-unet-resnet34`, `skd-unet-small-resnet10` to
/// `skd-unet-small-resnet34`).
///
/// The encoder is [`SkdResNet`](crate::SkdResNet) without its head. Each decoder block doubles the size of
/// the map before it by repeating pixels, joins the encoder's map of that size behind it (the last block has
/// none), and applies two 3x3 convolutions, each with a batch norm and ReLU. The head is a 3x3 convolution
/// with bias, or one with another kernel ([`UNetConfig::head`]). Students and teacher differ in the encoder's
/// blocks alone; the decoder is the same.
///
/// | stage | map at 480x640 | made of |
/// | --- | --- | --- |
/// | `stem` | 64x240x320 | the images |
/// | `layer1` | 64x120x160 | `stem`, after 3x3 maximum pooling with stride 2 |
/// | `layer2`, `layer3`, `layer4` | 128x60x80, 256x30x40, 512x15x20 | the stage before |
/// | `decoder0` | 256x30x40 | `layer4`, `layer3` |
/// | `decoder1` | 128x60x80 | `decoder0`, `layer2` |
/// | `decoder2` | 64x120x160 | `decoder1`, `layer1` |
/// | `decoder3` | 32x240x320 | `decoder2`, `stem` |
/// | `decoder4` | 16x480x640 | `decoder3` |
///
/// * **Maps** are taken after the ReLU, that of the stem before the pooling.
/// * **Dense**: the map of `decoder4`.
/// * **Output**: logits of every pixel, `[batch_size, num_classes, height, width]`.
/// * **Names** in files: `encoder.conv1`, `encoder.bn1`, `encoder.layerS.I.conv1`, ...,
///   `decoder.blocks.I.conv1.0` (the convolution) and `.1` (its norm), `decoder.blocks.I.conv2.0` and `.1`,
///   `segmentation_head.0`: those of the Python package `segmentation_models_pytorch`.
/// * **Initial weights**: the encoder's convolutions normal with variance `2 / fan_out`, the decoder's
///   uniform with variance `2 / fan_in`, the head's uniform with variance `2 / (fan_in + fan_out)` and a bias
///   of 0; norms 1 and 0.
///
/// Images have sides that are multiples of 32. The networks called `small`, with a quarter of the widths in
/// encoder and decoder, are ours and not the paper's.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_core::StagedNetwork;
/// use kd_models::{ModelNetwork, NetworkSpec, UNet};
///
/// let device = Device::flex();
/// let spec = NetworkSpec::new("skd-unet-small-resnet10", 12, [3, 64, 32]);
/// let network = UNet::build(&spec, 0, &device)?;
/// let trace = network.forward_traced(&Tensor::zeros([2, 3, 64, 32], &device));
/// assert_eq!(trace.maps[network.tap("decoder0")?].dims(), [2, 64, 4, 2]);
/// assert_eq!(trace.output.dims(), [2, 12, 64, 32]);
/// # Ok::<(), kd_core::Error>(())
/// ```
///
/// # References
///
/// Kulkarni, Panchi, Raparthy, Chiddarwar, "Data Efficient Stagewise Knowledge Distillation", 2020,
/// arXiv:1911.06786, and its public code, <https://github.com/IvLabs/stagewise-knowledge-distillation>;
/// Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI
/// 2015, arXiv:1505.04597, for the form.
#[derive(Module, Debug)]
pub struct UNet {
    encoder: Encoder,
    decoder: Decoder,
    segmentation_head: [Conv2d; 1],
}

#[derive(Module, Debug)]
struct Encoder {
    conv1: Conv2d,
    bn1: Option<BatchNorm>,
    pool: MaxPool2d,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
}

#[derive(Module, Debug)]
struct Decoder {
    blocks: Vec<DecoderBlock>,
}

/// A convolution and its norm, `.0` and `.1` in files.
type ConvNorm = (Conv2d, Option<BatchNorm>);

#[derive(Module, Debug)]
struct DecoderBlock {
    conv1: ConvNorm,
    conv2: ConvNorm,
}

impl UNet {
    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a side is no multiple of 32, a size is 0, the encoder's stem is not the large
    /// one, or there are fewer than 2 classes.
    pub fn new(
        config: &UNetConfig,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        Self::with_blank_weights(config, input, classes, device)?.initialised(seed)
    }

    fn with_blank_weights(
        config: &UNetConfig,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        let [layer1, layer2, layer3, layer4] = config.encoder.groups(device);
        let encoder = Encoder {
            conv1: config.encoder.conv1(input[0], device),
            bn1: norm(config.encoder.widths[0], device),
            pool: halving_pool(),
            layer1,
            layer2,
            layer3,
            layer4,
        };
        let blocks = config
            .decoder_channels()
            .map(|[before, skip, width]| DecoderBlock::new(before + skip, width, device))
            .to_vec();
        let head =
            blank_conv([config.decoder[BLOCKS - 1], classes], config.head, 1).with_bias(true);
        Ok(Self {
            encoder,
            decoder: Decoder { blocks },
            segmentation_head: [head.init(device)],
        })
    }

    fn initialised(&self, seed: u64) -> Result<Self> {
        let scheme_of = |layer: &str| match layer.split('.').next() {
            Some("decoder") => Scheme::KaimingUniform,
            Some("segmentation_head") => Scheme::XavierUniformZeroBias,
            _ => Scheme::KaimingFanOut,
        };
        initialise_parts(self, scheme_of, seed)
    }
}

impl Encoder {
    fn body(&self) -> Body<'_> {
        Body {
            conv1: &self.conv1,
            bn1: self.bn1.as_ref(),
            pooling: Pooling::BeginsGroups(&self.pool),
            groups: vec![&self.layer1, &self.layer2, &self.layer3, &self.layer4],
            head: Vec::new(),
        }
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

impl DecoderBlock {
    fn new(channels: usize, width: usize, device: &Device) -> Self {
        Self {
            conv1: (conv([channels, width], 3, 1, device), norm(width, device)),
            conv2: (conv([width, width], 3, 1, device), norm(width, device)),
        }
    }

    /// `[batch_size, channels, height, width]` and, of twice that size, what the encoder adds.
    fn forward(&self, map: Tensor<4>, skip: Option<Tensor<4>>) -> Tensor<4> {
        let mut joined = vec![doubled(map)];
        joined.extend(skip);
        let joined = match joined.len() {
            1 => joined.remove(0),
            _ => Tensor::cat(joined, 1),
        };
        let hidden = normed_relu(&self.conv1.0, self.conv1.1.as_ref(), joined);
        normed_relu(&self.conv2.0, self.conv2.1.as_ref(), hidden)
    }
}

/// The stage whose map the decoder block joins, if any.
fn skip_of(block: usize) -> Option<usize> {
    3_usize.checked_sub(block)
}

impl StagedNetwork for UNet {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<4>;
    type Output = Tensor<4>;

    fn stage_names(&self) -> Vec<String> {
        let mut names = self.encoder.body().stages();
        names.extend((0..BLOCKS).map(|block| format!("decoder{block}")));
        names
    }

    fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
        let before = if stage == 0 {
            input
        } else {
            &earlier[stage - 1]
        };
        match stage.checked_sub(ENCODER) {
            None => self.encoder.body().run(stage, before.clone()),
            Some(block) => {
                let skip = skip_of(block).map(|stage| earlier[stage].clone());
                self.decoder.blocks[block].forward(before.clone(), skip)
            }
        }
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<4> {
        maps[maps.len() - 1].clone()
    }

    fn forward_head(&self, dense: Tensor<4>) -> Tensor<4> {
        self.segmentation_head[0].forward(dense)
    }

    fn stage_parameters(&self, stage: usize) -> Vec<String> {
        match stage.checked_sub(ENCODER) {
            None => stem_and_fields(self.encoder.body().stages(), stage)
                .into_iter()
                .map(|path| format!("encoder.{path}"))
                .collect(),
            Some(block) => vec![format!("decoder.blocks.{block}")],
        }
    }

    fn fold_norms(&self) -> Self {
        let mut network = self.valid();
        network.encoder.fold();
        for block in &mut network.decoder.blocks {
            fold(&mut block.conv1.0, &mut block.conv1.1);
            fold(&mut block.conv2.0, &mut block.conv2.1);
        }
        network
    }
}

impl CountCosts for UNet {
    fn costs(&self, input: [usize; 3]) -> Result<Costs> {
        let mut costs = Costs::new();
        let mut maps = self
            .encoder
            .body()
            .count_stages(&mut costs, "encoder.", input)?;
        for (index, block) in self.decoder.blocks.iter().enumerate() {
            let [mut channels, height, width] = maps[maps.len() - 1];
            let size = [2 * height, 2 * width];
            if let Some([skipped, height, width]) = skip_of(index).map(|stage| maps[stage]) {
                check_joined([height, width], size)?;
                channels += skipped;
            }
            let stage = format!("decoder{index}");
            let mut at = Counter::inside(&mut costs, &stage, format!("decoder.blocks.{index}"));
            let (conv, norm) = &block.conv1;
            let map = [channels, size[0], size[1]];
            let map = at.normed(["conv1.0", "conv1.1"], conv, norm.as_ref(), map)?;
            let (conv, norm) = &block.conv2;
            maps.push(at.normed(["conv2.0", "conv2.1"], conv, norm.as_ref(), map)?);
        }
        let mut at = Counter::inside(&mut costs, "head", "segmentation_head");
        at.conv("0", &self.segmentation_head[0], maps[maps.len() - 1])?;
        Ok(costs)
    }
}

/// Joined maps must have one size, which they have where the image's sides are multiples of 32.
fn check_joined(skip: [usize; 2], doubled: [usize; 2]) -> Result<()> {
    if skip == doubled {
        return Ok(());
    }
    Err(Error::Shape {
        what: "input of a U-Net".into(),
        expected: format!("a height and a width that are multiples of {SIDE}"),
        found: format!("a map of {skip:?} beside one of {doubled:?}"),
        remedy: "resize or crop the images".into(),
    })
}

impl ModelNetwork for UNet {
    const FAMILIES: &'static [&'static str] = &[FAMILY];

    fn blank(spec: &NetworkSpec, device: &Device) -> Result<Self> {
        Self::check_spec(spec)?;
        match spec.structure()? {
            Structure::UNet(config) => {
                Self::with_blank_weights(&config, spec.input, spec.classes, device)
            }
            other => Err(other.wrong_family(FAMILY)),
        }
    }

    fn build(spec: &NetworkSpec, seed: u64, device: &Device) -> Result<Self> {
        Self::blank(spec, device)?.initialised(seed)
    }
}
