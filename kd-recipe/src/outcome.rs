//! The outcome of a run: the file `outcome.json` in its folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kd_core::{Error, PhaseOutcome, Result, from_sealed_json, to_sealed_json, write_atomically};
use serde::{Deserialize, Serialize};

const FILE: &str = "outcome.json";

/// The outcome of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Outcome {
    /// The folder of the run.
    pub run: PathBuf,
    /// Accuracy after the last epoch, 0 to 1, if the last phase measures it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// The accuracy of the best evaluation by what the run selects on, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_accuracy: Option<f64>,
    /// Mean intersection over union after the last epoch, 0 to 1, if the last phase measures it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_iou: Option<f64>,
    /// That of the best evaluation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_mean_iou: Option<f64>,
    /// The epoch of the best evaluation, from 1.
    pub best_epoch: usize,
    /// Epochs done in the last phase.
    pub epochs: usize,
    /// Seconds of work in all phases, those of interrupted sessions included.
    pub seconds: f64,
    /// The metrics of the last evaluation.
    pub metrics: BTreeMap<String, f64>,
    /// Parameters that were trained beside the student and thrown away.
    #[serde(default)]
    pub extra_parameters: usize,
    /// The most memory that the process of the last session has held, where the system says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
}

impl Outcome {
    /// Of a run whose phases came to `phases`; none if there is none that was not skipped.
    pub(crate) fn of(run: &Path, phases: &[PhaseOutcome], extra_parameters: usize) -> Option<Self> {
        let last = phases.iter().rfind(|phase| !phase.skipped)?;
        let best = last.best.as_ref();
        let ended = |metric: &str| last.last.get(metric).copied();
        let at_best = |metric: &str| {
            let best = best.and_then(|best| best.metrics.get(metric).copied());
            best.or(ended(metric))
        };
        let seconds: f64 = phases.iter().map(|phase| phase.seconds).sum();
        Some(Self {
            run: run.to_owned(),
            accuracy: ended("accuracy"),
            best_accuracy: at_best("accuracy"),
            mean_iou: ended("mean_iou"),
            best_mean_iou: at_best("mean_iou"),
            best_epoch: best.map_or(last.epochs, |best| best.epoch + 1),
            epochs: last.epochs,
            seconds: (seconds * 1e3).round() / 1e3,
            metrics: last.last.clone(),
            extra_parameters,
            peak_memory_bytes: crate::memory::peak_memory_bytes(),
        })
    }

    /// The outcome of the run in a folder, if it is done.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read, [`Error::BadFile`] if it is damaged.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let mut outcome: Self = from_sealed_json(&path)?;
        // The folder may have been moved since.
        folder.clone_into(&mut outcome.run);
        Ok(Some(outcome))
    }

    /// Removes that of a run that goes on.
    pub(crate) fn remove(folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Writes it into the folder of its run.
    pub(crate) fn write(&self) -> Result<()> {
        write_atomically(&self.run.join(FILE), &to_sealed_json(FILE, self)?)
    }
}
