//! A recipe made into a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use kd_core::{
    DataRoots, DeviceName, Error, Metrics, Names, Observer, Result, RunFolder, Runner, Snapshot,
    import,
};
use kd_models::{ModelNetwork, Network, NetworkSpec, NetworkTask, UNet, save_model};
use kd_report::TensorBoard;
use serde::{Deserialize, Serialize};

use crate::memory::peak_memory_bytes;
use crate::method::{AnyRecipe, Context, MadeModel, Methods, Prepared};
use crate::output;
use crate::report::{self, Seen};

/// The folder of a run that holds the network after the last epoch.
pub(crate) const MODEL: &str = "model";

/// What a run came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcome {
    /// The folder of the run.
    pub(crate) run: PathBuf,
    /// Accuracy after the last epoch, 0 to 1, if the last phase measures it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) accuracy: Option<f64>,
    /// The accuracy of the best evaluation by what the run selects on, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) best_accuracy: Option<f64>,
    /// Mean intersection over union after the last epoch, 0 to 1, if the last phase measures it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mean_iou: Option<f64>,
    /// That of the best evaluation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) best_mean_iou: Option<f64>,
    /// The epoch of the best evaluation, from 1.
    pub(crate) best_epoch: usize,
    /// Epochs done in the last phase.
    pub(crate) epochs: usize,
    /// Seconds of work in all phases, those of interrupted sessions included.
    pub(crate) seconds: f64,
    /// The metrics of the last evaluation.
    pub(crate) metrics: BTreeMap<String, f64>,
    /// Parameters that were trained beside the student and thrown away.
    #[serde(default)]
    pub(crate) extra_parameters: usize,
    /// The most memory that the process of the last session has held, where the system says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) peak_memory_bytes: Option<u64>,
}

/// What a run was made from, by hash: it must be the same when the run goes on.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inputs {
    sha256: BTreeMap<String, String>,
    data_dir: Option<PathBuf>,
}

/// A recipe with everything it names, read and checked.
#[derive(Debug)]
pub(crate) struct Job {
    recipe: Box<dyn AnyRecipe>,
    prepared: Prepared,
    inputs: Inputs,
    seen: Seen,
    device: Device,
}

impl Job {
    /// Reads the data and the teachers, makes the student, and checks that all of it fits.
    pub(crate) fn prepare(
        mut recipe: Box<dyn AnyRecipe>,
        device: Option<DeviceName>,
        data_dir: Option<&Path>,
    ) -> Result<Self> {
        let context = context(recipe.as_mut(), device, data_dir)?;
        let prepared = recipe.prepare(&context)?;
        let inputs = Inputs {
            sha256: context.inputs(),
            data_dir: data_dir
                .or(context.roots().env.as_deref())
                .map(std::path::absolute)
                .transpose()
                .map_err(Error::io("read", "."))?,
        };
        Ok(Self {
            recipe,
            prepared,
            inputs,
            seen: context.seen(),
            device: context.device().clone(),
        })
    }

    /// Begins the run in a new folder.
    pub(crate) fn begin(&self, path: &Path) -> Result<RunFolder> {
        check_utf8(&std::path::absolute(path).map_err(Error::io("read", path))?)?;
        let folder = RunFolder::create(path)?;
        let inputs = serde_json::to_vec_pretty(&self.inputs)
            .map_err(|error| Error::method("inputs.json", error))?;
        folder.write("inputs.json", &inputs)?;
        folder.write("recipe.toml", self.recipe.resolved()?.as_bytes())?;
        Ok(folder)
    }

    /// Reads the job of a run folder again and checks that what it was made from is still the same.
    pub(crate) fn reopen(
        methods: &Methods,
        folder: &RunFolder,
        device: Option<DeviceName>,
        data_dir: Option<&Path>,
    ) -> Result<Self> {
        let path = folder.path().join("recipe.toml");
        let recipe = methods.read(&path.display().to_string(), &folder.recipe()?, &[], None)?;
        let begun = read_inputs(folder.path())?;
        let job = Self::prepare(recipe, device, data_dir.or(begun.data_dir.as_deref()))?;
        let now = &job.inputs.sha256;
        let names = begun.sha256.keys().chain(now.keys());
        let mut changed = names.filter(|name| begun.sha256.get(*name) != now.get(*name));
        match changed.next() {
            Some(what) => Err(Error::Run {
                path: folder.path().to_owned(),
                problem: format!(
                    "{what} has changed since the run was begun; restore it, or start a new run"
                ),
            }),
            None => Ok(job),
        }
    }

    /// The recipe, with everything that preparing it has made definite.
    pub(crate) fn recipe(&self) -> &dyn AnyRecipe {
        self.recipe.as_ref()
    }

    /// The data and the teachers, by hash.
    pub(crate) fn inputs(&self) -> &BTreeMap<String, String> {
        &self.inputs.sha256
    }

    /// The name and size of the student, if the method makes one.
    pub(crate) fn spec(&self) -> Option<&NetworkSpec> {
        self.prepared
            .models
            .first()
            .map(|model| &model.config.network)
    }

    /// What its progress goes by.
    pub(crate) fn title(&self) -> String {
        match self.spec() {
            Some(spec) => spec.name.clone(),
            None => self.recipe.method().to_owned(),
        }
    }

    /// The device that the job computes on.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// The data and the teachers.
    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Trained parameters beside the student's.
    pub(crate) fn extra_parameters(&self) -> usize {
        self.prepared.extra_parameters
    }

    /// Runs to the end and keeps the networks.
    pub(crate) fn run(
        &self,
        folder: &RunFolder,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        let method = self.prepared.method.as_ref();
        let mut tensorboard = TensorBoard::new(folder.path());
        let outcomes = Runner::new(folder, stop).run(method, &mut (observer, &mut tensorboard));
        if let Err(error) = tensorboard.finish() {
            output::notice(&format!("TensorBoard's log has ended early: {error}"));
        }
        let outcomes = outcomes?;
        let Some(last) = outcomes.last() else {
            return Err(Error::Run {
                path: folder.path().into(),
                problem: "has no phase".into(),
            });
        };
        for model in &self.prepared.models {
            let phase = outcomes.iter().find(|phase| phase.phase == model.phase);
            self.save(
                folder,
                model,
                Snapshot::Last,
                phase.map(|phase| &phase.last),
            )?;
            if let Some(best) = phase.and_then(|phase| phase.best.as_ref()) {
                self.save(folder, model, Snapshot::Best, Some(&best.metrics))?;
            }
        }
        let best = last.best.as_ref();
        let ended = |metric: &str| last.last.get(metric).copied();
        let at_best = |metric: &str| {
            let best = best.and_then(|best| best.metrics.get(metric).copied());
            best.or(ended(metric))
        };
        let seconds: f64 = outcomes.iter().map(|phase| phase.seconds).sum();
        let outcome = Outcome {
            run: folder.path().to_owned(),
            accuracy: ended("accuracy"),
            best_accuracy: at_best("accuracy"),
            mean_iou: ended("mean_iou"),
            best_mean_iou: at_best("mean_iou"),
            best_epoch: best.map_or(last.epochs, |best| best.epoch + 1),
            epochs: last.epochs,
            seconds: (seconds * 1e3).round() / 1e3,
            metrics: last.last.clone(),
            extra_parameters: self.prepared.extra_parameters,
            peak_memory_bytes: peak_memory_bytes(),
        };
        let json = serde_json::to_vec_pretty(&outcome)
            .map_err(|error| Error::method("outcome.json", error))?;
        folder.write("outcome.json", &json)?;
        // The run is done, whatever becomes of its report.
        match report::write(folder.path(), Ok(self)) {
            Ok(warnings) => {
                for warning in warnings {
                    output::notice(&format!("warning: {warning}"));
                }
            }
            Err(error) => {
                let run = folder.path().display();
                output::notice(&format!(
                    "the report was not written: {error}; `kd report {run}` makes it again"
                ));
            }
        }
        Ok(outcome)
    }

    /// Writes a network that the run has made as a model folder.
    fn save(
        &self,
        folder: &RunFolder,
        model: &MadeModel,
        snapshot: Snapshot,
        metrics: Option<&Metrics>,
    ) -> Result<()> {
        match model.config.network.task()? {
            NetworkTask::Classification => {
                self.save_as::<Network>(folder, model, snapshot, metrics)
            }
            NetworkTask::Segmentation => self.save_as::<UNet>(folder, model, snapshot, metrics),
        }
    }

    fn save_as<N: ModelNetwork>(
        &self,
        folder: &RunFolder,
        model: &MadeModel,
        snapshot: Snapshot,
        metrics: Option<&Metrics>,
    ) -> Result<()> {
        let tensors = folder.result(&model.phase, snapshot)?;
        // The seed does not matter here: every tensor is replaced.
        let blank = N::build(&model.config.network, 0, &self.device)?;
        let network = import(&blank, &tensors, Names::PyTorch, "the run's result")?;
        let mut config = model.config.clone();
        let measured = |metric: &str| metrics.and_then(|metrics| metrics.get(metric).copied());
        config.provenance.accuracy = measured("accuracy");
        if let Some(mean_iou) = measured("mean_iou") {
            let notes = &mut config.provenance.notes;
            notes.insert("mean_iou".into(), mean_iou.into());
        }
        let name = match snapshot {
            Snapshot::Last => model.folder.clone(),
            Snapshot::Best => format!("{}-best", model.folder),
        };
        save_model(&folder.path().join(name), &network, &config)
    }
}

/// What a recipe is prepared with. What `auto` means here is written into the recipe, so that a run goes on where it was
/// begun.
pub(crate) fn context(
    recipe: &mut dyn AnyRecipe,
    device: Option<DeviceName>,
    data_dir: Option<&Path>,
) -> Result<Context> {
    let name = match device {
        Some(name) => name,
        None => recipe.device().parse()?,
    };
    let name = name.resolve()?;
    recipe.set_device(name.to_string());
    let roots = DataRoots::from_env().with_explicit(data_dir.map(Path::to_owned));
    Ok(Context::new(name.open()?, roots))
}

/// The data and the teachers of a run that was begun, by hash.
pub(crate) fn inputs(folder: &Path) -> Result<BTreeMap<String, String>> {
    Ok(read_inputs(folder)?.sha256)
}

fn read_inputs(folder: &Path) -> Result<Inputs> {
    let path = folder.join("inputs.json");
    let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
    serde_json::from_slice(&text).map_err(|error| Error::BadFile {
        path,
        offset: 0,
        problem: error.to_string(),
        remedy: "start the run again in a new folder".into(),
    })
}

/// The outcome of a run that is done, if it is.
pub(crate) fn outcome(folder: &Path) -> Result<Option<Outcome>> {
    let path = folder.join("outcome.json");
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
    let mut outcome: Outcome = serde_json::from_slice(&text).map_err(|error| Error::BadFile {
        path,
        offset: 0,
        problem: error.to_string(),
        remedy: "start the run again in a new folder".into(),
    })?;
    // The folder may have been moved since.
    folder.clone_into(&mut outcome.run);
    Ok(Some(outcome))
}

/// Paths are stored in TOML and JSON, which know no other text than UTF-8.
pub(crate) fn check_utf8(path: &Path) -> Result<()> {
    match path.to_str() {
        Some(_) => Ok(()),
        None => Err(Error::Input {
            path: path.to_owned(),
            problem: "is not UTF-8, so that it cannot be stored with the run; use another name"
                .into(),
        }),
    }
}
