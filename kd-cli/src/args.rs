//! What was typed.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use kd_core::{DeviceName, Split};

const EXIT_CODES: &str = "Exit codes: 0 done, 1 the run failed, 2 bad arguments or recipe, 3 input missing or unreadable, \
                          4 diverged, 130 interrupted and resumable.";

/// Knowledge distillation: train a teacher, distil it into a smaller student, measure both.
#[derive(Debug, Parser)]
#[command(name = "kd", version, arg_required_else_help = true, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a teacher, a student alone and the same student distilled, on the data that kd brings along
    Demo {
        #[command(flatten)]
        run: RunOptions,
        /// Seed of initial weights, order and views
        #[arg(long, default_value_t = 0, value_parser = seed())]
        seed: u64,
        /// Epochs of each of the three parts, in place of those of their recipes: for tests
        #[arg(long, value_name = "N", hide = true, value_parser = clap::value_parser!(u16).range(1..))]
        epochs: Option<u16>,
    },
    /// Train a network from scratch, for example a teacher
    Train(RecipeOptions),
    /// Distil teachers into a student
    Distill(RecipeOptions),
    /// Go on with a run that was interrupted
    Resume {
        /// The run folder
        folder: PathBuf,
        #[command(flatten)]
        machine: MachineOptions,
    },
    /// Write the report of a run again, also of one that is not done
    Report {
        /// The run folder
        folder: PathBuf,
        #[command(flatten)]
        machine: MachineOptions,
    },
    /// Measure a trained network on a data set
    Eval {
        /// The model folder, or the folder of a run
        #[arg(long)]
        model: PathBuf,
        /// The data set; `kd data list` names them
        #[arg(long)]
        data: String,
        /// Which part of the data set
        #[arg(long, default_value = "test", value_parser = split)]
        split: Split,
        /// Samples in a batch
        #[arg(long, default_value_t = 256)]
        batch_size: usize,
        #[command(flatten)]
        machine: MachineOptions,
    },
    /// List the data sets, or look into one
    Data {
        #[command(subcommand)]
        what: DataCommand,
    },
    /// List the methods that a recipe can name
    Methods {
        /// Print one JSON object as the last line
        #[arg(long)]
        json: bool,
    },
    /// List the networks, with parameters and multiply-accumulates, or count one by stage
    Models {
        /// The network to count by stage and kind of layer; all are listed without it
        name: Option<String>,
        /// The data set whose image size and classes they are counted for
        #[arg(long, default_value = "cifar10")]
        data: String,
        /// Print one JSON object as the last line
        #[arg(long)]
        json: bool,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What to do with data sets.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// List the data sets that are known by name and whether their files are here
    List {
        #[command(flatten)]
        place: DataOptions,
        /// Print one JSON object as the last line
        #[arg(long)]
        json: bool,
    },
    /// Read a data set and describe it
    Info {
        /// The data set
        name: String,
        #[command(flatten)]
        place: DataOptions,
        /// Print one JSON object as the last line
        #[arg(long)]
        json: bool,
    },
}

/// Where data is.
#[derive(Clone, Debug, Default, Group)]
pub(crate) struct DataOptions {
    /// Folder with data sets; searched before `KD_DATA` and the user's cache folder
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// What a command runs on.
#[derive(Clone, Debug, Group)]
pub(crate) struct MachineOptions {
    /// Where to compute: auto, cpu, cuda, cuda:1, wgpu
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    pub(crate) device: Option<DeviceName>,
    /// Threads on the CPU; all cores by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
    #[command(flatten)]
    pub(crate) place: DataOptions,
    /// Print one JSON object as the last line
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a command that trains takes.
#[derive(Clone, Debug, Group)]
pub(crate) struct RunOptions {
    /// The folder of the run, new or empty; by default a new one under `runs`
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) machine: MachineOptions,
}

/// What a command that runs a recipe takes.
#[derive(Clone, Debug, Group)]
pub(crate) struct RecipeOptions {
    /// The recipe, a TOML file
    pub(crate) recipe: PathBuf,
    /// Put a value over the recipe's, for example `train.epochs=3`; may be given again
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Seed of initial weights, order and views; the same as `--set seed=N`
    #[arg(long, value_parser = seed())]
    pub(crate) seed: Option<u64>,
    /// Check the recipe and everything it names, print it resolved, and train nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) run: RunOptions,
}

/// A seed that a recipe can hold, whose integers have a sign.
fn seed() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(..=i64::MAX.unsigned_abs())
}

fn device(name: &str) -> Result<DeviceName, String> {
    name.parse()
        .map_err(|error: kd_core::Error| error.to_string())
}

/// The parts of a data set by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    Train,
    Test,
}

fn split(name: &str) -> Result<Split, String> {
    match Part::from_str(name, true) {
        Ok(Part::Train) => Ok(Split::Train),
        Ok(Part::Test) => Ok(Split::Test),
        Err(_) => Err("known: train, test".into()),
    }
}
