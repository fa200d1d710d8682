#![doc = include_str!("../README.md")]
//!
//! # Map of the crate
//!
//! | file | holds |
//! |---|---|
//! | `config` | [`LossConfig`], [`Ensemble`]: what a recipe says |
//! | `teacher` | [`Teacher`], [`FrozenTeacher`], [`Answer`]: who is asked, and what they say |
//! | `cached` | [`CacheConfig`]: answers that are read from a file |
//! | `kinds` | the losses of the catalogue, each with what it reads and how it is bound to taps and modules |
//! | `terms` | the losses of a recipe, bound |
//! | `phase` | one step, one evaluation, the whole state |
//! | `method` | [`Offline`]: the method as kd-core's runner takes it |
//! | `diagnose` | [`Offline::diagnose`]: what would go wrong, before anything is trained |

mod cached;
mod config;
mod diagnose;
mod kinds;
mod method;
mod phase;
mod teacher;
mod terms;

pub use cached::CacheConfig;
pub use config::{Ensemble, LossConfig, Widths};
pub use diagnose::{
    Cosine, CostFacts, DataFacts, Diagnosis, DiagnosisOptions, Finding, Grade, KnownTeacher,
    LossFacts, MemoryEstimate, ScheduleFacts, TapPair, TeacherFacts, TermFacts, TimeEstimate,
    Topic, Trial,
};
pub use method::{Offline, OfflineData};
pub use phase::RESULT_PHASE;
pub use teacher::{Answer, FrozenTeacher, MissingTeacher, Taps, Teacher};
