#![doc = include_str!("../README.md")]

mod alive;
mod amount;
mod budget;
mod checker;
mod config;
mod constants;
mod costs;
mod cut_phase;
mod function;
mod graph;
mod groups;
mod latency;
mod latency_phase;
mod measure;
mod method;
#[cfg(feature = "recipe")]
mod networks;
mod objective;
mod op;
mod penalty;
mod recalibrate;
#[cfg(feature = "recipe")]
mod recipe;
mod record;
mod scores;
mod settled;
mod severed;
mod sparsify_phase;
mod surgery;
mod tensors;
mod train_phase;

pub use alive::{Alive, Widths};
pub use costs::{CostModel, LayerSize, Size};
pub use graph::{Graph, NodeId};
pub use groups::{Group, Groups};
pub use op::ConvShape;

pub use budget::{Budget, Floor, Limit};
pub use checker::{check_cut, check_groups};
pub use latency::LatencyTable;
pub use penalty::{Grouping, Penalty, Resource, Scales, suggest_strength};
pub use recalibrate::recalibrated;
pub use scores::{group_norm_scores, l1_scores, random_scores, uniform_scores};
pub use surgery::{Policy, Surgery};

pub use amount::Amount;
pub use config::{
    BlockConfig, BudgetConfig, CompactConfig, CompactSettings, Criterion, DistillConfig, Update,
    cut_training, sparsify_training,
};
pub use method::{CUT_PHASE, Compact, LATENCY_PHASE, SPARSIFY_PHASE, TRAIN_PHASE};
#[cfg(feature = "recipe")]
pub use networks::{cut_spec, graph_of};
#[cfg(feature = "recipe")]
pub use recipe::CompactRecipe;
