//! `kd compare`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use kd_core::{Error, Result};
use kd_recipe::{CampaignOptions, Methods, Processes, RunRequest, compare, list};
use kd_report::Align::Left;

use super::session::stop_on_interrupt;
use crate::args::{CompareOptions, MachineOptions};
use crate::output::{self, quoted};
use crate::progress::campaign::Board;

pub(super) fn run(methods: &Methods, typed: &CompareOptions) -> Result<()> {
    let stem = typed.campaign.file_stem().unwrap_or_default();
    let out = match &typed.out {
        Some(out) => out.clone(),
        // The same command goes on with the same campaign.
        None => PathBuf::from("runs").join(stem),
    };
    let mut options = CampaignOptions::new(&typed.campaign, out)?;
    options.overrides.clone_from(&typed.overrides);
    options.only.clone_from(&typed.only);
    options.rerun = typed.rerun;
    options.jobs = typed.jobs;
    options.device = typed.machine.device;
    options.threads = typed.machine.threads;
    options.data_dir.clone_from(&typed.machine.place.data_dir);
    options.made_with = command(&options);
    if typed.dry_run {
        return show(methods, &options, typed.machine.json);
    }
    go(methods, &options, typed.machine.json)
}

/// Goes on with the campaign of a folder as it was asked for.
pub(super) fn resume(methods: &Methods, folder: &Path, typed: &MachineOptions) -> Result<()> {
    let mut options = CampaignOptions::of_folder(folder)?;
    options.device = typed.device.or(options.device);
    options.threads = typed.threads;
    options.data_dir = typed.place.data_dir.clone().or(options.data_dir);
    options.made_with = command(&options);
    go(methods, &options, typed.json)
}

fn go(methods: &Methods, options: &CampaignOptions, json: bool) -> Result<()> {
    let stop = stop_on_interrupt()?;
    let results = compare(methods, options, &processes()?, &mut Board::new(), &stop)?;
    if json {
        output::json(&results);
    } else {
        output::show(&results.table()?);
        if let Some(claims) = results.claims_table()? {
            output::line("");
            output::show(&claims);
        }
        let file = options.out.join("results.md");
        output::line("");
        output::line(&format!("results in {}", file.display()));
    }
    results.verdict()
}

/// Lists the runs.
fn show(methods: &Methods, options: &CampaignOptions, json: bool) -> Result<()> {
    let stop = stop_on_interrupt()?;
    let (results, runs) = list(methods, options, &processes()?, &stop)?;
    if json {
        output::json(&results);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = runs
        .into_iter()
        .map(|run| vec![run.title, run.state])
        .collect();
    output::table(&[("run", Left), ("state", Left)], &rows);
    Ok(())
}

/// Each run in a process of its own: this program with hidden arguments.
fn processes() -> Result<Processes> {
    let program = std::env::current_exe();
    let program = program.map_err(|error| Error::method("the process of a run", error))?;
    Ok(Processes::new(program, arguments))
}

/// The arguments of `kd compare-run` for a run.
fn arguments(request: &RunRequest) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["compare-run".into(), request.recipe.clone().into()];
    let mut option = |name: &str, value: OsString| args.extend([name.into(), value]);
    for entry in &request.overrides {
        option("--set", entry.into());
    }
    option("--seed", request.seed.to_string().into());
    option("--out", request.folder.clone().into());
    if let Some(device) = &request.device {
        option("--device", device.to_string().into());
    }
    if let Some(threads) = request.threads {
        option("--threads", threads.to_string().into());
    }
    if let Some(place) = &request.data_dir {
        option("--data-dir", place.into());
    }
    if request.plan_only {
        args.push("--dry-run".into());
    }
    args
}

/// The command that makes the results, free of what belongs to one machine.
fn command(options: &CampaignOptions) -> String {
    let typed = if options.typed.is_absolute() {
        Path::new(options.typed.file_name().unwrap_or_default())
    } else {
        &options.typed
    };
    let mut command = format!("kd compare {}", quoted(&typed.to_string_lossy()));
    for entry in &options.overrides {
        command = format!("{command} --set {}", quoted(entry));
    }
    command
}
