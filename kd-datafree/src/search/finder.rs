//! The finder: descent on the weights and the noise of a generator, batch by batch.

use burn::module::{Module, Param};
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use kd_core::{
    Draws, Error, ImageClassifier, NamedGradients, Names, OptimizerConfig, PhaseState, Result,
    StepContext, Trained, detached_copy, export,
};
use kd_losses::{adversarial_kl, cross_entropy};

use super::generator::{GeneratorSearch, Start};
use crate::contrast::ContrastTerm;
use crate::generator::Generator;
use crate::noise::noise;
use crate::norm_distance::{Moments, averaged_norm_distance};
use crate::teacher::ImageTeacher;

/// The name of the generator among what is trained.
const GENERATOR: &str = "generator";
/// Purposes of draws.
const NOISE: &str = "data-free descent noise";
const TARGETS: &str = "data-free descent targets";
const VIEWS: &str = "data-free descent views";
const WEIGHTS: &str = "data-free descent weights";

/// Noise that learns.
#[derive(Module, Debug)]
struct LearntNoise {
    values: Param<Tensor<2>>,
}

/// The state of a search: a learnt beginning, averages and a memory, from one batch to the next.
#[derive(Debug)]
pub(crate) struct Finder {
    config: GeneratorSearch,
    seed: u64,
    device: Device,
    /// A learnt beginning.
    beginning: Option<Trained<Generator>>,
    /// The average of the statistics of earlier batches.
    average: Vec<Moments>,
    contrast: Option<ContrastTerm>,
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
        config: &GeneratorSearch,
        teacher: &dyn ImageTeacher,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let contrast = config.contrast();
        let mut made = Self {
            beginning: None,
            average: Vec::new(),
            contrast: contrast
                .map(|contrast| ContrastTerm::new(contrast, teacher, seed, device))
                .transpose()?,
            config: config.clone(),
            seed,
            device: device.clone(),
        };
        if config.start == Start::Learnt {
            // As PyTorch draws it; only what is drawn anew is small.
            let drawn = Draws::new(seed, WEIGHTS, 0, 0).bits();
            let generator = config.generator.init(teacher.image(), drawn, device)?;
            made.beginning = Some(Trained::new(GENERATOR, generator.train(), adam())?);
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
        let rival = student.filter(|_| self.config.adversarial > 0.0);
        let rival = rival.map(Module::valid);
        self.redraw_first_layer(teacher, index)?;
        let mut moved = self.begin(teacher, index, count)?;
        let targets = self.targets(index, count, teacher.classes());
        let mut sum = NamedGradients::new();
        let mut best: Option<(f64, Tensor<4>)> = None;
        let mut moments = Vec::new();
        for step in 0..self.config.steps {
            let images = moved.images();
            let at = (index, step as u64);
            let (loss, found) = self.loss(&images, &targets, rival.as_ref(), teacher, at)?;
            moments = found;
            let mut raw = loss.backward();
            let value = self.finite(loss.inner().into_scalar::<f64>(), index, step)?;
            if best.as_ref().is_none_or(|(lowest, _)| value < *lowest) {
                best = Some((value, images.inner()));
            }
            let gradients = self.descend(&mut moved, &mut raw, step);
            if self.beginning.is_some() {
                sum.add(gradients);
            }
        }
        self.learn_beginning(&sum);
        self.remember(moments);
        let (_, images) = best.ok_or_else(|| Error::config("search.steps", "must be above 0"))?;
        if let Some(contrast) = &mut self.contrast {
            let taken = teacher.normalisation()?.apply(images.clone())?;
            contrast.remember(&images, taken, teacher, self.seed, index)?;
        }
        Ok(images)
    }

    /// Draws the first layer of a learnt beginning anew, if it is time.
    fn redraw_first_layer(&mut self, teacher: &dyn ImageTeacher, index: u64) -> Result<()> {
        if self.config.reset_at != Some(index) || self.beginning.is_none() {
            return Ok(());
        }
        let fresh = export(&self.fresh(teacher, index)?, Names::Burn);
        if let Some(beginning) = &mut self.beginning {
            beginning.change(|path, old| {
                let fresh = fresh.get(path)?;
                Generator::is_of_first_layer(path).then(|| flat(fresh, &old.device()))
            });
        }
        Ok(())
    }

    /// The generator and the noise of batch `index` before their first step.
    fn begin(&self, teacher: &dyn ImageTeacher, index: u64, count: usize) -> Result<Moved> {
        let generator = match &self.beginning {
            Some(beginning) => detached_copy(beginning.network()),
            None => self.fresh(teacher, index)?,
        };
        let shape = [count, self.config.generator.noise];
        let noise = noise((self.seed, NOISE, index), 0, shape, &self.device);
        let noise = LearntNoise {
            values: Param::from_tensor(Tensor::from_inner(noise)),
        };
        Ok(Moved {
            generator: Trained::new(GENERATOR, generator, adam())?,
            noise: Trained::new("noise", noise, adam())?,
        })
    }

    /// Moves generator, noise and contrastive layers one step down, and gives the gradients of the first two.
    fn descend(&mut self, moved: &mut Moved, raw: &mut Gradients, step: usize) -> NamedGradients {
        let mut gradients = NamedGradients::new();
        moved.generator.collect(&mut gradients, raw);
        moved.noise.collect(&mut gradients, raw);
        let at = at_rate(step, self.config.generator_lr);
        if let Some(contrast) = &mut self.contrast {
            contrast.learn(at, raw);
        }
        moved.generator.step(at, &gradients);
        let at = at_rate(step, self.config.noise_lr);
        moved.noise.step(at, &gradients);
        gradients
    }

    /// Moves a learnt beginning down the sum of a batch's gradients.
    fn learn_beginning(&mut self, sum: &NamedGradients) {
        let rate = self.config.generator_lr * self.config.steps as f64;
        if let Some(beginning) = &mut self.beginning {
            beginning.step(at_rate(0, rate), sum);
        }
    }

    /// The value of a loss, if it is a number.
    fn finite(&self, value: f64, index: u64, step: usize) -> Result<f64> {
        if value.is_finite() {
            return Ok(value);
        }
        let problem = format!(
            "gave a loss that is no number for batch {index} at step {step}; take lower rates than {} and {}",
            self.config.generator_lr, self.config.noise_lr
        );
        Err(Error::config("search", problem))
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
        let view = config.views.view(images, (self.seed, VIEWS, index, step));
        let taken = teacher.normalisation()?.apply(view)?;
        let inspected = teacher.inspect(taken.clone());
        let mut all = Vec::new();
        if config.one_hot > 0.0 {
            let apart =
                cross_entropy(inspected.logits.clone(), targets.clone(), 0.0).map_err(wrong)?;
            all.push(apart.mul_scalar(config.one_hot));
        }
        let mut moments = Vec::new();
        if config.bn_statistics > 0.0 {
            let (value, found) = averaged_norm_distance(&inspected, &self.average, config.average)?;
            moments = found;
            all.push(value.mul_scalar(config.bn_statistics));
        }
        if let Some(rival) = rival {
            let apart = adversarial_kl(rival.forward(&taken), inspected.logits.clone(), 1.0);
            all.push(apart.map_err(wrong)?.mul_scalar(config.adversarial));
        }
        if let Some(contrast) = &mut self.contrast {
            all.push(contrast.loss(images, &inspected, teacher, self.seed, [index, step])?);
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

    /// Puts beginning, averages and memory into a state.
    pub(crate) fn put(&self, state: &mut PhaseState) {
        if let Some(beginning) = &self.beginning {
            beginning.put(state);
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

    /// Takes them back.
    pub(crate) fn restore(&mut self, state: &PhaseState) -> Result<()> {
        if let Some(beginning) = &mut self.beginning {
            beginning.restore(state)?;
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
}

/// The generator and the noise of one batch, which go down together.
struct Moved {
    generator: Trained<Generator>,
    noise: Trained<LearntNoise>,
}

impl Moved {
    fn images(&self) -> Tensor<4> {
        let noise = self.noise.network().values.val();
        self.generator.network().forward(noise)
    }
}

fn at_rate(step: usize, lr: f64) -> StepContext {
    StepContext {
        step,
        epoch: 0,
        step_in_epoch: step,
        lr,
        momentum: None,
    }
}

/// The numbers of a tensor, one after the other.
fn flat(data: &TensorData, device: &Device) -> Tensor<1> {
    let numbers: Vec<f32> = data.iter::<f32>().collect();
    let shape = [numbers.len()];
    Tensor::from_data(TensorData::new(numbers, shape), device)
}
