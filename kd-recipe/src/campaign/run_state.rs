//! The state of each run of a campaign, as its folder tells.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kd_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::campaign::planned_run::PlannedRun;
use crate::campaign::plans::Plans;
use crate::campaign::run_plan::RunPlan;
use crate::input_hashes::InputHashes;
use crate::methods::Methods;
use crate::outcome::Outcome;

/// The state of a run.
#[derive(Clone, Debug)]
pub(crate) enum RunState {
    /// Nothing yet.
    Missing,
    /// It was begun and can go on.
    Begun,
    /// It is done.
    Done(Box<Outcome>),
    /// It ended without a result.
    Failed(Failure),
    /// It was made from something else than it would be made from now, which is said.
    Stale(String),
}

impl RunState {
    /// Its name in `results.json`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Begun => "begun",
            Self::Done(_) => "done",
            Self::Failed(failure) => failure.kind.name(),
            Self::Stale(_) => "stale",
        }
    }

    /// Whether there is nothing to be run: a loss that diverged would diverge again.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Done(_) => true,
            Self::Failed(failure) => failure.kind == FailureKind::Diverged,
            Self::Missing | Self::Begun | Self::Stale(_) => false,
        }
    }
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Failure {
    /// How it failed.
    pub(crate) kind: FailureKind,
    /// What went wrong, in words.
    pub(crate) problem: String,
    /// What it was made from.
    recipe: String,
    inputs: BTreeMap<String, String>,
}

/// How a run failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FailureKind {
    /// A loss was not finite any more. It would be so again, and counts as a result.
    Diverged,
    /// Anything else; it is tried again when the campaign goes on.
    Failed,
}

impl FailureKind {
    /// As tables have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Diverged => "diverged",
            Self::Failed => "failed",
        }
    }
}

impl Failure {
    /// The failure of a run that would have been made by `plan`.
    pub(crate) fn new(kind: FailureKind, problem: String, plan: &RunPlan) -> Self {
        Self {
            kind,
            problem,
            recipe: plan.recipe.clone(),
            inputs: plan.inputs.clone(),
        }
    }

    /// Notes it beside the run folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let path = note_of(folder);
        let json = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::method(path.display().to_string(), error))?;
        kd_core::write_atomically(&path, &json)
    }
}

/// Where the failure of a run is noted: beside its folder, which must be empty when it begins.
fn note_of(folder: &Path) -> PathBuf {
    folder.with_extension("failed.json")
}

/// The state of a run that would be made by `plan`; a plan that was made for another seed is made anew where
/// it differs.
///
/// # Errors
///
/// If the note of a failure cannot be read, or the plan cannot be made.
pub(crate) fn state(
    methods: &Methods,
    plans: &mut Plans<'_>,
    out: &Path,
    run: &PlannedRun,
    plan: &mut RunPlan,
) -> Result<RunState> {
    let folder = out.join(&run.folder);
    let is_begun = folder.join("recipe.toml").is_file();
    if is_begun {
        // What cannot be read is made again like what was made from something else.
        let (recipe, made_from) = match made_from(methods, &folder) {
            Ok(read) => read,
            Err(error) => return Ok(RunState::Stale(error.to_string())),
        };
        if !plan.differences(&recipe, &made_from).is_empty() {
            // A method may draw more from the seed than the plan of another seed tells.
            *plan = plans.made_anew(run)?;
        }
        let differences = plan.differences(&recipe, &made_from);
        if !differences.is_empty() {
            return Ok(RunState::Stale(differences.join("; ")));
        }
        match Outcome::read(&folder) {
            Ok(Some(outcome)) => return Ok(RunState::Done(Box::new(outcome))),
            Ok(None) => {}
            Err(error) => return Ok(RunState::Stale(error.to_string())),
        }
    }
    if let Some(failure) = noted_failure(&folder, plan)? {
        return Ok(RunState::Failed(failure));
    }
    Ok(if is_begun {
        RunState::Begun
    } else {
        RunState::Missing
    })
}

/// The failure that is noted beside a run folder, if the run would be made from the same again.
fn noted_failure(folder: &Path, plan: &RunPlan) -> Result<Option<Failure>> {
    let note = note_of(folder);
    if !note.is_file() {
        return Ok(None);
    }
    let text = std::fs::read(&note).map_err(Error::io("read", &note))?;
    let failure: Option<Failure> = serde_json::from_slice(&text).ok();
    let same = |failure: &Failure| {
        let differences = plan.differences(&failure.recipe, &failure.inputs);
        differences.is_empty()
    };
    Ok(failure.filter(same))
}

/// The recipe of a run folder, with the defaults that this version knows written out, and its inputs by hash.
fn made_from(methods: &Methods, folder: &Path) -> Result<(String, BTreeMap<String, String>)> {
    let recipe = methods.read_file(&folder.join("recipe.toml"), &[])?;
    Ok((recipe.resolved()?, InputHashes::read(folder)?.sha256))
}

/// Removes all that there is of a run.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    forget_failure(folder)?;
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Removes the note of a failure.
pub(crate) fn forget_failure(folder: &Path) -> Result<()> {
    let note = note_of(folder);
    match std::fs::remove_file(&note) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", note)(error))
        }
        _ => Ok(()),
    }
}
