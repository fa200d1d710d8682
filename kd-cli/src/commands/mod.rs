//! One file a command.

mod bench;
mod bench_run;
mod cache;
mod check;
mod data;
mod demo;
mod eval;
mod export;
mod import;
mod losses;
mod methods;
mod models;
mod recipe;
mod report;
mod resume;
mod synthesize;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::CommandFactory;
use kd_core::{Error, Result};

use crate::args::{Args, Command, MachineOptions};
use crate::method::{Methods, Verb};
use crate::output;

/// Runs what was typed.
pub(crate) fn run(args: Args, methods: &Methods) -> Result<()> {
    match args.command {
        Command::Demo { run, seed, epochs } => demo::run(methods, &run, seed, epochs),
        Command::Train(options) => recipe::run(methods, &options, Verb::Train),
        Command::Distill(options) => recipe::run(methods, &options, Verb::Distill),
        Command::Report { folder, machine } => report::run(methods, &folder, &machine),
        Command::Check(options) => check::run(methods, &options),
        Command::Resume { folder, machine } => resume::run(methods, &folder, &machine),
        Command::Bench(options) => bench::run(methods, &options),
        Command::BenchRun(options) => bench_run::run(methods, &options),
        Command::Eval {
            model,
            data,
            path,
            resize,
            weights,
            split,
            batch_size,
            machine,
        } => {
            let data = eval::Data {
                name: &data,
                path: path.as_deref(),
                resize,
                split,
            };
            eval::run(&model, &data, &weights, batch_size, &machine)
        }
        Command::Synthesize(options) => synthesize::run(&options),
        Command::Import(options) => import::run(&options),
        Command::Export(options) => export::run(&options),
        Command::Cache { what } => cache::run(methods, &what),
        Command::Data { what } => data::run(&what),
        Command::Methods { json } => {
            methods::run(methods, json);
            Ok(())
        }
        Command::Losses { name, json } => losses::run(name.as_deref(), json),
        Command::Models { name, data, json } => models::run(name.as_deref(), &data, json),
        Command::Completions { shell } => {
            let mut command = Args::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "kd", &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end());
            Ok(())
        }
    }
}

/// Sizes the thread pool of the CPU backend, which must be done before its first use.
fn set_threads(machine: &MachineOptions) -> Result<()> {
    let Some(threads) = machine.threads else {
        return Ok(());
    };
    rayon::ThreadPoolBuilder::new()
        .num_threads(usize::from(threads))
        .build_global()
        .map_err(|error| Error::method("--threads", error))
}

/// The flag that Ctrl-C sets. The second Ctrl-C ends the process at once; the last checkpoint stays good.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            #[expect(clippy::exit, reason = "the person asked twice")]
            std::process::exit(130);
        }
        output::notice(
            "finishing the step and writing a checkpoint; press Ctrl-C again to stop at once",
        );
    })
    .map_err(|error| Error::method("the handler of Ctrl-C", error))?;
    Ok(stop)
}
