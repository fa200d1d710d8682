//! The inputs that every phase has.

use burn::tensor::Device;

use crate::teacher::ImageTeacher;

/// The teacher, the seed and the plain device of a run.
#[derive(Clone, Debug)]
pub(crate) struct PhaseInputs<'a> {
    pub(crate) teacher: &'a dyn ImageTeacher,
    pub(crate) seed: u64,
    pub(crate) device: Device,
}
