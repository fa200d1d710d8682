//! One file a command.

mod cache;
mod check;
mod compare;
mod compare_run;
mod data;
mod demo;
mod doctor;
mod eval;
mod explain;
mod export;
mod import;
mod jobs;
mod losses;
mod merge;
mod methods;
mod models;
mod new;
mod next;
mod predict;
mod recipe;
mod report;
mod resume;
mod run_end;
mod runs;
mod session;
mod synthesize;
#[cfg(feature = "watch")]
mod watch;

use clap::CommandFactory;
use kd_core::Result;
use kd_recipe::{Methods, Verb};

use crate::args::{Args, Command};
use crate::output;
use crate::progress::counted::with_counts;

/// Runs what was typed.
pub(crate) fn run(args: &Args, methods: &Methods) -> Result<()> {
    with_counts(|| carry_out(&args.command, methods))?;
    if let Some(command) = next::after(&args.command, methods) {
        output::next(&command);
    }
    Ok(())
}

fn carry_out(command: &Command, methods: &Methods) -> Result<()> {
    match command {
        Command::Demo { run, seed, epochs } => demo::run(methods, run, *seed, *epochs),
        Command::New(options) => new::run(methods, options),
        Command::Train(options) => recipe::run(methods, options, Verb::Train),
        Command::Distill(options) => recipe::run(methods, options, Verb::Distill),
        Command::Merge { runs, run } => merge::run(methods, runs, run),
        Command::Report { folder, machine } => report::run(methods, folder, machine),
        Command::Check(options) => check::run(methods, options),
        Command::Resume {
            folder,
            overrides,
            machine,
        } => resume::run(methods, folder, overrides, machine),
        Command::Compare(options) => compare::run(methods, options),
        Command::CompareRun(options) => compare_run::run(methods, options),
        Command::Eval(options) => eval::run(methods, options),
        Command::Runs { what, list } => runs::run(what.as_ref(), list),
        #[cfg(feature = "watch")]
        Command::Watch(options) => watch::run(options),
        Command::Predict(options) => predict::run(methods, options),
        Command::Synthesize(options) => synthesize::run(options),
        Command::Import(options) => import::run(options),
        Command::Export(options) => export::run(methods, options),
        Command::Cache { what } => cache::run(methods, what),
        Command::Data { what } => data::run(what),
        Command::Doctor(options) => {
            doctor::run(options);
            Ok(())
        }
        Command::Explain(options) => explain::run(methods, options),
        Command::Methods { json } => {
            methods::run(methods, *json);
            Ok(())
        }
        Command::Losses { name, json } => losses::run(name.as_deref(), *json),
        Command::Models(options) => models::run(methods, options),
        Command::Completions { shell } => {
            let mut command = Args::command();
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut command, "kd", &mut script);
            output::data(String::from_utf8_lossy(&script).trim_end());
            Ok(())
        }
    }
}
