//! `kd resume`.

use std::path::Path;

use kd_core::{Error, Result, RunFolder};
use kd_recipe::{Machine, Methods, Outcome, PreparedRun, check_recipe, is_campaign};

use super::session::{machine, stop_on_interrupt};
use super::{compare, demo, run_end};
use crate::args::MachineOptions;
use crate::output;
use crate::progress::run::Progress;

pub(super) fn run(
    methods: &Methods,
    path: &Path,
    changes: &[String],
    options: &MachineOptions,
) -> Result<()> {
    let machine = machine(options)?;
    if is_campaign(path) || demo::is_demo(path) {
        if !changes.is_empty() {
            let problem = "is for a single run; change a run below this folder, or its recipes";
            return Err(Error::config("--set", problem));
        }
        return if is_campaign(path) {
            compare::resume(methods, path, options)
        } else {
            demo::resume(methods, path, &machine, options.json)
        };
    }
    let folder = RunFolder::open(path)?;
    if let Some(done) = Outcome::read(path)?.filter(|_| changes.is_empty()) {
        finished(methods, &folder, &machine)?;
        run_end::report(&done, options.json);
        return Ok(());
    }
    let run = PreparedRun::reopen_with(methods, &folder, &machine, changes)?;
    let stop = stop_on_interrupt()?;
    let outcome = run.run(&folder, &stop, &mut Progress::new(run.title()))?;
    run_end::report(&outcome, options.json);
    Ok(())
}

/// Checks the recipe of a run that is done, and writes the report that was left unwritten.
fn finished(methods: &Methods, folder: &RunFolder, machine: &Machine) -> Result<()> {
    output::remark("this run is done already");
    check_recipe(folder)?;
    folder.check_files()?;
    // In the order in which they are written.
    let reports = ["report.md", "report.html"].map(|name| folder.path().join(name));
    if reports.iter().all(|report| report.is_file()) {
        return Ok(());
    }
    let run = PreparedRun::reopen(methods, folder, machine)?;
    if let Err(error) = run.write_report(folder.path()) {
        output::notice(&format!("the report was not written: {error}"));
    }
    Ok(())
}
