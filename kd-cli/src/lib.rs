#![doc = include_str!("../README.md")]
//!
//! # Map of the crate
//!
//! | file | holds |
//! |---|---|
//! | `args` | the arguments |
//! | `commands` | one file a command |
//! | `output`, `progress` | what is shown: results, progress, notices |
//! | `draft` | recipes written from data |
//! | `weights`, `memory` | what a weight file is of, what the machine has |
//! | `watch` | pages about runs that go on, served on this machine |
//! | `advice`, `exit_code` | what a user of the command can do about an error, and its exit code |

mod advice;
mod args;
mod commands;
mod draft;
mod exit_code;
mod memory;
mod output;
mod progress;
#[cfg(feature = "watch")]
mod watch;
mod weights;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches};
use kd_recipe::{MethodRecipe, Methods, with_causes};

use crate::advice::advice;
use crate::exit_code::{exit_code, word};

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

/// The methods that kd brings along.
pub fn methods() -> Methods {
    Methods::new()
        .with::<kd_offline::TrainRecipe>()
        .with::<kd_offline::DistillRecipe>()
        .with::<kd_stagewise::StagewiseRecipe>()
        .with::<kd_datafree::DataFreeRecipe>()
        .with::<kd_online::OnlineRecipe>()
        .with::<kd_teacherclass::TeacherClassRecipe>()
        .with::<kd_compact::CompactRecipe>()
        .with_networks::<kd_teacherclass::Class<kd_models::Network>>()
        .with_networks::<kd_teacherclass::Class<kd_models::TextCnn>>()
        .with_networks::<kd_teacherclass::Class<kd_models::UNet>>()
}

impl Default for Kd {
    fn default() -> Self {
        Self::new()
    }
}

impl Kd {
    /// The command with the methods that kd brings along.
    pub fn new() -> Self {
        let methods = methods();
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
        let typed = args::Args::command().try_get_matches();
        let typed = typed.and_then(|typed| {
            let args = args::Args::from_arg_matches(&typed)?;
            output::settings::set(args.output, wants_json(&typed));
            Ok(args)
        });
        let args = match typed {
            Ok(args) => args,
            Err(error) => return refused(&error),
        };
        let run = std::panic::AssertUnwindSafe(|| {
            commands::run(&args, &self.methods)?;
            output::finish()
        });
        // A backend panics where memory runs out, for one; the table of exit codes has no 101.
        match std::panic::catch_unwind(run) {
            Ok(Ok(())) => ExitCode::SUCCESS,
            Ok(Err(error)) => {
                let code = exit_code(error.kind());
                let text = format!("{}{}", with_causes(&error), advice(&error));
                output::failure(&text, word(error.kind()), code);
                ExitCode::from(code)
            }
            Err(_) => {
                output::failure(
                    "kd stopped where it should not have; the message above says where. If it is about \
                     memory, a smaller `train.batch_size` helps. A run that was under way can go on with `kd \
                     resume`",
                    "failed",
                    1,
                );
                ExitCode::FAILURE
            }
        }
    }
}

/// Whether `--json` was typed, of whatever command.
fn wants_json(typed: &ArgMatches) -> bool {
    let here = typed.try_get_one::<bool>("json").ok().flatten().copied();
    let below = typed.subcommand();
    here.unwrap_or(false) || below.is_some_and(|(_, below)| wants_json(below))
}

/// Arguments that cannot be understood, or help that was asked for.
fn refused(error: &clap::Error) -> ExitCode {
    let is_json = std::env::args_os().any(|argument| argument == "--json");
    if !error.use_stderr() || !is_json {
        // The exit code says it as well.
        drop(error.print());
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    output::settings::set(args::OutputOptions::default(), true);
    let text = error.render().to_string();
    let text = text.trim().strip_prefix("error: ").unwrap_or(&text);
    output::failure(text, "usage", 2);
    ExitCode::from(2)
}
