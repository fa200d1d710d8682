//! What there is of each run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kd_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::plan::{Plan, Plans};
use crate::job::{Outcome, inputs, outcome};
use crate::method::Methods;

/// What there is of a run.
#[derive(Clone, Debug)]
pub(crate) enum State {
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

impl State {
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
    /// What the process said.
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
    /// The failure of a process that ended with `code`.
    pub(crate) fn new(code: Option<i32>, problem: String, plan: &Plan) -> Self {
        let diverged = code == Some(i32::from(ErrorKind::Diverged.exit_code()));
        Self {
            kind: if diverged {
                FailureKind::Diverged
            } else {
                FailureKind::Failed
            },
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

/// What there is of a run that would be made by `plan`.
///
/// # Errors
///
/// If the note of a failure cannot be read, or the plan cannot be made.
pub(crate) fn state(
    methods: &Methods,
    plans: &mut Plans<'_>,
    out: &Path,
    cell: &Cell,
    plan: &mut Plan,
) -> Result<State> {
    let folder = out.join(&cell.folder);
    let note = note_of(&folder);
    if folder.join("recipe.toml").is_file() {
        // What cannot be read is made again like what was made from something else.
        let (recipe, made_from) =
            match recipe_of(methods, &folder).and_then(|recipe| Ok((recipe, inputs(&folder)?))) {
                Ok(read) => read,
                Err(error) => return Ok(State::Stale(error.to_string())),
            };
        if !plan.differences(&recipe, &made_from).is_empty() {
            // A method may draw more from the seed than the plan of another seed tells.
            *plan = plans.made_anew(cell)?;
        }
        let differences = plan.differences(&recipe, &made_from);
        if !differences.is_empty() {
            return Ok(State::Stale(differences.join("; ")));
        }
        match outcome(&folder) {
            Ok(Some(outcome)) => return Ok(State::Done(Box::new(outcome))),
            Ok(None) => {}
            Err(error) => return Ok(State::Stale(error.to_string())),
        }
    }
    if note.is_file() {
        let text = std::fs::read(&note).map_err(Error::io("read", &note))?;
        let failure: Option<Failure> = serde_json::from_slice(&text).ok();
        let still = failure.filter(|failure| {
            plan.differences(&failure.recipe, &failure.inputs)
                .is_empty()
        });
        if let Some(failure) = still {
            return Ok(State::Failed(failure));
        }
    }
    Ok(if folder.join("recipe.toml").is_file() {
        State::Begun
    } else {
        State::Missing
    })
}

/// The recipe of a run folder, with the defaults that this kd knows written out.
fn recipe_of(methods: &Methods, folder: &Path) -> Result<String> {
    let path = folder.join("recipe.toml");
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    methods
        .read(&path.display().to_string(), &text, &[], None)?
        .resolved()
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
