//! Networks that can be students of a class.

use burn::module::ModuleDisplay;
use kd_core::{StagedNetwork, TaskNetwork};

use crate::output::ChunkOutput;

/// A network that can be a student of a class: implemented for every classifier and every network for
/// segmentation, as Burn's `Module` derive makes its display, too.
pub trait Student: TaskNetwork + StagedNetwork<Output: ChunkOutput> + ModuleDisplay {}

impl<S> Student for S where S: TaskNetwork + StagedNetwork<Output: ChunkOutput> + ModuleDisplay {}
