//! The table of a teacher: a trained network to be learnt from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kd_core::{Error, ImageShape, Normalisation, Result, Task, check_finite, class_folders};
use kd_models::{
    CONFIG_FILE, Families, LoadReport, ModelConfig, TrainedModel, WeightChoice, WeightFit, Weights,
};
use serde::{Deserialize, Serialize};

use crate::notices::Notices;
use crate::recipe::loaded::DataFacts;
use crate::recipe::paths::{absolute, expanded, model_folder};
use crate::recipe::weights::WeightFile;

/// An entry of `[[teachers]]`: a model folder, or a plain weight file with what it does not say itself.
///
/// ```toml
/// [[teachers]]
/// model = "runs/teacher-seed0"
///
/// [[teachers]]
/// weights = "resnet20.pth"
/// network = "resnet20"
/// normalisation = { mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225] }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherRecipe {
    /// Its model folder, or the folder of the run that made it; relative to where the program is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
    /// In place of `model`: a file with its weights alone, safetensors or of PyTorch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
    /// The network that `weights` are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The state dictionary in `weights`, where they hold several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_key: Option<String>,
    /// What is before the names of its tensors in `weights`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_prefix: Option<String>,
    /// Parts of the names of its tensors in `weights`, and what the network calls them:
    /// `{ "fc.1." = "linear.", "downsample." = "shortcut." }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights_rename: BTreeMap<String, String>,
    /// What the input of `weights` is normalised with; that of the data where nothing is said, as a model
    /// folder says it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalisation: Option<Normalisation>,
    /// Brings each view to the size of images that its model folder says, where that is another than the
    /// data's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resize: bool,
}

/// The classes that a teacher must know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TeacherClasses {
    /// Those of the data.
    #[default]
    OfData,
    /// Whatever it knows: nothing reads its logits.
    Any,
}

/// Facts about the same images in other classes.
fn of_classes(data: &DataFacts, classes: usize) -> DataFacts {
    if classes == data.classes {
        return data.clone();
    }
    DataFacts {
        classes,
        class_names: None,
        ..data.clone()
    }
}

/// Where a teacher comes from.
enum Origin<'a> {
    /// A model folder, or the folder of a run.
    Model(&'a Path),
    /// A plain weight file.
    Weights { file: &'a Path, network: &'a str },
}

impl TeacherRecipe {
    /// The teacher in a model folder, or in the folder of a run.
    pub fn in_folder(model: impl Into<PathBuf>) -> Self {
        Self {
            model: Some(model.into()),
            ..Self::default()
        }
    }

    /// The folder or file that it comes from, as the recipe has it.
    pub fn path(&self) -> &Path {
        let path = self.model.as_deref().or(self.weights.as_deref());
        path.unwrap_or(Path::new(""))
    }

    /// Reads the network and checks that it knows the classes and takes the images of the data.
    ///
    /// [`Context::teacher`](crate::Context::teacher) and
    /// [`Context::open_teacher`](crate::Context::open_teacher) do this and note the hash.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is for another task, or does not fit; [`Error::Config`] if the recipe does not
    /// say where it comes from.
    pub fn open(
        &self,
        families: &Families,
        data: &DataFacts,
        device: &Device,
        notices: &dyn Notices,
    ) -> Result<(Box<dyn TrainedModel>, Option<LoadReport>)> {
        self.open_as(TeacherClasses::OfData, families, data, device, notices)
    }

    /// As [`TeacherRecipe::open`], of a teacher that need not know the classes of the data.
    ///
    /// # Errors
    ///
    /// As [`TeacherRecipe::open`].
    pub fn open_as(
        &self,
        classes: TeacherClasses,
        families: &Families,
        data: &DataFacts,
        device: &Device,
        notices: &dyn Notices,
    ) -> Result<(Box<dyn TrainedModel>, Option<LoadReport>)> {
        let (opened, report) = self.read(classes, families, data, device, notices)?;
        self.check_finite(opened.as_ref())?;
        Ok((opened, report))
    }

    /// Refuses a network that gives no answers.
    fn check_finite(&self, opened: &dyn TrainedModel) -> Result<()> {
        let who = format!("teacher `{}`", self.path().display());
        check_finite(&who, &opened.state_dict())
    }

    fn read(
        &self,
        classes: TeacherClasses,
        families: &Families,
        data: &DataFacts,
        device: &Device,
        notices: &dyn Notices,
    ) -> Result<(Box<dyn TrainedModel>, Option<LoadReport>)> {
        match self.origin().map_err(|error| error.within("teachers"))? {
            Origin::Model(model) => {
                let opened = open_for(families, &model_folder(model)?, data.task, device)?;
                let mut facts = match classes {
                    TeacherClasses::OfData => data.clone(),
                    TeacherClasses::Any => of_classes(data, opened.config().network.classes),
                };
                if self.resize {
                    facts.shape = Self::own_shape(data, opened.config())?;
                }
                check_fits(
                    &format!("teacher `{}`", model.display()),
                    opened.config(),
                    &facts,
                )
                .map_err(for_teachers)?;
                Ok((opened, None))
            }
            Origin::Weights { file, network } => {
                let (key, prefix) = (self.weights_key.as_ref(), self.weights_prefix.as_ref());
                let choice = choice(key, prefix, &self.weights_rename);
                let weights = Weights::read_chosen(&expanded(file), &choice)?;
                let facts = match classes {
                    TeacherClasses::OfData => data.clone(),
                    TeacherClasses::Any => {
                        let size = [data.shape.height, data.shape.width];
                        let own = weights.spec(network, size, device)?.classes;
                        of_classes(data, own)
                    }
                };
                let file = WeightFile {
                    who: format!("teacher `{}`", file.display()),
                    weights: &weights,
                    network,
                    fit: WeightFit::Exact,
                    normalisation: self.normalisation.as_ref(),
                    remedy: "give `normalisation` in `[[teachers]]`",
                };
                let opened = file.open(families, &facts, device, notices);
                let (opened, report) = opened.map_err(|error| match error {
                    Error::Config { ref field, .. } if field.starts_with("normalisation") => {
                        error.within("teachers")
                    }
                    other => other,
                })?;
                Ok((opened, Some(report)))
            }
        }
    }

    /// Reads the network where there is no data to compare it with: its model folder says what its images and
    /// classes are.
    ///
    /// # Errors
    ///
    /// If it cannot be read; [`Error::Config`] for a plain weight file, and for a network that takes no
    /// images.
    pub fn open_alone(
        &self,
        families: &Families,
        device: &Device,
    ) -> Result<(Box<dyn TrainedModel>, DataFacts)> {
        match self.origin().map_err(|error| error.within("teacher"))? {
            Origin::Model(model) => {
                let opened = families.open(&model_folder(model)?, device)?;
                self.check_finite(opened.as_ref())?;
                let config = opened.config();
                let [channels, height, width] = config.network.input;
                let trained_on = config.provenance.data.clone();
                let facts = DataFacts {
                    name: trained_on.unwrap_or_else(|| "the teacher's data".into()),
                    task: opened.task(),
                    classes: config.network.classes,
                    class_names: config.class_names.clone(),
                    shape: ImageShape::new(channels, height, width),
                    normalisation: Some(config.normalisation()?.clone()),
                };
                Ok((opened, facts))
            }
            Origin::Weights { .. } => {
                let problem = "do not say what images they are for; make a model folder of them and give it \
                               as `model`";
                Err(Error::config("teacher.weights", problem))
            }
        }
    }

    /// The shape of its own images, those of the data in another size.
    fn own_shape(data: &DataFacts, config: &ModelConfig) -> Result<ImageShape> {
        let [_, height, width] = config.network.input;
        let shape = ImageShape::new(data.shape.channels, height, width);
        let problem = if data.task != Task::Classification {
            "is for a class of each image: masks have the size of their images; remove it"
        } else if shape == data.shape {
            "has no effect, as the teacher's images are as large as those of the data; remove it"
        } else {
            return Ok(shape);
        };
        Err(Error::config("teachers.resize", problem))
    }

    fn origin(&self) -> Result<Origin<'_>> {
        match (&self.model, &self.weights, &self.network) {
            (Some(_), Some(_), _) => Err(Error::config(
                "weights",
                "and `teachers.model` exclude each other; keep one of them",
            )),
            (None, None, _) => Err(Error::config(
                "model",
                "is missing; give the folder of a model or of a run, or a weight file as `weights` with its \
                 `network`",
            )),
            (None, Some(_), None) => Err(Error::config(
                "network",
                "is missing; `weights` do not say which network they are of",
            )),
            (None, Some(_), Some(_)) if self.resize => Err(Error::config(
                "resize",
                "is for a model folder, which says the size of its images; make one of `weights` first",
            )),
            (None, Some(file), Some(network)) => Ok(Origin::Weights { file, network }),
            (Some(model), None, _) => {
                let extra = [
                    ("network", self.network.is_some()),
                    ("weights_key", self.weights_key.is_some()),
                    ("weights_prefix", self.weights_prefix.is_some()),
                    ("weights_rename", !self.weights_rename.is_empty()),
                    ("normalisation", self.normalisation.is_some()),
                ];
                match extra.into_iter().find(|(_, given)| *given) {
                    Some((field, _)) => Err(Error::config(
                        field,
                        "is for `weights`; a model folder says it itself",
                    )),
                    None => Ok(Origin::Model(model)),
                }
            }
        }
    }

    /// Writes into the recipe what was left to the data, and makes its paths absolute.
    ///
    /// # Errors
    ///
    /// As [`TeacherRecipe::make_absolute`].
    pub fn settle(&mut self, data: &DataFacts) -> Result<()> {
        if self.weights.is_some() && self.normalisation.is_none() {
            self.normalisation.clone_from(&data.normalisation);
        }
        self.make_absolute()
    }

    /// Makes its paths absolute, so that the recipe can be run again from elsewhere.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there is no working folder, [`Error::Input`] if a path is not UTF-8.
    pub fn make_absolute(&mut self) -> Result<()> {
        for path in [&mut self.model, &mut self.weights].into_iter().flatten() {
            *path = absolute(path)?;
        }
        Ok(())
    }
}

/// The choice that a recipe makes.
pub(crate) fn choice(
    key: Option<&String>,
    prefix: Option<&String>,
    rename: &BTreeMap<String, String>,
) -> WeightChoice {
    let mut choice = WeightChoice::default();
    choice.key = key.cloned();
    choice.prefix = prefix.cloned();
    choice.rename.clone_from(rename);
    choice
}

/// Reads a model folder that must be of a network for `task`.
///
/// # Errors
///
/// As [`Families::open`], and [`Error::Input`] for a network for another task.
pub fn open_for(
    families: &Families,
    folder: &Path,
    task: Task,
    device: &Device,
) -> Result<Box<dyn TrainedModel>> {
    let config = ModelConfig::read(folder)?;
    let refused = |found: Task| Error::Input {
        path: folder.join(CONFIG_FILE),
        problem: format!(
            "describes `{}`, a {found} network, where a {task} network is to be read; give another folder",
            config.network.name
        ),
    };
    // Of the catalogue's networks it is known before the weights are read.
    if let Ok(found) = config.network.task()
        && found != task
    {
        return Err(refused(found));
    }
    let opened = families.open(folder, device)?;
    match opened.task() {
        found if found != task => Err(refused(found)),
        _ => Ok(opened),
    }
}

/// What can be done about a network of other classes.
const OF_ITS_CLASSES: &str = "use a data set of its classes";

/// What can be done about a network of another size.
const OF_ITS_SIZE: &str = "use a data set with images of its size";

/// The error of a teacher of other classes or sizes says who may have one.
fn for_teachers(error: Error) -> Error {
    match error {
        Error::Shape {
            what,
            expected,
            found,
            remedy,
        } if remedy == OF_ITS_CLASSES => Error::Shape {
            what,
            expected,
            found,
            remedy: format!("{remedy}; losses of features alone take any teacher"),
        },
        Error::Shape {
            what,
            expected,
            found,
            remedy,
        } if remedy == OF_ITS_SIZE => Error::Shape {
            what,
            expected,
            found,
            remedy: format!(
                "{remedy}, or bring them to its size with `resize = true` in `[[teachers]]`"
            ),
        },
        other => other,
    }
}

/// Checks that a trained network takes the images of a data set and knows its classes; `who` is what an error
/// calls it.
///
/// # Errors
///
/// [`Error::Shape`] with the first thing that differs.
pub fn check_fits(who: &str, config: &ModelConfig, data: &DataFacts) -> Result<()> {
    if config.network.classes != data.classes {
        return Err(Error::Shape {
            what: who.to_owned(),
            expected: format!("{} classes, as data set `{}` has", data.classes, data.name),
            found: config.network.classes.to_string(),
            remedy: OF_ITS_CLASSES.into(),
        });
    }
    let [channels, height, width] = config.network.input;
    if config.network.input != data.input() {
        return Err(Error::Shape {
            what: who.to_owned(),
            expected: format!("images of {}, as data set `{}` has", data.shape, data.name),
            found: format!("{channels}x{height}x{width}"),
            remedy: OF_ITS_SIZE.into(),
        });
    }
    if let (Some(own), Some(names)) = (&config.class_names, &data.class_names)
        // A folder of images that kd has written has names that can be folders'.
        && class_folders(own) != *names
        && let Some((label, (own, name))) =
            (0..).zip(own.iter().zip(names)).find(|(_, (a, b))| a != b)
    {
        let label: usize = label;
        return Err(Error::Shape {
            what: who.to_owned(),
            expected: format!(
                "class {label} to be `{name}`, as data set `{}` has it",
                data.name
            ),
            found: format!("`{own}`"),
            remedy: "use the classes that it was trained on, by the same names".into(),
        });
    }
    Ok(())
}
