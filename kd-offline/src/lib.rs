#![doc = include_str!("../README.md")]
//!
//! # Map of the crate
//!
//! | file | holds |
//! |---|---|
//! | `config` | [`LossConfig`], [`Ensemble`]: what a recipe says |
//! | `teacher` | [`Teacher`], [`FrozenTeacher`], [`Answer`]: who is asked, and what they say |
//! | `terms` | the losses bound to taps and regressors |
//! | `phase` | one step, one evaluation, the whole state |
//! | `method` | [`Offline`]: the method as kd-core's runner takes it |

mod config;
mod method;
mod phase;
mod teacher;
mod terms;

pub use config::{Ensemble, LossConfig, Widths};
pub use method::{Offline, OfflineData};
pub use phase::RESULT_PHASE;
pub use teacher::{Answer, FrozenTeacher, Taps, Teacher};
