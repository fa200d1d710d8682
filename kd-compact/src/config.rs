//! The settings of the method.

use std::collections::BTreeMap;

use kd_core::{Error, Result, Training};
use serde::{Deserialize, Serialize};

use crate::alive::Alive;
use crate::amount::Amount;
use crate::budget::{Budget, Limit, UNLIMITED};
use crate::costs::{CostModel, Size};
use crate::groups::Groups;
use crate::measure::PAYING;
use crate::penalty::Grouping;
use crate::surgery::Policy;

/// By what the channels that stay are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Criterion {
    /// The scales of the norms after training under the resource-weighted penalty.
    #[default]
    Sparsify,
    /// The same under one penalty for all scales: network slimming.
    Slimming,
    /// The mean size of the weights of a channel, without sparse training.
    L1,
    /// The Euclidean norm of the weights of a channel, without sparse training: `DepGraph`'s.
    GroupNorm,
    /// Chance, without sparse training.
    Random,
    /// One factor for all widths; the smaller network begins with new weights.
    Uniform,
    /// Nothing is cut: the control, trained on as the others are.
    None,
}

impl Criterion {
    /// Whether it needs sparse training.
    pub fn sparsifies(self) -> bool {
        matches!(self, Self::Sparsify | Self::Slimming)
    }
}

/// How the penalty moves the scales.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Update {
    /// A proximal step after each step of the optimizer, which reaches 0 exactly.
    #[default]
    Proximal,
    /// A step down the subgradient after each step of the optimizer.
    Subgradient,
}

/// The table `[budget]` of a recipe: what the network may cost after the cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BudgetConfig {
    /// Multiply-accumulates for one image: a share of those of the uncut network, or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub macs: Option<Amount>,
    /// Parameters, those of norms and biases included: a share, or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Amount>,
    /// Milliseconds of an answer on this machine's CPU, always a number and never a share; `kd check` shows
    /// those of the uncut network. Layers are measured before the first step, and multiples of 8 channels
    /// stay where `compact.round_to` says nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub milliseconds: Option<f64>,
    /// Samples that are answered at once within these milliseconds; 1 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "recipe", schemars(range(min = 1)))]
    pub batch: Option<usize>,
}

impl BudgetConfig {
    /// The samples that are answered at once within a budget in milliseconds.
    pub fn batch(&self) -> usize {
        self.batch.unwrap_or(1)
    }

    fn check(&self) -> Result<()> {
        if let Some(milliseconds) = self.milliseconds {
            positive("budget.milliseconds", milliseconds)?;
        }
        match self.batch {
            Some(0) => Err(Error::config("budget.batch", "must be at least 1, got 0")),
            Some(_) if self.milliseconds.is_none() => {
                let problem = "says how many samples are answered within `budget.milliseconds`, which is not \
                               given; leave it out, or give milliseconds";
                Err(Error::config("budget.batch", problem))
            }
            _ => Ok(()),
        }
    }
}

/// An entry of the table `[blocks]` of a recipe, by the name of a stage of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BlockConfig {
    /// Multiply-accumulates of the block's layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub macs: Option<Amount>,
    /// Parameters of the block's layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Amount>,
    /// The strength of the penalty in the block, as a multiple of the whole network's; 1 where nothing is
    /// said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub strength: Option<f64>,
}

/// The table `[distill]` of a recipe: learning from the network as it was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DistillConfig {
    /// The divisor of both logits; 4, as in the CRD benchmark's code.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub temperature: f64,
    /// The share of the distillation in the loss, the rest is cross-entropy; 0.9 as there. 0 asks no teacher.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0, max = 1.0)))]
    pub weight: f64,
}

impl Default for DistillConfig {
    fn default() -> Self {
        Self {
            temperature: 4.0,
            weight: 0.9,
        }
    }
}

/// The table `[compact]` of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CompactConfig {
    /// By what the channels that stay are chosen.
    pub criterion: Criterion,
    /// What becomes of the shifts of channels that are cut.
    pub policy: Policy,
    /// How the scales that decide about one channel are put together.
    pub grouping: Grouping,
    /// How the penalty moves the scales.
    pub update: Update,
    /// The strength of the penalty where the channels that are alive cost just what they may by now; it grows
    /// by e for each twentieth of the cost that they are above it, at most twice. By default the one at which
    /// the penalty alone would move the scales, on the mean, by a half for each halving of the cost that the
    /// budget asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub strength: Option<f64>,
    /// The scale at or below which a channel counts as dead during sparse training; 0.01, as in `MorphNet`'s
    /// example. The cut itself goes by the budget.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub threshold: f64,
    /// The number of channels of each group that is cut is a multiple of this, and at least this; 1 by
    /// default, and 8 under a budget in milliseconds. Widths such as 13 cost as much as 16 on most devices.
    #[cfg_attr(feature = "recipe", schemars(range(min = 1)))]
    pub round_to: usize,
    /// Whether the cut network begins with new weights, so that only its widths are kept. Off by default.
    pub retrain: bool,
    /// Batches on which the statistics of norms are taken anew before they are relied on.
    #[cfg_attr(feature = "recipe", schemars(range(min = 1)))]
    pub recalibrate: usize,
}

impl Default for CompactConfig {
    fn default() -> Self {
        Self {
            criterion: Criterion::default(),
            policy: Policy::default(),
            grouping: Grouping::default(),
            update: Update::default(),
            strength: None,
            threshold: 0.01,
            round_to: 1,
            retrain: false,
            recalibrate: 16,
        }
    }
}

impl CompactConfig {
    /// Whether the cut network begins with new weights.
    pub fn begins_anew(&self) -> bool {
        self.retrain || self.criterion == Criterion::Uniform
    }
}

/// All settings beside those of the two trainings.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CompactSettings {
    /// The budget of the whole network.
    pub budget: BudgetConfig,
    /// Budgets and strengths by block.
    pub blocks: BTreeMap<String, BlockConfig>,
    /// The distillation.
    pub distill: DistillConfig,
    /// All else.
    pub compact: CompactConfig,
}

/// Sparse training, where nothing else is said: 6 epochs at a constant rate of 0.01 (inferred).
pub fn sparsify_training() -> Training {
    let mut training = Training::for_epochs(6);
    training.lr = 0.01;
    training
}

/// The training after the cut, where nothing else is said: 12 epochs from a rate of 0.02 (inferred).
pub fn cut_training() -> Training {
    let mut training = Training::for_epochs(12);
    training.lr = 0.02;
    training
}

impl CompactSettings {
    /// Checks every value that needs no network.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for the first value out of range.
    pub fn check(&self) -> Result<()> {
        let (distill, compact) = (&self.distill, &self.compact);
        self.budget.check()?;
        positive("distill.temperature", distill.temperature)?;
        if !(0.0..=1.0).contains(&distill.weight) {
            let problem = format!("must be 0 to 1, got {}", distill.weight);
            return Err(Error::config("distill.weight", problem));
        }
        positive("compact.threshold", compact.threshold)?;
        if let Some(strength) = compact.strength {
            not_negative("compact.strength", strength)?;
        }
        if compact.round_to == 0 {
            let problem = "must be at least 1, got 0";
            return Err(Error::config("compact.round_to", problem));
        }
        if compact.criterion == Criterion::None && (compact.round_to > 1 || compact.retrain) {
            let key = ["compact.round_to", "compact.retrain"][usize::from(compact.retrain)];
            let problem =
                "has no effect where nothing is cut (`criterion = \"none\"`); leave it out";
            return Err(Error::config(key, problem));
        }
        if compact.recalibrate == 0 {
            let problem = "must be at least 1, got 0";
            return Err(Error::config("compact.recalibrate", problem));
        }
        for (name, block) in &self.blocks {
            if let Some(strength) = block.strength {
                not_negative(&format!("blocks.{name}.strength"), strength)?;
            }
        }
        Ok(())
    }

    /// The multiple of channels that stays of each group.
    pub(crate) fn round_to(&self) -> usize {
        match self.budget.milliseconds {
            Some(_) if self.compact.round_to == 1 => PAYING,
            _ => self.compact.round_to,
        }
    }

    /// The budget for a network, in numbers.
    ///
    /// # Errors
    ///
    /// As [`Budget::check`]; [`Error::UnknownName`] for a block that there is not; [`Error::Config`] for a
    /// budget where nothing is to be cut.
    pub fn limits(&self, model: &CostModel, groups: &Groups) -> Result<Budget> {
        let all = Alive::all(groups);
        let (whole, by_block) = (model.size(&all), model.by_block(&all));
        let mut budget = Budget {
            milliseconds: self.budget.milliseconds,
            ..Budget::default()
        };
        budget
            .limits
            .extend(limit(None, whole, self.budget.macs, self.budget.parameters));
        for (name, block) in &self.blocks {
            let known = model.blocks().iter().map(String::as_str);
            let place = model.blocks().iter().position(|known| known == name);
            let place = place.ok_or_else(|| Error::unknown_name("block", name, known))?;
            let size = by_block[place];
            budget
                .limits
                .extend(limit(Some(name), size, block.macs, block.parameters));
        }
        if self.compact.criterion != Criterion::None {
            budget.check(model, groups)?;
        } else if budget != Budget::default() {
            let problem =
                "is given, and with `compact.criterion` \"none\" nothing is cut; leave it out";
            return Err(Error::config("budget", problem));
        }
        Ok(budget)
    }
}

fn limit(
    block: Option<&String>,
    whole: Size,
    macs: Option<Amount>,
    parameters: Option<Amount>,
) -> Option<Limit> {
    if macs.is_none() && parameters.is_none() {
        return None;
    }
    let most = |amount: Option<Amount>, whole| amount.map_or(UNLIMITED, |amount| amount.of(whole));
    Some(Limit {
        block: block.cloned(),
        most: Size {
            macs: most(macs, whole.macs),
            parameters: most(parameters, whole.parameters),
        },
    })
}

fn positive(field: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    let problem = format!("must be finite and above 0, got {value}");
    Err(Error::config(field, problem))
}

fn not_negative(field: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    let problem = format!("must be finite and not negative, got {value}");
    Err(Error::config(field, problem))
}
