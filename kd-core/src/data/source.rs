//! The source of a recipe's data: a data set by name, a folder of images, folders of images and masks, or
//! files that another crate reads.

use std::fmt::Debug;
use std::sync::Arc;

use crate::data::dataset::Dataset;
use crate::data::folder::ImageFolder;
use crate::data::info::DatasetInfo;
use crate::data::kind::SampleKind;
use crate::data::mask_folder::MaskFolder;
use crate::data::roots::DataRoots;
use crate::data::shape::ImageShape;
use crate::data::split::Split;
use crate::data::task::Task;
use crate::error::Result;
use crate::network::normalisation::Normalisation;
use crate::network::preprocessing::Preprocessing;

/// Where samples come from: what is known before they are read, and how they are.
///
/// ```
/// use kd_core::{DataRoots, DataSource, DatasetInfo, Split};
/// let source = DataSource::from(DatasetInfo::find("fashion-mnist-mini")?);
/// assert_eq!((source.classes(), source.has(Split::Test)), (10, true));
/// let train = source.load(Split::Train, &DataRoots::default())?;
/// assert_eq!(source.normalisation(&train)?.mean, [0.286_041]);
/// # Ok::<(), kd_core::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DataSource {
    /// A data set that is known by name, with images of the size that is wanted.
    Known(Box<DatasetInfo>),
    /// A folder of images.
    Folder(Box<ImageFolder>),
    /// Folders of images and masks.
    Masks(Box<MaskFolder>),
    /// Files that another crate reads, such as texts by kd-text.
    Files(Arc<dyn DataFiles>),
}

/// Files with samples and labels that another crate reads: texts, for example.
///
/// They were looked at when this was made, so that all but the samples themselves is known.
pub trait DataFiles: Debug + Send + Sync {
    /// The name that they go by.
    fn name(&self) -> &str;

    /// What the samples are.
    fn kind(&self) -> SampleKind;

    /// The size of each sample as [`Dataset::shape`] has it.
    fn shape(&self) -> ImageShape;

    /// The names of the classes in label order.
    fn class_names(&self) -> &[String];

    /// The number of samples of a split, if it has that.
    fn samples(&self, split: Split) -> Option<usize>;

    /// Reads one split.
    ///
    /// # Errors
    ///
    /// [`Error::Input`](crate::Error::Input) if it has no such split, and what the files are refused for.
    fn load(&self, split: Split) -> Result<Dataset>;

    /// The preprocessing of a network that is trained on them.
    fn preprocessing(&self) -> Preprocessing;
}

impl DataSource {
    /// Its name; the last part of the path of a folder.
    pub fn name(&self) -> &str {
        match self {
            Self::Known(info) => info.name,
            Self::Folder(folder) => folder.name(),
            Self::Masks(folder) => folder.name(),
            Self::Files(files) => files.name(),
        }
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        match self {
            Self::Known(info) => info.classes,
            Self::Folder(folder) => folder.class_names().len(),
            Self::Masks(folder) => folder.class_names().len(),
            Self::Files(files) => files.class_names().len(),
        }
    }

    /// The names of the classes in label order, where they are known before reading.
    pub fn class_names(&self) -> Option<Vec<String>> {
        match self {
            Self::Known(info) if info.class_names.is_empty() => None,
            Self::Known(info) => Some(info.class_names.iter().map(|name| (*name).into()).collect()),
            Self::Folder(folder) => Some(folder.class_names().to_vec()),
            Self::Masks(folder) => Some(folder.class_names().to_vec()),
            Self::Files(files) => Some(files.class_names().to_vec()),
        }
    }

    /// What the samples are.
    pub fn kind(&self) -> SampleKind {
        match self {
            Self::Files(files) => files.kind(),
            _ => SampleKind::Images,
        }
    }

    /// The size of each sample, as [`Dataset::shape`] has it.
    pub fn shape(&self) -> ImageShape {
        match self {
            Self::Known(info) => info.shape,
            Self::Folder(folder) => folder.shape(),
            Self::Masks(folder) => folder.shape(),
            Self::Files(files) => files.shape(),
        }
    }

    /// What is said of each sample.
    pub fn task(&self) -> Task {
        match self {
            Self::Known(info) => info.task,
            Self::Folder(_) | Self::Files(_) => Task::Classification,
            Self::Masks(_) => Task::Segmentation,
        }
    }

    /// Whether it has this split; every known data set can be trained and tested on.
    pub fn has(&self, split: Split) -> bool {
        self.samples(split).is_some()
    }

    /// The number of samples of a split, if it has that.
    pub fn samples(&self, split: Split) -> Option<usize> {
        match self {
            Self::Known(info) => Some(info.samples(split)).filter(|samples| *samples > 0),
            Self::Folder(folder) => folder.samples(split),
            Self::Masks(folder) => folder.samples(split),
            Self::Files(files) => files.samples(split),
        }
    }

    /// Reads one split; `roots` say where data sets known by name are looked for.
    ///
    /// # Errors
    ///
    /// As [`DatasetInfo::load`], [`ImageFolder::load`] and [`DataFiles::load`].
    pub fn load(&self, split: Split, roots: &DataRoots) -> Result<Dataset> {
        match self {
            Self::Known(info) => info.load(split, roots),
            Self::Folder(folder) => folder.load(split),
            Self::Masks(folder) => folder.load(split),
            Self::Files(files) => files.load(split),
        }
    }

    /// The normalisation of a network that is trained on it, unless it says otherwise: the constants of a
    /// known data set, those of the whole training split `train` otherwise.
    ///
    /// It is the whole split whatever part is trained on, so that runs on parts of it can be compared.
    ///
    /// # Errors
    ///
    /// As [`Normalisation::of`].
    pub fn normalisation(&self, train: &Dataset) -> Result<Normalisation> {
        match self {
            Self::Known(info) => Ok(info.normalisation()),
            Self::Folder(_) | Self::Masks(_) | Self::Files(_) => Normalisation::of(train),
        }
    }

    /// The preprocessing of a network that is trained on it, unless it says otherwise: the normalisation of
    /// images, the tokenizer of texts.
    ///
    /// # Errors
    ///
    /// As [`DataSource::normalisation`].
    pub fn preprocessing(&self, train: &Dataset) -> Result<Preprocessing> {
        match self {
            Self::Files(files) => Ok(files.preprocessing()),
            _ => self.normalisation(train).map(Preprocessing::Images),
        }
    }
}

impl From<&'static DatasetInfo> for DataSource {
    fn from(info: &'static DatasetInfo) -> Self {
        (*info).into()
    }
}

impl From<DatasetInfo> for DataSource {
    fn from(info: DatasetInfo) -> Self {
        Self::Known(Box::new(info))
    }
}

impl From<MaskFolder> for DataSource {
    fn from(folder: MaskFolder) -> Self {
        Self::Masks(Box::new(folder))
    }
}

impl From<ImageFolder> for DataSource {
    fn from(folder: ImageFolder) -> Self {
        Self::Folder(Box::new(folder))
    }
}
