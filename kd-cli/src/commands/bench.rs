//! `kd bench`.

use std::path::{Path, PathBuf};

use kd_core::{Error, Result};

use super::stop_on_interrupt;
use crate::args::{BenchOptions, MachineOptions};
use crate::campaign::{self, Request};
use crate::method::Methods;

pub(super) fn run(methods: &Methods, options: &BenchOptions) -> Result<()> {
    let stem = options.campaign.file_stem().unwrap_or_default();
    let request = Request {
        typed: options.campaign.clone(),
        file: options.campaign.clone(),
        started_in: std::env::current_dir().map_err(Error::io("read", "."))?,
        overrides: options.overrides.clone(),
        only: options.only.clone(),
        rerun: options.rerun,
        dry_run: options.dry_run,
        out: match &options.out {
            Some(out) => out.clone(),
            // The same command goes on with the same campaign.
            None => PathBuf::from("runs").join(stem),
        },
        jobs: options.jobs,
        machine: options.machine.clone(),
    };
    campaign::run(methods, &request, &*stop_on_interrupt()?)
}

/// Goes on with the campaign of a folder as it was asked for.
pub(super) fn resume(methods: &Methods, folder: &Path, machine: &MachineOptions) -> Result<()> {
    let mark = campaign::mark(folder)?;
    let mut machine = machine.clone();
    if machine.device.is_none() {
        machine.device = mark.device.map(|name| name.parse()).transpose()?;
    }
    machine.place.data_dir = machine.place.data_dir.or(mark.data_dir);
    let request = Request {
        typed: mark.typed,
        file: mark.file,
        started_in: mark.started_in,
        overrides: mark.overrides,
        only: mark.only,
        rerun: false,
        dry_run: false,
        out: folder.to_owned(),
        jobs: mark.jobs,
        machine,
    };
    campaign::run(methods, &request, &*stop_on_interrupt()?)
}
