//! The pool phase: a student learns from a pool that grows batch by batch, as in DeepInversion, CMI,
//! Fast-DFKD.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use kd_core::{
    Error, ImageClassifier, Loader, LoaderConfig, LossTerms, Metrics, Phase, PhaseState, Plan,
    Result, StepContext, Tensors, Trained, ViewPolicy,
};

use super::image_pool::{ImagePool, LastImages};
use super::inputs::PhaseInputs;
use super::step::SoftTargets;
use super::test_images::TestImages;
use crate::bank::{ARTIFACT_IMAGES, bank_artifact};
use crate::config::{Pooled, Search};
use crate::norm_distance::norm_distance;
use crate::search::{Finder, even_targets};

/// The name of the number of batches in a checkpoint.
const BATCHES: &str = "batches";
/// The hash of each of them.
const HASHES: &str = "batch_sha256";

/// The phase of a [`Pooled`] run; its result is the student. Each batch is found against the student as it is
/// then.
pub(crate) struct PoolPhase<'a, S> {
    student: Trained<S>,
    plan: Plan,
    config: &'a Pooled,
    finder: Option<Finder>,
    pool: ImagePool,
    loader: Option<Loader>,
    test: TestImages,
    inputs: PhaseInputs<'a>,
}

impl<'a, S: ImageClassifier> PoolPhase<'a, S> {
    /// The phase before its first step, in the run folder `run`; `student` is on the autodiff form of the
    /// device.
    pub(crate) fn new(
        config: &'a Pooled,
        student: S,
        test: TestImages,
        run: &Path,
        inputs: PhaseInputs<'a>,
    ) -> Result<Self> {
        let PhaseInputs {
            teacher,
            seed,
            device,
        } = &inputs;
        let finder = match &config.search {
            Search::Pixels(_) => None,
            Search::Generator(search) => Some(Finder::new(search, *teacher, *seed, device)?),
        };
        let training = &config.training;
        Ok(Self {
            student: Trained::new("student", student, training.optimizer.clone())?,
            plan: training.plan(config.student_steps, None)?,
            config,
            finder,
            pool: ImagePool::new(run, teacher.image(), config.batch),
            loader: None,
            test,
            inputs,
        })
    }

    /// Finds batches until there are those of epoch `epoch`.
    fn grow(&mut self, epoch: usize) -> Result<()> {
        let wanted = self.config.batches(epoch);
        if self.pool.batches() >= wanted {
            return Ok(());
        }
        while self.pool.batches() < wanted {
            let batch = self.find(self.pool.batches())?;
            self.pool.add(batch)?;
        }
        self.load()
    }

    /// Batch `index`, pixels in `[0, 1]`.
    fn find(&mut self, index: usize) -> Result<Tensor<4>> {
        let PhaseInputs {
            teacher,
            seed,
            device,
        } = &self.inputs;
        let has_rival = index >= self.config.warm_up;
        let student = has_rival.then_some(self.student.network());
        let (count, at) = (self.config.batch, index as u64);
        match (&self.config.search, &mut self.finder) {
            (Search::Generator(_), Some(finder)) => finder.batch(student, *teacher, at, count),
            (Search::Pixels(search), _) => {
                search.batch(student, *teacher, (*seed, at), count, device)
            }
            (Search::Generator(_), None) => Err(Error::config("pool", "has no generator")),
        }
    }

    /// Makes batches of the images.
    fn load(&mut self) -> Result<()> {
        let PhaseInputs {
            teacher,
            seed,
            device,
        } = &self.inputs;
        let config = LoaderConfig {
            seed: *seed,
            drop_last: true,
            views: ViewPolicy::Unlimited,
            augment: self.config.views.augment(),
            ..LoaderConfig::new(self.config.training.batch_size)
        };
        let dataset = self.pool.dataset(teacher.classes())?;
        self.loader = Some(Loader::new(dataset, config, device)?);
        Ok(())
    }

    /// The last `count` images.
    fn last(&self, count: usize) -> Result<LastImages<'_>> {
        let PhaseInputs {
            teacher, device, ..
        } = &self.inputs;
        Ok(self.pool.last(count, teacher.normalisation()?, device))
    }

    /// The success of the last search: the share of its images that the teacher takes for the class that was
    /// drawn for them, and the distance of their statistics from those of the teacher's batch norms.
    fn measure_last(&self) -> Result<Metrics> {
        let Some(index) = self.pool.batches().checked_sub(1) else {
            return Ok(Metrics::new());
        };
        let PhaseInputs {
            teacher, device, ..
        } = &self.inputs;
        let (count, classes) = (self.config.batch, teacher.classes());
        let targets = match &self.finder {
            Some(finder) => finder.targets(index as u64, count, classes),
            None => even_targets(count, classes, device),
        };
        let inspected = teacher.inspect(self.last(count)?.from(0, count)?);
        let right = inspected
            .logits
            .clone()
            .argmax(1)
            .flatten(0, 1)
            .equal(targets);
        let share = right.float().mean().into_scalar();
        let mut metrics = Metrics::from([("synthetic_on_target".to_owned(), share)]);
        if teacher.norms() > 0 {
            let distance = norm_distance(&inspected)?.into_scalar();
            metrics.insert("synthetic_bn_statistics".into(), distance);
        }
        Ok(metrics)
    }

    /// Images for a step, as the teacher takes them.
    fn input(&self, at: StepContext) -> Result<Tensor<4>> {
        let loader = self.loader.as_ref();
        let loader = loader.ok_or_else(|| Error::config("pool", "is empty"))?;
        let size = loader.steps_per_epoch();
        // The pool of an epoch is gone through again and again, each time in another order.
        let times = at.epoch * self.config.student_steps + at.step_in_epoch / size;
        let batch = loader.batch(times, at.step_in_epoch % size)?;
        self.inputs.teacher.normalisation()?.apply(batch.pixels()?)
    }
}

impl<S: ImageClassifier> Phase for PoolPhase<'_, S> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn draws_on(&self) -> Option<(Device, u64)> {
        Some((self.inputs.device.clone(), self.inputs.seed))
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        self.grow(at.epoch)?;
        let images = self.input(at)?;
        let targets = SoftTargets {
            teacher: self.inputs.teacher.inspect(images.clone()).logits,
            images,
            temperature: self.config.temperature,
        };
        targets.step(&mut self.student, &self.config.training, at)
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let student = self.student.valid();
        let mut metrics = self.test.metrics(self.inputs.teacher, &student)?;
        metrics.extend(self.measure_last()?);
        Ok(metrics)
    }

    fn result(&self) -> Tensors {
        self.student.result()
    }

    /// Images of the last batches, to be shown.
    fn artifacts(&self) -> Result<BTreeMap<String, Tensors>> {
        let count = ARTIFACT_IMAGES.min(self.pool.images());
        bank_artifact(&self.last(count)?, self.inputs.teacher, count)
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        self.student.put(&mut state);
        let batches = serde_json::json!(self.pool.batches());
        state.values.insert(BATCHES.to_owned(), batches);
        let hashes = serde_json::json!(self.pool.hashes());
        state.values.insert(HASHES.to_owned(), hashes);
        if let Some(finder) = &self.finder {
            finder.put(&mut state);
        }
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.student.restore(state)?;
        if let Some(finder) = &mut self.finder {
            finder.restore(state)?;
        }
        let batches = state.values.get(BATCHES).cloned().unwrap_or_default();
        let batches: usize = serde_json::from_value(batches)
            .map_err(|error| Error::method("the batches of the checkpoint", error))?;
        let hashes = state.values.get(HASHES).cloned().unwrap_or_default();
        let hashes: Option<Vec<String>> = serde_json::from_value(hashes)
            .map_err(|error| Error::method("the batches of the checkpoint", error))?;
        self.pool.read(batches, &hashes.unwrap_or_default())?;
        if batches > 0 {
            self.load()?;
        }
        Ok(())
    }
}
