//! The data of a recipe, described and read.

use kd_core::{
    DataSource, Error, ImageShape, Normalisation, Preprocessing, Result, SampleKind, Subset, Task,
    TokenizerFile,
};

/// Facts about the data that a network must fit, known without reading it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DataFacts {
    /// The name of the data set.
    pub name: String,
    /// The task: a class of each image, or of each pixel.
    pub task: Task,
    /// Its number of classes, of images or of pixels.
    pub classes: usize,
    /// The names of the classes in label order, where the names alone tell which class is meant: in a folder
    /// of images.
    pub class_names: Option<Vec<String>>,
    /// What its samples are.
    pub kind: SampleKind,
    /// The shape of its images; of texts `[vocabulary, 1, length]`.
    pub shape: ImageShape,
    /// The tokenizer that made its token ids, where it has texts.
    pub tokenizer: Option<TokenizerFile>,
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
                DataSource::Folder(_) | DataSource::Masks(_) | DataSource::Files(_) => {
                    source.class_names()
                }
                _ => None,
            },
            kind: source.kind(),
            shape: source.shape(),
            tokenizer: match source {
                DataSource::Files(files) => files.preprocessing().tokenizer().cloned(),
                _ => None,
            },
            normalisation: match source {
                DataSource::Known(info) => Some(info.normalisation()),
                _ => None,
            },
        }
    }
}

impl DataFacts {
    /// Checks that each image has a class, which is all that most methods learn.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if each has a mask.
    pub fn check_labelled(&self) -> Result<()> {
        match self.task {
            Task::Classification => Ok(()),
            _ => Err(Error::config(
                &self.name,
                "has a mask for each image, not a class; use a method that learns masks",
            )),
        }
    }

    /// A sample in words: `3x32x32`, or the length of a text and the size of its vocabulary.
    pub fn sample(&self) -> String {
        match self.kind {
            SampleKind::Texts => format!(
                "texts of {} tokens, {} ids",
                self.shape.width, self.shape.channels
            ),
            _ => self.shape.to_string(),
        }
    }

    /// The samples in words: `images of 3x32x32`, or [`DataFacts::sample`] of texts.
    pub fn described(&self) -> String {
        match self.kind {
            SampleKind::Images => format!("images of {}", self.shape),
            _ => self.sample(),
        }
    }

    /// Channels, height and width of the images; of texts vocabulary, 1 and length.
    pub fn input(&self) -> [usize; 3] {
        [self.shape.channels, self.shape.height, self.shape.width]
    }
}

/// The samples of a recipe.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoadedData {
    /// Facts about them.
    pub facts: DataFacts,
    /// The samples that the student is trained on.
    pub train: Subset,
    /// The samples that it is measured on: the test split, or the part of the training split that is held
    /// out.
    pub held_out: Subset,
    /// Samples to choose an epoch or a setting by, where the data set was published with a split for it.
    pub validation: Option<Subset>,
    pub(crate) source: DataSource,
    /// Whether networks trained on a folder have the constants of ImageNet.
    pub(crate) imagenet: bool,
}

impl LoadedData {
    /// The preprocessing that a network trained on the data has unless the recipe says otherwise: the
    /// normalisation of images, the tokenizer of texts.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if it cannot be computed from the images.
    pub fn preprocessing(&self) -> Result<Preprocessing> {
        match &self.source {
            DataSource::Folder(_) if self.imagenet => Ok(Normalisation::imagenet().into()),
            source => source.preprocessing(self.train.dataset()),
        }
    }
}
