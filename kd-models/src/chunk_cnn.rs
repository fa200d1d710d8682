//! A plain convolutional network with free widths: the template of students that learn a chunk, and of
//! teachers as the teacher-class paper has them.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use burn::nn::{Dropout, DropoutConfig, Initializer, Linear, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, CountCosts, Error, Result, Scheme, StagedNetwork, initialise};
use kd_kernels::max_pool2d;
use serde::{Deserialize, Serialize};

use crate::layers::{check_size, check_widths, linear, normed_relu};
use crate::spec::check_classes;

/// The most blocks, convolutions of a block and hidden layers.
const MOST: usize = 16;
/// The largest side of a kernel or of the pooling in front.
const LARGEST: usize = 16;

/// Widths of a plain convolutional network.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkCnnConfig {
    /// The side of the mean pooling in front of everything; 1 for none.
    #[serde(default = "one")]
    pub pool: usize,
    /// Output channels of the convolutions of each block. A max pooling by 2 follows each block.
    pub blocks: Vec<Vec<usize>>,
    /// Features of the hidden linear layers.
    pub hidden: Vec<usize>,
    /// The side of the kernels of the first block; those of the others have 3.
    #[serde(default = "three")]
    pub kernel: usize,
    /// Whether the convolutions keep the size of their map.
    #[serde(default)]
    pub padded: bool,
    /// The dropout after each block, in percent; none where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub block_dropout: Vec<usize>,
    /// The dropout after each hidden layer, in percent; after the flattened map where there is no hidden
    /// layer; none where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden_dropout: Vec<usize>,
}

fn one() -> usize {
    1
}

fn three() -> usize {
    3
}

impl ChunkCnnConfig {
    /// The template: behind a mean pooling by 2, blocks of 8, 8 and of 16 channels, 32 hidden features.
    pub fn template() -> Self {
        Self {
            pool: 2,
            blocks: vec![vec![8, 8], vec![16]],
            hidden: vec![32],
            kernel: 3,
            padded: true,
            block_dropout: Vec::new(),
            hidden_dropout: Vec::new(),
        }
    }

    pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_classes(classes)?;
        self.check_counts()?;
        check_widths(&self.widths())?;
        check_size(self.widths().into_iter().map(|width| [1, width]))?;
        if self.flattened(input).is_some_and(|features| features > 0) {
            return Ok(());
        }
        let problem = format!(
            "of {input:?} leave no pixel after {} blocks with kernels of {} behind a pooling by {}; give \
             larger images, fewer blocks, or `padded`",
            self.blocks.len(),
            self.kernel,
            self.pool
        );
        Err(Error::config("input", problem))
    }

    fn check_counts(&self) -> Result<()> {
        let wrong = |field: &str, problem: String| Err(Error::config(field, problem));
        let between = |field: &str, least: usize, most: usize, found: usize| {
            if (least..=most).contains(&found) {
                return Ok(());
            }
            wrong(field, format!("must be {least} to {most}, got {found}"))
        };
        between("pool", 1, LARGEST, self.pool)?;
        between("kernel", 1, LARGEST, self.kernel)?;
        if self.padded && self.kernel.is_multiple_of(2) {
            let problem = format!("must be odd where `padded` is true, got {}", self.kernel);
            return wrong("kernel", problem);
        }
        between("the number of `blocks`", 1, MOST, self.blocks.len())?;
        for block in &self.blocks {
            between("the convolutions of each of `blocks`", 1, MOST, block.len())?;
        }
        between("the number of `hidden`", 0, MOST, self.hidden.len())?;
        let dropouts = [
            ("block_dropout", &self.block_dropout, self.blocks.len()),
            (
                "hidden_dropout",
                &self.hidden_dropout,
                self.hidden.len().max(1),
            ),
        ];
        for (field, dropout, most) in dropouts {
            if dropout.len() > most {
                let problem = format!("must have at most {most} numbers, got {}", dropout.len());
                return wrong(field, problem);
            }
            if let Some(share) = dropout.iter().find(|&&share| share >= 100) {
                return wrong(field, format!("must be below 100 percent, got {share}"));
            }
        }
        Ok(())
    }

    /// All widths: of convolutions, then of hidden layers.
    pub(crate) fn widths(&self) -> Vec<usize> {
        let convolutions = self.blocks.iter().flatten();
        convolutions.chain(&self.hidden).copied().collect()
    }

    /// The side of the kernels of a block.
    fn kernel_of(&self, block: usize) -> usize {
        if block == 0 { self.kernel } else { 3 }
    }

    /// A side of the map after a convolution.
    fn after_conv(&self, side: usize, kernel: usize) -> Option<usize> {
        if self.padded {
            Some(side)
        } else {
            (side + 1).checked_sub(kernel).filter(|&side| side > 0)
        }
    }

    /// The features of the flattened map; none if no pixel is left.
    fn flattened(&self, input: [usize; 3]) -> Option<usize> {
        let [_, height, width] = input;
        let side = |mut side: usize| {
            side /= self.pool;
            for (block, widths) in self.blocks.iter().enumerate() {
                for _ in widths {
                    side = self.after_conv(side, self.kernel_of(block))?;
                }
                side /= 2;
            }
            (side > 0).then_some(side)
        };
        let channels = self.blocks.last()?.last()?;
        Some(side(height)? * side(width)? * channels)
    }

    /// Parameters and multiply-accumulates of the network for one image, without building it; none if it
    /// cannot take the images.
    pub fn counts(&self, input: [usize; 3], classes: usize) -> Option<[u64; 2]> {
        let [mut channels, height, width] = input;
        let (mut height, mut width) = (height / self.pool.max(1), width / self.pool.max(1));
        let (mut parameters, mut macs) = (0, 0);
        for (block, widths) in self.blocks.iter().enumerate() {
            let kernel = self.kernel_of(block);
            for &out in widths {
                let weights = (channels * out * kernel * kernel) as u64;
                height = self.after_conv(height, kernel)?;
                width = self.after_conv(width, kernel)?;
                parameters += weights + out as u64;
                macs += weights * (height * width) as u64;
                channels = out;
            }
            (height, width) = (height / 2, width / 2);
        }
        let mut features = channels * height * width;
        if features == 0 {
            return None;
        }
        for &out in self.hidden.iter().chain([&classes]) {
            let weights = (features * out) as u64;
            parameters += weights + out as u64;
            macs += weights;
            features = out;
        }
        Some([parameters, macs])
    }
}

/// A plain convolutional network with free widths.
///
/// ```text
/// mean pool - { conv - relu - ... - max pool 2 - dropout } for each block
///           - flatten - { linear - relu - dropout } for each hidden layer - linear
/// ```
///
/// With the widths of the official code these are the teacher and the students of the teacher-class paper on
/// MNIST and Fashion-MNIST, and its students on CIFAR-10.
///
/// * **Stages**: `block0`, `block1`, ... Their maps are taken after the pooling and the dropout.
/// * **Dense**: the last hidden layer after its ReLU, before its dropout; the flattened map where there is
///   none. The hidden layers belong to the head.
/// * **Names** in files: `blocks.B.C` (convolutions), `hidden.H`, `fc`.
/// * **Initial weights**: uniform with variance `2 / fan_in`, biases as PyTorch has them. The official code
///   draws the convolutions on grey images normal with standard deviation 0.05.
///
/// # References
///
/// Malik, Mohbat, Haider, Rasheed, Taj, "Teacher-Class Network: A Neural Network Compression Mechanism", BMVC
/// 2021, arXiv:2004.03281, by its official notebooks.
#[derive(Module, Debug)]
pub struct ChunkCnn {
    blocks: Vec<Vec<Conv2d>>,
    hidden: Vec<Linear>,
    fc: Linear,
    mean_pool: Option<AvgPool2d>,
    max_pool: MaxPool2d,
    block_dropout: Vec<Dropout>,
    hidden_dropout: Vec<Dropout>,
}

impl ChunkCnn {
    pub(crate) const SCHEME: Scheme = Scheme::KaimingUniform;

    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the images leave no pixel after the last block, for a width, side or share out of
    /// range, or fewer than 2 classes.
    pub fn new(
        config: &ChunkCnnConfig,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let blank = Self::blank(config, input, classes, device)?;
        initialise(&blank, Self::SCHEME, seed)
    }

    pub(crate) fn blank(
        config: &ChunkCnnConfig,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        let mut channels = input[0];
        let mut blocks = Vec::new();
        for (block, widths) in config.blocks.iter().enumerate() {
            let kernel = config.kernel_of(block);
            let mut convolutions = Vec::new();
            for &width in widths {
                convolutions.push(conv([channels, width], kernel, config.padded, device));
                channels = width;
            }
            blocks.push(convolutions);
        }
        let mut features = config.flattened(input).unwrap_or_default();
        let mut hidden = Vec::new();
        for &width in &config.hidden {
            hidden.push(linear(features, width, device));
            features = width;
        }
        let pool = [config.pool, config.pool];
        let mean_pool = AvgPool2dConfig::new(pool).with_strides(pool);
        Ok(Self {
            blocks,
            hidden,
            fc: linear(features, classes, device),
            mean_pool: (config.pool > 1).then(|| mean_pool.init()),
            max_pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            block_dropout: dropouts(&config.block_dropout),
            hidden_dropout: dropouts(&config.hidden_dropout),
        })
    }

    /// The dropout behind hidden layer `layer`, if there is one.
    fn dropped(&self, layer: usize, features: Tensor<2>) -> Tensor<2> {
        match self.hidden_dropout.get(layer) {
            Some(dropout) => dropout.forward(features),
            None => features,
        }
    }
}

fn conv(channels: [usize; 2], kernel: usize, padded: bool, device: &Device) -> Conv2d {
    let padding = if padded { kernel / 2 } else { 0 };
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_padding(PaddingConfig2d::Explicit(
            padding, padding, padding, padding,
        ))
        .with_initializer(Initializer::Zeros)
        .init(device)
}

/// Dropout layers of these shares in percent.
fn dropouts(percent: &[usize]) -> Vec<Dropout> {
    let dropout = |&share: &usize| DropoutConfig::new(share as f64 / 100.0).init();
    percent.iter().map(dropout).collect()
}

impl StagedNetwork for ChunkCnn {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        (0..self.blocks.len()).map(stage_name).collect()
    }

    fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
        let before = match (stage.checked_sub(1), &self.mean_pool) {
            (Some(before), _) => earlier[before].clone(),
            (None, Some(pool)) => pool.forward(input.clone()),
            (None, None) => input.clone(),
        };
        let convolutions = self.blocks[stage].iter();
        let map = convolutions.fold(before, |map, conv| normed_relu(conv, None, map));
        let map = max_pool2d(&self.max_pool, map);
        match self.block_dropout.get(stage) {
            Some(dropout) => dropout.forward(map),
            None => map,
        }
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        let last = maps[self.blocks.len() - 1].clone();
        let mut features = last.flatten(1, 3); // [batch_size, channels * height * width]
        for (layer, hidden) in self.hidden.iter().enumerate() {
            if let Some(before) = layer.checked_sub(1) {
                features = self.dropped(before, features);
            }
            features = relu(hidden.forward(features));
        }
        features
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        let last = self.hidden.len().saturating_sub(1);
        self.fc.forward(self.dropped(last, dense))
    }

    fn stage_parameters(&self, stage: usize) -> Vec<String> {
        vec![format!("blocks.{stage}")]
    }
}

fn stage_name(block: usize) -> String {
    format!("block{block}")
}

impl CountCosts for ChunkCnn {
    fn costs(&self, input: [usize; 3]) -> Result<Costs> {
        let [channels, height, width] = input;
        let pool = self
            .mean_pool
            .as_ref()
            .map_or(1, |pool| pool.kernel_size[0]);
        let mut map = [channels, height / pool, width / pool];
        let mut costs = Costs::new();
        for (block, convolutions) in self.blocks.iter().enumerate() {
            for (index, conv) in convolutions.iter().enumerate() {
                let path = format!("blocks.{block}.{index}");
                map = costs.conv2d(&stage_name(block), &path, conv, map)?;
            }
            map = [map[0], map[1] / 2, map[2] / 2];
        }
        let first = self.hidden.first().unwrap_or(&self.fc);
        let [expected, _]: [usize; 2] = first.weight.lazy_shape().dims();
        let found: usize = map.into_iter().product();
        if found != expected {
            return Err(Error::Shape {
                what: "input of the first linear layer".into(),
                expected: format!("{expected} features"),
                found: format!("{found}"),
                remedy: "count with the image size that the network was built for".into(),
            });
        }
        for (index, hidden) in self.hidden.iter().enumerate() {
            costs.linear("head", &format!("hidden.{index}"), hidden, 1);
        }
        costs.linear("head", "fc", &self.fc, 1);
        Ok(costs)
    }
}
