//! The contrastive term of CMI, which keeps the images of all batches apart.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use kd_core::{
    Draws, Error, NamedGradients, OptimizerConfig, PhaseState, Result, Scheme, StepContext,
    Trained, count_parameters, initialise,
};
use serde::{Deserialize, Serialize};

use crate::augment::close_view;
use crate::teacher::{ImageTeacher, TeacherBatch};

/// Purposes of draws.
const CLOSE: &str = "data-free contrast views";
const NEGATIVES: &str = "data-free contrast negatives";
/// Keeps the lengths of embeddings above 0.
const EPSILON: f64 = 1e-6;

/// The features that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Compared {
    /// The channel means of the input of each batch norm of the teacher.
    Norms,
    /// Those of the map of each stage behind the stem: the public code's choice for ResNet-34, whose norms
    /// have many channels.
    Stages,
}

/// The contrastive term of CMI: each image is to be told from all others of its batch and of earlier ones by
/// a close view of it.
///
/// ```text
/// L_cr = weight (mean over the batch + mean over the remembered)
///        of  -log softmax(h(local) . h(global) / temperature)[its own]
/// ```
///
/// `global` are the channel means of the teacher's maps of the view that the other terms see, `local` those
/// of a part of the image at its size, `h` two linear layers with a `ReLU` between them and outputs of length
/// 1, which learn beside the images. No gradient goes through `h(global)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ContrastConfig {
    /// The weight of the term; with 0 there is none.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub weight: f64,
    /// The divisor of cosines.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub temperature: f64,
    /// The length of an embedding.
    #[cfg_attr(feature = "recipe", schemars(range(min = 1)))]
    pub width: usize,
    /// Images that are remembered; the oldest are forgotten first.
    pub memory: usize,
    /// Remembered images that a batch is compared with.
    pub negatives: usize,
    /// The rate of the layers.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub lr: f64,
    /// The features that are compared.
    pub compared: Compared,
}

impl Default for ContrastConfig {
    fn default() -> Self {
        Self {
            weight: 0.8,
            temperature: 0.2,
            width: 128,
            memory: 40_960,
            negatives: 4096,
            lr: 1e-3,
            compared: Compared::Norms,
        }
    }
}

impl ContrastConfig {
    /// Checks every value, and that the teacher has what is compared.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for the first value out of range, and for batch norms that the teacher does not
    /// have.
    pub fn check(&self, teacher: &dyn ImageTeacher) -> Result<()> {
        let field = |name: &str| format!("contrast.{name}");
        if self.weight == 0.0 {
            return Ok(());
        }
        for (name, value) in [
            ("weight", self.weight),
            ("temperature", self.temperature),
            ("lr", self.lr),
        ] {
            if !(value.is_finite() && value > 0.0) {
                let problem = format!("must be finite and above 0, got {value}");
                return Err(Error::config(field(name), problem));
            }
        }
        if self.width == 0 {
            return Err(Error::config(field("width"), "must be above 0"));
        }
        if self.compared == Compared::Norms && teacher.norms() == 0 {
            let problem =
                "are the inputs of the teacher's batch norms, and it has none; take `stages`";
            return Err(Error::config(field("compared"), problem));
        }
        Ok(())
    }

    /// The number of its learnt parameters.
    pub(crate) fn parameters(&self, teacher: &dyn ImageTeacher, device: &Device) -> u64 {
        ContrastTerm::new(self, teacher, 0, device)
            .map_or(0, |contrast| count_parameters(contrast.head.network()))
    }

    /// The features of a batch, `[images, features]`.
    fn features(&self, inspected: &TeacherBatch, stem: usize) -> Tensor<2> {
        let means = |map: Tensor<4>| -> Tensor<2> { map.mean_dim(3).mean_dim(2).flatten(1, 3) };
        let all: Vec<Tensor<2>> = match self.compared {
            Compared::Norms => inspected
                .norms
                .iter()
                .map(|norm| means(norm.input.clone()))
                .collect(),
            Compared::Stages => inspected
                .maps
                .iter()
                .skip(stem)
                .cloned()
                .map(means)
                .collect(),
        };
        Tensor::cat(all, 1)
    }
}

/// Two linear layers.
#[derive(Module, Debug)]
struct EmbeddingHead {
    first: Linear,
    second: Linear,
}

impl EmbeddingHead {
    /// Embeddings of length 1.
    fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        let raw = self.second.forward(relu(self.first.forward(features)));
        let length = raw.clone().square().sum_dim(1).add_scalar(EPSILON).sqrt();
        raw / length
    }
}

/// The term with its layers and its memory.
#[derive(Debug)]
pub(crate) struct ContrastTerm {
    config: ContrastConfig,
    head: Trained<EmbeddingHead>,
    /// Features of the local and of the global view of each remembered image, the oldest first,
    /// `[images, 2 * features]`.
    memory: Vec<f32>,
    features: usize,
    device: Device,
}

/// The names of the layers and of the memory in a checkpoint.
const HEAD: &str = "contrast";
const MEMORY: &str = "contrast-memory";

impl ContrastTerm {
    pub(crate) fn new(
        config: &ContrastConfig,
        teacher: &dyn ImageTeacher,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let image = teacher.image();
        let one = Tensor::zeros([1, image.channels, image.height, image.width], device);
        let [_, features] = config
            .features(&teacher.inspect(one), teacher.stem())
            .dims();
        let head = EmbeddingHead {
            first: LinearConfig::new(features, features).init(device),
            second: LinearConfig::new(features, config.width).init(device),
        };
        Ok(Self {
            config: config.clone(),
            head: Trained::new(
                HEAD,
                initialise(&head, Scheme::PyTorch, seed)?.train(),
                OptimizerConfig::adam(),
            )?,
            memory: Vec::new(),
            features,
            device: device.clone(),
        })
    }

    /// The term of a batch of pixels; `inspected` is the teacher's output for their view.
    pub(crate) fn loss(
        &self,
        images: &Tensor<4>,
        inspected: &TeacherBatch,
        teacher: &dyn ImageTeacher,
        seed: u64,
        [index, step]: [u64; 2],
    ) -> Result<Tensor<1>> {
        let close = close_view(images, (seed, CLOSE, index, step));
        let close = teacher.inspect(teacher.normalisation()?.apply(close)?);
        let local = self.config.features(&close, teacher.stem());
        let global = self.config.features(inspected, teacher.stem());
        let [count, _] = local.dims();
        let remembered = self.negatives(seed, [index, step]);
        let (local, global) = match remembered {
            None => (local, global),
            Some([old_local, old_global]) => (
                Tensor::cat(vec![local, old_local], 0),
                Tensor::cat(vec![global, old_global], 0),
            ),
        };
        let [all, _] = local.dims();
        let local = self.head.network().forward(local);
        let global = self.head.network().forward(global).detach();
        let scores = local.matmul(global.transpose()) * self.config.temperature.recip();
        let own = Tensor::<1, Int>::arange(0..i64::try_from(all).unwrap_or(i64::MAX), &self.device);
        let each: Tensor<1> = log_softmax(scores, 1)
            .gather(1, own.reshape([all, 1]))
            .neg()
            .flatten(0, 1);
        let mean = each.clone().narrow(0, 0, count).mean();
        let mean = if all > count {
            mean + each.narrow(0, count, all - count).mean()
        } else {
            mean
        };
        Ok(mean.mul_scalar(self.config.weight))
    }

    /// Some of the remembered images, drawn anew for each step: features of their local and of their global
    /// views.
    fn negatives(&self, seed: u64, [index, step]: [u64; 2]) -> Option<[Tensor<2>; 2]> {
        let row = 2 * self.features;
        let known = self.memory.len() / row.max(1);
        let count = known.min(self.config.negatives);
        if count == 0 {
            return None;
        }
        let mut places: Vec<usize> = (0..known).collect();
        Draws::new(seed, NEGATIVES, index, step).shuffle(&mut places);
        places.truncate(count);
        let half = |which: usize| {
            let values: Vec<f32> = places
                .iter()
                .flat_map(|place| {
                    let first = place * row + which * self.features;
                    self.memory[first..first + self.features].iter().copied()
                })
                .collect();
            let data = TensorData::new(values, [count, self.features]);
            Tensor::from_inner(Tensor::<2>::from_data(data, &self.device))
        };
        Some([half(0), half(1)])
    }

    /// Moves the layers down the gradient of a step.
    pub(crate) fn learn(&mut self, at: StepContext, raw: &mut Gradients) {
        let mut gradients = NamedGradients::new();
        self.head.collect(&mut gradients, raw);
        let lr = self.config.lr;
        self.head.step(StepContext { lr, ..at }, &gradients);
    }

    /// Remembers the images of a batch: `images` are pixels, `taken` are the same after the teacher's
    /// normalisation.
    pub(crate) fn remember(
        &mut self,
        images: &Tensor<4>,
        taken: Tensor<4>,
        teacher: &dyn ImageTeacher,
        seed: u64,
        index: u64,
    ) -> Result<()> {
        let close = close_view(images, (seed, CLOSE, index, u64::MAX));
        let close = teacher.inspect(teacher.normalisation()?.apply(close)?);
        let both = [
            self.config.features(&close, teacher.stem()),
            self.config
                .features(&teacher.inspect(taken), teacher.stem()),
        ];
        let rows = Tensor::cat(both.to_vec(), 1);
        self.memory.extend(rows.into_data().iter::<f32>());
        let most = self.config.memory * 2 * self.features;
        let too_many = self.memory.len().saturating_sub(most);
        self.memory.drain(..too_many);
        Ok(())
    }

    /// Puts layers and memory into a state.
    pub(crate) fn put(&self, state: &mut PhaseState) {
        self.head.put(state);
        let memory = TensorData::new(self.memory.clone(), [self.memory.len()]);
        state.put(MEMORY, [("rows".to_owned(), memory)].into());
    }

    /// Takes them back.
    pub(crate) fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.head.restore(state)?;
        let memory = state.part(MEMORY).remove("rows");
        self.memory = memory.map_or_else(Vec::new, |rows| rows.iter::<f32>().collect());
        Ok(())
    }
}
