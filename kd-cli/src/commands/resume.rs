//! `kd resume`.

use std::path::Path;

use kd_core::{Result, RunFolder};

use super::{bench, demo, recipe, set_threads, stop_on_interrupt};
use crate::args::MachineOptions;
use crate::campaign;
use crate::job::{Job, outcome};
use crate::method::Methods;
use crate::output;
use crate::progress::Progress;

pub(super) fn run(methods: &Methods, path: &Path, machine: &MachineOptions) -> Result<()> {
    set_threads(machine)?;
    if campaign::is_campaign(path) {
        return bench::resume(methods, path, machine);
    }
    if demo::is_demo(path) {
        return demo::resume(methods, path, machine);
    }
    let folder = RunFolder::open(path)?;
    if let Some(done) = outcome(path)? {
        output::remark("this run is done already");
        recipe::report(&done, machine.json);
        return Ok(());
    }
    let job = Job::reopen(
        methods,
        &folder,
        machine.device,
        machine.place.data_dir.as_deref(),
    )?;
    let stop = stop_on_interrupt()?;
    let outcome = job.run(&folder, &stop, &mut Progress::new(job.title()))?;
    recipe::report(&outcome, machine.json);
    Ok(())
}
