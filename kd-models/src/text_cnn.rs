//! A convolutional network for text: the teacher and the students of the teacher-class paper on reviews.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{
    Dropout, DropoutConfig, Embedding, EmbeddingConfig, Initializer, Linear, PaddingConfig2d,
};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor};
use kd_core::{
    Costs, CountCosts, Error, LayerCost, LayerKind, Result, Scheme, StagedNetwork, initialise_parts,
};
use kd_kernels::max_pool2d;
use serde::{Deserialize, Serialize};

use crate::layers::{check_size, check_widths, linear, normed_relu};
use crate::named::ModelNetwork;
use crate::spec::{NetworkSpec, check_classes};

/// The most blocks, convolutions of a block and hidden layers.
const MOST: usize = 16;
/// The length of the kernels.
const KERNEL: usize = 3;

/// Widths of a convolutional network for text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextCnnConfig {
    /// Features of a token's embedding.
    pub embedding: usize,
    /// Output channels of the convolutions of each block. A max pooling by 2 follows each block.
    pub blocks: Vec<Vec<usize>>,
    /// Features of the hidden linear layers.
    pub hidden: Vec<usize>,
    /// Tokens from one place of a kernel to the next.
    #[serde(default = "one")]
    pub stride: usize,
    /// Whether a convolution sees one place beyond either end, so that it keeps the length at stride 1.
    #[serde(default)]
    pub padded: bool,
    /// The dropout of the embedded tokens, in percent.
    #[serde(default, skip_serializing_if = "is_none")]
    pub embedding_dropout: usize,
    /// The dropout of the flattened map, in percent.
    #[serde(default, skip_serializing_if = "is_none")]
    pub flat_dropout: usize,
    /// The dropout after each hidden layer, in percent; none where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden_dropout: Vec<usize>,
}

fn one() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
fn is_none(percent: &usize) -> bool {
    *percent == 0
}

impl TextCnnConfig {
    /// A small network of our own: embeddings of 16 features, one convolution of 32 channels, 32 hidden
    /// features.
    pub fn template() -> Self {
        Self {
            embedding: 16,
            blocks: vec![vec![32]],
            hidden: vec![32],
            stride: 1,
            padded: true,
            embedding_dropout: 0,
            flat_dropout: 0,
            hidden_dropout: Vec::new(),
        }
    }

    /// The teacher of the teacher-class paper's code on reviews.
    pub fn teacher() -> Self {
        Self {
            embedding: 32,
            blocks: vec![vec![64, 64]],
            hidden: vec![256],
            ..Self::template()
        }
    }

    /// A student of that code: channels of its two convolutions, their stride, hidden features.
    pub fn student(channels: [usize; 2], stride: usize, hidden: usize) -> Self {
        Self {
            embedding: 10,
            blocks: channels.map(|width| vec![width]).to_vec(),
            hidden: vec![hidden],
            stride,
            padded: false,
            embedding_dropout: 20,
            flat_dropout: 40,
            hidden_dropout: vec![20],
        }
    }

    pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_classes(classes)?;
        self.check_counts()?;
        check_widths(&self.widths())?;
        check_size(self.widths().into_iter().map(|width| [1, width]))?;
        let [vocabulary, height, length] = input;
        if height != 1 || vocabulary == 0 {
            let problem = format!(
                "of a network for text must be [vocabulary, 1, length], got {input:?}; use a network for \
                 images with images, and one for text with texts"
            );
            return Err(Error::config("input", problem));
        }
        if self.flattened(length).is_some() {
            return Ok(());
        }
        let problem = format!(
            "has texts of {length} tokens, of which {} blocks with kernels of {KERNEL} at stride {} leave \
             nothing; give longer texts or fewer blocks",
            self.blocks.len(),
            self.stride
        );
        Err(Error::config("input", problem))
    }

    fn check_counts(&self) -> Result<()> {
        let between = |field: &str, least: usize, most: usize, found: usize| {
            if (least..=most).contains(&found) {
                return Ok(());
            }
            let problem = format!("must be {least} to {most}, got {found}");
            Err(Error::config(field, problem))
        };
        between("stride", 1, MOST, self.stride)?;
        between("the number of `blocks`", 1, MOST, self.blocks.len())?;
        for block in &self.blocks {
            between("the convolutions of each of `blocks`", 1, MOST, block.len())?;
        }
        between("the number of `hidden`", 0, MOST, self.hidden.len())?;
        let shares = self.hidden_dropout.len();
        between(
            "the number of `hidden_dropout`",
            0,
            self.hidden.len(),
            shares,
        )?;
        let shares = [self.embedding_dropout, self.flat_dropout].into_iter();
        for share in shares.chain(self.hidden_dropout.iter().copied()) {
            between("dropout in percent", 0, 99, share)?;
        }
        Ok(())
    }

    /// All widths: of the embedding, of convolutions, of hidden layers.
    fn widths(&self) -> Vec<usize> {
        let convolutions = self.blocks.iter().flatten();
        let all = std::iter::once(&self.embedding).chain(convolutions);
        all.chain(&self.hidden).copied().collect()
    }

    /// The length of a map after a convolution; none if nothing is left.
    fn after_conv(&self, length: usize) -> Option<usize> {
        let padding = if self.padded { 2 } else { 0 };
        let room = (length + padding).checked_sub(KERNEL)?;
        Some(room / self.stride + 1)
    }

    /// The features of the flattened map of texts of `length` tokens; none if nothing is left.
    fn flattened(&self, mut length: usize) -> Option<usize> {
        for widths in &self.blocks {
            for _ in widths {
                length = self.after_conv(length)?;
            }
            length /= 2;
        }
        let channels = self.blocks.last()?.last()?;
        (length > 0).then_some(length * channels)
    }

    /// Parameters and multiply-accumulates of the network for one text of `[vocabulary, 1, length]`, without
    /// building it; none if it cannot take the texts.
    pub fn counts(&self, input: [usize; 3], classes: usize) -> Option<[u64; 2]> {
        let [vocabulary, _, mut length] = input;
        let mut features = self.embedding;
        let (mut parameters, mut macs) = ((vocabulary * features) as u64, 0);
        for widths in &self.blocks {
            for &out in widths {
                let weights = (features * out * KERNEL) as u64;
                length = self.after_conv(length)?;
                parameters += weights + out as u64;
                macs += weights * length as u64;
                features = out;
            }
            length /= 2;
        }
        features *= length;
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

/// A convolutional network for text.
///
/// ```text
/// embedding - dropout - { conv 3 - relu - ... - max pool 2 } for each block
///           - flatten - dropout - { linear - relu - dropout } for each hidden layer - linear
/// ```
///
/// Its input is token ids `[batch_size, length]`. With the widths of the official code these are the teacher
/// and the students of the teacher-class paper on IMDB, but for the teacher's head: two logits in place of
/// one with a sigmoid, which is the same function with 257 parameters more, and the students' linear outputs,
/// as everywhere in kd.
///
/// * **Stages**: `embedding`, `block0`, `block1`, ... Their maps are `[batch_size, channels, 1, length]`,
///   those of blocks after the pooling.
/// * **Dense**: the last hidden layer after its ReLU, before its dropout; the flattened map where there is
///   none. The hidden layers belong to the head.
/// * **Names** in files: `embedding`, `blocks.B.C` (convolutions with kernels of 1x3), `hidden.H`, `fc`.
/// * **Initial weights**: embeddings normal with standard deviation 0.02, the others uniform with variance
///   `2 / (fan_in + fan_out)` and biases of zero, as in Keras, whose embeddings are uniform with 0.029.
///
/// # References
///
/// Malik, Mohbat, Haider, Rasheed, Taj, "Teacher-Class Network: A Neural Network Compression Mechanism", BMVC
/// 2021, arXiv:2004.03281, by its official notebooks.
#[derive(Module, Debug)]
pub struct TextCnn {
    embedding: Embedding,
    blocks: Vec<Vec<Conv2d>>,
    hidden: Vec<Linear>,
    fc: Linear,
    max_pool: MaxPool2d,
    embedding_dropout: Dropout,
    flat_dropout: Dropout,
    hidden_dropout: Vec<Dropout>,
}

impl TextCnn {
    /// The name of the family.
    pub const FAMILY: &'static str = "text-cnn";

    /// A network for texts of `[vocabulary, 1, length]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the texts are too short, for a width, stride or share out of range, or fewer than
    /// 2 classes.
    pub fn new(
        config: &TextCnnConfig,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        Self::of_config(config, input, classes, device)?.drawn(seed)
    }

    fn drawn(&self, seed: u64) -> Result<Self> {
        let scheme = |layer: &str| match layer {
            "embedding" => Scheme::Small,
            _ => Scheme::XavierUniformZeroBias,
        };
        initialise_parts(self, scheme, seed)
    }

    fn of_config(
        config: &TextCnnConfig,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        let [vocabulary, _, length] = input;
        let mut features = config.embedding;
        let mut blocks = Vec::new();
        for widths in &config.blocks {
            let mut convolutions = Vec::new();
            for &width in widths {
                convolutions.push(conv([features, width], config, device));
                features = width;
            }
            blocks.push(convolutions);
        }
        let mut features = config.flattened(length).unwrap_or_default();
        let mut hidden = Vec::new();
        for &width in &config.hidden {
            hidden.push(linear(features, width, device));
            features = width;
        }
        let embedding = EmbeddingConfig::new(vocabulary, config.embedding);
        let shares = config.hidden_dropout.iter().copied();
        Ok(Self {
            embedding: embedding.with_initializer(Initializer::Zeros).init(device),
            blocks,
            hidden,
            fc: linear(features, classes, device),
            max_pool: MaxPool2dConfig::new([1, 2]).with_strides([1, 2]).init(),
            embedding_dropout: dropout(config.embedding_dropout),
            flat_dropout: dropout(config.flat_dropout),
            hidden_dropout: shares.map(dropout).collect(),
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

fn conv(channels: [usize; 2], config: &TextCnnConfig, device: &Device) -> Conv2d {
    let padding = usize::from(config.padded);
    Conv2dConfig::new(channels, [1, KERNEL])
        .with_stride([1, config.stride])
        .with_padding(PaddingConfig2d::Explicit(0, padding, 0, padding))
        .with_initializer(Initializer::Zeros)
        .init(device)
}

fn dropout(percent: usize) -> Dropout {
    DropoutConfig::new(percent as f64 / 100.0).init()
}

impl StagedNetwork for TextCnn {
    type Input = Tensor<2, Int>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        let blocks = (0..self.blocks.len()).map(block_name);
        std::iter::once("embedding".to_owned())
            .chain(blocks)
            .collect()
    }

    fn forward_stage(
        &self,
        stage: usize,
        input: &Tensor<2, Int>,
        earlier: &[Tensor<4>],
    ) -> Tensor<4> {
        let Some(block) = stage.checked_sub(1) else {
            let embedded = self.embedding.forward(input.clone()); // [batch_size, length, features]
            let map = embedded.swap_dims(1, 2).unsqueeze_dim(2); // [batch_size, features, 1, length]
            return self.embedding_dropout.forward(map);
        };
        let convolutions = self.blocks[block].iter();
        let map = convolutions.fold(earlier[block].clone(), |map, conv| {
            normed_relu(conv, None, map)
        });
        max_pool2d(&self.max_pool, map)
    }

    fn forward_dense(&self, _input: &Tensor<2, Int>, maps: &[Tensor<4>]) -> Tensor<2> {
        let last = maps[self.blocks.len()].clone();
        let flat = last.flatten(1, 3); // [batch_size, channels * length]
        let mut features = self.flat_dropout.forward(flat);
        for (layer, hidden) in self.hidden.iter().enumerate() {
            if let Some(before) = layer.checked_sub(1) {
                features = self.dropped(before, features);
            }
            features = relu(hidden.forward(features));
        }
        features
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        let dense = match self.hidden.len().checked_sub(1) {
            Some(last) => self.dropped(last, dense),
            None => dense,
        };
        self.fc.forward(dense)
    }

    fn stage_parameters(&self, stage: usize) -> Vec<String> {
        match stage.checked_sub(1) {
            Some(block) => vec![format!("blocks.{block}")],
            None => vec!["embedding".into()],
        }
    }
}

fn block_name(block: usize) -> String {
    format!("block{block}")
}

impl CountCosts for TextCnn {
    fn costs(&self, input: [usize; 3]) -> Result<Costs> {
        let [vocabulary, features]: [usize; 2] = self.embedding.weight.lazy_shape().dims();
        let mut costs = Costs::new();
        costs.push(LayerCost {
            stage: "embedding".into(),
            layer: "embedding".into(),
            kind: LayerKind::Embedding,
            params: (vocabulary * features) as u64,
            macs: 0,
            outputs: (features * input[2]) as u64,
        });
        let mut map = [features, 1, input[2]];
        for (block, convolutions) in self.blocks.iter().enumerate() {
            for (index, conv) in convolutions.iter().enumerate() {
                let path = format!("blocks.{block}.{index}");
                map = costs.conv2d(&block_name(block), &path, conv, map)?;
            }
            map = [map[0], 1, map[2] / 2];
        }
        let first = self.hidden.first().unwrap_or(&self.fc);
        let [expected, _]: [usize; 2] = first.weight.lazy_shape().dims();
        let found: usize = map.into_iter().product();
        if (found, input[0]) != (expected, vocabulary) {
            return Err(Error::Shape {
                what: "texts for the network".into(),
                expected: format!(
                    "a vocabulary of {vocabulary}, {expected} features of the last map"
                ),
                found: format!("{} and {found}", input[0]),
                remedy: "count with the texts that the network was built for".into(),
            });
        }
        for (index, hidden) in self.hidden.iter().enumerate() {
            costs.linear("head", &format!("hidden.{index}"), hidden, 1);
        }
        costs.linear("head", "fc", &self.fc, 1);
        Ok(costs)
    }
}

impl ModelNetwork for TextCnn {
    const FAMILIES: &'static [&'static str] = &[Self::FAMILY];

    fn blank(spec: &NetworkSpec, device: &Device) -> Result<Self> {
        Self::check_spec(spec)?;
        let config: TextCnnConfig = spec.config_of(Self::FAMILY)?;
        Self::of_config(&config, spec.input, spec.classes, device)
    }

    fn build(spec: &NetworkSpec, seed: u64, device: &Device) -> Result<Self> {
        Self::blank(spec, device)?.drawn(seed)
    }
}
