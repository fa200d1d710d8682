//! Runs and campaigns found below a folder, each with its state and what it came to.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use kd_core::{Error, Metrics, Result};
use serde::Serialize;
use serde_json::Value;

use crate::campaign::curve::{Point, curve};
use crate::campaign::folder::is_campaign;
use crate::outcome::Outcome;

/// A run, or a campaign, that lies in a folder.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FoundRun {
    /// Its folder.
    pub path: PathBuf,
    /// The method of its recipe; nothing of a campaign.
    pub method: Option<String>,
    /// Its data, by name or folder.
    pub data: Option<String>,
    /// The network that is trained, by name.
    pub student: Option<String>,
    /// Whether it is done.
    pub state: FoundState,
    /// What the value is: the accuracy or the mean intersection over union.
    pub metric: Option<&'static str>,
    /// Its last value, 0 to 1.
    pub value: Option<f64>,
    /// Epochs that are measured, those of all phases.
    pub epochs: usize,
    /// Seconds of work, of a run that is done.
    pub seconds: Option<f64>,
    /// When it last changed, in seconds since 1970.
    pub changed: Option<u64>,
    /// Runs of a campaign that have ended, of all.
    pub runs: Option<(usize, usize)>,
}

/// The state of a run that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FoundState {
    /// It is done.
    Done,
    /// A process works in it.
    Running,
    /// It was stopped and can go on.
    Stopped,
    /// Its files cannot be understood.
    Damaged,
}

impl FoundState {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Damaged => "damaged",
        }
    }
}

/// Folders below this depth are not looked into.
const DEEPEST: usize = 12;

/// Finds the runs and campaigns in and below a folder, in the order of their paths.
///
/// Links are not followed and hidden folders are passed over. The runs of a campaign count as part of it,
/// unless `within_campaigns`.
///
/// # Errors
///
/// [`Error::Io`] if the folder cannot be read; what cannot be read below it is passed over.
pub fn find_runs(folder: &Path, within_campaigns: bool) -> Result<Vec<FoundRun>> {
    std::fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let mut found = Vec::new();
    look(folder, within_campaigns, 0, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn look(folder: &Path, within_campaigns: bool, depth: usize, found: &mut Vec<FoundRun>) {
    let begun = ["run.lock", "checkpoint.json", "outcome.json"];
    let begun = begun.iter().any(|name| folder.join(name).is_file());
    if begun && folder.join("recipe.toml").is_file() {
        found.push(run(folder));
        return;
    }
    if is_campaign(folder) {
        found.push(campaign(folder));
        if !within_campaigns {
            return;
        }
    }
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && !hidden && depth < DEEPEST {
            look(&entry.path(), within_campaigns, depth + 1, found);
        }
    }
}

fn run(folder: &Path) -> FoundRun {
    let text = std::fs::read_to_string(folder.join("recipe.toml")).unwrap_or_default();
    let recipe: toml::Table = text.parse().unwrap_or_default();
    let named = |table: &str, keys: [&str; 2]| -> Option<String> {
        let table = recipe.get(table)?.as_table()?;
        let value = keys.iter().find_map(|key| table.get(*key)?.as_str())?;
        Some(value.to_owned())
    };
    let outcome = Outcome::read(folder);
    let curve = curve(folder).unwrap_or_default();
    let (metric, value) = last_value(outcome.as_ref().ok().and_then(Option::as_ref), &curve);
    let state = match &outcome {
        Err(_) => FoundState::Damaged,
        Ok(_) if recipe.is_empty() => FoundState::Damaged,
        Ok(Some(_)) => FoundState::Done,
        Ok(None) => open_state(&folder.join("run.lock")),
    };
    FoundRun {
        path: folder.to_owned(),
        method: recipe
            .get("method")
            .and_then(toml::Value::as_str)
            .map(str::to_owned),
        data: data(&recipe),
        student: named("student", ["name", "model"]).or(named("network", ["name", "model"])),
        state,
        metric,
        value,
        epochs: curve.last().map_or(0, |point| point.epoch),
        seconds: outcome.ok().flatten().map(|outcome| outcome.seconds),
        changed: changed(folder, &["outcome.json", "checkpoint.json", "recipe.toml"]),
        runs: None,
    }
}

/// The data by name; files of one's own by the last part of their path.
fn data(recipe: &toml::Table) -> Option<String> {
    let data = recipe.get("data")?.as_table()?;
    let path = data.get("path").and_then(toml::Value::as_str);
    let of_path = path.and_then(|path| Path::new(path).file_name());
    match of_path {
        Some(name) => Some(name.to_string_lossy().into_owned()),
        None => data.get("name")?.as_str().map(str::to_owned),
    }
}

/// The last accuracy or mean intersection over union: of the outcome, or of what is measured so far.
fn last_value(outcome: Option<&Outcome>, curve: &[Point]) -> (Option<&'static str>, Option<f64>) {
    for metric in ["accuracy", "mean_iou"] {
        let of = |metrics: &Metrics| metrics.get(metric).copied();
        let value = match outcome {
            Some(outcome) => of(&outcome.metrics),
            None => curve.iter().rev().find_map(|point| of(&point.metrics)),
        };
        if value.is_some() {
            return (Some(metric), value);
        }
    }
    (None, None)
}

fn campaign(folder: &Path) -> FoundRun {
    let text = std::fs::read_to_string(folder.join("results.json"));
    // Before the first run has ended there are no results.
    let results: Option<Value> = match &text {
        Ok(text) => serde_json::from_str(text).ok(),
        Err(_) => Some(Value::Null),
    };
    let runs = results
        .as_ref()
        .and_then(|results| results["runs"].as_array());
    let ended = |run: &&Value| {
        let state = run["state"].as_str();
        matches!(state, Some("done" | "diverged" | "failed"))
    };
    let runs = runs.map(|runs| (runs.iter().filter(ended).count(), runs.len()));
    let state = match runs {
        _ if results.is_none() => FoundState::Damaged,
        Some((ended, all)) if ended == all => FoundState::Done,
        _ => open_state(&folder.join("campaign.lock")),
    };
    FoundRun {
        path: folder.to_owned(),
        method: None,
        data: None,
        student: None,
        state,
        metric: None,
        value: None,
        epochs: 0,
        seconds: None,
        changed: changed(folder, &["results.json", "campaign.json"]),
        runs,
    }
}

/// Whether a process holds the lock.
fn open_state(lock: &Path) -> FoundState {
    let held = File::open(lock)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)));
    if held {
        FoundState::Running
    } else {
        FoundState::Stopped
    }
}

/// When the newest of these files changed.
fn changed(folder: &Path, files: &[&str]) -> Option<u64> {
    let time = |name: &&str| {
        let modified = folder.join(name).metadata().ok()?.modified().ok()?;
        Some(modified.duration_since(UNIX_EPOCH).ok()?.as_secs())
    };
    files.iter().filter_map(time).max()
}
