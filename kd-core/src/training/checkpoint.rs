//! The contents of `checkpoint.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::training::outcome::{Best, PhaseOutcome};
use crate::training::phase::Metrics;

/// The contents of `checkpoint.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checkpoint {
    pub(crate) format: u32,
    pub(crate) kd_version: String,
    /// The phase that is under way.
    pub(crate) phase_index: usize,
    pub(crate) phase: String,
    /// The next step of it.
    pub(crate) step: usize,
    /// The sums of the losses of the epoch under way, and how many steps they are of.
    pub(crate) loss_sums: BTreeMap<String, f64>,
    pub(crate) loss_count: usize,
    pub(crate) last: Metrics,
    pub(crate) best: Option<Best>,
    pub(crate) evaluations_without_better: usize,
    pub(crate) stopped_early: bool,
    /// Whether the last epoch is trained and not yet measured and logged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) epoch_is_open: bool,
    pub(crate) seconds: f64,
    /// The length of `metrics.jsonl` at this checkpoint.
    pub(crate) metrics_bytes: u64,
    /// The tensors of the phase's state, with their hash; none before its first step.
    pub(crate) tensors: Option<String>,
    pub(crate) tensors_sha256: Option<String>,
    pub(crate) values: BTreeMap<String, Value>,
    pub(crate) finished: Vec<PhaseOutcome>,
    /// The SHA-256 of each file that phases have left, by its path in the run folder.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) files: BTreeMap<String, String>,
    /// The SHA-256 of the first `metrics_bytes` of `metrics.jsonl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) metrics_sha256: Option<String>,
}

/// The version of the checkpoint format; another one is refused.
pub(crate) const CHECKPOINT_FORMAT: u32 = 2;
