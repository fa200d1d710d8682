//! The options of every command about its output.

use clap::{Args as Group, ValueEnum};

/// How much is said, and in what form.
#[derive(Clone, Copy, Debug, Default, Group)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputOptions {
    /// Print nothing but errors, and the object of `--json`
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// How progress is shown on standard error: plain (a line an epoch), bar, json, none; by default a bar on
    /// a terminal, else lines. `KD_PROGRESS` sets it for all commands
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "HOW",
        hide_possible_values = true
    )]
    pub(crate) progress: Option<ProgressForm>,
}

/// A form of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressForm {
    /// A line an epoch
    Plain,
    /// A bar, and a line of each epoch above it
    Bar,
    /// An object a line
    Json,
    /// Nothing
    None,
}

impl ProgressForm {
    /// The word for it, lines in place of bars.
    pub(crate) fn without_bars(self) -> &'static str {
        match self {
            Self::Plain | Self::Bar => "plain",
            Self::Json => "json",
            Self::None => "none",
        }
    }
}
