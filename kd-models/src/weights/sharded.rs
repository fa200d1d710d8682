//! Weights in several safetensors files, with a list of what is in which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kd_core::{Error, Result, Tensors, read_tensors};
use serde::Deserialize;

use super::format::INDEX_FILE;

/// The list: which file has which tensor.
#[derive(Debug, Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Files that one list may name.
const MOST_FILES: usize = 1000;

/// Reads the tensors that the list in `folder` names.
///
/// # Errors
///
/// [`Error::BadFile`] for a list that cannot be understood, names something that is no file beside it, or
/// names a tensor that its file lacks; those of [`read_tensors`].
pub(super) fn read(folder: &Path) -> Result<Tensors> {
    let path = folder.join(INDEX_FILE);
    let bad = |problem: String| Error::BadFile {
        path: path.clone(),
        offset: 0,
        problem,
        remedy: "download the folder again".into(),
    };
    let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
    let index: Index = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    let files: BTreeSet<&String> = index.weight_map.values().collect();
    if files.len() > MOST_FILES {
        return Err(bad(format!(
            "it names {} files, at most {MOST_FILES} are read",
            files.len()
        )));
    }
    let mut tensors = Tensors::new();
    for file in files {
        // A list from elsewhere must not lead out of its folder.
        let is_plain = Path::new(file)
            .file_name()
            .is_some_and(|name| name == file.as_str());
        if !is_plain || !folder.join(file).is_file() {
            return Err(bad(format!(
                "it names `{file}`, which is no file beside it"
            )));
        }
        let mut read = read_tensors(&folder.join(file))?;
        for (name, _) in index.weight_map.iter().filter(|(_, of)| *of == file) {
            let missing = || {
                bad(format!(
                    "tensor `{name}` should be in `{file}`, which lacks it"
                ))
            };
            let data = read.remove(name).ok_or_else(missing)?;
            tensors.insert(name.clone(), data);
        }
    }
    Ok(tensors)
}
