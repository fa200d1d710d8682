//! The parts that a published data set comes in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Which part of a data set: the one to train on, the one to choose by, or the one to test on.
///
/// Every known data set has samples to train on and to test on; few were published with samples to choose by,
/// and a folder of images has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// The samples to train on.
    #[default]
    Train,
    /// The samples by which an epoch or a setting is chosen.
    Validation,
    /// The samples to test on.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}

impl FromStr for Split {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "train" => Ok(Self::Train),
            "validation" => Ok(Self::Validation),
            "test" => Ok(Self::Test),
            _ => Err(Error::unknown_name(
                "split",
                name,
                ["train", "validation", "test"],
            )),
        }
    }
}
