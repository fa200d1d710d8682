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
    // A backend panics where memory runs out, for one; the table of exit codes has no 101.
    match std::panic::catch_unwind(|| commands::run(args)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            output::error(&error);
            ExitCode::from(error.kind().exit_code())
        }
        Err(_) => {
            output::notice(
                "error: kd stopped where it should not have; the message above says where. If it is about memory, a \
                 smaller `train.batch_size` helps. A run that was under way can go on with `kd resume`",
            );
            ExitCode::FAILURE
        }
    }
}
