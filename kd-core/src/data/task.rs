//! The task of a data set or network: a class for each image, or for each pixel.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is said of each sample of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Task {
    /// One class for each sample.
    #[default]
    Classification,
    /// A mask for each image: one class for each pixel.
    Segmentation,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classification => "classification",
            Self::Segmentation => "segmentation",
        })
    }
}
