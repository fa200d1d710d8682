//! A method is a list of phases; what a phase is.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;

use crate::run::RunFolder;
use crate::runner::Observer;
use crate::schedule::LearningRate;
use crate::{Error, Optimizer, Result, Tensors};

/// How long a phase is and when it is looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Optimizer steps in all; the last epoch may be a short one.
    pub total_steps: usize,
    /// Steps that make an epoch: for logging, evaluation and milestones.
    pub steps_per_epoch: usize,
    /// Evaluate after every so many epochs, and after the last.
    pub eval_every: usize,
    /// Write a checkpoint after every so many steps, besides the one at the end of each epoch.
    pub checkpoint_every: Option<usize>,
    /// Read the losses after every so many steps.
    pub log_every: usize,
    /// Stop after so many evaluations in a row without a better one.
    pub patience: Option<usize>,
    /// Which metric picks the best evaluation; without one there is no best.
    pub selection: Option<Selection>,
    /// The learning rate.
    pub lr: LearningRate,
}

impl Plan {
    /// The number of epochs, the last possibly short.
    pub fn epochs(&self) -> usize {
        self.total_steps.div_ceil(self.steps_per_epoch.max(1))
    }
}

/// The metric that tells a better evaluation from a worse one; only a strictly better one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The name of a metric that [`Phase::evaluate`] gives.
    pub metric: String,
    /// Whether more is better.
    pub higher_is_better: bool,
}

impl Selection {
    /// More is better.
    pub fn highest(metric: &str) -> Self {
        Self {
            metric: metric.to_owned(),
            higher_is_better: true,
        }
    }

    /// Less is better.
    pub fn lowest(metric: &str) -> Self {
        Self {
            metric: metric.to_owned(),
            higher_is_better: false,
        }
    }
}

/// Where a step is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepContext {
    /// The step within the phase, from 0.
    pub step: usize,
    /// The epoch within the phase, from 0.
    pub epoch: usize,
    /// The step within the epoch, from 0.
    pub step_in_epoch: usize,
    /// The learning rate of the plan's schedule.
    pub lr: f64,
}

/// The named losses of one step, each a tensor of one element.
///
/// They are kept on the device; the runner reads them every few steps.
pub type LossTerms = Vec<(String, Tensor<1>)>;

/// The named results of an evaluation.
pub type Metrics = BTreeMap<String, f64>;

/// Everything a phase must get back to go on bit for bit.
#[derive(Clone, Debug, Default)]
pub struct PhaseState {
    /// Weights, running statistics, optimizer moments, ...
    pub tensors: Tensors,
    /// Counters and other plain values.
    pub values: BTreeMap<String, Value>,
}

impl PhaseState {
    /// Adds `tensors` under `prefix/`.
    pub fn put(&mut self, prefix: &str, tensors: Tensors) {
        let named = tensors.into_iter();
        self.tensors
            .extend(named.map(|(name, data)| (format!("{prefix}/{name}"), data)));
    }

    /// The tensors that were put under `prefix/`, by the names they had.
    pub fn part(&self, prefix: &str) -> Tensors {
        let inside = |(name, data): (&String, &TensorData)| {
            let name = name.strip_prefix(prefix)?.strip_prefix('/')?;
            Some((name.to_owned(), data.clone()))
        };
        self.tensors.iter().filter_map(inside).collect()
    }

    /// Adds what `optimizer` remembers.
    pub fn put_optimizer(&mut self, optimizer: &Optimizer) {
        let (moments, steps) = optimizer.state();
        self.put(OPTIMIZER, moments);
        let steps = serde_json::json!(steps);
        self.values.insert(OPTIMIZER_STEPS.to_owned(), steps);
    }

    /// Gives `optimizer` back what was put here.
    ///
    /// # Errors
    ///
    /// [`Error::Method`] if its steps are not there or not numbers.
    pub fn restore_optimizer(&self, optimizer: &mut Optimizer, device: &Device) -> Result<()> {
        let steps = self
            .values
            .get(OPTIMIZER_STEPS)
            .cloned()
            .unwrap_or_default();
        let steps = serde_json::from_value(steps)
            .map_err(|error| Error::method("optimizer steps of the checkpoint", error))?;
        optimizer.restore(&self.part(OPTIMIZER), &steps, device);
        Ok(())
    }
}

const OPTIMIZER: &str = "optimizer";
const OPTIMIZER_STEPS: &str = "optimizer_steps";

/// One stretch of training with its modules and optimizers.
///
/// A phase knows one step, one evaluation and its whole state, and nothing of files, progress or interruption: those are
/// the [`Runner`](crate::Runner)'s. It freezes what must be frozen and averages its own losses.
///
/// The contract:
///
/// * a step depends on the state and the [`StepContext`] alone: every random draw is made from the context, so that
///   `restore(state())` and going on gives the same bits as going on;
/// * `evaluate` changes nothing that `state` holds.
pub trait Phase {
    /// The plan; it does not change while the phase runs.
    fn plan(&self) -> &Plan;

    /// Does one optimizer step and gives the losses it used, the sum of all as `total`.
    ///
    /// # Errors
    ///
    /// Whatever stops the phase.
    fn step(&mut self, at: StepContext) -> Result<LossTerms>;

    /// Measures the present state on held-out data.
    ///
    /// # Errors
    ///
    /// Whatever stops the phase.
    fn evaluate(&mut self) -> Result<Metrics>;

    /// What the phase exists to make: the tensors that are kept as its last and its best result.
    fn result(&self) -> Tensors;

    /// What the phase leaves for a person or for another program beside its result, when it is done: tensors by the name that their file
    /// in the run folder has before `.safetensors`. By default nothing.
    ///
    /// # Errors
    ///
    /// Whatever keeps the run from being done without them.
    fn leaves(&self) -> Result<BTreeMap<String, Tensors>> {
        Ok(BTreeMap::new())
    }

    /// The whole state.
    fn state(&self) -> PhaseState;

    /// Takes a state back that this kind of phase gave.
    ///
    /// # Errors
    ///
    /// If the state does not fit.
    fn restore(&mut self, state: &PhaseState) -> Result<()>;
}

/// A method: phases, each of which may use what those before it left.
///
/// Supervised distillation is one phase. Stagewise KD is one phase a stage, each of which begins with the best result of
/// the one before it. Data-free distillation is a generator phase, for which there is no data set, and then a student phase.
/// The runner drives them all.
pub trait Method {
    /// The names of the phases in order; they name folders, too.
    fn phases(&self) -> Vec<String>;

    /// Does the long work that phase `index` needs before it can start, as building the cache of a teacher's answers.
    ///
    /// The runner calls it before each [`start`](Self::start); after an interruption again, and then it goes on where it was.
    /// By default there is nothing to do.
    ///
    /// # Errors
    ///
    /// One of the kind [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted) if `stop` turns true, and whatever keeps the
    /// work from being done.
    fn make_ready(
        &self,
        _index: usize,
        _earlier: &RunFolder,
        _observer: &mut dyn Observer,
        _stop: &AtomicBool,
    ) -> Result<()> {
        Ok(())
    }

    /// Makes phase `index`, given the results of all phases before it.
    ///
    /// It must be a pure function of the method and those results: after an interruption it is called again.
    ///
    /// # Errors
    ///
    /// Whatever keeps the phase from being made.
    fn start(&self, index: usize, earlier: &RunFolder) -> Result<Box<dyn Phase + '_>>;
}
