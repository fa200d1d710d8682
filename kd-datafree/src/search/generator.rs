//! Batches of images found by descent on the weights and the noise of a generator: CMI and Fast-DFKD.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::{
    Draws, Error, ImageClassifier, NamedGradients, Names, Optimizer, OptimizerConfig, PhaseState,
    Result, detached_copy, export, import,
};
use kd_losses::{BnStatisticsLossConfig, NormStatistics, adversarial_kl, cross_entropy};
use serde::{Deserialize, Serialize};

use crate::contrast::{Contrast, ContrastConfig};
use crate::generator::{Generator, GeneratorConfig, OutputKind};
use crate::noise::noise;
use crate::teacher::{ImageTeacher, Seen};
use crate::views::Views;

/// Purposes of draws.
const NOISE: &str = "data-free descent noise";
const TARGETS: &str = "data-free descent targets";
const VIEWS: &str = "data-free descent views";
const WEIGHTS: &str = "data-free descent weights";

/// What the generator of a batch begins as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Start {
    /// Weights drawn anew for each batch: CMI.
    Fresh,
    /// A generator that learns, from each batch, to be a better beginning: Fast-DFKD. The gradients of all steps of a batch are added
    /// up, as first-order meta-learning has it, and it takes one step of Adam down the sum, at the rate times the number of steps.
    Learnt,
}

/// How a batch of images is found by a generator of its own.
///
/// ```text
/// loss = one_hot CE(T(x'), y) + bn_statistics R_BN(x') + adversarial L_adv(x') + contrast L_cr
/// ```
///
/// `x'` is a view of the generator's images, `y` are classes drawn at random, `R_BN` compares with the teacher's batch norms
/// ([`bn_statistics`](kd_losses::bn_statistics)), `L_adv` is [`adversarial_kl`] against the student as at inference, and `L_cr` is
/// [`ContrastConfig`]'s. Weights and noise go down it together by Adam with betas of 0.5 and 0.999; the images of the lowest loss are the
/// batch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Descent {
    /// The shape of the generator.
    pub generator: GeneratorConfig,
    /// What it begins as.
    pub start: Start,
    /// Steps of descent for a batch.
    pub steps: usize,
    /// The rate for the generator's weights.
    pub generator_lr: f64,
    /// The rate for the noise.
    pub noise_lr: f64,
    /// The weight of the cross-entropy with the drawn classes.
    pub one_hot: f64,
    /// The weight of the statistics of the teacher's batch norms; 0 for a teacher without.
    pub bn_statistics: f64,
    /// The weight of the disagreement with the student where both see the same class.
    pub adversarial: f64,
    /// How much of the statistics that are compared are those of earlier batches, in `[0, 1)`.
    pub average: f64,
    /// Before which batch, counted from 0, the generator's linear layer and the norm behind it are drawn anew, if at all. Only a learnt
    /// beginning has something to lose by it; with a fresh one it is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_at: Option<u64>,
    /// What the teacher and the student see of an image.
    pub views: Views,
    /// What keeps the images of all batches apart, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contrast: Option<ContrastConfig>,
}

impl Descent {
    /// CMI by its public code for CIFAR-10: 200 steps at 1e-3, weights 1, 0.5 and 0.8, 0.5 for the disagreement.
    pub fn cmi() -> Self {
        Self {
            generator: GeneratorConfig {
                noise: 256,
                widths: [128, 64],
                epsilon: 1e-5,
                conv_bias: false,
                output: OutputKind::Sigmoid,
                ..GeneratorConfig::default()
            },
            start: Start::Fresh,
            steps: 200,
            generator_lr: 1e-3,
            noise_lr: 1e-3,
            one_hot: 0.5,
            bn_statistics: 1.0,
            adversarial: 0.5,
            average: 0.0,
            reset_at: None,
            views: Views::default(),
            contrast: Some(ContrastConfig::default()),
        }
    }

    /// Fast-DFKD with five steps a batch, by its public code for CIFAR-10: rates of 3e-3 and 0.01, statistics at 10, of which nine tenths
    /// are those of earlier batches. Its scripts weigh the targets by 0.4 to 0.5 and the disagreement by 1 to 1.33; here by 0.4 and 1.1.
    pub fn fast() -> Self {
        Self {
            start: Start::Learnt,
            steps: 5,
            generator_lr: 3e-3,
            noise_lr: 0.01,
            one_hot: 0.4,
            bn_statistics: 10.0,
            adversarial: 1.1,
            average: 0.9,
            reset_at: Some(139),
            contrast: None,
            ..Self::cmi()
        }
    }

    /// Checks every value, and that the teacher has what the terms read.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for the first value out of range, and for statistics of batch norms that the teacher does not have.
    pub fn check(&self, teacher: &dyn ImageTeacher) -> Result<()> {
        self.generator.check(teacher.image())?;
        if self.generator.output != OutputKind::Sigmoid {
            let problem = "must be `sigmoid`, as the images are kept as pixels";
            return Err(Error::config("generator.output", problem));
        }
        if self.steps == 0 {
            return Err(Error::config("steps", "must be above 0"));
        }
        for (name, rate) in [
            ("generator_lr", self.generator_lr),
            ("noise_lr", self.noise_lr),
        ] {
            if !(rate.is_finite() && rate > 0.0) {
                let problem = format!("must be finite and above 0, got {rate}");
                return Err(Error::config(name, problem));
            }
        }
        let weights = [
            ("one_hot", self.one_hot),
            ("bn_statistics", self.bn_statistics),
            ("adversarial", self.adversarial),
        ];
        check_weights(&weights, teacher)?;
        if !(0.0..1.0).contains(&self.average) {
            let problem = format!("must be at least 0 and below 1, got {}", self.average);
            return Err(Error::config("average", problem));
        }
        self.views.augment().check_for(teacher.image())?;
        self.contrast
            .as_ref()
            .map_or(Ok(()), |contrast| contrast.check(teacher))
    }

    /// The contrastive term, if it weighs anything.
    fn contrast(&self) -> Option<&ContrastConfig> {
        self.contrast.as_ref().filter(|term| term.weight != 0.0)
    }
}

/// Checks the weights of the terms of a search, of which the first two are those of the targets and of the statistics of batch norms.
pub(crate) fn check_weights(weights: &[(&str, f64)], teacher: &dyn ImageTeacher) -> Result<()> {
    for &(name, weight) in weights {
        if !(weight.is_finite() && weight >= 0.0) {
            let problem = format!("must be finite and not negative, got {weight}");
            return Err(Error::config(name, problem));
        }
    }
    let [(one_hot, targets), (field, statistics), ..] = *weights else {
        return Ok(());
    };
    // As long as there is no student, nothing else says what images are.
    if targets + statistics == 0.0 {
        let problem = format!(
            "must be above 0, as must `{one_hot}`: one of the two at least says what images are"
        );
        return Err(Error::config(field, problem));
    }
    if statistics > 0.0 && teacher.norms() == 0 {
        let problem =
            "needs a teacher with batch norms, and this one has none; leave the term out with 0";
        return Err(Error::config(field, problem));
    }
    Ok(())
}

/// Noise that learns.
#[derive(Module, Debug)]
struct Learnt {
    values: Param<Tensor<2>>,
}

/// Mean and variance of what went into a batch norm.
type Moments = [Tensor<1>; 2];

/// What finds batches, and what it remembers from one to the next.
#[derive(Debug)]
pub(crate) struct Finder {
    config: Descent,
    seed: u64,
    device: Device,
    /// Where a learnt beginning is.
    beginning: Option<Generator>,
    optimizer: Optimizer,
    /// The average of the statistics of earlier batches.
    average: Vec<Moments>,
    contrast: Option<Contrast>,
}

/// Adam as the public codes of CMI and Fast-DFKD have it for images.
fn adam() -> OptimizerConfig {
    OptimizerConfig::Adam {
        beta1: 0.5,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
    }
}

fn wrong(error: kd_losses::Error) -> Error {
    Error::method("the loss of the images", error)
}

impl Finder {
    pub(crate) fn new(
        config: &Descent,
        teacher: &dyn ImageTeacher,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let contrast = config.contrast();
        let mut made = Self {
            beginning: None,
            optimizer: Optimizer::new(adam())?,
            average: Vec::new(),
            contrast: contrast
                .map(|contrast| Contrast::new(contrast, teacher, seed, device))
                .transpose()?,
            config: config.clone(),
            seed,
            device: device.clone(),
        };
        if config.start == Start::Learnt {
            // As PyTorch draws it; only what is drawn anew is small.
            let drawn = Draws::new(seed, WEIGHTS, 0, 0).bits();
            let generator = config.generator.init(teacher.image(), drawn, device)?;
            made.beginning = Some(generator.train());
        }
        Ok(made)
    }

    /// The weights that batch `index` would begin with, if none were learnt.
    fn fresh(&self, teacher: &dyn ImageTeacher, index: u64) -> Result<Generator> {
        let drawn = Draws::new(self.seed, WEIGHTS, index, 0).bits();
        let blank = &self.config.generator;
        let generator = blank.init_small(teacher.image(), drawn, &self.device)?;
        Ok(generator.train())
    }

    /// Batch `index` of `count` images, pixels in `[0, 1]`; without a student none is disagreed with.
    pub(crate) fn batch<S: ImageClassifier>(
        &mut self,
        student: Option<&S>,
        teacher: &dyn ImageTeacher,
        index: u64,
        count: usize,
    ) -> Result<Tensor<4>> {
        let config = self.config.clone();
        let rival = student.filter(|_| config.adversarial > 0.0);
        let rival = rival.map(Module::valid);
        if let Some(beginning) = self.beginning.take() {
            self.beginning = Some(if config.reset_at == Some(index) {
                beginning.with_first_layer_of(self.fresh(teacher, index)?)
            } else {
                beginning
            });
        }
        let mut generator = match &self.beginning {
            Some(beginning) => detached_copy(beginning),
            None => self.fresh(teacher, index)?,
        };
        let first = noise(
            (self.seed, NOISE, index),
            0,
            [count, config.generator.noise],
            &self.device,
        );
        let mut learnt = Learnt {
            values: Param::from_tensor(Tensor::from_inner(first)),
        };
        let targets = self.targets(index, count, teacher.classes());
        let [mut of_weights, mut of_noise] = [Optimizer::new(adam())?, Optimizer::new(adam())?];
        let mut sum = NamedGradients::new();
        let mut best: Option<(f64, Tensor<4>)> = None;
        let mut moments = Vec::new();
        for step in 0..config.steps as u64 {
            let images = generator.forward(learnt.values.val());
            let (loss, found) =
                self.loss(&images, &targets, rival.as_ref(), teacher, (index, step))?;
            moments = found;
            let mut raw = loss.backward();
            let value = loss.inner().into_scalar::<f64>();
            if !value.is_finite() {
                let problem = format!(
                    "gave a loss that is no number for batch {index} at step {step}; take lower rates than {} and {}",
                    config.generator_lr, config.noise_lr
                );
                return Err(Error::config("search", problem));
            }
            if best.as_ref().is_none_or(|(lowest, _)| value < *lowest) {
                best = Some((value, images.inner()));
            }
            let mut gradients = NamedGradients::new();
            gradients.collect("generator", &generator, &mut raw);
            gradients.collect("noise", &learnt, &mut raw);
            if let Some(contrast) = &mut self.contrast {
                contrast.learn(&mut raw);
            }
            generator = of_weights.step("generator", generator, config.generator_lr, &gradients);
            learnt = of_noise.step("noise", learnt, config.noise_lr, &gradients);
            if self.beginning.is_some() {
                sum.add(gradients);
            }
        }
        if let Some(beginning) = self.beginning.take() {
            let rate = config.generator_lr * config.steps as f64;
            self.beginning = Some(self.optimizer.step("generator", beginning, rate, &sum));
        }
        self.remember(moments);
        let (_, images) = best.ok_or_else(|| Error::config("search.steps", "must be above 0"))?;
        if let Some(contrast) = &mut self.contrast {
            let taken = teacher.normalisation().apply(images.clone())?;
            contrast.remember(&images, taken, teacher, self.seed, index)?;
        }
        Ok(images)
    }

    /// Classes drawn at random.
    pub(crate) fn targets(&self, index: u64, count: usize, classes: usize) -> Tensor<1, Int> {
        let mut draws = Draws::new(self.seed, TARGETS, index, 0);
        let values: Vec<i64> = (0..count)
            .map(|_| i64::try_from(draws.below(classes.max(1) as u64)).unwrap_or_default())
            .collect();
        Tensor::from_data(TensorData::new(values, [count]), &self.device)
    }

    fn loss<S: ImageClassifier>(
        &mut self,
        images: &Tensor<4>,
        targets: &Tensor<1, Int>,
        rival: Option<&S>,
        teacher: &dyn ImageTeacher,
        (index, step): (u64, u64),
    ) -> Result<(Tensor<1>, Vec<Moments>)> {
        let config = &self.config;
        let view = config.views.of(images, (self.seed, VIEWS, index, step));
        let taken = teacher.normalisation().apply(view)?;
        let seen = teacher.look(taken.clone());
        let mut all = Vec::new();
        if config.one_hot > 0.0 {
            let apart = cross_entropy(seen.logits.clone(), targets.clone(), 0.0).map_err(wrong)?;
            all.push(apart.mul_scalar(config.one_hot));
        }
        let mut moments = Vec::new();
        if config.bn_statistics > 0.0 {
            let (value, found) = statistics(&seen, &self.average, config.average)?;
            moments = found;
            all.push(value.mul_scalar(config.bn_statistics));
        }
        if let Some(rival) = rival {
            let apart = adversarial_kl(rival.forward(&taken), seen.logits.clone(), 1.0);
            all.push(apart.map_err(wrong)?.mul_scalar(config.adversarial));
        }
        if let Some(contrast) = &mut self.contrast {
            all.push(contrast.loss(images, &seen, teacher, self.seed, [index, step])?);
        }
        Ok((Tensor::cat(all, 0).sum(), moments))
    }

    /// Moves the average of the statistics towards those of a batch; the first batch's are the average.
    fn remember(&mut self, moments: Vec<Moments>) {
        let share = self.config.average;
        if share == 0.0 {
            return;
        }
        self.average = if self.average.is_empty() {
            moments
        } else {
            let both = self.average.iter().zip(moments);
            both.map(|(old, [mean, variance])| {
                let [old_mean, old_variance] = old.clone();
                let mixed = |old: Tensor<1>, new: Tensor<1>| {
                    old.mul_scalar(share) + new.mul_scalar(1.0 - share)
                };
                [mixed(old_mean, mean), mixed(old_variance, variance)]
            })
            .collect()
        };
    }

    pub(crate) fn put(&self, state: &mut PhaseState) {
        if let Some(beginning) = &self.beginning {
            state.put("beginning", export(beginning, Names::Burn));
            let (moments, steps) = self.optimizer.state();
            state.put("beginning_optimizer", moments);
            state
                .values
                .insert(STEPS.to_owned(), serde_json::json!(steps));
        }
        let average = self.average.iter().enumerate();
        let average = average.flat_map(|(layer, moments)| {
            let named = ["mean", "variance"].into_iter().zip(moments);
            named.map(move |(name, values)| {
                (format!("{layer:04}.{name}"), values.clone().into_data())
            })
        });
        state.put("average", average.collect());
        if let Some(contrast) = &self.contrast {
            contrast.put(state);
        }
    }

    pub(crate) fn restore(&mut self, state: &PhaseState) -> Result<()> {
        if let Some(beginning) = &self.beginning {
            let tensors = state.part("beginning");
            self.beginning = Some(import(beginning, &tensors, Names::Burn, "checkpoint")?);
            let steps = state.values.get(STEPS).cloned().unwrap_or_default();
            let steps = serde_json::from_value(steps)
                .map_err(|error| Error::method("the generator's steps in the checkpoint", error))?;
            let moments = state.part("beginning_optimizer");
            self.optimizer.restore(&moments, &steps, &self.device);
        }
        let average: Vec<Tensor<1>> = state
            .part("average")
            .into_values()
            .map(|values| Tensor::from_data(values, &self.device))
            .collect();
        self.average = average
            .chunks_exact(2)
            .map(|pair| [pair[0].clone(), pair[1].clone()])
            .collect();
        match &mut self.contrast {
            Some(contrast) => contrast.restore(state),
            None => Ok(()),
        }
    }

    /// Parameters that learn beside the student.
    pub(crate) fn parameters(config: &Descent, teacher: &dyn ImageTeacher, device: &Device) -> u64 {
        let generator = config.generator.init(teacher.image(), 0, device);
        let generator = generator.map_or(0, |generator| generator.parameters());
        let contrast = config.contrast();
        generator + contrast.map_or(0, |contrast| contrast.parameters(teacher, device))
    }
}

/// Where the steps of the beginning's optimizer are kept.
const STEPS: &str = "beginning_optimizer_steps";

/// The loss of the statistics of a batch, which are mixed with those of earlier ones, and its own statistics as constants.
pub(crate) fn statistics(
    seen: &Seen,
    average: &[Moments],
    share: f64,
) -> Result<(Tensor<1>, Vec<Moments>)> {
    let mut moments = Vec::new();
    let mut layers = Vec::new();
    for (layer, norm) in seen.norms.iter().cloned().enumerate() {
        let found = NormStatistics::of(norm.input, norm.running_mean, norm.running_variance);
        let mut found = found.map_err(wrong)?;
        moments
            .push([&found.mean, &found.variance].map(|values| values.clone().without_autodiff()));
        if let Some([mean, variance]) = average.get(layer) {
            let mixed = |own: Tensor<1>, old: &Tensor<1>| {
                let old = Tensor::from_inner(old.clone()).mul_scalar(share);
                own.mul_scalar(1.0 - share) + old
            };
            found.mean = mixed(found.mean, mean);
            found.variance = mixed(found.variance, variance);
        }
        layers.push(found);
    }
    let loss = BnStatisticsLossConfig::new().init().map_err(wrong)?;
    Ok((loss.forward(layers).map_err(wrong)?, moments))
}
