//! The data of a run: samples to train on, samples to measure on, and the views of the former.

use kd_core::{Augment, Subset, ViewPolicy};

/// The data that the student is trained and measured on.
#[derive(Clone, Debug)]
pub struct OfflineData {
    /// The samples that it is trained on.
    pub train: Subset,
    /// The samples that it is measured on.
    pub held_out: Subset,
    /// The number of views of each training sample.
    pub views: ViewPolicy,
    /// The augmentation that makes the views.
    pub augment: Augment,
}
