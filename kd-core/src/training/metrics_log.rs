//! `metrics.jsonl`, written line by line and cut back to what a checkpoint knows.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::network::tensors::hex;
use crate::training::checkpoint::Checkpoint;
use crate::training::epoch_log::EpochLog;

/// `metrics.jsonl`: JSON objects, one a line, in the order of the run.
#[derive(Debug)]
pub(crate) struct MetricsLog {
    file: File,
    path: PathBuf,
    bytes: u64,
    /// Of everything that is in it.
    hash: Sha256,
}

impl MetricsLog {
    /// Checks that the log begins with what the checkpoint knows of it. One that is shorter or gone is no
    /// error: nothing is computed from it.
    ///
    /// # Errors
    ///
    /// [`Error::BadFile`] if it was changed.
    pub(crate) fn check(path: &Path, checkpoint: &Checkpoint) -> Result<()> {
        let Some(expected) = &checkpoint.metrics_sha256 else {
            return Ok(());
        };
        let mut begin = Vec::new();
        let read = File::open(path)
            .and_then(|file| file.take(checkpoint.metrics_bytes).read_to_end(&mut begin));
        let is_whole = read.is_ok_and(|read| read as u64 == checkpoint.metrics_bytes);
        if !is_whole || hex(&Sha256::digest(&begin)) == *expected {
            return Ok(());
        }
        Err(Error::BadFile {
            path: path.to_owned(),
            offset: 0,
            problem: "its SHA-256 is not the one in checkpoint.json".into(),
            remedy: "the file was changed; restore it, or remove it to go on without these lines"
                .into(),
        })
    }

    /// Opens the log and cuts what was written after the checkpoint that the run goes on from.
    pub(crate) fn open(path: PathBuf, keep_bytes: u64) -> Result<Self> {
        let open = || {
            let mut options = OpenOptions::new();
            let mut file = options
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)?;
            // A log that was cut or removed meanwhile goes on from what is left of it.
            let bytes = file.metadata()?.len().min(keep_bytes);
            file.set_len(bytes)?;
            let mut kept = Vec::new();
            file.read_to_end(&mut kept)?;
            file.seek(SeekFrom::End(0))?;
            Ok((file, bytes, Sha256::new_with_prefix(kept)))
        };
        let (file, bytes, hash) = open().map_err(Error::io("write", &path))?;
        Ok(Self {
            file,
            path,
            bytes,
            hash,
        })
    }

    /// Brings the log to the disk and notes its length and its hash in a checkpoint.
    pub(crate) fn sync_into(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        self.file
            .sync_data()
            .map_err(Error::io("write", &self.path))?;
        checkpoint.metrics_bytes = self.bytes;
        checkpoint.metrics_sha256 = Some(hex(&self.hash.clone().finalize()));
        Ok(())
    }

    pub(crate) fn append(&mut self, epoch: &EpochLog) -> Result<()> {
        let mut line =
            serde_json::to_string(epoch).map_err(|error| Error::method("metrics.jsonl", error))?;
        line.push('\n');
        self.file
            .write_all(line.as_bytes())
            .map_err(Error::io("write", &self.path))?;
        self.bytes += line.len() as u64;
        self.hash.update(line.as_bytes());
        Ok(())
    }
}
