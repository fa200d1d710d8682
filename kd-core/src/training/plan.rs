//! The plan of a phase: its length, its evaluations, its learning rate.

use crate::training::schedule::{LearningRate, Schedule};

/// The length of a phase, and when it is evaluated.
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
    /// A plan without steps: the phase is evaluated once and its result kept.
    pub fn no_steps(selection: Option<Selection>) -> Self {
        Self {
            total_steps: 0,
            steps_per_epoch: 1,
            eval_every: 1,
            checkpoint_every: None,
            log_every: 1,
            patience: None,
            selection,
            lr: LearningRate {
                base: 0.0,
                schedule: Schedule::default(),
                warmup_steps: 0,
                total_steps: 0,
                steps_per_epoch: 1,
            },
        }
    }

    /// The number of epochs, the last possibly short.
    pub fn epochs(&self) -> usize {
        self.total_steps.div_ceil(self.steps_per_epoch.max(1))
    }
}

/// The metric that tells a better evaluation from a worse one; only a strictly better one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The name of a metric that [`Phase::evaluate`](crate::Phase::evaluate) gives.
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
