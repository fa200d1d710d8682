//! The data of a recipe.

use std::path::PathBuf;

use kd_core::{
    Augment, DataRoots, DataSource, Error, ImageShape, Normalisation, Result, Split, Subset, Task,
    ViewPolicy,
};
use serde::{Deserialize, Deserializer, Serialize};

use super::source::only_for_folders;
use super::{FolderSettings, ImageSize, find_source};

/// The table `[data]` of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    /// The data set by name, or `folder` for a folder of images of one's own.
    pub name: String,
    /// The folder, which has `train/CLASS` and `test/CLASS` in it; relative to where `kd` is started.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "absolute"
    )]
    pub path: Option<PathBuf>,
    /// The height and width, in pixels, that the images of a folder, or of a data set with masks, are brought to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<ImageSize>,
    /// The length of their shorter side before the centre is cut out; without it they just cover `size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// Makes them grey, with one channel.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grey: bool,
    /// The normalisation that networks trained on a folder have unless they say their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalisation: Option<FolderNormalisation>,
    /// The share of each class to train on, in `(0, 1]`; of a data set with masks the share of all images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// Samples of each class to train on, in place of `fraction`; of a data set with masks so many in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_class: Option<usize>,
    /// The share of each class of the training split that is held out to be measured on, in place of the test split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<f64>,
    /// Seed of `fraction`, `per_class` and `held_out`, apart from the seed of the run so that all runs see the same samples.
    #[serde(default)]
    pub subset_seed: u64,
    /// Seed of the views of a bank, apart from the seed of the run so that all runs see the same bank.
    #[serde(default)]
    pub bank_seed: u64,
    /// Views of each sample: 1, the size of a bank, or "unlimited".
    #[serde(default)]
    pub views: ViewPolicy,
    /// What the views look like.
    #[serde(default)]
    pub augment: Augment,
}

/// Where the normalisation for a folder of images comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FolderNormalisation {
    /// Mean and standard deviation of the whole training split.
    #[default]
    TrainingData,
    /// The constants of networks trained on `ImageNet`.
    Imagenet,
}

/// What a network must fit.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DataFacts {
    /// The name of the data set.
    pub name: String,
    /// What is said of each image.
    pub task: Task,
    /// Its number of classes, of images or of pixels.
    pub classes: usize,
    /// The names of the classes in label order, where the names alone tell which class is meant: in a folder of images.
    pub class_names: Option<Vec<String>>,
    /// The shape of its images.
    pub shape: ImageShape,
    /// The normalisation of networks trained on it, where it is known without reading the images.
    pub normalisation: Option<Normalisation>,
}

impl From<&DataSource> for DataFacts {
    fn from(source: &DataSource) -> Self {
        Self {
            name: source.name().to_owned(),
            task: source.task(),
            classes: source.classes(),
            class_names: match source {
                DataSource::Folder(folder) => Some(folder.class_names().to_vec()),
                _ => None,
            },
            shape: source.shape(),
            normalisation: match source {
                DataSource::Known(info) => Some(info.normalisation()),
                _ => None,
            },
        }
    }
}

impl DataFacts {
    /// Checks that each image has a class, which is all that most methods and commands know of.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if each has a mask, with the method that learns them.
    pub fn check_labelled(&self) -> Result<()> {
        match self.task {
            Task::Classification => Ok(()),
            _ => Err(Error::config(
                &self.name,
                "has a mask for each image, not a class; `method = \"stagewise\"` trains on it",
            )),
        }
    }

    /// Channels, height and width of the images.
    pub fn input(&self) -> [usize; 3] {
        [self.shape.channels, self.shape.height, self.shape.width]
    }
}

/// The samples of a recipe.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoadedData {
    /// What they are samples of.
    pub facts: DataFacts,
    /// What the student is trained on.
    pub train: Subset,
    /// What it is measured on: the test split, or the part of the training split that is held out.
    pub held_out: Subset,
    /// What an epoch or a setting can be chosen by, where the data set was published with a split for it.
    pub validation: Option<Subset>,
    source: DataSource,
    normalisation: FolderNormalisation,
}

impl LoadedData {
    /// The normalisation that a network trained on the data has unless the recipe says otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if it cannot be computed from the images.
    pub fn normalisation(&self) -> Result<Normalisation> {
        match (&self.source, self.normalisation) {
            (DataSource::Folder(_), FolderNormalisation::Imagenet) => Ok(Normalisation::imagenet()),
            (source, _) => source.normalisation(self.train.dataset()),
        }
    }
}

impl DataRecipe {
    /// Which data set is meant, with the classes of a folder listed.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] for a data set that is not known, [`Error::Config`] for settings that it does not have or needs,
    /// [`Error::Input`] for a folder that is none.
    pub fn source(&self) -> Result<DataSource> {
        let settings = FolderSettings {
            path: self.path.as_deref(),
            size: self.size,
            resize: self.resize,
            grey: self.grey,
            prefix: "data.",
        };
        let source = find_source(&self.name, settings)?;
        match (&source, self.normalisation) {
            (DataSource::Known(info), Some(_)) => {
                Err(only_for_folders("data.", "normalisation", info))
            }
            (_, Some(FolderNormalisation::Imagenet)) if self.grey => {
                let problem =
                    "has three channels with \"imagenet\", grey images have one; remove it";
                Err(Error::config("data.normalisation", problem))
            }
            (DataSource::Folder(folder), _)
                if self.held_out.is_none() && !source.has(Split::Test) =>
            {
                let problem = format!(
                    "is needed: `{}` has neither a `test` nor a `val` folder to measure on",
                    folder.path().display()
                );
                Err(Error::config("data.held_out", problem))
            }
            _ => Ok(source),
        }
    }

    /// What is known of the data without reading it, for which the recipe itself is checked; for methods that learn a class for
    /// each image.
    ///
    /// # Errors
    ///
    /// As [`DataRecipe::facts_of_any_task`], and [`Error::Config`] for data with masks.
    pub fn facts(&self) -> Result<DataFacts> {
        let facts = self.facts_of_any_task()?;
        facts.check_labelled()?;
        Ok(facts)
    }

    /// As [`DataRecipe::facts`], for methods that look at [`DataFacts::task`].
    ///
    /// # Errors
    ///
    /// As [`DataRecipe::source`], and [`Error::Config`] for views that do not fit the images.
    pub fn facts_of_any_task(&self) -> Result<DataFacts> {
        let source = self.source()?;
        self.check_views(&source)?;
        Ok(DataFacts::from(&source))
    }

    /// Reads the data, for methods that learn a class for each image.
    ///
    /// # Errors
    ///
    /// As [`DataRecipe::facts`], and whatever the files are refused for.
    pub fn load(&self, roots: &DataRoots) -> Result<LoadedData> {
        self.facts()?;
        self.load_of_any_task(roots)
    }

    /// As [`DataRecipe::load`], for methods that look at [`DataFacts::task`].
    ///
    /// # Errors
    ///
    /// As [`DataRecipe::facts_of_any_task`], and whatever the files are refused for.
    pub fn load_of_any_task(&self, roots: &DataRoots) -> Result<LoadedData> {
        let source = self.source()?;
        self.check_views(&source)?;
        let parts = self.read(&source, roots);
        let [train, held_out] = parts.map_err(|error| error.within("data"))?;
        let validation = source
            .has(Split::Validation)
            .then(|| source.load(Split::Validation, roots));
        Ok(LoadedData {
            facts: DataFacts::from(&source),
            train,
            held_out,
            validation: validation.transpose()?.map(Subset::from),
            source,
            normalisation: self.normalisation.unwrap_or_default(),
        })
    }

    /// Augmentation that would have no effect is a mistake, and masks are not moved with their images.
    fn check_views(&self, source: &DataSource) -> Result<()> {
        if source.task() != Task::Classification && !self.augment.is_none() {
            let problem = format!(
                "cannot be used with masks, which would have to be moved with the images, and `{}` has masks; remove it",
                source.name()
            );
            return Err(Error::config("data.augment", problem));
        }
        if !self.views.augments() && !self.augment.is_none() {
            let problem = "has no effect with one view; set `data.views` to \"unlimited\" or to the size of a bank";
            return Err(Error::config("data.augment", problem));
        }
        self.views
            .check()
            .and_then(|()| self.augment.check_for(source.shape()))
            .map_err(|error| error.within("data"))
    }

    /// The samples to train on and those to measure on.
    fn read(&self, source: &DataSource, roots: &DataRoots) -> Result<[Subset; 2]> {
        if self.fraction.is_some() && self.per_class.is_some() {
            let problem = "and `data.fraction` exclude each other; keep one of them";
            return Err(Error::config("per_class", problem));
        }
        let whole = Subset::all(&source.load(Split::Train, roots)?);
        let (train, held_out) = match self.held_out {
            Some(share) => whole.split(share, self.subset_seed)?,
            None => (whole, Subset::all(&source.load(Split::Test, roots)?)),
        };
        let train = match (self.fraction, self.per_class) {
            (Some(fraction), _) => train.fraction(fraction, self.subset_seed)?,
            (_, Some(count)) => train.per_class(count, self.subset_seed)?,
            _ => train,
        };
        Ok([train, held_out])
    }
}

/// A path as it is from wherever the recipe is run again.
fn absolute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = Option::<PathBuf>::deserialize(deserializer)?;
    path.map(std::path::absolute)
        .transpose()
        .map_err(serde::de::Error::custom)
}
