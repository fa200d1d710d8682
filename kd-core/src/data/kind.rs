//! The kind of a data set's samples: images or texts.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the samples of a data set are, and what a network takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SampleKind {
    /// Images.
    #[default]
    Images,
    /// Texts as token ids, all of one length.
    Texts,
}

impl fmt::Display for SampleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Images => "images",
            Self::Texts => "texts",
        })
    }
}
