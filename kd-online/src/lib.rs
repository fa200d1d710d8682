#![doc = include_str!("../README.md")]
//!
//! # Map of the crate
//!
//! | file | holds |
//! |---|---|
//! | `config`, `kinds`, `diversification` | [`OnlineConfig`], [`Objective`]: the table of a recipe |
//! | `branches` | [`Branches`]: the multi-branch network of any network |
//! | `combine` | [`Combiner`]: fusion, gates, attention; [`Ensembled`]: what they make of all peers |
//! | `divergence`, `objective` | [`OnlineLoss`]: the loss of a step |
//! | `peers`, `group`, `average` | [`Peers`]: students before and under training, and their averages |
//! | `data`, `prepared`, `method`, `phase` | [`Online`]: the method as kd-core's runner takes it |
//! | `evaluation`, `measures`, `measure_sums`, `findings` | all measures in one pass, and in words |
//! | `recipe` | `OnlineRecipe`, with the feature `recipe`: the method as recipes name it |
//! | `ensemble`, `costs` | [`Ensemble`] at inference; [`BranchCosts`] and [`stretched`] |

mod average;
mod branches;
mod combine;
mod config;
mod costs;
mod data;
mod divergence;
mod diversification;
mod ensemble;
mod evaluation;
mod findings;
mod group;
mod kinds;
mod measure_sums;
mod measures;
mod method;
mod objective;
mod peers;
mod phase;
mod prepared;
#[cfg(feature = "recipe")]
mod recipe;

pub use branches::{BranchOutput, Branches, branch_seed};
pub use combine::attention::PeerAttention;
pub use combine::combiner::{Combiner, CombinerSizes, Ensembled, FeatureClassifier};
pub use combine::fusion::FeatureFusion;
pub use combine::gate::{FusionGate, TrunkGate};
pub use config::{BranchViews, OnlineConfig, TeacherTerm};
pub use costs::{BranchCosts, stretched};
pub use data::OnlineData;
pub use diversification::{Diversification, PredictionPenalty};
pub use ensemble::{Ensemble, EnsembleOutput};
pub use findings::findings;
pub use kinds::{
    Attention, AttentionDetach, FusionConv, GateGranularity, KdclTarget, MutualTarget, Objective,
};
pub use method::Online;
pub use objective::{LossInputs, OnlineLoss, StepLoss};
pub use peers::Peers;
pub use phase::RESULT_PHASE;
#[cfg(feature = "recipe")]
pub use recipe::{ComputeOf, OnlineRecipe};
