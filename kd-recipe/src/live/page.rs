//! The page of a run as its folder is now.

use std::path::Path;

use kd_core::{EpochLog, Error, Result};
use kd_report::{RunReport, WebPage};

use crate::live::lock;
use crate::outcome::Outcome;
use crate::report::page::{costs, facts};

/// The page of the run in a folder, which may be under way: nothing is written, and no data, network or lock
/// is touched.
///
/// # Errors
///
/// [`Error::NoRun`] if it is no run's folder, and whatever keeps its files from being read.
pub fn live_page(run: &Path) -> Result<WebPage> {
    let path = run.join("recipe.toml");
    if !path.is_file() {
        return Err(Error::NoRun {
            path: run.to_owned(),
        });
    }
    let recipe = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let epochs = EpochLog::read_all(run)?;
    let outcome = Outcome::read(run)?;
    let mut report = facts(RunReport::new(name_of(run)), run, &recipe, None)?;
    if let Some(outcome) = &outcome {
        report = costs(report, outcome);
    }
    let highlights = progress(run, &recipe, &epochs, outcome.is_some());
    let page = report.with_epochs(epochs).with_recipe(recipe).web_page()?;
    Ok(page.with_highlights(highlights))
}

/// The name of a folder.
fn name_of(folder: &Path) -> String {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let name = absolute.file_name().unwrap_or(absolute.as_os_str());
    name.to_string_lossy().into_owned()
}

/// How far a run is, as a page shows it.
fn progress(run: &Path, recipe: &str, epochs: &[EpochLog], done: bool) -> Vec<[String; 3]> {
    let state = state_of(run, done);
    let Some(last) = epochs.last() else {
        return vec![["state".into(), state.into(), "no epoch has ended".into()]];
    };
    let table: toml::Table = recipe.parse().unwrap_or_default();
    let planned = table
        .get("train")
        .and_then(|train| train.get("epochs")?.as_integer());
    let phases = epochs.chunk_by(|one, next| one.phase == next.phase).count();
    let planned = planned
        .and_then(|planned| usize::try_from(planned).ok())
        .filter(|_| phases == 1);
    let (done_epochs, seconds) = (last.epoch + 1, last.seconds / (last.epoch + 1) as f64);
    let epoch = match planned {
        Some(planned) if planned >= done_epochs => format!("{done_epochs} of {planned}"),
        _ => done_epochs.to_string(),
    };
    let mut entries = vec![
        [
            "state".into(),
            state.into(),
            format!("phase {}", last.phase),
        ],
        ["epoch".into(), epoch, format!("{seconds:.2} s each")],
    ];
    let left = planned.map_or(0, |planned| planned.saturating_sub(done_epochs));
    if !done && left > 0 {
        let about = format!("about {}", kd_report::duration(left as f64 * seconds));
        entries.push(["time left".into(), about, "at the pace so far".into()]);
    }
    entries
}

/// Whether a run is done, under way or stopped, in words.
pub(super) fn state_of(run: &Path, done: bool) -> &'static str {
    match (done, lock::is_held(&run.join("run.lock"))) {
        (true, _) => "done",
        (false, Some(true)) => "running",
        (false, Some(false)) => "stopped",
        (false, None) => "not done",
    }
}
