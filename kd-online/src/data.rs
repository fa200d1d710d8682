//! The data of a run: samples to train on, samples to measure on, and the views of the former.

use kd_core::{Augment, Subset, ViewPolicy};

/// The data that the students are trained and measured on.
#[derive(Clone, Debug)]
pub struct OnlineData {
    /// The samples that they are trained on.
    pub train: Subset,
    /// The samples that they are measured on.
    pub held_out: Subset,
    /// Samples that decide the weights of the peers in KDCL's general target; they are neither trained on nor
    /// measured on.
    pub validation: Option<Subset>,
    /// The number of views of each training sample.
    pub views: ViewPolicy,
    /// The augmentation that makes the views.
    pub augment: Augment,
}

impl OnlineData {
    /// Samples to train and to measure on, as they are.
    pub fn new(train: impl Into<Subset>, held_out: impl Into<Subset>) -> Self {
        Self {
            train: train.into(),
            held_out: held_out.into(),
            validation: None,
            views: ViewPolicy::Fixed,
            augment: Augment::none(),
        }
    }
}
