//! `metrics.jsonl`, written line by line and cut back to what a checkpoint knows.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::training::epoch_log::EpochLog;

/// `metrics.jsonl`: JSON objects, one a line, in the order of the run.
#[derive(Debug)]
pub(crate) struct MetricsLog {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl MetricsLog {
    /// Opens the log and cuts what was written after the checkpoint that the run goes on from.
    pub(crate) fn open(path: PathBuf, keep_bytes: u64) -> Result<Self> {
        let open = || {
            let mut options = OpenOptions::new();
            let mut file = options
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)?;
            // A log that was cut or removed meanwhile goes on from what is left of it.
            let bytes = file.metadata()?.len().min(keep_bytes);
            file.set_len(bytes)?;
            file.seek(SeekFrom::End(0))?;
            Ok((file, bytes))
        };
        let (file, bytes) = open().map_err(Error::io("write", &path))?;
        Ok(Self { file, path, bytes })
    }

    /// Brings the log to the disk and gives its length.
    pub(crate) fn sync(&self) -> Result<u64> {
        self.file
            .sync_data()
            .map_err(Error::io("write", &self.path))?;
        Ok(self.bytes)
    }

    pub(crate) fn append(&mut self, epoch: &EpochLog) -> Result<()> {
        let mut line =
            serde_json::to_string(epoch).map_err(|error| Error::method("metrics.jsonl", error))?;
        line.push('\n');
        self.file
            .write_all(line.as_bytes())
            .map_err(Error::io("write", &self.path))?;
        self.bytes += line.len() as u64;
        Ok(())
    }
}
