//! Tests that every method must pass, one line each (feature `testing`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind, Result};
use crate::training::epoch_log::EpochLog;
use crate::training::method::Method;
use crate::training::observer::Observer;
use crate::training::outcome::PhaseOutcome;
use crate::training::phase::{Metrics, StepContext};
use crate::training::run_folder::RunFolder;
use crate::training::runner::Runner;

/// A run folder at `path`: a new one, or the one that is there.
///
/// # Errors
///
/// As [`RunFolder::create`] and [`RunFolder::open`].
pub fn run_folder(path: &Path) -> Result<RunFolder> {
    if path.join("recipe.toml").is_file() {
        return RunFolder::open(path);
    }
    let folder = RunFolder::create(path)?;
    folder.write("recipe.toml", b"")?;
    Ok(folder)
}

/// Runs `method` to its end in the folder `path`, from its beginning or from its last checkpoint.
///
/// # Errors
///
/// As [`Runner::run`].
pub fn run(method: &dyn Method, path: &Path) -> Result<Vec<PhaseOutcome>> {
    Runner::new(&run_folder(path)?, &AtomicBool::new(false)).run(method, &mut ())
}

/// Runs `method` in the folder `path` as [`run`] does, stopped after `steps` steps; gives whether it came to
/// its end before.
///
/// # Errors
///
/// As [`Runner::run`], but for the interruption.
pub fn run_steps(method: &dyn Method, path: &Path, steps: usize) -> Result<bool> {
    let stop = AtomicBool::new(steps == 0);
    let mut observer = StopAfter { steps, stop: &stop };
    match Runner::new(&run_folder(path)?, &stop).run(method, &mut observer) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}

/// Turns the stop on after so many steps.
struct StopAfter<'a> {
    steps: usize,
    stop: &'a AtomicBool,
}

impl Observer for StopAfter<'_> {
    fn step_done(&mut self, _at: StepContext, _losses: Option<&Metrics>) {
        self.steps = self.steps.saturating_sub(1);
        if self.steps == 0 {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// Checks that a run that is stopped after every step, each time gone on with by a method made afresh as
/// after a kill, ends in the same bytes as an undisturbed one: results, tensor files, metrics but for the
/// seconds.
///
/// ```no_run
/// # fn my_method() -> Box<dyn kd_core::Method> { unreachable!() }
/// kd_core::testing::stopped_at_every_step(my_method)?;
/// # Ok::<(), kd_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Run`] that names the first difference, and those of the runs.
pub fn stopped_at_every_step<M: Method>(make: impl Fn() -> M) -> Result<()> {
    let temporary = || tempfile::tempdir().map_err(Error::io("create", "a temporary folder"));
    let (whole, parts) = (temporary()?, temporary()?);
    run(&make(), whole.path())?;
    // The step that is under way when the stop comes is finished, so that each time one step is done.
    while !run_steps(&make(), parts.path(), 1)? {}
    same_run(whole.path(), parts.path())
}

/// Checks that two run folders hold the same results, tensor files and metrics, but for the seconds.
///
/// # Errors
///
/// [`Error::Run`] that names the first difference.
pub fn same_run(one: &Path, other: &Path) -> Result<()> {
    let differs = |problem: String| Error::Run {
        path: other.to_owned(),
        problem,
    };
    let (expected, found) = (tensor_files(one)?, tensor_files(other)?);
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    if names(&expected) != names(&found) {
        let problem = format!("has files {:?}, not {:?}", names(&found), names(&expected));
        return Err(differs(problem));
    }
    if let Some((name, _)) = expected
        .iter()
        .find(|(name, bytes)| found[*name] != **bytes)
    {
        return Err(differs(format!(
            "has other bytes in `{name}` than an undisturbed run"
        )));
    }
    let logs = |path: &Path| -> Result<Vec<EpochLog>> {
        let mut epochs = EpochLog::read_all(path)?;
        for epoch in &mut epochs {
            epoch.seconds = 0.0;
        }
        Ok(epochs)
    };
    if logs(one)? == logs(other)? {
        return Ok(());
    }
    Err(differs("has other metrics than an undisturbed run".into()))
}

/// All tensor files of a run that is done, by their paths in its folder.
///
/// # Errors
///
/// [`Error::Io`].
pub fn tensor_files(run: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![run.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
            let path = entry.map_err(Error::io("read", &folder))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "safetensors")
            {
                let inside = path
                    .strip_prefix(run)
                    .unwrap_or(&path)
                    .display()
                    .to_string();
                files.insert(
                    inside,
                    std::fs::read(&path).map_err(Error::io("read", &path))?,
                );
            }
        }
    }
    Ok(files)
}
