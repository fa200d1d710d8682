//! A recipe made into a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use kd_core::{
    DataRoots, DatasetInfo, DeviceName, Error, ImageShape, Kept, Names, Observer, Result,
    RunFolder, Runner, Split, Subset, import,
};
use kd_models::{CONFIG_FILE, ModelConfig, Network, NetworkSpec, load_model, save_model};
use kd_offline::{FrozenTeacher, Offline, OfflineData, RESULT_PHASE, Teacher};
use serde::{Deserialize, Serialize};

use crate::recipe::{DataRecipe, Recipe};

/// The folder of a run that holds the network after the last epoch.
const MODEL: &str = "model";
/// The folder of a run that holds the network of the best evaluation.
const BEST_MODEL: &str = "model-best";

/// What a run came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcome {
    /// The folder of the run.
    pub(crate) run: PathBuf,
    /// Accuracy after the last epoch, 0 to 1.
    pub(crate) accuracy: f64,
    /// The best accuracy of all evaluations, 0 to 1.
    pub(crate) best_accuracy: f64,
    /// The epoch of the best accuracy, from 1.
    pub(crate) best_epoch: usize,
    /// Epochs done.
    pub(crate) epochs: usize,
    /// Seconds of work, those of interrupted sessions included.
    pub(crate) seconds: f64,
    /// The metrics of the last evaluation.
    pub(crate) metrics: BTreeMap<String, f64>,
}

/// What a run was made from, by hash: it must be the same when the run goes on.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inputs {
    train: String,
    held_out: String,
    teachers: Vec<String>,
    data_dir: Option<PathBuf>,
}

/// A recipe with everything it names, read and checked.
pub(crate) struct Job {
    recipe: Recipe,
    spec: NetworkSpec,
    config: ModelConfig,
    offline: Offline<Network>,
    inputs: Inputs,
    device: Device,
}

impl Job {
    /// Reads the data and the teachers, makes the student, and checks that all of it fits.
    pub(crate) fn prepare(
        mut recipe: Recipe,
        device: Option<DeviceName>,
        data_dir: Option<&Path>,
    ) -> Result<Self> {
        let name = match device {
            Some(name) => name,
            None => recipe.device().parse()?,
        };
        // What `auto` means here is stored, so that the run goes on where it was begun.
        let name = name.resolve()?;
        recipe.set_device(name);
        recipe.training().check()?;
        let info = DatasetInfo::find(&recipe.data().name)?;
        let shape = info.shape;
        let input = [shape.channels, shape.height, shape.width];
        let spec = NetworkSpec::new(&recipe.network().name, info.classes, input);
        spec.check()?;
        check_views(recipe.data(), shape)?;
        let device = name.open()?;
        let roots = DataRoots::from_env().with_explicit(data_dir.map(Path::to_owned));
        let loaded = load(info, recipe.data(), &roots);
        let (train, held_out) = loaded.map_err(|error| error.within("data"))?;

        let normalisation = recipe
            .network()
            .normalisation
            .clone()
            .unwrap_or_else(|| info.normalisation());
        normalisation.check()?;
        recipe.set_normalisation(normalisation.clone());
        let mut config = ModelConfig::new(spec.clone(), normalisation.clone());
        config.class_names = train.dataset().class_names().map(<[String]>::to_vec);
        config.provenance.data = Some(info.name.to_owned());

        let student = Network::build(&spec, recipe.seed(), &device)?;
        let teachers = recipe
            .teachers()
            .iter()
            .map(|teacher| {
                let (network, config) = load_model(&model_folder(&teacher.model)?, &device)?;
                check_fits(
                    &format!("teacher `{}`", teacher.model.display()),
                    &config,
                    info,
                )?;
                let teacher = FrozenTeacher::new(&network, config.normalisation, &device);
                Ok(Box::new(teacher) as Box<dyn Teacher>)
            })
            .collect::<Result<Vec<_>>>()?;
        let inputs = Inputs {
            train: train.hash().to_owned(),
            held_out: held_out.hash().to_owned(),
            teachers: teachers.iter().map(|teacher| teacher.hash()).collect(),
            data_dir: data_dir
                .or(roots.env.as_deref())
                .map(std::path::absolute)
                .transpose()
                .map_err(Error::io("read", "."))?,
        };
        let data = &recipe.data();
        let data = OfflineData {
            train,
            held_out,
            views: data.views,
            augment: data.augment.clone(),
        };
        let offline = Offline::new(
            &student,
            normalisation,
            data,
            recipe.training().clone(),
            &device,
        )
        .with_teachers(teachers, recipe.ensemble())
        .with_losses(recipe.losses())
        .with_seed(recipe.seed());
        offline.check()?;
        Ok(Self {
            recipe,
            spec,
            config,
            offline,
            inputs,
            device,
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
        folder: &RunFolder,
        device: Option<DeviceName>,
        data_dir: Option<&Path>,
    ) -> Result<Self> {
        let path = folder.path().join("recipe.toml");
        let recipe = Recipe::read(&path.display().to_string(), &folder.recipe()?, &[], None)?;
        let path = folder.path().join("inputs.json");
        let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let begun: Inputs = serde_json::from_slice(&text).map_err(|error| Error::BadFile {
            path,
            offset: 0,
            problem: error.to_string(),
            remedy: "start the run again in a new folder".into(),
        })?;
        let job = Self::prepare(recipe, device, data_dir.or(begun.data_dir.as_deref()))?;
        let changed = [
            ("the training data", begun.train != job.inputs.train),
            ("the held-out data", begun.held_out != job.inputs.held_out),
            ("a teacher", begun.teachers != job.inputs.teachers),
        ];
        match changed.into_iter().find(|(_, changed)| *changed) {
            Some((what, _)) => Err(Error::Run {
                path: folder.path().to_owned(),
                problem: format!(
                    "{what} has changed since the run was begun; restore it, or start a new run"
                ),
            }),
            None => Ok(job),
        }
    }

    /// The resolved recipe.
    pub(crate) fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The name and size of the network that is trained.
    pub(crate) fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// The device that the job computes on.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Trained parameters beside the student's.
    pub(crate) fn extra_parameters(&self) -> Result<usize> {
        self.offline.extra_parameters()
    }

    /// Runs to the end and keeps the networks.
    pub(crate) fn run(
        &self,
        folder: &RunFolder,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        let outcomes = Runner::new(folder, stop).run(&self.offline, observer)?;
        let Some(phase) = outcomes.last() else {
            return Err(Error::Run {
                path: folder.path().into(),
                problem: "has no phase".into(),
            });
        };
        let accuracy = phase.last.get("accuracy").copied().unwrap_or_default();
        let best = phase.best.as_ref();
        self.save(folder, Kept::Last, MODEL, accuracy)?;
        let best_accuracy = best.map_or(accuracy, |best| best.value);
        self.save(folder, Kept::Best, BEST_MODEL, best_accuracy)?;
        let outcome = Outcome {
            run: folder.path().to_owned(),
            accuracy,
            best_accuracy,
            best_epoch: best.map_or(phase.epochs, |best| best.epoch + 1),
            epochs: phase.epochs,
            seconds: (phase.seconds * 1e3).round() / 1e3,
            metrics: phase.last.clone(),
        };
        let json = serde_json::to_vec_pretty(&outcome)
            .map_err(|error| Error::method("outcome.json", error))?;
        folder.write("outcome.json", &json)?;
        Ok(outcome)
    }

    fn save(&self, folder: &RunFolder, kept: Kept, name: &str, accuracy: f64) -> Result<()> {
        let tensors = folder.result(RESULT_PHASE, kept)?;
        // The seed does not matter here: every tensor is replaced.
        let blank = Network::build(&self.spec, 0, &self.device)?;
        let network = import(&blank, &tensors, Names::PyTorch, "the run's result")?;
        let mut config = self.config.clone();
        config.provenance.accuracy = Some(accuracy);
        save_model(&folder.path().join(name), &network, &config)
    }
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

/// The model folder that a person means: itself, or the one in a run folder.
pub(crate) fn model_folder(path: &Path) -> Result<PathBuf> {
    let inside = path.join(MODEL);
    if inside.is_dir() {
        return Ok(inside);
    }
    if path.join("recipe.toml").is_file() {
        return Err(Error::Input {
            path: path.to_owned(),
            problem: "is a run that is not finished; finish it with `kd resume`".into(),
        });
    }
    if !path.join(CONFIG_FILE).is_file() {
        return Err(Error::Input {
            path: path.to_owned(),
            problem: format!(
                "is no model folder, `{CONFIG_FILE}` is not in it; give the folder of a finished run, or its `{MODEL}`"
            ),
        });
    }
    Ok(path.to_owned())
}

/// Checks that a trained network takes the images of a data set and knows its classes.
pub(crate) fn check_fits(who: &str, config: &ModelConfig, info: &DatasetInfo) -> Result<()> {
    if config.network.classes != info.classes {
        return Err(Error::Shape {
            what: who.to_owned(),
            expected: format!("{} classes, as data set `{}` has", info.classes, info.name),
            found: config.network.classes.to_string(),
            remedy: "use a data set of its classes".into(),
        });
    }
    let shape = info.shape;
    let [channels, height, width] = config.network.input;
    if [channels, height, width] != [shape.channels, shape.height, shape.width] {
        return Err(Error::Shape {
            what: who.to_owned(),
            expected: format!("images of {shape}, as data set `{}` has", info.name),
            found: format!("{channels}x{height}x{width}"),
            remedy: "use a data set with images of its size".into(),
        });
    }
    Ok(())
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

/// Augmentation that would have no effect is a mistake.
fn check_views(data: &DataRecipe, shape: ImageShape) -> Result<()> {
    if !data.views.augments() && !data.augment.is_none() {
        let problem = "has no effect with one view; set `data.views` to \"unlimited\" or to the size of a bank";
        return Err(Error::config("data.augment", problem));
    }
    data.views
        .check()
        .and_then(|()| data.augment.check_for(shape))
        .map_err(|error| error.within("data"))
}

/// The samples to train on and those to measure on.
fn load(info: &DatasetInfo, recipe: &DataRecipe, roots: &DataRoots) -> Result<(Subset, Subset)> {
    if recipe.fraction.is_some() && recipe.per_class.is_some() {
        let problem = "and `data.fraction` exclude each other; keep one of them";
        return Err(Error::config("per_class", problem));
    }
    let whole = Subset::all(&info.load(Split::Train, roots)?);
    let (train, held_out) = match recipe.held_out {
        Some(share) => whole.split(share, recipe.subset_seed)?,
        None => (whole, Subset::all(&info.load(Split::Test, roots)?)),
    };
    let train = match (recipe.fraction, recipe.per_class) {
        (Some(fraction), _) => train.fraction(fraction, recipe.subset_seed)?,
        (_, Some(count)) => train.per_class(count, recipe.subset_seed)?,
        _ => train,
    };
    Ok((train, held_out))
}
