//! Paths that a recipe can hold, and the model folder that a path means.

use std::path::{Path, PathBuf};

use kd_core::{Error, Result};
use kd_models::CONFIG_FILE;

/// The folder of a run that holds the network after the last epoch.
pub(crate) const MODEL: &str = "model";

/// Checks that a path can be stored in TOML and JSON, which know no other text than UTF-8.
///
/// # Errors
///
/// [`Error::Input`] if it cannot.
pub fn check_utf8(path: &Path) -> Result<()> {
    match path.to_str() {
        Some(_) => Ok(()),
        None => Err(Error::Input {
            path: path.to_owned(),
            problem: "is not UTF-8, so that it cannot be stored with the run; use another name"
                .into(),
        }),
    }
}

/// A path whose first part `~` is replaced by the user's own folder, as a shell does it.
pub(crate) fn expanded(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) if !home.is_empty() => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}

/// An absolute path that a recipe can hold.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    let path = expanded(path);
    let path = std::path::absolute(&path).map_err(Error::io("read", &path))?;
    check_utf8(&path)?;
    Ok(path)
}

/// The model folder that a path means: itself, or the one in the folder of a run.
///
/// # Errors
///
/// [`Error::Unfinished`] for a run that has no model yet, [`Error::Input`] for a folder that is neither.
pub fn model_folder(path: &Path) -> Result<PathBuf> {
    let path = &expanded(path);
    let inside = path.join(MODEL);
    if inside.is_dir() {
        return Ok(inside);
    }
    if path.join("recipe.toml").is_file() {
        return Err(Error::Unfinished {
            path: path.to_owned(),
        });
    }
    if !path.join(CONFIG_FILE).is_file() {
        let mut below = Vec::new();
        models_below(path, DEEPEST, &mut below);
        if !below.is_empty() {
            let shown: Vec<String> = below
                .iter()
                .take(SHOWN)
                .map(|model| format!("`{}`", model.display()))
                .collect();
            let more = match below.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            return Err(Error::Input {
                path: path.to_owned(),
                problem: format!(
                    "is no model, but holds some; give one of {}{more}",
                    shown.join(", ")
                ),
            });
        }
        let what = if path.exists() {
            format!("is no model folder, `{CONFIG_FILE}` is not in it")
        } else {
            "is not there".to_owned()
        };
        return Err(Error::Input {
            path: path.to_owned(),
            problem: format!("{what}; give the folder of a finished run, or its `{MODEL}`"),
        });
    }
    Ok(path.to_owned())
}

/// How far below a folder models are looked for, and how many are named.
const DEEPEST: usize = 3;
const SHOWN: usize = 8;

/// The runs with a model, and the model folders, below a folder, sorted.
fn models_below(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    for inside in folders {
        if inside.join(CONFIG_FILE).is_file() || inside.join(MODEL).join(CONFIG_FILE).is_file() {
            found.push(inside);
        } else if depth > 1 {
            models_below(&inside, depth - 1, found);
        }
    }
}
