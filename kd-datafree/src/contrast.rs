//! What keeps the images of all batches apart: the contrastive term of CMI.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use kd_core::{
    Draws, Error, NamedGradients, Names, Optimizer, OptimizerConfig, PhaseState, Result, Scheme,
    count_parameters, export, import, initialise,
};
use serde::{Deserialize, Serialize};

use crate::teacher::{ImageTeacher, Seen};
use crate::views::close_view;

/// Purposes of draws.
const CLOSE: &str = "data-free contrast views";
const NEGATIVES: &str = "data-free contrast negatives";
/// Keeps the lengths of embeddings above 0.
const EPSILON: f64 = 1e-6;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Compared {
    /// The channel means of what goes into each batch norm of the teacher.
    Norms,
    /// Those of the map of each stage behind the stem: the public code's choice for ResNet-34, whose norms have many channels.
    Stages,
}

/// The contrastive term of CMI: each image is to be told from all others of its batch and of earlier ones by a close view of it.
///
/// ```text
/// L_cr = weight (mean over the batch + mean over the remembered) of  -log softmax(h(local) . h(global) / temperature)[its own]
/// ```
///
/// `global` are the channel means of the teacher's maps of the view that the other terms see, `local` those of a part of the image at its
/// size, `h` two linear layers with a `ReLU` between them and a length of 1, which learn beside the images. No gradient goes through
/// `h(global)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContrastConfig {
    /// The weight of the term; with 0 there is none.
    pub weight: f64,
    /// What cosines are divided by.
    pub temperature: f64,
    /// The length of an embedding.
    pub width: usize,
    /// Images that are remembered; the oldest are forgotten first.
    pub memory: usize,
    /// Remembered images that a batch is compared with.
    pub negatives: usize,
    /// The rate of the layers.
    pub lr: f64,
    /// What is compared.
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
    /// [`Error::Config`] for the first value out of range, and for batch norms that the teacher does not have.
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
                "are what goes into the teacher's batch norms, and it has none; take `stages`";
            return Err(Error::config(field("compared"), problem));
        }
        Ok(())
    }

    /// Learnt parameters.
    pub(crate) fn parameters(&self, teacher: &dyn ImageTeacher, device: &Device) -> u64 {
        Contrast::new(self, teacher, 0, device)
            .map_or(0, |contrast| count_parameters(&contrast.head))
    }

    /// `[images, features]` of what the teacher has seen.
    fn features(&self, seen: &Seen, stem: usize) -> Tensor<2> {
        let means = |map: Tensor<4>| -> Tensor<2> { map.mean_dim(3).mean_dim(2).flatten(1, 3) };
        let all: Vec<Tensor<2>> = match self.compared {
            Compared::Norms => seen
                .norms
                .iter()
                .map(|norm| means(norm.input.clone()))
                .collect(),
            Compared::Stages => seen.maps.iter().skip(stem).cloned().map(means).collect(),
        };
        Tensor::cat(all, 1)
    }
}

/// Two linear layers.
#[derive(Module, Debug)]
struct Head {
    first: Linear,
    second: Linear,
}

impl Head {
    /// Embeddings of length 1.
    fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        let raw = self.second.forward(relu(self.first.forward(features)));
        let length = raw.clone().square().sum_dim(1).add_scalar(EPSILON).sqrt();
        raw / length
    }
}

/// The term with its layers and its memory.
#[derive(Debug)]
pub(crate) struct Contrast {
    config: ContrastConfig,
    head: Head,
    optimizer: Optimizer,
    /// Features of the local and of the global view of each remembered image, the oldest first, `[images, 2 * features]`.
    memory: Vec<f32>,
    features: usize,
    device: Device,
}

const PREFIX: &str = "contrast";
const STEPS: &str = "contrast_optimizer_steps";
const MEMORY: &str = "contrast_memory";

impl Contrast {
    pub(crate) fn new(
        config: &ContrastConfig,
        teacher: &dyn ImageTeacher,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let image = teacher.image();
        let one = Tensor::zeros([1, image.channels, image.height, image.width], device);
        let [_, features] = config.features(&teacher.look(one), teacher.stem()).dims();
        let head = Head {
            first: LinearConfig::new(features, features).init(device),
            second: LinearConfig::new(features, config.width).init(device),
        };
        Ok(Self {
            config: config.clone(),
            head: initialise(&head, Scheme::PyTorch, seed)?.train(),
            optimizer: Optimizer::new(OptimizerConfig::adam())?,
            memory: Vec::new(),
            features,
            device: device.clone(),
        })
    }

    /// The term of a batch of pixels, of whose view the teacher has seen `seen`.
    pub(crate) fn loss(
        &self,
        images: &Tensor<4>,
        seen: &Seen,
        teacher: &dyn ImageTeacher,
        seed: u64,
        [index, step]: [u64; 2],
    ) -> Result<Tensor<1>> {
        let close = close_view(images, (seed, CLOSE, index, step));
        let close = teacher.look(teacher.normalisation().apply(close)?);
        let local = self.config.features(&close, teacher.stem());
        let global = self.config.features(seen, teacher.stem());
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
        let local = self.head.forward(local);
        let global = self.head.forward(global).detach();
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

    /// Some of the remembered images, drawn anew for each step: features of their local and of their global views.
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
    pub(crate) fn learn(&mut self, raw: &mut Gradients) {
        let mut gradients = NamedGradients::new();
        gradients.collect(PREFIX, &self.head, raw);
        self.head = self
            .optimizer
            .step(PREFIX, self.head.clone(), self.config.lr, &gradients);
    }

    /// Remembers the images of a batch: `images` are pixels, `taken` is what the teacher takes of them.
    pub(crate) fn remember(
        &mut self,
        images: &Tensor<4>,
        taken: Tensor<4>,
        teacher: &dyn ImageTeacher,
        seed: u64,
        index: u64,
    ) -> Result<()> {
        let close = close_view(images, (seed, CLOSE, index, u64::MAX));
        let close = teacher.look(teacher.normalisation().apply(close)?);
        let both = [
            self.config.features(&close, teacher.stem()),
            self.config.features(&teacher.look(taken), teacher.stem()),
        ];
        let rows = Tensor::cat(both.to_vec(), 1);
        self.memory.extend(rows.into_data().iter::<f32>());
        let most = self.config.memory * 2 * self.features;
        let too_many = self.memory.len().saturating_sub(most);
        self.memory.drain(..too_many);
        Ok(())
    }

    pub(crate) fn put(&self, state: &mut PhaseState) {
        state.put(PREFIX, export(&self.head, Names::Burn));
        let (moments, steps) = self.optimizer.state();
        state.put("contrast_optimizer", moments);
        state
            .values
            .insert(STEPS.to_owned(), serde_json::json!(steps));
        let shape = [self.memory.len()];
        let memory = TensorData::new(self.memory.clone(), shape);
        state.put(MEMORY, [("rows".to_owned(), memory)].into());
    }

    pub(crate) fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.head = import(&self.head, &state.part(PREFIX), Names::Burn, "checkpoint")?;
        let steps = state.values.get(STEPS).cloned().unwrap_or_default();
        let steps = serde_json::from_value(steps).map_err(|error| {
            Error::method("the contrastive layers' steps in the checkpoint", error)
        })?;
        let moments = state.part("contrast_optimizer");
        self.optimizer.restore(&moments, &steps, &self.device);
        let memory = state.part(MEMORY).remove("rows");
        self.memory = memory.map_or_else(Vec::new, |rows| rows.iter::<f32>().collect());
        Ok(())
    }
}
