//! What a recipe file means.

use std::path::{Path, PathBuf};

use kd_core::{
    Augment, DeviceName, Error, Normalisation, Result, Training, ViewPolicy, read_recipe,
};
use kd_offline::{Ensemble, LossConfig};
use serde::{Deserialize, Serialize};

/// A recipe: one experiment. `method` tells which kind it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Recipe {
    /// A network from scratch: `method = "train"`.
    Train(TrainRecipe),
    /// Offline distillation: `method = "offline"`.
    Distill(DistillRecipe),
}

/// A recipe of `kd train`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainRecipe {
    /// Always `train`.
    #[serde(default = "train")]
    pub method: String,
    /// Seed of initial weights, order and views.
    #[serde(default)]
    pub seed: u64,
    /// Where to compute.
    #[serde(default = "auto")]
    pub device: String,
    /// Share of the target spread over all classes, in `[0, 1)`.
    #[serde(default)]
    pub label_smoothing: f64,
    /// The data.
    pub data: DataRecipe,
    /// The network.
    pub network: NetworkRecipe,
    /// How to train it.
    pub train: Training,
}

/// A recipe of `kd distill`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistillRecipe {
    /// Always `offline`.
    #[serde(default = "offline")]
    pub method: String,
    /// Seed of initial weights, order and views.
    #[serde(default)]
    pub seed: u64,
    /// Where to compute.
    #[serde(default = "auto")]
    pub device: String,
    /// How several teachers are averaged.
    #[serde(default)]
    pub ensemble: Ensemble,
    /// The data.
    pub data: DataRecipe,
    /// The student.
    pub student: NetworkRecipe,
    /// The teachers.
    #[serde(default)]
    pub teachers: Vec<TeacherRecipe>,
    /// The losses.
    pub losses: Vec<LossConfig>,
    /// How to train the student.
    pub train: Training,
}

/// The data of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    /// The data set by name.
    pub name: String,
    /// The share of each class to train on, in `(0, 1]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// Samples of each class to train on, in place of `fraction`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_class: Option<usize>,
    /// The share of each class of the training split that is held out to be measured on, in place of the test split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<f64>,
    /// Seed of `fraction`, `per_class` and `held_out`, apart from the seed of the run so that all runs see the same samples.
    #[serde(default)]
    pub subset_seed: u64,
    /// Views of each sample: 1, the size of a bank, or "unlimited".
    #[serde(default)]
    pub views: ViewPolicy,
    /// What the views look like.
    #[serde(default)]
    pub augment: Augment,
}

/// A network to be trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkRecipe {
    /// Its name; `kd models` lists them.
    pub name: String,
    /// Its normalisation; that of the data set where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalisation: Option<Normalisation>,
}

/// A trained network to be learnt from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherRecipe {
    /// Its model folder, or the folder of the run that made it; relative to where `kd` is started.
    pub model: PathBuf,
}

fn train() -> String {
    "train".into()
}

fn offline() -> String {
    "offline".into()
}

fn auto() -> String {
    "auto".into()
}

/// The first look at a recipe, which takes everything.
#[derive(Deserialize)]
struct Head {
    method: Option<String>,
}

impl Recipe {
    /// Reads a recipe of the kind that `expected` says, or of the kind that it says itself.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] for what cannot be understood, [`Error::UnknownName`] for a method that is not known.
    pub fn read(
        origin: &str,
        text: &str,
        overrides: &[String],
        expected: Option<&'static str>,
    ) -> Result<Self> {
        let head: Head = read_recipe(origin, text, overrides)?;
        let method = head.method.as_deref().or(expected).unwrap_or("offline");
        match (method, expected) {
            ("train", Some("offline")) => Err(Error::Recipe {
                origin: origin.into(),
                problem: "its method is `train`; run it with `kd train`".into(),
            }),
            ("offline", Some("train")) => Err(Error::Recipe {
                origin: origin.into(),
                problem: "its method is `offline`; run it with `kd distill`".into(),
            }),
            ("train", _) => Ok(Self::Train(read_recipe(origin, text, overrides)?)),
            ("offline", _) => Ok(Self::Distill(read_recipe(origin, text, overrides)?)),
            (other, _) => Err(Error::unknown_name("method", other, ["train", "offline"])),
        }
    }

    /// The whole recipe as TOML, every default written out and paths made absolute.
    ///
    /// # Errors
    ///
    /// If a path cannot be resolved.
    pub fn resolved(&self) -> Result<String> {
        let text = match self {
            Self::Train(recipe) => toml::to_string(recipe),
            Self::Distill(recipe) => {
                let mut recipe = recipe.clone();
                for teacher in &mut recipe.teachers {
                    teacher.model = absolute(&teacher.model)?;
                }
                toml::to_string(&recipe)
            }
        };
        text.map_err(|error| Error::method("the resolved recipe", error))
    }

    /// Writes the normalisation out that the network will have.
    pub(crate) fn set_normalisation(&mut self, normalisation: Normalisation) {
        match self {
            Self::Train(recipe) => recipe.network.normalisation = Some(normalisation),
            Self::Distill(recipe) => recipe.student.normalisation = Some(normalisation),
        }
    }

    /// Learns from the network in this folder in place of the first teacher's.
    pub(crate) fn set_teacher(&mut self, model: PathBuf) {
        if let Self::Distill(recipe) = self
            && let Some(teacher) = recipe.teachers.first_mut()
        {
            teacher.model = model;
        }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        match self {
            Self::Train(recipe) => recipe.seed,
            Self::Distill(recipe) => recipe.seed,
        }
    }

    /// The device.
    pub fn device(&self) -> &str {
        match self {
            Self::Train(recipe) => &recipe.device,
            Self::Distill(recipe) => &recipe.device,
        }
    }

    /// Puts another device in its place.
    pub(crate) fn set_device(&mut self, name: DeviceName) {
        let device = match self {
            Self::Train(recipe) => &mut recipe.device,
            Self::Distill(recipe) => &mut recipe.device,
        };
        *device = name.to_string();
    }

    /// The data.
    pub fn data(&self) -> &DataRecipe {
        match self {
            Self::Train(recipe) => &recipe.data,
            Self::Distill(recipe) => &recipe.data,
        }
    }

    /// The network that is trained.
    pub fn network(&self) -> &NetworkRecipe {
        match self {
            Self::Train(recipe) => &recipe.network,
            Self::Distill(recipe) => &recipe.student,
        }
    }

    /// How it is trained.
    pub fn training(&self) -> &Training {
        match self {
            Self::Train(recipe) => &recipe.train,
            Self::Distill(recipe) => &recipe.train,
        }
    }

    /// The teachers.
    pub fn teachers(&self) -> &[TeacherRecipe] {
        match self {
            Self::Train(_) => &[],
            Self::Distill(recipe) => &recipe.teachers,
        }
    }

    /// How several teachers are averaged.
    pub fn ensemble(&self) -> Ensemble {
        match self {
            Self::Train(_) => Ensemble::default(),
            Self::Distill(recipe) => recipe.ensemble,
        }
    }

    /// The losses.
    pub fn losses(&self) -> Vec<LossConfig> {
        match self {
            Self::Train(recipe) => {
                vec![LossConfig::CrossEntropy {
                    weight: 1.0,
                    label_smoothing: recipe.label_smoothing,
                }]
            }
            Self::Distill(recipe) => recipe.losses.clone(),
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::io("read", path))
}
