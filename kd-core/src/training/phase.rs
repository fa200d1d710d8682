//! A phase: one step, one evaluation, a result and a state.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};

use crate::error::Result;
use crate::network::tensors::Tensors;
use crate::training::phase_state::PhaseState;
use crate::training::plan::Plan;

/// The place of a step in a phase, and its rates.
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
    /// The momentum of the plan's schedule, if it has one; the optimizer's own otherwise.
    pub momentum: Option<f64>,
}

impl StepContext {
    /// The context of an update outside the steps of a plan, as those of a search, with this learning rate.
    pub fn at_rate(step: usize, lr: f64) -> Self {
        Self {
            step,
            epoch: 0,
            step_in_epoch: step,
            lr,
            momentum: None,
        }
    }
}

/// The named losses of one step, each a tensor of one element.
///
/// They are kept on the device; the runner reads them every few steps.
pub type LossTerms = Vec<(String, Tensor<1>)>;

/// The named results of an evaluation.
pub type Metrics = BTreeMap<String, f64>;

/// One stretch of training with its modules and optimizers.
///
/// A phase knows one step, one evaluation and its whole state, and nothing of files, progress or
/// interruption: those are the [`Runner`](crate::Runner)'s. It freezes what must be frozen and averages its
/// own losses. [`Trained`](crate::Trained) has the parts of a step that are the same everywhere.
///
/// A phase whose plan has no steps is evaluated once, and its result is kept.
///
/// The contract:
///
/// * a step depends on the state and the [`StepContext`] alone: every random draw is made from the context,
///   or on the device of [`draws_on`](Phase::draws_on), so that `restore(state())` and going on gives the
///   same bits as going on;
/// * `evaluate` changes nothing that `state` holds.
pub trait Phase {
    /// The plan; it does not change while the phase runs.
    fn plan(&self) -> &Plan;

    /// The device that layers draw on while the phase trains, as dropout does, and the seed of the draws. The
    /// runner seeds the device before each step, by this seed, the name of the phase and the step, so that a
    /// run that was interrupted draws what an undisturbed one does. By default nothing is drawn there.
    ///
    /// Some backends have one generator for the whole process, Burn's on the CPU among them: two runs in one
    /// process that draw at the same time disturb each other.
    fn draws_on(&self) -> Option<(Device, u64)> {
        None
    }

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

    /// The tensors that the phase exists to make; they are kept as its last and its best result.
    fn result(&self) -> Tensors;

    /// Further tensor files, written to the run folder when the phase ends: tensors by the name of their
    /// file, without `.safetensors`. By default none.
    ///
    /// # Errors
    ///
    /// Whatever keeps the run from being done without them.
    fn artifacts(&self) -> Result<BTreeMap<String, Tensors>> {
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
