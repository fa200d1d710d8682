//! The options of a campaign: what is to be run, and how.

use std::path::{Path, PathBuf};

use kd_core::{DeviceName, Error, Result};

use crate::campaign::folder::{Mark, read_mark};

/// The options of a campaign.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CampaignOptions {
    /// The campaign file as the user named it.
    pub typed: PathBuf,
    /// The campaign file as it is found from here.
    pub file: PathBuf,
    /// The folder that the campaign was started in first: recipes name teachers from there.
    pub started_in: PathBuf,
    /// What is put over every recipe.
    pub overrides: Vec<String>,
    /// The methods to run; all if there is none.
    pub only: Vec<String>,
    /// Whether to make again what failed or was made from something else.
    pub rerun: bool,
    /// The folder of the campaign.
    pub out: PathBuf,
    /// The number of runs side by side.
    pub jobs: u16,
    /// The device of all runs, in place of what recipes say.
    pub device: Option<DeviceName>,
    /// Threads of a run on the CPU; those side by side share the cores where nothing is said.
    pub threads: Option<u16>,
    /// The folder that is searched first for data sets.
    pub data_dir: Option<PathBuf>,
    /// What makes the results, as they say it: a command, mostly.
    pub made_with: String,
}

impl CampaignOptions {
    /// The campaign of a file, its results in the folder `out`, one run after the other.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there is no working folder.
    pub fn new(file: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Result<Self> {
        let file = file.into();
        Ok(Self {
            typed: file.clone(),
            made_with: file.display().to_string(),
            file,
            started_in: std::env::current_dir().map_err(Error::io("read", "."))?,
            overrides: Vec::new(),
            only: Vec::new(),
            rerun: false,
            out: out.into(),
            jobs: 1,
            device: None,
            threads: None,
            data_dir: None,
        })
    }

    /// Those that the campaign in a folder was started with.
    ///
    /// # Errors
    ///
    /// If the folder is no campaign's, or its file is damaged.
    pub fn of_folder(out: &Path) -> Result<Self> {
        let mark = read_mark(out)?;
        Ok(Self {
            made_with: mark.typed.display().to_string(),
            typed: mark.typed,
            file: mark.file,
            started_in: mark.started_in,
            overrides: mark.overrides,
            only: mark.only,
            rerun: false,
            out: out.to_owned(),
            jobs: mark.jobs,
            device: mark.device.map(|name| name.parse()).transpose()?,
            threads: None,
            data_dir: mark.data_dir,
        })
    }

    pub(crate) fn mark(&self) -> Result<Mark> {
        let absolute = |path: &Path| std::path::absolute(path).map_err(Error::io("read", path));
        Ok(Mark {
            typed: self.typed.clone(),
            file: absolute(&self.file)?,
            started_in: self.started_in.clone(),
            overrides: self.overrides.clone(),
            only: self.only.clone(),
            device: self.device.as_ref().map(ToString::to_string),
            data_dir: self.data_dir.as_deref().map(absolute).transpose()?,
            jobs: self.jobs,
        })
    }
}
