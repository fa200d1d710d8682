//! The folder of a campaign's results.
//!
//! ```text
//! OUT/campaign.json       which campaign file it is of, and what it was started with
//! OUT/teachers/NAME/seedN the runs that made the teachers
//! OUT/cells/NAME/seedN    the runs that are compared; with a sweep, cells/NAME/SETTING=VALUE/seedN
//! OUT/results.json, results.md, *.svg
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use kd_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The file that makes a folder a campaign's.
const MARK: &str = "campaign.json";
const LOCK: &str = "campaign.lock";

/// What a campaign was started with, so that `kd resume` can go on with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mark {
    /// The campaign file, as it was typed and absolute.
    pub(crate) typed: PathBuf,
    pub(crate) file: PathBuf,
    /// Where it was started: recipes name teachers from there.
    pub(crate) started_in: PathBuf,
    /// What was put over every recipe.
    pub(crate) overrides: Vec<String>,
    /// The methods that were asked for, or none for all.
    pub(crate) only: Vec<String>,
    /// The device and the data folder that were asked for.
    pub(crate) device: Option<String>,
    pub(crate) data_dir: Option<PathBuf>,
    /// How many runs go on side by side.
    #[serde(default = "one")]
    pub(crate) jobs: u16,
}

/// Folders of earlier versions do not say it.
fn one() -> u16 {
    1
}

/// The folder of a campaign, held by one process at a time.
#[derive(Debug)]
pub(crate) struct Place {
    _lock: File,
}

impl Place {
    /// Takes the folder for a campaign: an empty one, or one that was a campaign's before.
    ///
    /// # Errors
    ///
    /// [`Error::Run`] if there is something else in it or another process works in it.
    pub(crate) fn take(out: &Path, mark: &Mark) -> Result<Self> {
        let refused = |problem: &str| Error::Run {
            path: out.to_owned(),
            problem: problem.to_owned(),
        };
        std::fs::create_dir_all(out).map_err(Error::io("create", out))?;
        if !is_campaign(out) {
            let mut entries = std::fs::read_dir(out).map_err(Error::io("read", out))?;
            let ours = |name: &str| name == LOCK || name.starts_with(".writing-");
            let other = |entry: std::io::Result<std::fs::DirEntry>| {
                entry.is_ok_and(|entry| !entry.file_name().to_str().is_some_and(ours))
            };
            if entries.any(other) {
                return Err(refused(
                    "is not empty and holds no campaign; give another folder with `--out`",
                ));
            }
        }
        let path = out.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                refused("is in use by another process; wait for it or stop it first")
            }
            TryLockError::Error(source) => Error::io("lock", &path)(source),
        })?;
        let json = serde_json::to_vec_pretty(mark).map_err(|error| Error::method(MARK, error))?;
        kd_core::write_atomically(&out.join(MARK), &json)?;
        Ok(Self { _lock: lock })
    }
}

/// Whether the folder is a campaign's.
pub(crate) fn is_campaign(folder: &Path) -> bool {
    folder.join(MARK).is_file()
}

/// What the campaign of this folder was started with.
///
/// # Errors
///
/// If the folder is no campaign's, or the file is damaged.
pub(crate) fn mark(folder: &Path) -> Result<Mark> {
    let path = folder.join(MARK);
    let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
    serde_json::from_slice(&text).map_err(|error| Error::BadFile {
        path,
        offset: 0,
        problem: error.to_string(),
        remedy: "give the same `kd bench` command again".into(),
    })
}
