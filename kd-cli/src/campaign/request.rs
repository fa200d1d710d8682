//! What is asked for.

use std::path::{Path, PathBuf};

use kd_core::{Error, Result};

use super::place::Mark;
use crate::args::MachineOptions;

/// A campaign that is to be run, and how.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The campaign file as it was typed, and where it is.
    pub(crate) typed: PathBuf,
    pub(crate) file: PathBuf,
    /// Where it was started first: recipes name teachers from there.
    pub(crate) started_in: PathBuf,
    /// What is put over every recipe.
    pub(crate) overrides: Vec<String>,
    /// The methods to run; all if there is none.
    pub(crate) only: Vec<String>,
    /// Whether to make again what failed or was made from something else.
    pub(crate) rerun: bool,
    /// Whether to list the runs alone.
    pub(crate) dry_run: bool,
    /// The folder of the campaign.
    pub(crate) out: PathBuf,
    /// How many runs go on side by side.
    pub(crate) jobs: u16,
    /// What the runs compute on.
    pub(crate) machine: MachineOptions,
}

impl Request {
    /// The command that makes the results, free of what belongs to one machine.
    pub(crate) fn command(&self) -> String {
        let typed = if self.typed.is_absolute() {
            Path::new(self.typed.file_name().unwrap_or_default())
        } else {
            &self.typed
        };
        let mut command = format!("kd bench {}", quoted(&typed.to_string_lossy()));
        for entry in &self.overrides {
            command = format!("{command} --set {}", quoted(entry));
        }
        command
    }

    pub(crate) fn mark(&self) -> Result<Mark> {
        let absolute = |path: &Path| std::path::absolute(path).map_err(Error::io("read", path));
        let data_dir = self.machine.place.data_dir.as_deref();
        Ok(Mark {
            typed: self.typed.clone(),
            file: absolute(&self.file)?,
            started_in: self.started_in.clone(),
            overrides: self.overrides.clone(),
            only: self.only.clone(),
            device: self.machine.device.as_ref().map(ToString::to_string),
            data_dir: data_dir.map(absolute).transpose()?,
            jobs: self.jobs,
        })
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_asks_for_it() {
        assert_eq!(quoted("train.epochs=1"), "train.epochs=1");
        assert_eq!(quoted("data.name=\"x\""), "'data.name=\"x\"'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
