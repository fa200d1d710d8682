#![doc = include_str!("../README.md")]
//!
//! # Map of the crate
//!
//! | file | holds |
//! |---|---|
//! | `args` | what was typed |
//! | `method` | what a method brings along, and the table of methods |
//! | `methods` | one file a method |
//! | `parts` | the tables that recipes share: data, networks, teachers |
//! | `job` | a recipe made into a run |
//! | `report` | what a run came to, as a page |
//! | `synthetic` | the images that a data-free run has made |
//! | `examination` | a recipe looked at for `kd check` |
//! | `campaign` | many runs, compared |
//! | `commands` | one file a command |
//! | `onnx` | a network as an ONNX graph |
//! | `output`, `progress`, `memory` | what a person sees |

mod args;
mod campaign;
mod commands;
mod examination;
mod job;
mod memory;
mod method;
mod methods;
#[cfg(feature = "onnx")]
mod onnx;
mod output;
mod parts;
mod progress;
mod report;
mod synthetic;

use std::process::ExitCode;

use clap::Parser;

pub use examination::{Examination, ExaminedNetwork, ExaminedWeights};
pub use method::{Context, MadeModel, MethodRecipe, Prepared, RunnableMethod, Verb};
pub use methods::{DataFreeRecipe, DistillRecipe, SplitRecipe, StagewiseRecipe, TrainRecipe};
pub use parts::{
    DataFacts, DataRecipe, FolderNormalisation, ImageSize, LoadedData, LoadedTeacher,
    NetworkRecipe, NewNetwork, TeacherRecipe,
};

/// The command, to which methods can be added.
///
/// The `kd` that kd brings along is `Kd::new().main()`. One that knows a further method:
///
/// ```no_run
/// # use kd_cli::TrainRecipe as MyRecipe;
/// fn main() -> std::process::ExitCode {
///     kd_cli::Kd::new().with_method::<MyRecipe>().main()
/// }
/// ```
#[derive(Debug)]
pub struct Kd {
    methods: method::Methods,
}

impl Default for Kd {
    fn default() -> Self {
        Self::new()
    }
}

impl Kd {
    /// The command with the methods that kd brings along.
    pub fn new() -> Self {
        let mut methods = method::Methods::new();
        methods.add::<TrainRecipe>();
        methods.add::<DistillRecipe>();
        methods.add::<StagewiseRecipe>();
        methods.add::<DataFreeRecipe>();
        Self { methods }
    }

    /// With a further method; one of the same name is replaced.
    #[must_use]
    pub fn with_method<R: MethodRecipe>(mut self) -> Self {
        self.methods.add::<R>();
        self
    }

    /// Runs the command line of this process.
    ///
    /// The exit code is 0 when all is done, 1 when the run failed, 2 for bad arguments or a bad recipe, 3 when an input is
    /// missing or cannot be read, 4 when a loss diverged, 130 when the run was interrupted and can be resumed.
    pub fn main(self) -> ExitCode {
        let args = args::Args::parse();
        let run = std::panic::AssertUnwindSafe(|| commands::run(args, &self.methods));
        // A backend panics where memory runs out, for one; the table of exit codes has no 101.
        match std::panic::catch_unwind(run) {
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
}
