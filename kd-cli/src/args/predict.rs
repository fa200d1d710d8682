//! The arguments of `kd predict`.

use std::path::PathBuf;

use clap::{Args as Group, ValueEnum};
use kd_core::{DeviceName, Split};

use super::DataOptions;

/// What `kd predict` takes.
#[derive(Clone, Debug, Group)]
pub(crate) struct PredictOptions {
    /// The model folder, or the folder of a run
    pub(crate) model: PathBuf,
    /// Image files, folders of images (those below are looked into), or one data set by name
    #[arg(required = true)]
    pub(crate) images: Vec<PathBuf>,
    /// A second network to show beside it, such as its teacher
    #[arg(long, value_name = "MODEL")]
    pub(crate) teacher: Option<PathBuf>,
    /// The folder that masks are written to, of a network with a class of each pixel: PNG files of class
    /// numbers, in the size of their image
    #[arg(long, value_name = "DIR")]
    pub(crate) masks: Option<PathBuf>,
    /// How many of the likeliest classes are shown; 3, or all where there are fewer
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) top: Option<u16>,
    /// As what
    #[arg(long, value_enum, default_value_t = PredictFormat::Table)]
    pub(crate) format: PredictFormat,
    /// The split of a data set: `train`, `validation` or `test`
    #[arg(long, default_value = "test")]
    pub(crate) split: Split,
    /// The length of the shorter side of an image before the centre is cut out
    #[arg(long, value_name = "PIXELS")]
    pub(crate) resize: Option<usize>,
    /// The device to compute on
    #[arg(long)]
    pub(crate) device: Option<DeviceName>,
    #[command(flatten)]
    pub(crate) place: DataOptions,
}

/// What `kd predict` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PredictFormat {
    /// A table to read
    Table,
    /// A JSON object a line, with all probabilities
    Jsonl,
    /// A head and a line of values each, with all probabilities
    Csv,
}
