//! The data sets that are known by name.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::data::cifar::CifarLabels;
use crate::data::dataset::Dataset;
use crate::data::folder::fit::check_sides;
use crate::data::published::Published;
use crate::data::roots::DataRoots;
use crate::data::shape::ImageShape;
use crate::data::split::Split;
use crate::data::task::Task;
use crate::data::{camvid, cifar, cinic, idx, mini, svhn};
use crate::error::{Error, Result};
use crate::network::normalisation::Normalisation;

/// What is known of a data set before it is read: enough to list it, to find it and to build a network for
/// it.
///
/// ```
/// use kd_core::{DataRoots, DatasetInfo, Split};
/// let info = DatasetInfo::find("fashion-mnist-mini")?;
/// let test = info.load(Split::Test, &DataRoots::default())?;
/// assert_eq!((test.len(), test.classes()), (info.test, info.classes));
/// # Ok::<(), kd_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct DatasetInfo {
    /// The name to ask for.
    pub name: &'static str,
    /// Other names that are understood.
    pub aliases: &'static [&'static str],
    /// What is said of each image.
    pub task: Task,
    /// The number of classes, of images or of pixels.
    pub classes: usize,
    /// The names of the classes in label order; empty where they are not known before reading.
    pub class_names: &'static [&'static str],
    /// The size of each image; where each has a mask, the usual one: see [`DatasetInfo::with_size`].
    pub shape: ImageShape,
    /// Training samples of the published set.
    pub train: usize,
    /// Samples of the published set to choose by; 0 where it has none.
    pub validation: usize,
    /// Test samples of the published set.
    pub test: usize,
    /// Mean of each channel of the training images, of pixel values divided by 255.
    pub mean: &'static [f64],
    /// Standard deviation of each channel of the training images, of pixel values divided by 255.
    pub std: &'static [f64],
    /// Where its files come from.
    pub source: &'static str,
    /// Under which terms.
    pub licence: &'static str,
    /// What to cite.
    pub citation: &'static str,
    /// Whether it is part of this crate and needs no file.
    pub embedded: bool,
    /// The folder below a data root, and others that are understood.
    #[serde(skip)]
    pub(super) folders: &'static [&'static str],
    #[serde(skip)]
    pub(super) layout: Layout,
}

/// How the files of a data set are named and read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layout {
    Embedded,
    Idx,
    Cifar10,
    Cifar100(CifarLabels),
    /// A folder a split, in it one a class.
    Cinic10,
    /// The cropped digits; their training split with the extra digits or without.
    Svhn {
        extra: bool,
    },
    /// Folders of images and of masks.
    Camvid,
}

/// Training digits without the extra ones.
pub(super) const SVHN_TRAIN: usize = 73_257;

impl DatasetInfo {
    /// The same data set with images of another height and width, which its reader brings them to.
    ///
    /// ```
    /// use kd_core::DatasetInfo;
    /// let small = DatasetInfo::find("camvid")?.with_size([96, 128])?;
    /// assert_eq!((small.shape.height, small.shape.width), (96, 128));
    /// # Ok::<(), kd_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a data set whose images have the size that they are stored in, and for sides
    /// that are not 1 to 4096 pixels.
    pub fn with_size(mut self, size: [usize; 2]) -> Result<Self> {
        if !matches!(self.layout, Layout::Camvid) {
            let problem = format!(
                "cannot be chosen: `{}` has images of {} as they are",
                self.name, self.shape
            );
            return Err(Error::config("size", problem));
        }
        check_sides(size)?;
        self.shape = ImageShape::new(self.shape.channels, size[0], size[1]);
        Ok(self)
    }

    /// The normalisation that a network trained on this set uses unless it says otherwise.
    pub fn normalisation(&self) -> Normalisation {
        Normalisation {
            mean: self.mean.to_vec(),
            std: self.std.to_vec(),
        }
    }

    /// The number of samples in one split of the published set, 0 for a split that it does not have.
    pub fn samples(&self, split: Split) -> usize {
        match split {
            Split::Train => self.train,
            Split::Validation => self.validation,
            Split::Test => self.test,
        }
    }

    /// The files of one split below a data root, as the original archives name them, or its folders; none if
    /// it is embedded.
    pub fn files(&self, split: Split) -> Vec<String> {
        let folder = self.folders.first().copied().unwrap_or_default();
        self.names(split)
            .into_iter()
            .map(|name| format!("{folder}/{name}"))
            .collect()
    }

    /// Reads one split from the first of `roots` that has all its files, and checks that it has as many
    /// samples as the published one.
    ///
    /// # Errors
    ///
    /// [`Error::DataMissing`] if no folder has them all, [`Error::BadFile`] for another number of samples,
    /// [`Error::Config`] for a split that it does not have, and what the reader of the format says.
    pub fn load(&self, split: Split, roots: &DataRoots) -> Result<Dataset> {
        let (name, classes) = (self.name, self.classes);
        if self.samples(split) == 0 {
            let problem = format!("`{split}` is none of `{name}`, which was published without it");
            return Err(Error::config("split", problem));
        }
        if let Layout::Embedded = self.layout {
            return mini::read(name, split, classes)?
                .with_class_names(self.class_names.iter().copied());
        }
        let files = self.locate(split, roots)?;
        let all = files.iter().zip(self.published(split));
        let owned = name.to_owned();
        let read = match (self.layout, files.as_slice()) {
            (Layout::Idx, [images, labels]) => {
                let published = Published {
                    samples: Some(self.samples(split)),
                };
                idx::read_published(owned, split, classes, [images, labels], published)?
            }
            (Layout::Svhn { .. }, _) => svhn::read_published(owned, split, all)?,
            (Layout::Camvid, [images, _]) => {
                let size = [self.shape.height, self.shape.width];
                let folder = images.parent().unwrap_or(Path::new(""));
                camvid::read_published(name, folder, split, size, Some(self.samples(split)))?
            }
            (Layout::Cinic10, [images]) => {
                let folder = images.parent().unwrap_or(Path::new(""));
                cinic::read_published(name, folder, split, Some(self.samples(split)))?
            }
            (Layout::Cifar100(labels), _) => {
                cifar::read_published(cifar::Kind::Cifar100(labels), owned, split, all)?
            }
            _ => cifar::read_published(cifar::Kind::Cifar10, owned, split, all)?,
        };
        if read.shape() != self.shape {
            return Err(Error::BadFile {
                path: files.into_iter().next().unwrap_or_default(),
                offset: 0,
                problem: format!(
                    "its images are {}, those of {name} are {}",
                    read.shape(),
                    self.shape
                ),
                remedy: format!("give the files of {}", self.source),
            });
        }
        match self.class_names {
            [] => match files.first().and_then(|file| self.read_class_names(file)) {
                Some(names) => read.with_class_names(names),
                None => Ok(read),
            },
            names => read.with_class_names(names.iter().copied()),
        }
    }

    /// The files of one split in the first of `roots` that has them all, in the order of
    /// [`DatasetInfo::files`].
    ///
    /// IDX files may be plain or gzipped; torchvision's folder names are understood as well.
    ///
    /// # Errors
    ///
    /// [`Error::DataMissing`] with the file names, the folders searched and where the files come from.
    pub fn locate(&self, split: Split, roots: &DataRoots) -> Result<Vec<PathBuf>> {
        let names = self.names(split);
        let mut looked_in = Vec::new();
        let mut fewest_missing = names.clone();
        for root in roots.folders() {
            looked_in.push(format!("`{}`", root.display()));
            for folder in places(root, self.folders) {
                let existing = |name: &String| existing(&folder, name, self.layout);
                let found: Vec<_> = names.iter().map(existing).collect();
                let missing = names
                    .iter()
                    .zip(&found)
                    .filter(|(_, found)| found.is_none());
                let missing: Vec<_> = missing.map(|(name, _)| name.clone()).collect();
                if missing.is_empty() {
                    return Ok(found.into_iter().flatten().collect());
                }
                if missing.len() < fewest_missing.len() {
                    fewest_missing = missing;
                }
            }
        }
        let folder = self.folders.first().copied().unwrap_or_default();
        let quoted: Vec<_> = fewest_missing
            .iter()
            .map(|name| format!("`{folder}/{name}`"))
            .collect();
        let gzip = if matches!(self.layout, Layout::Idx) {
            " (or the same with .gz)"
        } else {
            ""
        };
        Err(Error::DataMissing {
            name: self.name.to_owned(),
            missing: format!("{}{gzip}", quoted.join(", ")),
            looked_in: if looked_in.is_empty() {
                "any folder".to_owned()
            } else {
                looked_in.join(", ")
            },
            remedy: format!(
                "get them from {}, unpack them below one folder, and name it in `KD_DATA`",
                self.source
            ),
        })
    }

    fn names(&self, split: Split) -> Vec<String> {
        match (self.layout, split) {
            (Layout::Embedded, _) => Vec::new(),
            (Layout::Idx, split) => {
                let part = if split == Split::Train {
                    "train"
                } else {
                    "t10k"
                };
                vec![
                    format!("{part}-images-idx3-ubyte"),
                    format!("{part}-labels-idx1-ubyte"),
                ]
            }
            (Layout::Camvid, split) => camvid::folders(split).map(str::to_owned).to_vec(),
            (Layout::Cinic10, split) => vec![cinic::split_folder(split).to_owned()],
            (Layout::Cifar10, Split::Train) => (1..=5)
                .map(|batch| format!("data_batch_{batch}.bin"))
                .collect(),
            (Layout::Cifar10, _) => vec!["test_batch.bin".to_owned()],
            (Layout::Cifar100(_), split) => vec![format!("{split}.bin")],
            (Layout::Svhn { extra }, Split::Train) => {
                let extra = extra.then(|| "extra_32x32.mat".to_owned());
                std::iter::once("train_32x32.mat".to_owned())
                    .chain(extra)
                    .collect()
            }
            (Layout::Svhn { .. }, _) => vec!["test_32x32.mat".to_owned()],
        }
    }

    /// How many samples each file of one split has, in the order of [`DatasetInfo::files`]; of an IDX pair
    /// once.
    fn published(&self, split: Split) -> Vec<Published> {
        let samples = self.samples(split);
        let each = match (self.layout, split) {
            (Layout::Cifar10, Split::Train) => vec![samples / 5; 5],
            (Layout::Svhn { extra: true }, Split::Train) => {
                vec![SVHN_TRAIN, samples - SVHN_TRAIN]
            }
            _ => vec![samples],
        };
        let known = |samples| Published {
            samples: Some(samples),
        };
        each.into_iter().map(known).collect()
    }

    /// The class names from the text file that lies beside CIFAR-100, if it is there and fits.
    fn read_class_names(&self, beside: &Path) -> Option<Vec<String>> {
        let file = match self.layout {
            Layout::Cifar100(CifarLabels::Fine) => "fine_label_names.txt",
            Layout::Cifar100(CifarLabels::Coarse) => "coarse_label_names.txt",
            _ => return None,
        };
        let text = std::fs::read_to_string(beside.with_file_name(file)).ok()?;
        let names: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        (names.len() == self.classes).then_some(names)
    }
}

/// The file `name` in `folder`, plain or gzipped, or the folder of that name.
fn existing(folder: &Path, name: &str, layout: Layout) -> Option<PathBuf> {
    let plain = folder.join(name);
    if matches!(layout, Layout::Camvid | Layout::Cinic10) {
        return plain.is_dir().then_some(plain);
    }
    // Some copies have a dot before `idx`; the Python version of CIFAR has no ending.
    let names = [
        Some(name.to_owned()),
        Some(name.replace("-idx", ".idx")),
        name.strip_suffix(".bin").map(str::to_owned),
    ];
    let files = names.into_iter().flatten();
    files
        .flat_map(|name| [folder.join(&name), folder.join(format!("{name}.gz"))])
        .find(|path| path.is_file())
}

/// The folders of a data set below `root`, and `root` itself where it is called as one of them.
fn places(root: &Path, folders: &[&str]) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    if folders.iter().any(|folder| root.ends_with(folder)) {
        places.push(root.to_owned());
    }
    places
}
