//! The arguments of the command.

use std::path::{Path, PathBuf};

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use kd_core::{DeviceName, MaskClass, MaskValue, Split};
use kd_recipe::ImageSize;

mod draft;
mod explain;
mod output;
mod predict;
mod runs;
mod values;
#[cfg(feature = "watch")]
mod watch;
mod weight_files;

pub(crate) use draft::{DraftOptions, NewOptions, StudentOption};
pub(crate) use explain::ExplainOptions;
pub(crate) use output::{OutputOptions, ProgressForm};
pub(crate) use predict::{PredictFormat, PredictOptions};
pub(crate) use runs::{RunsCommand, RunsOptions, RunsOrder, RunsState};
#[cfg(feature = "watch")]
pub(crate) use watch::WatchOptions;
pub(crate) use weight_files::{
    AverageOption, ExportFormat, ExportOptions, GraphInput, ImportOptions, WeightOptions,
};

use values::{device, jobs, mask_class, mask_value, seed, split};

const EXIT_CODES: &str = "Exit codes: 0 done, 1 the run failed, 2 bad arguments or recipe, 3 input missing \
                          or unreadable, \
                          4 diverged, 130 interrupted and resumable.";

const CHECK_EXIT_CODES: &str = "Exit codes: 0 nothing is wrong, 2 an error was found (with --strict: or a \
                                warning), 3 data is missing.";

/// Knowledge distillation: train a teacher, distil it into a smaller student, measure both.
#[derive(Debug, Parser)]
#[command(name = "kd", version, arg_required_else_help = true, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
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
    /// Write a recipe for data of your own, a teacher and a student
    New(NewOptions),
    /// Train a network from scratch, for example a teacher
    Train(RecipeOptions),
    /// Distil teachers into a student
    Distill(RecipeOptions),
    /// Say what would go wrong with a recipe, before anything is trained
    #[command(after_help = CHECK_EXIT_CODES)]
    Check(CheckOptions),
    /// Go on with a run that was interrupted
    Resume {
        /// The run folder, or that of a campaign
        folder: PathBuf,
        /// Change a setting from here on, for example `train.epochs=9`, also of a run that is done; may be
        /// given several times
        #[arg(long = "set", value_name = "PATH=VALUE")]
        overrides: Vec<String>,
        #[command(flatten)]
        machine: MachineOptions,
    },
    /// Make one run of runs of single students, whatever machines they were trained on
    Merge {
        /// The run folder of each student, in any order
        #[arg(required = true)]
        runs: Vec<PathBuf>,
        #[command(flatten)]
        run: RunOptions,
    },
    /// Write the report of a run again, also of one that is not done
    Report {
        /// The run folder
        folder: PathBuf,
        #[command(flatten)]
        machine: MachineOptions,
    },
    /// List the runs and campaigns below a folder, or put two runs side by side
    #[command(args_conflicts_with_subcommands = true)]
    Runs {
        #[command(subcommand)]
        what: Option<RunsCommand>,
        #[command(flatten)]
        list: RunsOptions,
    },
    /// Show runs and campaigns in the browser while they go on
    #[cfg(feature = "watch")]
    Watch(WatchOptions),
    /// Say what a trained network takes images for
    Predict(PredictOptions),
    /// Write the images that a data-free run has made for other programs, or as data for other runs
    Synthesize(SynthesizeOptions),
    /// Compare methods over several seeds; may be stopped and taken up again at any time
    // `bench` is what it was called before; the alias goes with the next version.
    #[command(alias = "bench")]
    Compare(CompareOptions),
    /// One run of a campaign, in the process that `kd compare` starts for it
    #[command(hide = true)]
    CompareRun(RecipeOptions),
    /// Measure a trained network on a data set
    Eval(EvalOptions),
    /// Make a model folder of a weight file
    Import(ImportOptions),
    /// Write a model for other programs
    Export(ExportOptions),
    /// Keep what a teacher says in a file, check such a file, or look into one
    Cache {
        #[command(subcommand)]
        what: CacheCommand,
    },
    /// List the data sets, or look into one
    Data {
        #[command(subcommand)]
        what: DataCommand,
    },
    /// Say what this build has, what the machine offers, and which data sets are there
    Doctor(DoctorOptions),
    /// Say what a key of a recipe is, or list all keys
    Explain(ExplainOptions),
    /// List the methods that a recipe can name
    Methods {
        /// Print one JSON object as the last line
        #[arg(long)]
        json: bool,
    },
    /// List the losses that a recipe can name, or tell all about one
    Losses {
        /// The loss to tell about; all are listed without it
        name: Option<String>,
        /// Print one JSON object as the last line
        #[arg(long)]
        json: bool,
    },
    /// List the networks, with parameters and multiply-accumulates, or count one by stage
    Models(ModelsOptions),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Which networks to count, and how closely.
#[derive(Debug, Group)]
pub(crate) struct ModelsOptions {
    /// The network to count by stage and kind of layer, by its name, or a model folder or the folder of a
    /// run; all that have names are listed without it
    pub(crate) name: Option<String>,
    /// The data set whose image size and classes they are counted for; `cifar10` where nothing is said
    #[arg(long)]
    pub(crate) data: Option<String>,
    /// Count it layer by layer, with the numbers that each layer puts out
    #[arg(long, requires = "name")]
    pub(crate) layers: bool,
    /// Measure how long an answer takes on this machine, for one image and for 64 at once
    #[arg(long, requires = "name")]
    pub(crate) latency: bool,
    /// Where latency is measured: auto, cpu, cuda, cuda:1, wgpu
    #[arg(long, value_name = "DEVICE", value_parser = device, requires = "latency")]
    pub(crate) device: Option<DeviceName>,
    /// Threads on the CPU; all cores by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), requires = "latency")]
    pub(crate) threads: Option<u16>,
    /// Print one JSON object as the last line
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to look at.
#[derive(Debug, Group)]
pub(crate) struct DoctorOptions {
    /// Read the data sets that are there, to see whether they are whole
    #[arg(long)]
    pub(crate) read: bool,
    #[command(flatten)]
    pub(crate) place: DataOptions,
    /// Print one JSON object as the last line
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to do with teacher caches.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Build the caches that a recipe needs, or go on with building them
    Build {
        /// The recipe of a distillation, a TOML file
        recipe: PathBuf,
        /// The file to build, for a recipe of one teacher; by default the folder that the recipe names, or
        /// `caches`
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// How numbers are kept, in place of what the recipe says
        #[arg(long)]
        dtype: Option<Precision>,
        /// Put a value over the recipe's, for example `data.views=8`; may be given again
        #[arg(long = "set", value_name = "PATH=VALUE")]
        overrides: Vec<String>,
        #[command(flatten)]
        machine: MachineOptions,
    },
    /// Read a whole cache and compare every checksum
    Verify {
        /// The cache
        file: PathBuf,
        /// Print one JSON object as the last line
        #[arg(long)]
        json: bool,
    },
    /// Say what a cache is of, also while it is being built
    Info {
        /// The cache
        file: PathBuf,
        /// Print one JSON object as the last line
        #[arg(long)]
        json: bool,
    },
}

/// How numbers are kept.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Precision {
    /// As they are: a run is the same, byte for byte, as with the teacher itself
    F32,
    /// Rounded to half of the size
    F16,
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
        /// The data set; `folder` is one of your own
        name: String,
        #[command(flatten)]
        folder: FolderOptions,
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

/// How a folder of images is read.
#[derive(Clone, Debug, Default, Group)]
pub(crate) struct FolderOptions {
    /// The folder of images, with `train/CLASS` and `test/CLASS` in it, or the folder or table of texts
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) columns: ColumnOptions,
    /// Height and width that its images are brought to, for example 64 or 48x64
    #[arg(long, value_name = "PIXELS")]
    pub(crate) size: Option<ImageSize>,
    /// The length of their shorter side before the centre is cut out
    #[arg(long, value_name = "PIXELS")]
    pub(crate) resize: Option<usize>,
    /// Make them grey
    #[arg(long)]
    pub(crate) grey: bool,
}

/// The columns of a table of texts.
#[derive(Clone, Debug, Default, Group)]
pub(crate) struct ColumnOptions {
    /// The column with the labels of a table of texts; `label` where nothing is said
    #[arg(long, value_name = "NAME")]
    pub(crate) label_column: Option<String>,
    /// The column with the texts; `text` where nothing is said
    #[arg(long, value_name = "NAME")]
    pub(crate) text_column: Option<String>,
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
    /// The recipe, a TOML file; `--data` in its place drafts one
    #[arg(conflicts_with = "data")]
    pub(crate) recipe: Option<PathBuf>,
    /// Put a value over the recipe's, for example `train.epochs=3`; may be given again
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Seed of initial weights, order and views; the same as `--set seed=N`
    #[arg(long, value_parser = seed())]
    pub(crate) seed: Option<u64>,
    /// Check the recipe and everything it names, print it resolved, and train nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Train this student alone, by its number, of a method whose students share nothing; `kd merge` joins
    /// them. With `--data` the network to be trained, by name
    #[arg(long, value_name = "K|NAME")]
    pub(crate) student: Option<StudentOption>,
    /// Train so many of its students side by side, each in a process of its own, and join them
    #[arg(long, value_name = "N", conflicts_with_all = ["student", "data"], value_parser = jobs())]
    pub(crate) jobs: Option<u16>,
    #[command(flatten)]
    pub(crate) run: RunOptions,
    #[command(flatten)]
    pub(crate) draft: DraftOptions,
}

impl RecipeOptions {
    /// What is put over the recipe, the seed among it.
    pub(crate) fn overrides(&self) -> Vec<String> {
        with_seed(&self.overrides, self.seed)
    }

    /// The file of the recipe; empty where one is drafted.
    pub(crate) fn path(&self) -> &Path {
        self.recipe.as_deref().unwrap_or(Path::new(""))
    }

    /// The student that is trained alone.
    pub(crate) fn part(&self) -> Option<usize> {
        match self.student {
            Some(StudentOption::Part(part)) => Some(part),
            _ => None,
        }
    }
}

fn with_seed(overrides: &[String], seed: Option<u64>) -> Vec<String> {
    let seed = seed.map(|seed| format!("seed={seed}"));
    overrides.iter().cloned().chain(seed).collect()
}

/// What `kd eval` takes.
#[derive(Clone, Debug, Group)]
pub(crate) struct EvalOptions {
    /// The model folder, the folder of a run, or a weight file: .safetensors, .pt, .pth; given again, folders
    /// of models are measured as an ensemble
    #[arg(long, required = true)]
    pub(crate) model: Vec<PathBuf>,
    /// What the models of an ensemble are averaged by; `logits` where nothing is said
    #[arg(long, value_name = "WHAT")]
    pub(crate) average: Option<AverageOption>,
    /// The data set, or a folder of your own; `kd data list` names those that are known; `folder`, `masks`
    /// and `text` are of your own
    #[arg(long)]
    pub(crate) data: String,
    /// The classes of `--data masks` with their values, as `road=128` or `road=#804080`; those of the model,
    /// numbered from 0, where nothing is said
    #[arg(long, value_name = "NAME=VALUE,..", value_delimiter = ',', value_parser = mask_class)]
    pub(crate) classes: Vec<MaskClass>,
    /// What pixels without a class have in such masks
    #[arg(long, value_name = "VALUE", value_parser = mask_value)]
    pub(crate) no_class: Option<MaskValue>,
    /// The folder of `--data folder` or `--data masks`, whose images are brought to the size that the network
    /// takes, or the folder or table of `--data text`, made into ids by the model's tokenizer
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) columns: ColumnOptions,
    /// The length of the shorter side of such an image before the centre is cut out
    #[arg(long, value_name = "PIXELS")]
    pub(crate) resize: Option<usize>,
    /// Bring the images of a data set that is known by name to the size that the network takes
    #[arg(long)]
    pub(crate) scale: bool,
    /// Which part of the data set: train, val, test
    #[arg(long, default_value = "test", value_parser = split)]
    pub(crate) split: Split,
    /// Samples in a batch; 256 where nothing is said, and 8 where each image has a mask
    #[arg(long)]
    pub(crate) batch_size: Option<usize>,
    #[command(flatten)]
    pub(crate) machine: MachineOptions,
    #[command(flatten)]
    pub(crate) weights: WeightOptions,
}

/// What `kd synthesize` takes.
#[derive(Clone, Debug, Group)]
pub(crate) struct SynthesizeOptions {
    /// The folder of a run of `method = "data-free"` that is done, or whose generator is
    #[arg(long, value_name = "DIR")]
    pub(crate) run: PathBuf,
    /// How many images, the first of the bank; all without it
    #[arg(long, value_name = "N")]
    pub(crate) images: Option<usize>,
    /// As what
    #[arg(long, value_enum)]
    pub(crate) format: TypedFormat,
    /// The folder to write, new or empty
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Print one JSON object as the last line
    #[arg(long)]
    pub(crate) json: bool,
}

/// What synthetic images can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TypedFormat {
    /// PNG files, one folder for each of the teacher's classes, as `data.name = "folder"` takes them
    Folder,
    /// The two files of MNIST's training split, for grey images
    Idx,
    /// The bank as it is: with the teacher's logits, and what is beyond the range of pixels
    Bank,
}

impl TypedFormat {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Idx => "idx",
            Self::Bank => "bank",
        }
    }
}

/// What `kd check` takes.
#[derive(Clone, Debug, Group)]
pub(crate) struct CheckOptions {
    /// The recipe, a TOML file
    pub(crate) recipe: PathBuf,
    /// Put a value over the recipe's, for example `train.epochs=3`; may be given again
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Seed of initial weights, order and views; the same as `--set seed=N`
    #[arg(long, value_parser = seed())]
    pub(crate) seed: Option<u64>,
    /// Let a warning fail the check as an error does
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print only what is not in order, without the tables
    #[arg(long)]
    pub(crate) brief: bool,
    #[command(flatten)]
    pub(crate) machine: MachineOptions,
}

impl CheckOptions {
    /// What is put over the recipe, the seed among it.
    pub(crate) fn overrides(&self) -> Vec<String> {
        with_seed(&self.overrides, self.seed)
    }
}

/// What `kd compare` takes.
#[derive(Clone, Debug, Group)]
pub(crate) struct CompareOptions {
    /// The campaign, a TOML file
    pub(crate) campaign: PathBuf,
    /// Run only this method, with its teachers; may be given again
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Put a value over every recipe of the campaign, those of teachers too; may be given again
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Throw away and make again what failed, and what was made from another recipe, data or teacher
    #[arg(long)]
    pub(crate) rerun: bool,
    /// List the runs and what there is of each, and train nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The folder of the campaign; by default the one of its name under `runs`
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Runs side by side; without `--threads` they share the cores
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
    #[command(flatten)]
    pub(crate) machine: MachineOptions,
}
