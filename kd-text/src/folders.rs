//! Folders of labelled texts: `train/CLASS/*.txt`.

use std::fs;
use std::path::{Path, PathBuf};

use kd_core::{CountedWork, Error, Result, Split, is_image_path, tell_counted};

use crate::lines::{input, read_text};
use crate::table::{Labelled, split_names};

/// The folder of a split, if there is one.
pub(crate) fn find_folder(root: &Path, split: Split) -> Option<PathBuf> {
    let mut folders = split_names(split).iter().map(|name| root.join(name));
    folders.find(|folder| folder.is_dir())
}

/// Whether a folder of a class lies here that has a text.
pub(crate) fn has_texts(path: &Path) -> bool {
    let folders = entries(path, Path::is_dir).unwrap_or_default();
    let is_there = |folder: &PathBuf| entries(folder, is_text).is_ok_and(|files| !files.is_empty());
    folders.iter().any(is_there)
}

/// Whether an image lies in a folder below `root`, or below one of its folders.
pub(crate) fn has_images(root: &Path) -> bool {
    let folders = |path: &Path| entries(path, Path::is_dir).unwrap_or_default();
    let is_there =
        |folder: &PathBuf| entries(folder, is_image_path).is_ok_and(|files| !files.is_empty());
    let below = |split: &PathBuf| is_there(split) || folders(split).iter().any(is_there);
    folders(root).iter().any(below)
}

fn is_text(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "txt")
}

/// Reads the texts of a split: a folder a class, in it one file a text. `classes` are the folders to read
/// where not all are.
pub(crate) fn read_folder(path: &Path, classes: Option<&[&str]>) -> Result<Labelled> {
    let mut labelled = Labelled {
        path: path.to_owned(),
        texts: Vec::new(),
        labels: Vec::new(),
    };
    let folders = match classes {
        Some(classes) => classes.iter().map(|class| path.join(class)).collect(),
        None => entries(path, Path::is_dir)?,
    };
    if folders.is_empty() {
        let problem =
            "has no folders; put the texts of each class into a folder of its name, a file a text";
        return Err(input(path, problem));
    }
    let files = folders.iter().map(|folder| entries(folder, is_text));
    let files = files.collect::<Result<Vec<_>>>()?;
    let total = files.iter().map(Vec::len).sum::<usize>() as u64;
    for (folder, files) in folders.into_iter().zip(files) {
        if files.is_empty() {
            let problem =
                "has no file that ends in `.txt`; put one a text there, or remove the folder";
            return Err(input(&folder, problem));
        }
        let class = folder.file_name().unwrap_or_default();
        let class = class
            .to_str()
            .ok_or_else(|| input(&folder, "has a name that is not UTF-8; rename it"))?;
        for file in files {
            let text = read_text(&file)?;
            if text.trim().is_empty() {
                return Err(input(&file, "is empty; remove it"));
            }
            labelled.texts.push(text);
            tell_counted(CountedWork {
                what: "reading texts",
                unit: "texts",
                done: labelled.texts.len() as u64,
                total,
            });
            labelled.labels.push((class.to_owned(), 0));
        }
    }
    Ok(labelled)
}

/// What is directly in a folder and wanted, sorted; hidden entries are passed over.
fn entries(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let all: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(Error::io("read", folder))?;
    let hidden = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name.as_encoded_bytes().starts_with(b".")
    };
    let mut all: Vec<PathBuf> = all
        .into_iter()
        .filter(|path| !hidden(path) && wanted(path))
        .collect();
    all.sort();
    Ok(all)
}
