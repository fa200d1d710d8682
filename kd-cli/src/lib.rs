#![doc = include_str!("../README.md")]
//!
//! # Map of the crate
//!
//! | file | holds |
//! |---|---|
//! | `args` | the arguments |
//! | `commands` | one file a command |
//! | `output`, `progress` | what is shown: results, progress, notices |
//! | `watch` | pages about runs that go on, served on this machine |
//! | `advice`, `exit_code` | what a user of the command can do about an error, and its exit code |

mod advice;
mod args;
mod commands;
mod exit_code;
mod output;
mod progress;
#[cfg(feature = "watch")]
mod watch;

use std::process::ExitCode;

use clap::Parser;
use kd_recipe::{MethodRecipe, Methods};

use crate::exit_code::exit_code;

/// The command, to which methods can be added.
///
/// The `kd` that kd brings along is `Kd::new().main()`. One that knows a further method:
///
/// ```no_run
/// # use kd_offline::TrainRecipe as MyRecipe;
/// fn main() -> std::process::ExitCode {
///     kd_cli::Kd::new().with_method::<MyRecipe>().main()
/// }
/// ```
#[derive(Debug)]
pub struct Kd {
    methods: Methods,
}

impl Default for Kd {
    fn default() -> Self {
        Self::new()
    }
}

impl Kd {
    /// The command with the methods that kd brings along.
    pub fn new() -> Self {
        let methods = Methods::new()
            .with::<kd_offline::TrainRecipe>()
            .with::<kd_offline::DistillRecipe>()
            .with::<kd_stagewise::StagewiseRecipe>()
            .with::<kd_datafree::DataFreeRecipe>()
            .with::<kd_online::OnlineRecipe>()
            .with::<kd_teacherclass::TeacherClassRecipe>()
            .with::<kd_compact::CompactRecipe>()
            .with_networks::<kd_teacherclass::Class<kd_models::Network>>();
        Self {
            methods: methods.with_usual("offline"),
        }
    }

    /// With a further method; one of the same name is replaced.
    #[must_use]
    pub fn with_method<R: MethodRecipe>(mut self) -> Self {
        self.methods = self.methods.with::<R>();
        self
    }

    /// Runs the command line of this process.
    ///
    /// The exit code is 0 when all is done, 1 when the run failed, 2 for bad arguments or a bad recipe, 3
    /// when an input is missing or cannot be read, 4 when a loss diverged, 130 when the run was interrupted
    /// and can be resumed.
    pub fn main(self) -> ExitCode {
        let args = args::Args::parse();
        let run = std::panic::AssertUnwindSafe(|| {
            commands::run(args, &self.methods)?;
            output::finish()
        });
        // A backend panics where memory runs out, for one; the table of exit codes has no 101.
        match std::panic::catch_unwind(run) {
            Ok(Ok(())) => ExitCode::SUCCESS,
            Ok(Err(error)) => {
                output::error(&error);
                ExitCode::from(exit_code(error.kind()))
            }
            Err(_) => {
                output::notice(
                    "error: kd stopped where it should not have; the message above says where. If it is \
                     about memory, a smaller `train.batch_size` helps. A run \
                     that was under way can go on with `kd resume`",
                );
                ExitCode::FAILURE
            }
        }
    }
}
