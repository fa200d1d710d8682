#![doc = include_str!("../README.md")]
//!
//! # Map of the crate
//!
//! | file | holds |
//! |---|---|
//! | `config` | [`LossConfig`]: the losses of a recipe |
//! | `data` | [`OfflineData`]: the samples and their views |
//! | `ensemble` | [`Ensemble`]: several teachers averaged |
//! | `kinds` | the losses of the catalogue, each with its inputs and its binding to taps and modules |
//! | `taps` | the taps of student and teachers with the shapes of their maps |
//! | `objective` | the losses of a recipe, bound: their weighted sum |
//! | `phase` | one step, one evaluation, the whole state |
//! | `method` | [`Offline`]: the method as kd-core's runner takes it |
//! | `prepared` | the part of a run that is made once |
//! | `caches` | [`Offline::open_caches`]: the teachers of a run with their kept answers |
//! | `diagnose` | [`Offline::diagnose`]: findings about a run, before anything is trained |
//! | `recipe` | the recipes of training and of distillation (feature `recipe`) |

mod caches;
mod config;
mod data;
mod diagnose;
mod ensemble;
mod kinds;
mod method;
mod objective;
mod phase;
mod prepared;
#[cfg(feature = "recipe")]
mod recipe;
mod taps;

pub use config::{LossConfig, Widths};
pub use data::OfflineData;
pub use diagnose::{
    Cosine, CostFacts, Diagnosis, DiagnosisOptions, KnownTeacher, LossFacts, MemoryEstimate,
    SampleFacts, ScheduleFacts, TapPair, TeacherFacts, TermFacts, TimeEstimate, Trial,
};
pub use ensemble::Ensemble;
pub use method::Offline;
pub use phase::RESULT_PHASE;
#[cfg(feature = "recipe")]
pub use recipe::{DistillRecipe, TrainRecipe};
