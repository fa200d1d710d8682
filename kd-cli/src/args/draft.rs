//! The arguments from which a recipe is drafted.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args as Group;
use kd_core::{MaskClass, MaskValue};
use kd_recipe::ImageSize;

use super::MachineOptions;
use super::values::{mask_class, mask_value};

/// What `kd new` takes.
#[derive(Clone, Debug, Group)]
pub(crate) struct NewOptions {
    #[command(flatten)]
    pub(crate) draft: DraftOptions,
    /// The network to be trained, by name; without it one that suits the data and the teacher
    #[arg(long, value_name = "NAME")]
    pub(crate) student: Option<String>,
    /// The recipe to write, a new file; by default named after the data
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) machine: MachineOptions,
}

/// What a recipe is drafted from.
#[derive(Clone, Debug, Default, Group)]
#[command(next_help_heading = "A recipe from data")]
pub(crate) struct DraftOptions {
    /// A folder of images, of images and masks or of texts, a table of texts, or a data set by name
    #[arg(long, value_name = "DATA")]
    pub(crate) data: Option<String>,
    /// The teacher: the folder of a run or of a model, or a weight file; labels alone are learnt without one
    #[arg(long, value_name = "MODEL", requires = "data")]
    pub(crate) teacher: Option<PathBuf>,
    /// Minutes that the training may take on this machine; 10 where nothing is said
    #[arg(long, value_name = "N", requires = "data")]
    pub(crate) minutes: Option<f64>,
    /// Height and width that images are brought to, for example 64 or 48x64
    #[arg(long, value_name = "PIXELS", requires = "data")]
    pub(crate) size: Option<ImageSize>,
    /// The share of each class that is held out to be measured on; 0.2 where there is no folder `test`
    #[arg(long, value_name = "SHARE", requires = "data")]
    pub(crate) held_out: Option<f64>,
    /// The classes of masks with their values, as `road=128` or `road=#804080`
    #[arg(
        long,
        value_name = "NAME=VALUE,..",
        value_delimiter = ',',
        value_parser = mask_class,
        requires = "data"
    )]
    pub(crate) classes: Vec<MaskClass>,
    /// What pixels without a class have in such masks
    #[arg(long, value_name = "VALUE", value_parser = mask_value, requires = "data")]
    pub(crate) no_class: Option<MaskValue>,
}

/// What stands behind `--student`: a number, or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StudentOption {
    /// The student of this number, of a method whose students share nothing.
    Part(usize),
    /// The network of this name, for a recipe from data.
    Network(String),
}

impl FromStr for StudentOption {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let part = text.parse().map(Self::Part);
        Ok(part.unwrap_or_else(|_| Self::Network(text.to_owned())))
    }
}
