//! `--jobs`: the parts of a recipe side by side, each in a process of its own, and then joined.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kd_core::{Error, Result};
use kd_recipe::{Machine, Methods, Outcome, Recipe};

use super::merge::merged;
use super::run_end::new_folder;
use crate::args::{MachineOptions, RecipeOptions};
use crate::output;
use crate::output::settings::settings;

/// How long a look at the processes is put off.
const PAUSE: Duration = Duration::from_millis(100);

/// Trains all parts, `jobs` at a time, and joins them in the run folder. What an earlier call has finished is
/// kept, what it has begun goes on.
pub(super) fn run(
    methods: &Methods,
    options: &RecipeOptions,
    mut recipe: Recipe,
    machine: &Machine,
    stop: &AtomicBool,
) -> Result<Outcome> {
    let (method, seed) = (recipe.method(), recipe.seed());
    let Some(parts) = recipe.parts() else {
        let problem =
            format!("is for a method whose students share nothing, and `{method}` is none");
        return Err(Error::config("--jobs", problem));
    };
    let (name, count) = (parts.name, parts.count);
    let stem = options
        .path()
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy();
    let out = options.run.out.clone();
    let out = out.unwrap_or_else(|| new_folder(&stem, seed));
    let folder = |part: usize| part_folder(&out, name, part);
    for part in (0..count).filter(|part| folder(*part).join("recipe.toml").is_file()) {
        let mut alone = methods.read_file(options.path(), &options.overrides())?;
        alone.set_part(Some(part))?;
        alone.prepare(machine)?.check_same_recipe(&folder(part))?;
    }
    let jobs = usize::from(options.jobs.unwrap_or(1));
    let mut waiting = (0..count).rev().collect::<Vec<usize>>();
    let mut running: Vec<(usize, Child)> = Vec::new();
    let mut failed = None;
    while failed.is_none() && !(waiting.is_empty() && running.is_empty()) {
        while running.len() < jobs
            && !stop.load(Ordering::Relaxed)
            && let Some(part) = waiting.pop()
        {
            if let Some(child) = start(options, part, &folder(part))? {
                running.push((part, child));
            }
        }
        failed = ended(&mut running, name)?;
        if stop.load(Ordering::Relaxed) && running.is_empty() {
            return Err(Error::Interrupted {
                run: out,
                phase: format!("{name}s side by side"),
                step: 0,
            });
        }
        std::thread::sleep(PAUSE);
    }
    if let Some(part) = failed {
        for (_, child) in &mut running {
            // It is to end; what is done of it stays.
            drop(child.kill());
            drop(child.wait());
        }
        return Err(Error::Run {
            path: folder(part),
            problem: format!(
                "is of {name} {part}, whose process has failed; see what it says above"
            ),
        });
    }
    let folders: Vec<PathBuf> = (0..count).map(folder).collect();
    merged(methods, &folders, &out, machine, stop)
}

/// Beside the run folder, as that must be empty.
fn part_folder(out: &Path, name: &str, part: usize) -> PathBuf {
    let mut file = out.file_name().unwrap_or_default().to_owned();
    file.push(format!("-{name}-{part}"));
    out.with_file_name(file)
}

/// Starts the process of a part, or goes on with it; none if it is done.
fn start(options: &RecipeOptions, part: usize, folder: &Path) -> Result<Option<Child>> {
    if Outcome::read(folder)?.is_some() {
        output::remark(&format!("{} is done already", folder.display()));
        return Ok(None);
    }
    let program = std::env::current_exe().map_err(Error::io("find", "kd"))?;
    let mut command = Command::new(&program);
    if folder.join("recipe.toml").is_file() {
        command.arg("resume").arg(folder);
    } else {
        command.arg("distill").arg(options.path());
        command.args(["--student", &part.to_string()]);
        command.arg("--out").arg(folder);
        for entry in options.overrides() {
            command.args(["--set", &entry]);
        }
    }
    command.args(machine_arguments(&options.run.machine));
    let settings = settings();
    if settings.quiet {
        command.arg("--quiet");
    }
    // Bars of several processes would overwrite each other.
    command.env("KD_PROGRESS", settings.progress.without_bars());
    // Its results are those of the whole; progress and notices are shown.
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
        .spawn()
        .map(Some)
        .map_err(Error::io("start", program))
}

fn machine_arguments(machine: &MachineOptions) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = Vec::new();
    let mut pair = |name: &str, value: OsString| arguments.extend([name.into(), value]);
    if let Some(device) = machine.device {
        pair("--device", device.to_string().into());
    }
    if let Some(threads) = machine.threads {
        pair("--threads", threads.to_string().into());
    }
    if let Some(folder) = &machine.place.data_dir {
        pair("--data-dir", folder.clone().into());
    }
    arguments
}

/// Takes the processes that have ended out of those that run; gives the part of one that has failed.
fn ended(running: &mut Vec<(usize, Child)>, name: &str) -> Result<Option<usize>> {
    let mut still = Vec::new();
    let mut failed = None;
    for (part, mut child) in running.drain(..) {
        match child
            .try_wait()
            .map_err(Error::io("wait for", "a process"))?
        {
            None => still.push((part, child)),
            Some(status) if status.success() => output::remark(&format!("{name} {part} is done")),
            // 130: interrupted, as this process was.
            Some(status) if status.code() == Some(130) => {}
            Some(_) => failed = failed.or(Some(part)),
        }
    }
    *running = still;
    Ok(failed)
}
