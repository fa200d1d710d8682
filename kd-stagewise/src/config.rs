//! The settings of a stagewise run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kd_core::{OptimizerConfig, Schedule, Training};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Procedure;

/// The mode in which the frozen stages before the trained one are run while it is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PrefixMode {
    /// As at inference: their batch norms use the running statistics of the checkpoint that was selected, and
    /// keep them. So the student runs when it is used, and so maps can be computed once and kept.
    #[default]
    Inference,
    /// With the statistics of each batch, as the paper's public code does: their running statistics go on
    /// moving, and nothing of them can be kept.
    BatchStatistics,
}

/// The choice of a phase's best result; the next phase begins with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Select {
    /// The best epoch on samples that were taken from the training samples and are not trained on.
    #[default]
    Validation,
    /// The best epoch on the data that is reported, as the paper's numbers are made; comparable with them and
    /// too good.
    Test,
    /// No selection: the last epoch.
    Last,
}

/// The treatment of maps of student and teacher that differ in shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum UnequalMaps {
    /// An error: the method has no part that would stand between them.
    #[default]
    Refuse,
    /// The larger map is pooled by averages, and a 1x1 convolution from the student's width to the teacher's
    /// is trained beside the stage and thrown away after it. Ours, not the paper's: results are not
    /// comparable with it.
    Regressor,
}

/// The table `[stagewise]` of a recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StagewiseConfig {
    /// The procedure by which the student is trained.
    pub procedure: Procedure,
    /// The mode of the frozen stages.
    pub prefix: PrefixMode,
    /// The choice of a phase's best result.
    pub select: Select,
    /// The treatment of maps that differ in shape.
    pub unequal_maps: UnequalMaps,
    /// Stages that are identical in teacher and student begin with the teacher's tensors. Not the paper's.
    pub copy_identical: bool,
    /// Stage k learns from the teacher's map k-1 in place of the student's, so that no stage waits for
    /// another. Not the paper's.
    pub teacher_input: bool,
    /// Epochs in which the whole student learns the labels at the end. Not the paper's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "recipe", schemars(range(min = 1), extend("x-unit" = "epochs")))]
    pub fine_tune_epochs: Option<usize>,
    /// The teacher's stage for a stage of the student, where their names differ.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub teacher_stages: BTreeMap<String, String>,
    /// Settings put over `[train]` in a phase, by the name of its stage, or `head`, `fine-tune` or the name
    /// of the phase.
    #[cfg_attr(feature = "recipe", schemars(with = "BTreeMap<String, Training>"))]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub phases: BTreeMap<String, Map<String, Value>>,
}

/// The keeping of maps that are computed once: the table `[cache]` of a stagewise recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StageCache {
    /// Whether maps of the teacher and of the frozen stages are computed once; otherwise in every step.
    pub enabled: bool,
    /// A folder in which the teacher's maps are kept in files, to be shared by runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Whether those files are of the whole training split, so that all fractions of it share one.
    pub whole_split: bool,
    /// MiB that kept maps may take in memory, never more than half of what there is; further ones are read
    /// from files batch by batch.
    pub memory_mib: u64,
}

impl Default for StageCache {
    fn default() -> Self {
        Self {
            enabled: true,
            dir: None,
            whole_split: false,
            memory_mib: 4096,
        }
    }
}

/// The paper's training of a classifier's stages, by its public code: Adam with a constant rate of 1e-4, 100
/// epochs a stage, batches of 64.
pub fn classification_training() -> Training {
    let mut training = Training::for_epochs(100);
    training.batch_size = 64;
    training.lr = 1e-4;
    training.optimizer = OptimizerConfig::adam();
    training
}

/// The paper's training of the stages for segmentation, by its public code: Adam, one cycle with a peak of
/// 1e-2 in each stage in which `beta1` goes from 0.95 to 0.85 and back, 50 epochs a stage, batches of 8.
pub fn segmentation_training() -> Training {
    let mut training = Training::for_epochs(50);
    training.batch_size = 8;
    training.eval_batch_size = 8;
    training.lr = 1e-2;
    training.schedule = Schedule::one_cycle_with_momentum();
    training.optimizer = OptimizerConfig::adam();
    training
}
