//! Phases that were done in other run folders, taken over as though they had been run here.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::network::tensors::hex;
use crate::training::checkpoint::Checkpoint;
use crate::training::outcome::Snapshot;
use crate::training::run_folder::RunFolder;

impl RunFolder {
    /// Takes over the finished phases of other runs, part after part, as though they had been run in this
    /// folder, which must be new: their results, their lines of the metrics, their outcomes. The runner goes
    /// on with the phase after the last of them.
    ///
    /// Files beside the results are not taken over; a phase that writes them writes them again.
    ///
    /// # Errors
    ///
    /// [`Error::Run`] if this run has been begun or a part is under way, and [`Error::Io`].
    pub fn take_over(&self, parts: &[Self]) -> Result<()> {
        if self.read_checkpoint_file()?.is_some() {
            return Err(run_error(self, "has been begun already; give a new folder"));
        }
        let mut finished = Vec::new();
        let mut lines = Vec::new();
        let mut files = BTreeMap::new();
        for part in parts {
            let checkpoint = part.read_checkpoint_file()?.unwrap_or_default();
            part.check_files_of(&checkpoint)?;
            if !checkpoint.phase.is_empty() || checkpoint.finished.is_empty() {
                let problem =
                    "is not done, so that its phases cannot be taken over; finish it first";
                return Err(run_error(part, problem));
            }
            for outcome in checkpoint
                .finished
                .iter()
                .filter(|outcome| !outcome.skipped)
            {
                for snapshot in [Snapshot::Best, Snapshot::Last] {
                    let from = part.result_path(&outcome.phase, snapshot);
                    if from.exists() {
                        let to = self.result_path(&outcome.phase, snapshot);
                        copy(&from, &to)?;
                        files.extend([self.hashed(&to)?]);
                    }
                }
            }
            finished.extend(checkpoint.finished);
            let metrics = part.metrics_path();
            lines.extend(std::fs::read(&metrics).map_err(Error::io("read", &metrics))?);
        }
        self.write("metrics.jsonl", &lines)?;
        // What counts comes last: a run that is killed before it begins anew.
        let mut checkpoint = Checkpoint {
            phase_index: finished.len(),
            metrics_bytes: lines.len() as u64,
            metrics_sha256: Some(hex(&Sha256::digest(&lines))),
            finished,
            files,
            ..Checkpoint::default()
        };
        self.write_checkpoint(&mut checkpoint, None)
    }
}

fn run_error(folder: &RunFolder, problem: &str) -> Error {
    Error::Run {
        path: folder.path().to_owned(),
        problem: problem.to_owned(),
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    }
    std::fs::copy(from, to).map_err(Error::io("copy", from))?;
    Ok(())
}
