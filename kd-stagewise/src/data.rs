//! The samples of a stagewise run, by their roles: trained on, selected by, reported.

use kd_core::{Augment, Error, Result, Subset, ViewPolicy};

use crate::phase_spec::PhaseSpec;

/// The samples that the student is trained and measured on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StagewiseData {
    /// The samples that it is trained on.
    pub train: Subset,
    /// Samples for the feature stages in place of `train`: they need no labels.
    pub unlabelled: Option<Subset>,
    /// The samples that a phase's best result is picked by under
    /// [`Select::Validation`](crate::Select::Validation).
    pub validation: Option<Subset>,
    /// The samples that are reported.
    pub test: Subset,
    /// The number of views of each training sample.
    pub views: ViewPolicy,
    /// The augmentation that makes the views.
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
            Error::Config { problem, .. } => Error::config("validation", problem),
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

    /// With these samples for the feature stages, whose labels are not read.
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

    /// The samples of a role.
    pub(crate) fn samples(&self, role: Role) -> Result<&Subset> {
        match role {
            Role::Train => Ok(&self.train),
            Role::Unlabelled => Ok(self.unlabelled.as_ref().unwrap_or(&self.train)),
            Role::Validation => {
                let none = || Error::config("data", "has no samples for validation");
                self.validation.as_ref().ok_or_else(none)
            }
            Role::Test => Ok(&self.test),
        }
    }

    /// The role of the samples that a phase is trained on.
    pub(crate) fn trained_on(&self, phase: &PhaseSpec) -> Role {
        if self.unlabelled.is_some() && !phase.objective.reads_output() {
            Role::Unlabelled
        } else {
            Role::Train
        }
    }
}

/// The part that some samples have in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Train,
    Unlabelled,
    Validation,
    Test,
}

impl Role {
    pub(crate) fn is_trained_on(self) -> bool {
        matches!(self, Self::Train | Self::Unlabelled)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Unlabelled => "unlabelled",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}
