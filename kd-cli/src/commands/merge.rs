//! `kd merge`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use kd_core::Result;
use kd_recipe::{Machine, Methods, Outcome, merge_runs};

use super::run_end::{new_folder, report};
use super::session::{machine, stop_on_interrupt};
use crate::args::RunOptions;
use crate::progress::run::Progress;

pub(super) fn run(methods: &Methods, runs: &[PathBuf], options: &RunOptions) -> Result<()> {
    let machine = machine(&options.machine)?;
    let stop = stop_on_interrupt()?;
    let out = options.out.clone();
    let out = out.unwrap_or_else(|| new_folder("merged", 0));
    report(
        &merged(methods, runs, &out, &machine, &stop)?,
        options.machine.json,
    );
    Ok(())
}

/// Makes one run of runs of parts and runs what is left to do.
pub(super) fn merged(
    methods: &Methods,
    runs: &[PathBuf],
    out: &Path,
    machine: &Machine,
    stop: &AtomicBool,
) -> Result<Outcome> {
    let (run, folder) = merge_runs(methods, runs, out, machine)?;
    run.run(&folder, stop, &mut Progress::new(run.title()))
}
