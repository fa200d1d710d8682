//! The subject of a report: a run that could be prepared again.

use burn::tensor::Device;
use kd_models::{Families, NetworkSpec};

use crate::inputs::RecipeInputs;

/// What a report needs of a run that could be prepared again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// Data and teachers.
    pub(crate) inputs: &'a RecipeInputs,
    /// The name and size of the student, if the method makes one.
    pub(crate) spec: Option<&'a NetworkSpec>,
    /// The families of networks that model folders may hold.
    pub(crate) families: &'a Families,
    /// The device that the run computes on.
    pub(crate) device: &'a Device,
}
