//! The phases of a data-free run.

mod generator;
mod image_pool;
mod inputs;
mod joint;
mod pool;
mod step;
mod student;
mod test_images;

pub use generator::GENERATOR_PHASE;
pub use student::STUDENT_PHASE;

pub(crate) use generator::{GeneratorPhase, trained_generator};
pub(crate) use inputs::PhaseInputs;
pub(crate) use joint::JointPhase;
pub(crate) use pool::PoolPhase;
pub(crate) use student::{BankSource, StudentPhase};
pub(crate) use test_images::TestImages;
