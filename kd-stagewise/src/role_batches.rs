//! The batches of one role in a phase.

use kd_core::{Batch, Loader, Result, Store};

use crate::data::Role;

/// The batches of one role in a phase, and the maps of the frozen stages that are kept of them.
#[derive(Debug)]
pub(crate) struct RoleBatches {
    pub(crate) role: Role,
    pub(crate) loader: Loader,
    /// Maps of the frozen stages, or the dense representation.
    pub(crate) prefix: Option<Store>,
    /// Whether something is computed of the samples, beside what is kept.
    pub(crate) rendered: bool,
}

impl RoleBatches {
    /// Batch `step` of `epoch`, rendered where that is needed.
    pub(crate) fn batch(&self, epoch: usize, step: usize) -> Result<Batch> {
        if self.rendered {
            self.loader.batch(epoch, step)
        } else {
            self.loader.batch_without_samples(epoch, step)
        }
    }

    /// All samples in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = Result<Batch>> {
        (0..self.loader.steps_per_epoch()).map(|step| self.batch(0, step))
    }
}
