//! `kd resume`.

use std::path::Path;

use kd_core::{Result, RunFolder};
use kd_recipe::{Methods, Outcome, PreparedRun, is_campaign};

use super::session::{machine, stop_on_interrupt};
use super::{compare, demo, run_end};
use crate::args::MachineOptions;
use crate::output;
use crate::progress::run::Progress;

pub(super) fn run(methods: &Methods, path: &Path, options: &MachineOptions) -> Result<()> {
    let machine = machine(options)?;
    if is_campaign(path) {
        return compare::resume(methods, path, options);
    }
    if demo::is_demo(path) {
        return demo::resume(methods, path, &machine, options.json);
    }
    let folder = RunFolder::open(path)?;
    if let Some(done) = Outcome::read(path)? {
        output::remark("this run is done already");
        run_end::report(&done, options.json);
        return Ok(());
    }
    let run = PreparedRun::reopen(methods, &folder, &machine)?;
    let stop = stop_on_interrupt()?;
    let outcome = run.run(&folder, &stop, &mut Progress::new(run.title()))?;
    run_end::report(&outcome, options.json);
    Ok(())
}
