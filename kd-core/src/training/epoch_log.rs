//! The lines of `metrics.jsonl`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::training::phase::Metrics;

/// What an epoch came to: a line of a run's `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLog {
    /// The phase.
    pub phase: String,
    /// The epoch within the phase, from 0.
    pub epoch: usize,
    /// Steps of the phase done at its end.
    pub step: usize,
    /// The learning rate of its last step.
    pub lr: f64,
    /// The means of the losses over its steps.
    pub train: Metrics,
    /// The evaluation at its end, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Metrics>,
    /// Seconds of work in the phase so far, those of interrupted sessions included.
    pub seconds: f64,
}

impl EpochLog {
    /// Reads the `metrics.jsonl` of the run in `folder`; a run that has none yet has no epochs.
    ///
    /// A last line without its end is being written, or was when the run was killed, and is left out.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read, [`Error::BadFile`] for a line that is not one of these.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>> {
        let path = folder.join("metrics.jsonl");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        let mut offset = 0;
        let mut epochs = Vec::new();
        for line in text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
        {
            let epoch = serde_json::from_str(line).map_err(|error| Error::BadFile {
                path: path.clone(),
                offset,
                problem: error.to_string(),
                remedy:
                    "the file was changed; resuming the run cuts what its checkpoint does not know"
                        .into(),
            })?;
            epochs.push(epoch);
            offset += line.len() as u64;
        }
        Ok(epochs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        r#"{"phase":"distill","epoch":0,"step":5,"lr":0.1,"train":{"total":2.5},"seconds":1.25}"#;

    fn read(text: &str) -> Result<Vec<EpochLog>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("metrics.jsonl"), text).unwrap();
        EpochLog::read_all(folder.path())
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let epochs = read(&format!("{LINE}\n")).unwrap();
        assert_eq!((epochs[0].step, epochs[0].train["total"]), (5, 2.5));
        assert_eq!(serde_json::to_string(&epochs[0]).unwrap(), LINE);
    }

    #[test]
    fn a_line_under_way_is_left_out_and_a_damaged_one_is_named() {
        assert_eq!(read(&format!("{LINE}\n{}", &LINE[..20])).unwrap().len(), 1);
        let error = read(&format!("{LINE}\nrubbish\n{LINE}\n")).unwrap_err();
        assert!(
            matches!(&error, Error::BadFile { offset, .. } if *offset == LINE.len() as u64 + 1),
            "{error}"
        );
    }

    #[test]
    fn a_run_that_has_not_logged_yet_has_no_epochs() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(EpochLog::read_all(folder.path()).unwrap(), []);
    }
}
