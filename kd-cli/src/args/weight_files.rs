//! The arguments of commands that read and write files of models: weights, graphs.

use std::path::PathBuf;

use clap::{Args as Group, ValueEnum};
use kd_models::WeightFit;

use super::values::{fit, input, rename};

/// What the models of an ensemble are averaged by.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum AverageOption {
    Logits,
    Probabilities,
}

/// What a weight file does not say itself.
#[derive(Clone, Debug, Default, Group)]
#[command(next_help_heading = "Weight files")]
pub(crate) struct WeightOptions {
    /// The network that the file is of; without it, the one that its tensors fit
    #[arg(long, value_name = "NAME")]
    pub(crate) network: Option<String>,
    /// What is taken from each channel of pixels in 0 to 1; by default that of the data set
    #[arg(
        long,
        value_name = "A,B,C",
        value_delimiter = ',',
        requires = "std",
        allow_hyphen_values = true
    )]
    pub(crate) mean: Option<Vec<f64>>,
    /// What each channel is divided by after that
    #[arg(
        long,
        value_name = "A,B,C",
        value_delimiter = ',',
        requires = "mean",
        allow_hyphen_values = true
    )]
    pub(crate) std: Option<Vec<f64>>,
    /// The state dictionary in a PyTorch file that holds several, for example `ema`
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Take the tensors whose names begin with this and remove it, for example `student.`
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// What parts of the file's names the network calls otherwise, for example `downsample.=shortcut.`, or a
    /// regular expression between slashes, `/^(layer[0-9])[.]b/=${1}.block`; may be given several times
    #[arg(long, value_name = "FROM=TO", value_parser = rename)]
    pub(crate) rename: Vec<(String, String)>,
    /// How exactly the file must fit: `exact`, or `superset` if it may hold more than the network
    #[arg(long, value_name = "HOW", default_value = "exact", value_parser = fit)]
    pub(crate) fit: WeightFit,
}

/// What `kd import` takes.
#[derive(Clone, Debug, Group)]
pub(crate) struct ImportOptions {
    /// The weight file: .safetensors, .pt, .pth
    pub(crate) file: PathBuf,
    /// The model folder, new or empty
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// The data set that it was trained on, which gives image size, classes and normalisation
    #[arg(long, value_name = "NAME")]
    pub(crate) data: Option<String>,
    /// Channels, height and width of the images
    #[arg(long, value_name = "C,H,W", value_parser = input, required_unless_present = "data")]
    pub(crate) input: Option<[usize; 3]>,
    /// The number of classes; by default that of the file's last layer
    #[arg(long, value_name = "N")]
    pub(crate) classes: Option<usize>,
    /// The names of the classes in the order of the logits, as `cat,dog`, or `@FILE` with one a line
    #[arg(long, value_name = "NAMES")]
    pub(crate) class_names: Option<String>,
    /// Print one JSON object as the last line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) weights: WeightOptions,
}

/// What `kd export` takes.
#[derive(Clone, Debug, Group)]
pub(crate) struct ExportOptions {
    /// The model folder, or the folder of a run; given again, the models are written as one ensemble
    #[arg(long, required = true)]
    pub(crate) model: Vec<PathBuf>,
    /// What the models of an ensemble are averaged by in an ONNX graph; `logits` where nothing is said
    #[arg(long, value_name = "WHAT")]
    pub(crate) average: Option<AverageOption>,
    /// The kind of file
    #[arg(long, value_enum)]
    pub(crate) format: ExportFormat,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Whether normalisation is part of an ONNX graph
    #[arg(long, value_enum, default_value_t = GraphInput::Pixels)]
    pub(crate) input: GraphInput,
    /// The one size of batch that an ONNX graph takes; any without it, where the network allows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) batch: Option<u16>,
    /// Also write a safetensors file with `images` as the exported model takes them, and our `logits` for
    /// them
    #[arg(long, value_name = "FILE")]
    pub(crate) sample: Option<PathBuf>,
    /// Print one JSON object as the last line
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a model can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Weights in PyTorch's names and layouts
    Safetensors,
    /// The network with its weights, opset 18
    Onnx,
}

/// What an ONNX graph takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphInput {
    /// Pixels in 0 to 1; the graph normalises
    Pixels,
    /// Images that are normalised already
    Normalised,
}
