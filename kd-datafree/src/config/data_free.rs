//! The settings of a run, of one of three kinds.

use super::joint::{Game, Joint};
use super::pooled::Pooled;
use super::two_phases::{Synthetic, TwoPhases};
use crate::objective::GeneratorObjective;

/// The settings of a data-free run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum DataFreeConfig {
    /// A generator first, then a student: RDSKD.
    TwoPhases(TwoPhases),
    /// Generator and student in turns: DAFL, DFAD, ZSKT.
    Joint(Joint),
    /// A pool of images that grows while the student learns: DeepInversion, CMI, Fast-DFKD.
    Pooled(Pooled),
}

impl DataFreeConfig {
    /// The objective of the generator, if it has one: not where there is no generator, or where it learns
    /// against the student.
    pub fn objective(&self) -> Option<&GeneratorObjective> {
        match self {
            Self::TwoPhases(TwoPhases {
                synthetic: Synthetic::Generator { objective, .. },
                ..
            })
            | Self::Joint(Joint {
                game: Game::Cooperative { objective, .. },
                ..
            }) => Some(objective),
            _ => None,
        }
    }
}

impl From<TwoPhases> for DataFreeConfig {
    fn from(config: TwoPhases) -> Self {
        Self::TwoPhases(config)
    }
}

impl From<Pooled> for DataFreeConfig {
    fn from(config: Pooled) -> Self {
        Self::Pooled(config)
    }
}

impl From<Joint> for DataFreeConfig {
    fn from(config: Joint) -> Self {
        Self::Joint(config)
    }
}
