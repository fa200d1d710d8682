//! The outcome of a phase, and the two results that it leaves.

use serde::{Deserialize, Serialize};

use crate::training::phase::Metrics;

/// One of the two results that a phase leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// That of the best evaluation.
    Best,
    /// That of the last step.
    Last,
}

impl Snapshot {
    /// The name of its file.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Best => "best.safetensors",
            Self::Last => "last.safetensors",
        }
    }
}

/// The outcome of a phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseOutcome {
    /// The name of the phase.
    pub phase: String,
    /// Whether it was not needed and left out: it then has no result.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
    /// Steps done; fewer than planned if it stopped early.
    pub steps: usize,
    /// Epochs begun.
    pub epochs: usize,
    /// The last evaluation.
    pub last: Metrics,
    /// The best evaluation by the plan's selection.
    pub best: Option<Best>,
    /// Seconds of work, those of interrupted sessions included.
    pub seconds: f64,
}

/// The best evaluation so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// The value of the selecting metric.
    pub value: f64,
    /// The epoch after which it was measured, from 0.
    pub epoch: usize,
    /// All metrics of that evaluation.
    pub metrics: Metrics,
}
