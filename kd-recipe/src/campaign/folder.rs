//! The folder of a campaign: its runs and its results.
//!
//! ```text
//! OUT/campaign.json       which campaign file it is of, and what it was started with
//! OUT/teachers/NAME/seedN the runs that made the teachers
//! OUT/cells/NAME/seedN    the runs that are compared; with a sweep, cells/NAME/SETTING=VALUE/seedN
//! OUT/results.json, results.md, results.html, *.svg
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use kd_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::campaign::error::CampaignError;

/// The file that makes a folder a campaign's.
const MARK: &str = "campaign.json";
const LOCK: &str = "campaign.lock";

/// What a campaign was started with, so that it can be gone on with: the file `campaign.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mark {
    /// The campaign file, as the user named it and absolute.
    pub(crate) typed: PathBuf,
    pub(crate) file: PathBuf,
    /// Where it was started: recipes name teachers from there.
    pub(crate) started_in: PathBuf,
    /// What was put over every recipe.
    pub(crate) overrides: Vec<String>,
    /// The methods to run, or none for all.
    pub(crate) only: Vec<String>,
    /// The device and the data folder, if they were named.
    pub(crate) device: Option<String>,
    pub(crate) data_dir: Option<PathBuf>,
    /// The number of runs side by side.
    #[serde(default = "one")]
    pub(crate) jobs: u16,
}

/// Folders of earlier versions do not say it.
fn one() -> u16 {
    1
}

/// The folder of a campaign, held by one process at a time.
#[derive(Debug)]
pub(crate) struct CampaignFolder {
    _lock: File,
}

impl CampaignFolder {
    /// Takes the folder for a campaign: an empty one, or one that was a campaign's before.
    ///
    /// # Errors
    ///
    /// [`CampaignError`] if there is something else in it or another process works in it.
    pub(crate) fn take(out: &Path, mark: &Mark) -> Result<Self> {
        std::fs::create_dir_all(out).map_err(Error::io("create", out))?;
        if !is_campaign(out) {
            let mut entries = std::fs::read_dir(out).map_err(Error::io("read", out))?;
            let ours = |name: &str| name == LOCK || name.starts_with(".writing-");
            let other = |entry: std::io::Result<std::fs::DirEntry>| {
                entry.is_ok_and(|entry| !entry.file_name().to_str().is_some_and(ours))
            };
            if entries.any(other) {
                return Err(CampaignError::NotEmpty.of(out));
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
            TryLockError::WouldBlock => CampaignError::InUse.of(out),
            TryLockError::Error(source) => Error::io("lock", &path)(source),
        })?;
        let json = serde_json::to_vec_pretty(mark).map_err(|error| Error::method(MARK, error))?;
        kd_core::write_atomically(&out.join(MARK), &json)?;
        Ok(Self { _lock: lock })
    }
}

/// Whether a folder is a campaign's.
pub fn is_campaign(folder: &Path) -> bool {
    folder.join(MARK).is_file()
}

/// What the campaign of a folder was started with.
///
/// # Errors
///
/// If the folder is no campaign's, or the file is damaged.
pub(crate) fn read_mark(folder: &Path) -> Result<Mark> {
    let path = folder.join(MARK);
    let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
    serde_json::from_slice(&text).map_err(|error| Error::BadFile {
        path,
        offset: 0,
        problem: error.to_string(),
        remedy: "start the campaign again as it was started before".into(),
    })
}
