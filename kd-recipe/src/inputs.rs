//! The inputs of a run: data and teachers, as they were read, and the hash of each.

use std::collections::BTreeMap;
use std::rc::Rc;

use kd_core::Subset;
use kd_models::TrainedModel;

/// What a recipe has read through its [`Context`](crate::Context): hashes for the run folder, data and
/// teachers for reports.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RecipeInputs {
    /// The SHA-256 of each input, by what an error calls it: "the training data", "teacher 0".
    pub sha256: BTreeMap<String, String>,
    /// The samples that the student learns from.
    pub train: Option<Subset>,
    /// The samples that it is measured on.
    pub held_out: Option<Subset>,
    /// The teachers in order.
    pub teachers: Vec<TeacherInput>,
}

/// A teacher as it was read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TeacherInput {
    /// Where it comes from, as the recipe has it.
    pub from: String,
    /// The trained network.
    pub model: Rc<dyn TrainedModel>,
}
