//! The folder of a run.
//!
//! ```text
//! RUN/recipe.toml             the resolved recipe
//! RUN/metrics.jsonl           one JSON object a line: losses and evaluations
//! RUN/checkpoint.json         where the run is; names the tensors that belong to it
//! RUN/checkpoint-N.safetensors
//! RUN/phases/NAME/last.safetensors, best.safetensors
//! RUN/*.safetensors           what phases leave beside their results
//! RUN/outcome.json            written when the run is done
//! RUN/environment.json        the machines that it was computed on
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::network::tensor_files::{read_tensors, write_atomically, write_tensors};
use crate::network::tensors::{Tensors, hex};
use crate::sealed::{from_sealed_json, to_sealed_json};
use crate::training::checkpoint::{CHECKPOINT_FORMAT, Checkpoint};
use crate::training::metrics_log::MetricsLog;
use crate::training::outcome::{PhaseOutcome, Snapshot};
use crate::training::phase_state::PhaseState;

/// The folder of a run, held by one process at a time.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Put before the names of phases; empty but for a part of a method made of methods.
    prefix: String,
    lock: Arc<File>,
}

impl RunFolder {
    /// Makes a new run folder. One whose process was killed before it wrote `recipe.toml` counts as new.
    ///
    /// # Errors
    ///
    /// [`Error::NotEmpty`] if there is something in the folder already, [`Error::Io`] if it cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(Error::io("create", path))?;
        let mut entries = std::fs::read_dir(path).map_err(Error::io("read", path))?;
        let is_left_over = |name: &str| {
            matches!(
                name,
                "run.lock" | "inputs.json" | "left-out.txt" | "environment.json"
            ) || name.starts_with(".writing-")
        };
        let is_in_use = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.is_ok_and(|entry| !entry.file_name().to_str().is_some_and(is_left_over))
        };
        if entries.any(is_in_use) {
            return Err(Error::NotEmpty {
                path: path.to_owned(),
            });
        }
        Self::locked(path)
    }

    /// Opens the folder of a run that was begun before.
    ///
    /// # Errors
    ///
    /// [`Error::NoRun`] if it is no run folder, [`Error::Run`] if another process works in it.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.join("recipe.toml").is_file() {
            return Err(Error::NoRun {
                path: path.to_owned(),
            });
        }
        Self::locked(path)
    }

    fn locked(path: &Path) -> Result<Self> {
        let file = path.join("run.lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&file)
            // A finished run can be looked at on a disk that cannot be written.
            .or_else(|error| File::open(&file).map_err(|_| error))
            .map_err(Error::io("create", &file))?;
        // The system lets go of the lock when the process ends, however it ends.
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::Run {
                path: path.to_owned(),
                problem: "is in use by another process; wait for it or stop it first".into(),
            },
            TryLockError::Error(source) => Error::io("lock", &file)(source),
        })?;
        let folder = Self {
            path: path.to_owned(),
            prefix: String::new(),
            lock: Arc::new(lock),
        };
        folder.clean();
        Ok(folder)
    }

    /// Removes what a killed process left: files that were being written, and tensors that no checkpoint
    /// names. What cannot be removed does no harm.
    fn clean(&self) {
        // Of a checkpoint that cannot be read nothing is removed.
        let Ok(checkpoint) = self.read_checkpoint_file() else {
            return;
        };
        let named = checkpoint.and_then(|checkpoint| checkpoint.tensors);
        for folder in folders_of(&self.path, DEPTH) {
            let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            for entry in entries {
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                let is_orphan = is_checkpoint(&name) && named.as_ref() != Some(&name);
                if name.starts_with(".writing-") || (folder == self.path && is_orphan) {
                    let path = entry.path();
                    drop(std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path)));
                }
            }
        }
    }

    /// Makes a finished run of one phase one that can be trained for longer: the next run of it goes on where
    /// it ended. Nothing happens to a run that is not finished.
    ///
    /// # Errors
    ///
    /// [`Error::Run`] if the run has several phases or its last state is gone, [`Error::Io`] if the
    /// checkpoint cannot be read or written.
    pub fn reopen_phase(&self) -> Result<()> {
        let Some((checkpoint, state)) = self.read_checkpoint()? else {
            return Ok(());
        };
        if checkpoint.phase_index < checkpoint.finished.len() || checkpoint.finished.is_empty() {
            return Ok(());
        }
        let ([outcome], Some(_)) = (&checkpoint.finished[..], state) else {
            return Err(Error::Run {
                path: self.path.clone(),
                problem:
                    "is finished and cannot be trained for longer: that needs one phase whose last \
                          state was kept; start a new run"
                        .into(),
            });
        };
        // What the phase leaves at its end is written anew.
        let best = self.name_of_best(&outcome.phase);
        let best = checkpoint.files.get_key_value(&best);
        let files = best.map(|(name, sha256)| (name.clone(), sha256.clone()));
        let mut again = Checkpoint {
            phase: outcome.phase.clone(),
            phase_index: 0,
            step: outcome.steps,
            last: outcome.last.clone(),
            best: outcome.best.clone(),
            seconds: outcome.seconds,
            finished: Vec::new(),
            files: files.into_iter().collect(),
            ..checkpoint.clone()
        };
        self.write_checkpoint(&mut again, None)
    }

    /// The folder as the part `name` of a method made of methods sees it: its phases are called `name.PHASE`
    /// in the whole.
    #[must_use]
    pub fn part(&self, name: &str) -> Self {
        Self {
            path: self.path.clone(),
            prefix: format!("{}{name}.", self.prefix),
            lock: Arc::clone(&self.lock),
        }
    }

    /// The file of a result.
    pub(crate) fn result_path(&self, phase: &str, snapshot: Snapshot) -> PathBuf {
        let folder = format!("{}{phase}", self.prefix);
        self.path.join("phases").join(folder).join(snapshot.file())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file of the run whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_atomically(&self.path.join(name), bytes)
    }

    /// The resolved recipe.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn recipe(&self) -> Result<String> {
        let path = self.path.join("recipe.toml");
        std::fs::read_to_string(&path).map_err(Error::io("read", path))
    }

    /// A result of a finished phase.
    ///
    /// # Errors
    ///
    /// If the phase kept no such result, or the file cannot be read.
    pub fn result(&self, phase: &str, snapshot: Snapshot) -> Result<Tensors> {
        read_tensors(&self.result_path(phase, snapshot))
    }

    /// The outcome of a phase that is done or was skipped; none of one that is not.
    ///
    /// # Errors
    ///
    /// If `checkpoint.json` is there and cannot be read.
    pub fn outcome(&self, phase: &str) -> Result<Option<PhaseOutcome>> {
        let name = format!("{}{phase}", self.prefix);
        let checkpoint = self.read_checkpoint_file()?.unwrap_or_default();
        let mut finished = checkpoint.finished.into_iter();
        Ok(finished.find(|outcome| outcome.phase == name))
    }

    /// Keeps a result of a phase and gives its path in the folder and its SHA-256.
    pub(crate) fn keep(
        &self,
        phase: &str,
        snapshot: Snapshot,
        tensors: &Tensors,
    ) -> Result<(String, String)> {
        let path = self.result_path(phase, snapshot);
        write_tensors(&path, tensors)?;
        self.hashed(&path)
    }

    /// The path of a file in the folder, as a checkpoint names it, and its SHA-256.
    pub(crate) fn hashed(&self, path: &Path) -> Result<(String, String)> {
        let inside = path.strip_prefix(&self.path).unwrap_or(path);
        let parts = inside
            .iter()
            .map(|part| part.to_string_lossy().into_owned());
        Ok((parts.collect::<Vec<_>>().join("/"), hash_file(path)?))
    }

    /// Checks that the files that phases have left, and the log, are the ones that the checkpoint knows.
    ///
    /// # Errors
    ///
    /// [`Error::BadFile`] that names a file that was changed, [`Error::Io`] for one that is gone.
    pub fn check_files(&self) -> Result<()> {
        match self.read_checkpoint_file()? {
            Some(checkpoint) => self.check_files_of(&checkpoint),
            None => Ok(()),
        }
    }

    /// As [`check_files`](Self::check_files); the best result of an epoch that is still to be measured may be
    /// that of its measurement.
    pub(crate) fn check_files_of(&self, checkpoint: &Checkpoint) -> Result<()> {
        let open = checkpoint
            .epoch_is_open
            .then(|| self.name_of_best(&checkpoint.phase));
        let files = checkpoint.files.iter();
        for (name, sha256) in files.filter(|(name, _)| Some(*name) != open.as_ref()) {
            self.check_file(name, sha256)?;
        }
        MetricsLog::check(&self.metrics_path(), checkpoint)
    }

    /// The path of the best result of a phase in the folder.
    pub(crate) fn name_of_best(&self, phase: &str) -> String {
        format!("phases/{}{phase}/{}", self.prefix, Snapshot::Best.file())
    }

    pub(crate) fn check_file(&self, name: &str, sha256: &str) -> Result<()> {
        let path = self.path.join(name);
        if hash_file(&path)? == sha256 {
            return Ok(());
        }
        Err(changed(path))
    }

    pub(crate) fn metrics_path(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// Writes a checkpoint: the tensors under a new name first, then `checkpoint.json`, which is what counts,
    /// and only then removes the tensors of the one before. Without a state the tensors that the checkpoint
    /// names already stay its tensors.
    pub(crate) fn write_checkpoint(
        &self,
        checkpoint: &mut Checkpoint,
        state: Option<PhaseState>,
    ) -> Result<()> {
        let old = self.checkpoint_tensors()?;
        if let Some(state) = state {
            let name = format!(
                "checkpoint-{}-{}.safetensors",
                checkpoint.phase_index, checkpoint.step
            );
            let path = self.path.join(&name);
            write_tensors(&path, &state.tensors)?;
            checkpoint.tensors_sha256 = Some(hash_file(&path)?);
            checkpoint.tensors = Some(name);
            checkpoint.values = state.values;
        }
        checkpoint.format = CHECKPOINT_FORMAT;
        checkpoint.kd_version = env!("CARGO_PKG_VERSION").into();
        self.write(
            "checkpoint.json",
            &to_sealed_json("checkpoint.json", checkpoint)?,
        )?;
        for name in old
            .iter()
            .filter(|name| Some(*name) != checkpoint.tensors.as_ref())
        {
            let path = self.path.join(name);
            std::fs::remove_file(&path).map_err(Error::io("remove", path))?;
        }
        Ok(())
    }

    /// The tensor files of checkpoints.
    fn checkpoint_tensors(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.path).map_err(Error::io("read", &self.path))?;
        Ok(entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| is_checkpoint(name))
            .collect())
    }

    /// `checkpoint.json`, if there is one.
    pub(crate) fn read_checkpoint_file(&self) -> Result<Option<Checkpoint>> {
        let path = self.path.join("checkpoint.json");
        if !path.exists() {
            return Ok(None);
        }
        let bad = |problem: String| Error::BadFile {
            path: path.clone(),
            offset: 0,
            problem,
            remedy: "start the run again in a new folder".into(),
        };
        let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
        // One of another version has other keys, and that is what is to be said of it.
        let format = serde_json::from_slice::<Format>(&text).map(|of| of.format);
        if let Some(format) = format.ok().filter(|format| *format != CHECKPOINT_FORMAT) {
            return Err(bad(format!(
                "its format is {format}, this kd ({}) reads {CHECKPOINT_FORMAT}",
                env!("CARGO_PKG_VERSION")
            )));
        }
        from_sealed_json(&path).map(Some)
    }

    /// The last checkpoint with the state that it names, if there is one.
    pub(crate) fn read_checkpoint(&self) -> Result<Option<(Checkpoint, Option<PhaseState>)>> {
        let Some(checkpoint) = self.read_checkpoint_file()? else {
            return Ok(None);
        };
        let Some(name) = &checkpoint.tensors else {
            return Ok(Some((checkpoint, None)));
        };
        let file = self.path.join(name);
        if checkpoint.tensors_sha256.as_deref() != Some(hash_file(&file)?.as_str()) {
            return Err(changed(file));
        }
        let state = PhaseState {
            tensors: read_tensors(&file)?,
            values: checkpoint.values.clone(),
        };
        Ok(Some((checkpoint, Some(state))))
    }
}

/// How deep the folders of a run lie below it: `phases/NAME`, `model`, `report`.
const DEPTH: usize = 2;

/// A folder and those below it, down to `depth`.
fn folders_of(path: &Path, depth: usize) -> Vec<PathBuf> {
    let mut folders = vec![path.to_owned()];
    if depth > 0 {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        // A link may lead out of the run.
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.extend(below.flat_map(|entry| folders_of(&entry.path(), depth - 1)));
    }
    folders
}

/// The version of a checkpoint of whatever version.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

fn changed(path: PathBuf) -> Error {
    Error::BadFile {
        path,
        offset: 0,
        problem: "its SHA-256 is not the one in checkpoint.json".into(),
        remedy: "the file was changed; restore it, or start the run again in a new folder".into(),
    }
}

fn is_checkpoint(name: &str) -> bool {
    name.starts_with("checkpoint-") && name.ends_with(".safetensors")
}

fn hash_file(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    Ok(hex(&Sha256::digest(&bytes)))
}
