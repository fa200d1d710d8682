//! The settings that every phase of training shares.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::training::class_weights::ClassWeights;
use crate::training::optim::{NamedGradients, OptimizerConfig};
use crate::training::plan::{Plan, Selection};
use crate::training::schedule::{LearningRate, Schedule};

/// The most samples in a batch: more than fit into any memory.
const MOST_IN_A_BATCH: usize = 10_000_000;

/// How long and how a phase trains: the `[train]` table of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Training {
    /// Passes over the data; either this or `steps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1), extend("x-unit" = "epochs")))]
    pub epochs: Option<usize>,
    /// Optimizer steps; either this or `epochs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1), extend("x-unit" = "steps")))]
    pub steps: Option<usize>,
    /// Samples in a step.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10_000_000), extend("x-unit" = "samples")))]
    pub batch_size: usize,
    /// Whether a last batch that is not full is left out of an epoch. Where it is kept, one that would have
    /// fewer than [`FEW`](crate::FEW) samples is spread: all batches of the epoch are then equally large but
    /// for one sample.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub drop_last: bool,
    /// Whether each class is drawn equally often, so that samples of small classes come several times an
    /// epoch and some of large ones not at all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub balanced: bool,
    /// How much a sample of each class counts in the cross-entropy with the labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
    /// Samples in a batch of an evaluation.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10_000_000), extend("x-unit" = "samples")))]
    pub eval_batch_size: usize,
    /// Evaluate after every so many epochs; the last epoch is always evaluated.
    #[cfg_attr(feature = "schema", schemars(range(min = 1), extend("x-unit" = "epochs")))]
    pub eval_every: usize,
    /// Write a checkpoint after every so many steps, besides the one at the end of each epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1), extend("x-unit" = "steps")))]
    pub checkpoint_every: Option<usize>,
    /// Read and log the losses after every so many steps. Reading waits for the device.
    #[cfg_attr(feature = "schema", schemars(range(min = 1), extend("x-unit" = "steps")))]
    pub log_every: usize,
    /// Stop after so many evaluations in a row without a better one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1), extend("x-unit" = "evaluations")))]
    pub patience: Option<usize>,
    /// The base learning rate; the peak for one-cycle.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub lr: f64,
    /// Epochs over which the rate rises linearly from near 0; fractions are allowed.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0), extend("x-unit" = "epochs")))]
    pub warmup_epochs: f64,
    /// Limit of the joint norm of all gradients.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub clip_norm: Option<f64>,
    /// Limit of each element of a gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub clip_value: Option<f64>,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// How the learning rate goes.
    pub schedule: Schedule,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: None,
            steps: None,
            batch_size: 64,
            drop_last: false,
            balanced: false,
            class_weights: None,
            eval_batch_size: 256,
            eval_every: 1,
            checkpoint_every: None,
            log_every: 20,
            patience: None,
            lr: 0.05,
            warmup_epochs: 0.0,
            clip_norm: None,
            clip_value: None,
            optimizer: OptimizerConfig::default(),
            schedule: Schedule::default(),
        }
    }
}

impl Training {
    /// Training for `epochs`, the rest as by default.
    pub fn for_epochs(epochs: usize) -> Self {
        Self {
            epochs: Some(epochs),
            ..Self::default()
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for the first value out of range.
    pub fn check(&self) -> Result<()> {
        let at_least_one = |name: &str, value: Option<usize>| match value {
            Some(0) => Err(Error::config(
                format!("train.{name}"),
                "must be at least 1, got 0",
            )),
            _ => Ok(()),
        };
        let positive = |name: &str, value: Option<f64>| match value {
            Some(value) if !value.is_finite() || value <= 0.0 => Err(Error::config(
                format!("train.{name}"),
                format!("must be finite and above 0, got {value}"),
            )),
            _ => Ok(()),
        };
        match (self.epochs, self.steps) {
            (None, None) => {
                let problem = "is missing; say how long to train with `epochs` or `steps`";
                return Err(Error::config("train.epochs", problem));
            }
            (Some(_), Some(_)) => {
                let problem = "and `train.epochs` exclude each other; keep one of them";
                return Err(Error::config("train.steps", problem));
            }
            _ => {}
        }
        for (name, value) in [
            ("batch_size", self.batch_size),
            ("eval_batch_size", self.eval_batch_size),
        ] {
            if value > MOST_IN_A_BATCH {
                let problem = format!("must be at most {MOST_IN_A_BATCH}, got {value}");
                return Err(Error::config(format!("train.{name}"), problem));
            }
        }
        at_least_one("epochs", self.epochs)?;
        at_least_one("steps", self.steps)?;
        at_least_one("batch_size", Some(self.batch_size))?;
        at_least_one("eval_batch_size", Some(self.eval_batch_size))?;
        at_least_one("eval_every", Some(self.eval_every))?;
        at_least_one("log_every", Some(self.log_every))?;
        at_least_one("checkpoint_every", self.checkpoint_every)?;
        at_least_one("patience", self.patience)?;
        if let Some(weights) = &self.class_weights {
            weights.check().map_err(|error| error.within("train"))?;
        }
        positive("lr", Some(self.lr))?;
        positive("clip_norm", self.clip_norm)?;
        positive("clip_value", self.clip_value)?;
        if !self.warmup_epochs.is_finite() || self.warmup_epochs < 0.0 {
            let problem = format!(
                "must be finite and not negative, got {}",
                self.warmup_epochs
            );
            return Err(Error::config("train.warmup_epochs", problem));
        }
        self.optimizer
            .check()
            .map_err(|error| error.within("train"))?;
        self.schedule.check().map_err(|error| error.within("train"))
    }

    /// The plan of a phase whose epochs have `steps_per_epoch` steps.
    ///
    /// # Errors
    ///
    /// As [`Training::check`].
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be finite and not negative, and a float that is too large saturates"
    )]
    pub fn plan(&self, steps_per_epoch: usize, selection: Option<Selection>) -> Result<Plan> {
        self.check()?;
        let steps_per_epoch = steps_per_epoch.max(1);
        let total_steps = match (self.epochs, self.steps) {
            (Some(epochs), _) => epochs.checked_mul(steps_per_epoch).ok_or_else(|| {
                let problem = format!("is too large, got {epochs} of {steps_per_epoch} steps each");
                Error::config("train.epochs", problem)
            })?,
            (None, steps) => steps.unwrap_or(1),
        };
        Ok(Plan {
            total_steps,
            steps_per_epoch,
            eval_every: self.eval_every,
            checkpoint_every: self.checkpoint_every,
            log_every: self.log_every,
            patience: self.patience,
            selection,
            lr: LearningRate {
                base: self.lr,
                schedule: self.schedule.clone(),
                warmup_steps: (self.warmup_epochs * steps_per_epoch as f64).round() as usize,
                total_steps,
                steps_per_epoch,
            },
        })
    }

    /// Applies the limits on gradients, elements first.
    pub fn clip(&self, gradients: &mut NamedGradients) {
        if let Some(limit) = self.clip_value {
            gradients.clip_value(limit);
        }
        if let Some(max_norm) = self.clip_norm {
            gradients.clip_norm(max_norm);
        }
    }
}
