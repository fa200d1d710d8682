//! `kd compare-run`: one run of a campaign, in the process that `kd compare` has started for it.

use kd_core::{Error, Result};
use kd_recipe::{Methods, RunRequest, serve_run};

use super::session::{machine, stop_on_interrupt};
use crate::args::RecipeOptions;
use crate::output;

pub(super) fn run(methods: &Methods, options: &RecipeOptions) -> Result<()> {
    let machine = machine(&options.run.machine)?;
    let stop = stop_on_interrupt()?;
    let missing = || Error::config("--out", "is missing");
    let out = options.run.out.as_ref().ok_or_else(missing)?;
    let mut request = RunRequest::new(options.path(), options.seed.unwrap_or_default(), out);
    request.overrides.clone_from(&options.overrides);
    request.device = options.run.machine.device;
    request
        .data_dir
        .clone_from(&options.run.machine.place.data_dir);
    request.plan_only = options.dry_run;
    serve_run(methods, &request, &machine, &stop, &mut |message| {
        output::json(message);
    })
}
