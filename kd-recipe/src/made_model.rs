//! Models that a run has made: results of phases, or parts of them, written as model folders.

use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;

use burn::tensor::Device;
use kd_core::{Metrics, Result, RunFolder, Snapshot, Tensors};
use kd_models::{Families, ModelConfig};

/// A model that a run has made: a phase's result, or a part of one, written as a model folder.
#[derive(Clone)]
pub struct MadeModel {
    folder: String,
    phase: String,
    part: String,
    writer: Writer,
}

/// Writes a model of any kind.
type WriteTensors = dyn Fn(&MadeTensors<'_>) -> Result<()>;

#[derive(Clone)]
enum Writer {
    Known(Box<ModelConfig>),
    Own(Rc<WriteTensors>),
}

/// The tensors of a model, to be written.
#[derive(Debug)]
#[non_exhaustive]
pub struct MadeTensors<'a> {
    /// The folder to write.
    pub folder: PathBuf,
    /// The tensors as the phase has named them, without the part's prefix.
    pub tensors: Tensors,
    /// The evaluation that they belong to, if there was one.
    pub metrics: Option<&'a Metrics>,
}

impl fmt::Debug for MadeModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeModel")
            .field("folder", &self.folder)
            .field("phase", &self.phase)
            .field("part", &self.part)
            .finish_non_exhaustive()
    }
}

impl MadeModel {
    /// The network of `config`, of one of the known families, in the result of `phase`. It is written to
    /// `folder` in the run folder, and that of the best evaluation to `folder-best`. The student's folder is
    /// `model`.
    pub fn new(folder: impl Into<String>, phase: impl Into<String>, config: ModelConfig) -> Self {
        Self {
            folder: folder.into(),
            phase: phase.into(),
            part: String::new(),
            writer: Writer::Known(Box::new(config)),
        }
    }

    /// A model that `write` writes: any network with any description.
    pub fn written_by(
        folder: impl Into<String>,
        phase: impl Into<String>,
        write: impl Fn(&MadeTensors<'_>) -> Result<()> + 'static,
    ) -> Self {
        Self {
            folder: folder.into(),
            phase: phase.into(),
            part: String::new(),
            writer: Writer::Own(Rc::new(write)),
        }
    }

    /// Of the phase's result only the tensors whose names begin with `prefix`, which is taken off:
    /// `branch-0/`.
    #[must_use]
    pub fn of_part(mut self, prefix: impl Into<String>) -> Self {
        self.part = prefix.into();
        self
    }

    /// The phase whose result it is.
    pub(crate) fn phase(&self) -> &str {
        &self.phase
    }

    /// Writes it below the run folder.
    ///
    /// # Errors
    ///
    /// If the phase has no such result, or it is not the network that was described.
    pub(crate) fn write(
        &self,
        run: &RunFolder,
        snapshot: Snapshot,
        metrics: Option<&Metrics>,
        families: &Families,
        device: &Device,
    ) -> Result<()> {
        let name = match snapshot {
            Snapshot::Last => self.folder.clone(),
            Snapshot::Best => format!("{}-best", self.folder),
        };
        let all = run.result(&self.phase, snapshot)?;
        let named = all.into_iter().filter_map(|(name, tensor)| {
            let name = name.strip_prefix(&self.part)?.to_owned();
            Some((name, tensor))
        });
        let made = MadeTensors {
            folder: run.path().join(name),
            tensors: named.collect(),
            metrics,
        };
        match &self.writer {
            Writer::Own(write) => write(&made),
            Writer::Known(config) => save(&made, config, families, device),
        }
    }
}

/// Writes a network of a known family, with what was measured of it.
fn save(
    made: &MadeTensors<'_>,
    config: &ModelConfig,
    families: &Families,
    device: &Device,
) -> Result<()> {
    let mut config = config.clone();
    let measured = |metric: &str| {
        made.metrics
            .and_then(|metrics| metrics.get(metric).copied())
    };
    config.provenance.accuracy = measured("accuracy");
    if let Some(mean_iou) = measured("mean_iou") {
        let notes = &mut config.provenance.notes;
        notes.insert("mean_iou".into(), mean_iou.into());
    }
    let blank = families.blank(config, device)?;
    let network = blank.with_tensors(&made.tensors, "the run's result")?;
    network.save(&made.folder)
}
