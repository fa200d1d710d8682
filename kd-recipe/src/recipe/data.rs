//! The table `[data]` of a recipe.

use std::path::PathBuf;

use kd_core::{
    Augment, DataRoots, DataSource, Error, MaskClass, MaskValue, Normalisation, Result, SampleKind,
    Split, Subset, Task, ViewPolicy,
};
use kd_text::TextSettings;
use serde::{Deserialize, Deserializer, Serialize};

use crate::recipe::loaded::{DataFacts, LoadedData};
use crate::recipe::paths::expanded;
use crate::recipe::size::ImageSize;
use crate::recipe::source::{FolderSettings, find_source, only_for_folders};

/// The table `[data]` of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    /// The data set by name, `folder` for a folder of images of one's own, `masks` for images and masks, or
    /// `text` for labelled texts.
    pub name: String,
    /// The folder, which has `train/CLASS` and `test/CLASS` in it, or tables of texts; relative to where the
    /// program is started.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "absolute"
    )]
    pub path: Option<PathBuf>,
    /// The height and width, in pixels, that the images of a folder, or of a data set with masks, are brought
    /// to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "pixels"))]
    pub size: Option<ImageSize>,
    /// The length of their shorter side before the centre is cut out; without it they just cover `size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096), extend("x-unit" = "pixels"))]
    pub resize: Option<usize>,
    /// Makes them grey, with one channel.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grey: bool,
    /// Leaves out images that cannot be read, or whose masks cannot, of folders; they are counted and listed
    /// in the report.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_broken: bool,
    /// The normalisation that networks trained on a folder have unless they say their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalisation: Option<FolderNormalisation>,
    /// The classes of masks of your own (`name = "masks"`): their names in the order of their values, or
    /// tables of `name` and `value`, a number or a colour as `"#804080"`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<MaskClass>,
    /// What pixels without a class have in such masks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_class: Option<MaskValue>,
    /// How texts are read and made into token ids.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text"
    )]
    pub text: Option<TextSettings>,
    /// The share of each class to train on, in `(0, 1]`; of a data set with masks the share of all images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1.0), extend("x-unit" = "share"))]
    pub fraction: Option<f64>,
    /// Samples of each class to train on, in place of `fraction`; of a data set with masks so many in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("x-unit" = "samples"))]
    pub per_class: Option<usize>,
    /// The share of each class of the training split that is held out to be measured on, in place of the test
    /// split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1), extend("x-unit" = "share"))]
    pub held_out: Option<f64>,
    /// Seed of `fraction`, `per_class` and `held_out`, apart from the seed of the run so that all runs see
    /// the same samples.
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
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FolderNormalisation {
    /// Mean and standard deviation of the whole training split.
    #[default]
    TrainingData,
    /// The constants of networks trained on `ImageNet`.
    Imagenet,
}

impl DataRecipe {
    /// The data set that is meant, the images of a folder listed. [`Context::facts`](crate::Context::facts)
    /// and [`Context::data`](crate::Context::data) list a folder once for a whole preparation.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] for a data set that is not known, [`Error::Config`] for settings that it does
    /// not have or needs, [`Error::Input`] for a folder that is none.
    pub fn source(&self) -> Result<DataSource> {
        self.source_in(&DataRoots::from_env())
    }

    /// As [`DataRecipe::source`], with these folders for data sets of texts that are known by name: all that
    /// is known of a text data set but its name is in its files.
    ///
    /// # Errors
    ///
    /// As [`DataRecipe::source`], and [`Error::DataMissing`] for such a data set that is not there.
    pub fn source_in(&self, roots: &DataRoots) -> Result<DataSource> {
        let settings = FolderSettings {
            path: self.path.as_deref(),
            size: self.size,
            resize: self.resize,
            grey: self.grey,
            whole: self.held_out.is_some(),
            skip_broken: self.skip_broken,
            masks: (!self.classes.is_empty() || self.no_class.is_some())
                .then_some((&self.classes[..], self.no_class.as_ref())),
            classes: None,
            text: self.text.as_ref(),
            tokenizer: None,
            roots: Some(roots),
            prefix: "data.",
        };
        let source = find_source(&self.name, settings)?;
        match (&source, self.normalisation) {
            (DataSource::Files(files), Some(_)) => {
                let problem = format!("is for images, and `{}` has texts; remove it", files.name());
                Err(Error::config("data.normalisation", problem))
            }
            (DataSource::Files(files), _)
                if self.held_out.is_none() && !source.has(Split::Test) =>
            {
                let problem = format!("is needed: `{}` has no texts to test on", files.name());
                Err(Error::config("data.held_out", problem))
            }
            (DataSource::Known(info), Some(_)) => {
                Err(only_for_folders("data.", "normalisation", info))
            }
            (_, Some(FolderNormalisation::Imagenet)) if self.grey => {
                let problem =
                    "has three channels with \"imagenet\", grey images have one; remove it";
                Err(Error::config("data.normalisation", problem))
            }
            (DataSource::Masks(folder), _)
                if self.held_out.is_none() && !source.has(Split::Test) =>
            {
                let problem = format!(
                    "is needed: `{}` has no images and masks to test on",
                    folder.path().display()
                );
                Err(Error::config("data.held_out", problem))
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

    /// Facts about the data that are known without reading it. `source` is what [`DataRecipe::source`] gave.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for views that do not fit the samples.
    pub fn facts(&self, source: &DataSource) -> Result<DataFacts> {
        self.check_views(source)?;
        let mut facts = DataFacts::from(source);
        if self.normalisation == Some(FolderNormalisation::Imagenet) {
            facts.normalisation = Some(Normalisation::imagenet());
        }
        Ok(facts)
    }

    /// Reads the data. `source` is what [`DataRecipe::source`] gave.
    ///
    /// # Errors
    ///
    /// As [`DataRecipe::facts`], and whatever the files are refused for.
    pub fn load(&self, source: DataSource, roots: &DataRoots) -> Result<LoadedData> {
        let facts = self.facts(&source)?;
        let parts = self.read(&source, roots);
        let [train, held_out] = parts.map_err(|error| error.within("data"))?;
        let validation = source
            .has(Split::Validation)
            .then(|| source.load(Split::Validation, roots));
        Ok(LoadedData {
            facts,
            train,
            held_out,
            validation: validation.transpose()?.map(Subset::from),
            source,
            imagenet: self.normalisation == Some(FolderNormalisation::Imagenet),
        })
    }

    /// Refuses settings that have no effect where one whole split is read as it is.
    pub(crate) fn check_whole(&self) -> Result<()> {
        let given = [
            ("fraction", self.fraction.is_some()),
            ("per_class", self.per_class.is_some()),
            ("held_out", self.held_out.is_some()),
            ("subset_seed", self.subset_seed != 0),
            ("bank_seed", self.bank_seed != 0),
            ("views", self.views != ViewPolicy::default()),
            ("augment", !self.augment.is_none()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((key, _)) => {
                let problem =
                    "has no effect here: the whole split is taken, each image as it is; remove it";
                Err(Error::config(key, problem))
            }
            None => Ok(()),
        }
    }

    /// Augmentation that would have no effect is a mistake, texts have none, and masks are not moved with
    /// their images.
    fn check_views(&self, source: &DataSource) -> Result<()> {
        if source.kind() == SampleKind::Texts {
            let given = [
                ("augment", !self.augment.is_none()),
                ("views", self.views.augments()),
            ];
            return match given.into_iter().find(|(_, given)| *given) {
                Some((setting, _)) => {
                    let name = source.name();
                    let problem = format!("is for images, and `{name}` has texts; remove it");
                    Err(Error::config(format!("data.{setting}"), problem))
                }
                None => Ok(()),
            };
        }
        if source.task() != Task::Classification && !self.augment.is_none() {
            let problem = format!(
                "cannot be used with masks, which would have to be moved with the images, and `{}` has \
                 masks; remove it",
                source.name()
            );
            return Err(Error::config("data.augment", problem));
        }
        if !self.views.augments() && !self.augment.is_none() {
            let problem = "has no effect with one view; set `data.views` to \"unlimited\" or to the size of \
                           a bank";
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

/// Settings of texts, the path of a tokenizer as it is from wherever the recipe is run again.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TextSettings>, D::Error> {
    let mut settings = Option::<TextSettings>::deserialize(deserializer)?;
    if let Some(path) = settings
        .as_mut()
        .and_then(|settings| settings.tokenizer.as_mut())
    {
        *path = std::path::absolute(expanded(path)).map_err(serde::de::Error::custom)?;
    }
    Ok(settings)
}

/// A path as it is from wherever the recipe is run again.
fn absolute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = Option::<PathBuf>::deserialize(deserializer)?;
    path.map(|path| std::path::absolute(expanded(&path)))
        .transpose()
        .map_err(serde::de::Error::custom)
}
