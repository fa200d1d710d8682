//! The inputs of a run by hash: the file `inputs.json` in its folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kd_core::{Error, Result, RunFolder, from_sealed_json, to_sealed_json};
use serde::{Deserialize, Serialize};

const FILE: &str = "inputs.json";

/// What a run is made from, by hash: it must be the same when the run goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputHashes {
    /// The SHA-256 of each input, by what an error calls it.
    pub(crate) sha256: BTreeMap<String, String>,
    /// The folder of data sets that was named.
    pub(crate) data_dir: Option<PathBuf>,
    /// The resolved recipe, which must be the one in `recipe.toml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) recipe: Option<String>,
    /// What was changed while the run was interrupted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) changes: Vec<Change>,
}

/// A setting that was changed after a run was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// The setting with its value, as `train.epochs=9`.
    pub(crate) set: String,
    /// The first epoch, from 1, for which it holds.
    pub(crate) from_epoch: usize,
    /// The recipe before it.
    pub(crate) recipe_before: String,
}

impl InputHashes {
    /// Those of a run that was begun.
    pub(crate) fn read(run: &Path) -> Result<Self> {
        from_sealed_json(&run.join(FILE))
    }

    /// Writes them into the folder of a run.
    pub(crate) fn write(&self, run: &RunFolder) -> Result<()> {
        run.write(FILE, &to_sealed_json(FILE, self)?)
    }

    /// Finishes a change that a killed process has noted and not written into `recipe.toml`, whose text is
    /// `text`.
    pub(crate) fn finish_change(&self, run: &RunFolder, text: &str) -> Result<()> {
        match (&self.recipe, self.changes.last()) {
            (Some(recipe), Some(last)) if recipe != text && last.recipe_before == text => {
                run.write("recipe.toml", recipe.as_bytes())
            }
            _ => Ok(()),
        }
    }

    /// Checks that `text`, the recipe in the run's folder, is the one that the run was begun with.
    ///
    /// # Errors
    ///
    /// [`Error::Run`] that names the settings that differ.
    pub(crate) fn check_recipe(&self, run: &Path, text: &str) -> Result<()> {
        let Some(begun) = self.recipe.as_deref().filter(|begun| *begun != text) else {
            return Ok(());
        };
        let differences = differences(begun, text);
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::Run {
            path: run.to_owned(),
            problem: format!(
                "has another `recipe.toml` than it was begun with: {}; {RESTORE}",
                differences.join(", ")
            ),
        })
    }

    /// The first input that is another one now.
    pub(crate) fn changed<'a>(&'a self, now: &'a Self) -> Option<&'a str> {
        let names = self.sha256.keys().chain(now.sha256.keys());
        let mut names = names.map(String::as_str);
        names.find(|name| self.sha256.get(*name) != now.sha256.get(*name))
    }
}

/// The end of the error for a recipe that was changed.
const RESTORE: &str = "restore it, or start a new run";

/// The settings by which two recipes differ, with both values; the first few.
pub(crate) fn differences(before: &str, after: &str) -> Vec<String> {
    const SHOWN: usize = 4;
    let [old, new] = [before, after].map(|text| {
        let mut flat = BTreeMap::new();
        match text.parse::<toml::Table>() {
            Ok(table) => flatten("", &toml::Value::Table(table), &mut flat),
            Err(_) => drop(flat.insert("recipe.toml".to_owned(), "not TOML".to_owned())),
        }
        flat
    });
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differs = names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name));
    let word = |value: Option<&String>| value.map_or_else(|| "missing".to_owned(), Clone::clone);
    let mut all: Vec<String> = differs
        .map(|name| {
            format!(
                "`{name}` was {}, is {}",
                word(old.get(name)),
                word(new.get(name))
            )
        })
        .collect();
    let more = all.len().saturating_sub(SHOWN);
    if more > 0 {
        all.truncate(SHOWN);
        all.push(format!("and {more} more"));
    }
    all
}

/// The leaves of a recipe by their paths.
fn flatten(path: &str, value: &toml::Value, into: &mut BTreeMap<String, String>) {
    let below = |part: &str| match path {
        "" => part.to_owned(),
        path => format!("{path}.{part}"),
    };
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                flatten(&below(key), value, into);
            }
        }
        toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&below(&index.to_string()), item, into);
            }
        }
        leaf => drop(into.insert(path.to_owned(), leaf.to_string())),
    }
}
