//! Runs below a folder by their paths alone, so that they can be looked for again and again.

use std::path::{Path, PathBuf};

/// Folders below this depth are not looked into.
const DEEPEST: usize = 8;
/// More runs than this are not watched.
const MOST: usize = 1000;

/// The folders of the runs in and below a folder, in the order of their paths; links are not followed and
/// hidden folders are passed over.
pub fn runs_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    look(folder, 0, &mut found);
    found.sort();
    found
}

fn look(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if found.len() == MOST {
        return;
    }
    if folder.join("recipe.toml").is_file() && folder.join("run.lock").is_file() {
        found.push(folder.to_owned());
        return;
    }
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && !hidden && depth < DEEPEST {
            look(&entry.path(), depth + 1, found);
        }
    }
}
