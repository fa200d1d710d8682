//! The samples of a stagewise run.

use kd_core::{Augment, Result, Subset, ViewPolicy};

/// What the student sees, and what it is measured on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StagewiseData {
    /// What it is trained on.
    pub train: Subset,
    /// What the feature stages are trained on in place of `train`: they need no labels.
    pub unlabelled: Option<Subset>,
    /// What a phase's best result is picked by under [`Select::Validation`](crate::Select::Validation).
    pub validation: Option<Subset>,
    /// What is reported.
    pub test: Subset,
    /// How many views each training sample has.
    pub views: ViewPolicy,
    /// What the views look like.
    pub augment: Augment,
}

impl StagewiseData {
    /// Trained on `train` without augmentation, reported on `test`, without samples for validation.
    pub fn new(train: Subset, test: Subset) -> Self {
        Self {
            train,
            unlabelled: None,
            validation: None,
            test,
            views: ViewPolicy::Fixed,
            augment: Augment::none(),
        }
    }

    /// With the share `share` of each class of the training samples taken away for validation.
    ///
    /// # Errors
    ///
    /// As [`Subset::split`], under the name `validation`.
    pub fn with_validation_share(mut self, share: f64, seed: u64) -> Result<Self> {
        let (train, validation) = self.train.split(share, seed).map_err(|error| match error {
            kd_core::Error::Config { problem, .. } => kd_core::Error::config("validation", problem),
            other => other,
        })?;
        self.train = train;
        self.validation = Some(validation);
        Ok(self)
    }

    /// With these samples for validation.
    #[must_use]
    pub fn with_validation(mut self, validation: Subset) -> Self {
        self.validation = Some(validation);
        self
    }

    /// With these samples for the feature stages, whose labels are not looked at.
    #[must_use]
    pub fn with_unlabelled(mut self, unlabelled: Subset) -> Self {
        self.unlabelled = Some(unlabelled);
        self
    }

    /// With these views of each training sample.
    #[must_use]
    pub fn with_views(mut self, views: ViewPolicy, augment: Augment) -> Self {
        self.views = views;
        self.augment = augment;
        self
    }
}
