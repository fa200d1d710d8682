//! Training: methods made of phases, the runner that drives them, the folder of a run.

pub(crate) mod checkpoint;
pub(crate) mod class_weights;
pub(crate) mod epoch_log;
mod findings;
pub(crate) mod method;
pub(crate) mod metrics_log;
pub(crate) mod observer;
pub(crate) mod optim;
pub(crate) mod outcome;
pub(crate) mod phase;
pub(crate) mod phase_state;
pub(crate) mod plan;
pub(crate) mod run_folder;
pub(crate) mod runner;
pub(crate) mod schedule;
pub(crate) mod sequence;
pub(crate) mod settings;
mod take_over;
pub(crate) mod trained;
