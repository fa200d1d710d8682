#![doc = include_str!("../README.md")]
//!
//! # Map of the crate
//!
//! | file | holds |
//! |---|---|
//! | `args` | what was typed |
//! | `recipe` | what a recipe file means |
//! | `job` | a recipe made into a run |
//! | `commands` | one file a command |
//! | `output`, `progress` | what a person sees |

mod args;
mod commands;
mod job;
mod output;
mod progress;
mod recipe;

use std::process::ExitCode;

use clap::Parser;

pub use recipe::{DataRecipe, DistillRecipe, NetworkRecipe, Recipe, TeacherRecipe, TrainRecipe};

/// Runs the command line of this process.
///
/// The exit code is 0 when all is done, 1 when the run failed, 2 for bad arguments or a bad recipe, 3 when an input is
/// missing or cannot be read, 4 when a loss diverged, 130 when the run was interrupted and can be resumed.
pub fn main() -> ExitCode {
    let args = args::Args::parse();
    match commands::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}
