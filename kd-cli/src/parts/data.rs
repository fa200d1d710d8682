//! The data of a recipe.

use kd_core::{
    Augment, DataRoots, DatasetInfo, Error, ImageShape, Normalisation, Result, Split, Subset,
    ViewPolicy,
};
use serde::{Deserialize, Serialize};

/// The table `[data]` of a recipe.
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

/// What a network must fit.
#[derive(Clone, Debug, PartialEq)]
pub struct DataFacts {
    /// The name of the data set.
    pub name: String,
    /// Its number of classes.
    pub classes: usize,
    /// The shape of its images.
    pub shape: ImageShape,
    /// The normalisation that a network trained on it has unless the recipe says otherwise.
    pub normalisation: Normalisation,
}

impl From<&DatasetInfo> for DataFacts {
    fn from(info: &DatasetInfo) -> Self {
        Self {
            name: info.name.to_owned(),
            classes: info.classes,
            shape: info.shape,
            normalisation: info.normalisation(),
        }
    }
}

impl DataFacts {
    /// Channels, height and width of the images.
    pub fn input(&self) -> [usize; 3] {
        [self.shape.channels, self.shape.height, self.shape.width]
    }
}

/// The samples of a recipe.
#[derive(Clone, Debug)]
pub struct LoadedData {
    /// What they are samples of.
    pub facts: DataFacts,
    /// What the student is trained on.
    pub train: Subset,
    /// What it is measured on.
    pub held_out: Subset,
}

impl DataRecipe {
    /// What is known of the data without reading it, for which the recipe itself is checked.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] for a data set that is not known, [`Error::Config`] for settings that do not fit it.
    pub fn facts(&self) -> Result<DataFacts> {
        let info = DatasetInfo::find(&self.name)?;
        self.check_views(info.shape)?;
        Ok(info.into())
    }

    /// Reads the data.
    ///
    /// # Errors
    ///
    /// As [`DataRecipe::facts`], and whatever the files are refused for.
    pub fn load(&self, roots: &DataRoots) -> Result<LoadedData> {
        let facts = self.facts()?;
        let (train, held_out) = self.read(roots).map_err(|error| error.within("data"))?;
        Ok(LoadedData {
            facts,
            train,
            held_out,
        })
    }

    /// Augmentation that would have no effect is a mistake.
    fn check_views(&self, shape: ImageShape) -> Result<()> {
        if !self.views.augments() && !self.augment.is_none() {
            let problem = "has no effect with one view; set `data.views` to \"unlimited\" or to the size of a bank";
            return Err(Error::config("data.augment", problem));
        }
        self.views
            .check()
            .and_then(|()| self.augment.check_for(shape))
            .map_err(|error| error.within("data"))
    }

    /// The samples to train on and those to measure on.
    fn read(&self, roots: &DataRoots) -> Result<(Subset, Subset)> {
        if self.fraction.is_some() && self.per_class.is_some() {
            let problem = "and `data.fraction` exclude each other; keep one of them";
            return Err(Error::config("per_class", problem));
        }
        let info = DatasetInfo::find(&self.name)?;
        let whole = Subset::all(&info.load(Split::Train, roots)?);
        let (train, held_out) = match self.held_out {
            Some(share) => whole.split(share, self.subset_seed)?,
            None => (whole, Subset::all(&info.load(Split::Test, roots)?)),
        };
        let train = match (self.fraction, self.per_class) {
            (Some(fraction), _) => train.fraction(fraction, self.subset_seed)?,
            (_, Some(count)) => train.per_class(count, self.subset_seed)?,
            _ => train,
        };
        Ok((train, held_out))
    }
}
