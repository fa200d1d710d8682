//! `kd report`.

use std::path::Path;

use kd_core::{Error, Result, RunFolder};
use serde_json::json;

use super::{demo, set_threads};
use crate::args::MachineOptions;
use crate::job::Job;
use crate::method::Methods;
use crate::{output, report};

pub(super) fn run(methods: &Methods, path: &Path, machine: &MachineOptions) -> Result<()> {
    set_threads(machine)?;
    let runs = if demo::is_demo(path) {
        let parts = demo::PARTS.map(|part| path.join(part)).into_iter();
        parts
            .filter(|part| part.join("recipe.toml").is_file())
            .collect()
    } else {
        vec![path.to_owned()]
    };
    let mut written = Vec::new();
    for run in runs {
        one(methods, &run, machine)?;
        written.push(run.join("report.md"));
    }
    if machine.json {
        output::json(&json!({ "run": path, "reports": written }));
    } else {
        for report in written {
            output::line(&format!("report in {}", report.display()));
        }
    }
    Ok(())
}

fn one(methods: &Methods, path: &Path, machine: &MachineOptions) -> Result<()> {
    let folder = match RunFolder::open(path) {
        // A run that is under way is not disturbed, and its networks are not there yet.
        Err(error @ Error::Run { .. }) => {
            report::write(path, Err(&error))?;
            return Ok(());
        }
        other => other?,
    };
    let place = machine.place.data_dir.as_deref();
    let job = Job::reopen(methods, &folder, machine.device, place);
    report::write(path, job.as_ref())?;
    Ok(())
}
