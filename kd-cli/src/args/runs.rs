//! The arguments of `kd runs`.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand, ValueEnum};

/// What to do with runs beside listing them.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Say what differs between the recipes of two runs, and put their evaluations side by side
    Diff {
        /// The folder of a run
        first: PathBuf,
        /// The folder of another
        second: PathBuf,
        /// Print one JSON object as the last line
        #[arg(long)]
        json: bool,
    },
    /// Print the losses and metrics of a run epoch by epoch as comma-separated values
    Csv {
        /// The folder of the run
        run: PathBuf,
    },
}

/// The runs to list.
#[derive(Debug, Group)]
pub(crate) struct RunsOptions {
    /// The folder to look into
    #[arg(default_value = "runs")]
    pub(crate) folder: PathBuf,
    /// Look into campaigns, too, whose runs are otherwise one line
    #[arg(long)]
    pub(crate) all: bool,
    /// List only those of this method
    #[arg(long, value_name = "NAME")]
    pub(crate) method: Option<String>,
    /// List only those in this state
    #[arg(long)]
    pub(crate) state: Option<RunsState>,
    /// The order
    #[arg(long, default_value = "name")]
    pub(crate) sort: RunsOrder,
    /// Print one JSON object as the last line
    #[arg(long)]
    pub(crate) json: bool,
}

/// The state of runs to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunsState {
    /// Runs that are done
    Done,
    /// Those in which a process works
    Running,
    /// Those that can go on
    Stopped,
    /// Those whose files cannot be understood
    Damaged,
}

/// The order of a list of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunsOrder {
    /// By the folder
    Name,
    /// The best result first, the accuracy or the mean intersection over union
    Best,
    /// The shortest first
    Seconds,
    /// The latest change first
    Newest,
}
