//! A data set from a folder of images, one folder a class.

pub(crate) mod decode;
pub(crate) mod fit;
pub(crate) mod listing;
pub(crate) mod resize;
pub(crate) mod save;
pub(crate) mod stretched;
pub(crate) mod whole;

use std::path::{Path, PathBuf};

pub use fit::ImageFit;
use listing::Listing;
pub use save::{class_folders, write_image_folder};
pub use stretched::{StretchedImages, read_stretched, write_mask};

use crate::data::broken::{LeftOut, drop_rows};
use crate::data::parallel::for_each;

use crate::data::dataset::Dataset;
use crate::data::shape::ImageShape;
use crate::data::split::Split;
use crate::error::{Error, Result};
use crate::memory::memory_limit;

/// A folder of images of one's own: `PATH/train/CLASS/*.png` and `PATH/test/CLASS/*.png`.
///
/// - Classes are the folders below `train`, sorted by name; label 0 is the first.
/// - Images are PNG, JPEG, WebP, BMP, GIF or TIFF, by the extensions `png`, `jpg`, `jpeg`, `webp`, `bmp`,
///   `gif`, `tif` and `tiff` in either case; what they really are is seen from their first bytes.
///   They lie directly in the folder of their class. Hidden files, files of other extensions and folders in
///   the folder of a class are passed over, and listed by [`ImageFolder::skipped`].
/// - The samples to test on are in `test`, or where there is none in `val`, `valid` or `validation`, with
///   classes of the same names, of which some may be missing; a folder without any of them has
///   no [`Split::Test`], so that a part of the training samples must be held out.
/// - Sample ids follow the sorted class and file names, so that they are the same on every machine.
///
/// Every image is decoded, turned upright by its EXIF orientation, made RGB or grey, resized and cropped as
/// [`ImageFit`] says, and held as `u8` like those of every other data set. Transparency, colour profiles and
/// gamma are dropped, 16 bits become 8, and of an animation the first frame counts.
///
/// PNG files carry checksums, all of which are checked. The others carry none: a file that was cut off is
/// refused, but pixels that were damaged inside it may go unseen.
///
/// ```
/// # let root = tempfile::tempdir()?;
/// # let photos = root.path();
/// # for name in ["train/cat/1.png", "train/dog/1.png", "train/dog/2.png"] {
/// #     let path = photos.join(name);
/// #     std::fs::create_dir_all(path.parent().unwrap_or(photos))?;
/// #     image::RgbImage::new(40, 30).save(path)?;
/// # }
/// use kd_core::{ImageFit, ImageFolder, ImageShape, Split};
/// let folder = ImageFolder::open(photos, ImageFit::new(ImageShape::new(3, 24, 24)))?;
/// assert_eq!(folder.class_names(), ["cat", "dog"]);
/// let train = folder.load(Split::Train)?;
/// assert_eq!((train.len(), train.labels()), (3, &[0, 1, 1][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    name: String,
    path: PathBuf,
    fit: ImageFit,
    class_names: Vec<String>,
    /// None where there is nothing but images to test on.
    train: Option<Listing>,
    test: Option<Listing>,
    broken: LeftOut,
}

/// Reads images by their paths, each brought to one size as [`ImageFolder`] does it: `[images, channels,
/// height, width]`, 0 to 255.
///
/// # Errors
///
/// [`Error::Config`] if `fit` is not usable or the images take more than 8 GiB, [`Error::BadFile`] for the
/// first file that is not an image, damaged, cut off, or larger than 100 megapixels.
pub fn read_images<P: AsRef<Path> + Sync>(paths: &[P], fit: &ImageFit) -> Result<Vec<u8>> {
    fit.check()?;
    let bytes = paths.len().checked_mul(fit.shape.bytes());
    let bytes = bytes
        .filter(|bytes| *bytes as u64 <= most_bytes())
        .ok_or_else(|| {
            Error::config(
                "images",
                format!("are {}, which take too much memory at once", paths.len()),
            )
        })?;
    let mut images = vec![0; bytes];
    let places = images.chunks_exact_mut(fit.shape.bytes());
    let pairs = paths.iter().zip(places);
    for_each(None, paths.len(), pairs, |(path, image)| {
        decode::decode(path.as_ref(), fit, image)
    })?;
    Ok(images)
}

/// Height and width of the image at `path`, turned upright.
///
/// # Errors
///
/// [`Error::BadFile`] for a file that is not an image, damaged, cut off, or larger than 100 megapixels.
pub fn image_size(path: &Path) -> Result<[usize; 2]> {
    let pixels = decode::decode_image(path, 1)?;
    Ok([pixels.height as usize, pixels.width as usize])
}

/// Whether a path ends as the images that are read do.
pub fn is_image_path(path: &Path) -> bool {
    listing::is_image(path)
}

/// The most memory that the images of one split may take: 8 GiB.
const MOST_BYTES: u64 = 8 << 30;

/// The most bytes that the images of a split may take here.
pub(crate) fn most_bytes() -> u64 {
    memory_limit().map_or(MOST_BYTES, |limit| limit.min(MOST_BYTES))
}

impl ImageFolder {
    /// Lists the classes and images below `path`, without reading any.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] naming the folder: not there, without `train`, with fewer than two classes, a class
    /// without images, a class that only the split to test on has; [`Error::Config`] if `fit` is not usable.
    pub fn open(path: impl Into<PathBuf>, fit: ImageFit) -> Result<Self> {
        let path = path.into();
        fit.check()?;
        let train = Listing::train(&path)?;
        let test = Listing::test(&path, &train)?;
        let names = train.classes.iter().map(|class| class.name.clone());
        let names = names.collect();
        Ok(Self::made(path, fit, names, Some(train), test))
    }

    /// As [`ImageFolder::open`]; where there is no folder `train`, the folders directly in `path` are the
    /// classes, and there is no [`Split::Test`].
    ///
    /// # Errors
    ///
    /// As [`ImageFolder::open`].
    pub fn open_whole(path: impl Into<PathBuf>, fit: ImageFit) -> Result<Self> {
        let path = path.into();
        if path.join("train").is_dir() {
            return Self::open(path, fit);
        }
        fit.check()?;
        let train = Listing::whole(&path)?;
        let names = train.classes.iter().map(|class| class.name.clone());
        let names = names.collect();
        Ok(Self::made(path, fit, names, Some(train), None))
    }

    /// Lists images to test on below `path`, without any to train on: in a folder `test` (or `val`, `valid`,
    /// `validation`) below it, or in the folders of classes directly in it. `class_names` are the classes in
    /// label order, as a model knows them; some may have no images.
    ///
    /// # Errors
    ///
    /// As [`ImageFolder::open`], and [`Error::Input`] for a folder that is none of the classes.
    pub fn open_test(
        path: impl Into<PathBuf>,
        fit: ImageFit,
        class_names: &[String],
    ) -> Result<Self> {
        let path = path.into();
        fit.check()?;
        let names: Vec<&str> = class_names.iter().map(String::as_str).collect();
        let test = Listing::test_alone(&path, &names)?;
        Ok(Self::made(
            path,
            fit,
            class_names.to_vec(),
            None,
            Some(test),
        ))
    }

    fn made(
        path: PathBuf,
        fit: ImageFit,
        class_names: Vec<String>,
        train: Option<Listing>,
        test: Option<Listing>,
    ) -> Self {
        Self {
            name: path
                .file_name()
                .unwrap_or(path.as_os_str())
                .display()
                .to_string(),
            fit,
            class_names,
            train,
            test,
            path,
            broken: LeftOut::default(),
        }
    }

    /// Leaves out images that cannot be read, where `skip` is true; [`ImageFolder::broken`] lists them. The
    /// ids of the samples are those of the images that are left.
    #[must_use]
    pub fn skipping_broken(self, skip: bool) -> Self {
        Self {
            broken: LeftOut::where_asked(skip),
            ..self
        }
    }

    /// The images of the splits that were read that could not be read and were left out, sorted.
    pub fn broken(&self) -> Vec<PathBuf> {
        self.broken.paths()
    }

    /// What it is called: the last part of its path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How its images are brought to one size.
    pub fn fit(&self) -> &ImageFit {
        &self.fit
    }

    /// The size of each image after that.
    pub fn shape(&self) -> ImageShape {
        self.fit.shape
    }

    /// The names of the classes in label order.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The number of images in a split, if it is there.
    pub fn samples(&self, split: Split) -> Option<usize> {
        self.listing(split).map(Listing::samples)
    }

    /// The files of a split in the order of their sample ids.
    pub fn files(&self, split: Split) -> impl Iterator<Item = &Path> {
        self.listing(split)
            .into_iter()
            .flat_map(|listing| &listing.classes)
            .flat_map(|class| &class.files)
            .map(PathBuf::as_path)
    }

    /// What was passed over in both splits, sorted.
    pub fn skipped(&self) -> Vec<&Path> {
        [self.train.as_ref(), self.test.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(|listing| &listing.skipped)
            .map(PathBuf::as_path)
            .collect()
    }

    /// Decodes a split, on all cores.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if the split is not there or its images take more than 8 GiB; [`Error::BadFile`] for
    /// a file that is not an image, damaged, cut off, or larger than 100 megapixels; where there are several,
    /// [`Error::Input`] that names them all, in the order of ids.
    pub fn load(&self, split: Split) -> Result<Dataset> {
        let Some(listing) = self.listing(split) else {
            let problem = match split {
                Split::Validation => {
                    "has no validation split: a folder of images has samples to train on and to test on"
                }
                Split::Train => {
                    "has no folder `train`; give a folder with one, or ask for the test split"
                }
                Split::Test => {
                    "has neither a `test` nor a `val` folder; add one, or hold out a part of `train` with \
                     `held_out` in \
                     the recipe"
                }
            };
            return Err(Error::Input {
                path: self.path.clone(),
                problem: problem.into(),
            });
        };
        let bytes = self.check_memory(listing)?;
        let mut images = Vec::new();
        if images.try_reserve_exact(bytes).is_err() {
            return Err(self.too_large(listing, "more memory than there is"));
        }
        images.resize(bytes, 0);
        let files: Vec<&Path> = self.files(split).collect();
        let places = images.chunks_exact_mut(self.fit.shape.bytes());
        let jobs = files.iter().zip(places);
        let left_out = self
            .broken
            .read_each(&self.path, files.len(), jobs, |(path, image)| {
                decode::decode(path, &self.fit, image)
            })?;
        let mut labels: Vec<u16> = (0_u16..)
            .zip(&listing.classes)
            .flat_map(|(label, class)| std::iter::repeat_n(label, class.files.len()))
            .collect();
        drop_rows(&mut images, self.fit.shape.bytes(), &left_out);
        drop_rows(&mut labels, 1, &left_out);
        let classes = self.class_names.len();
        Dataset::new(&self.name, split, self.fit.shape, classes, images, labels)?
            .with_class_names(self.class_names.iter().cloned())
    }

    fn listing(&self, split: Split) -> Option<&Listing> {
        match split {
            Split::Train => self.train.as_ref(),
            Split::Validation => None,
            Split::Test => self.test.as_ref(),
        }
    }

    /// The bytes that the images of a split take, if that is not too much.
    fn check_memory(&self, listing: &Listing) -> Result<usize> {
        let bytes = listing.samples().checked_mul(self.fit.shape.bytes());
        bytes
            .filter(|bytes| u64::try_from(*bytes).is_ok_and(|bytes| bytes <= most_bytes()))
            .ok_or_else(|| self.too_large(listing, "more than the 8 GiB that are held in memory"))
    }

    fn too_large(&self, listing: &Listing, why: &str) -> Error {
        let gigabytes = listing.samples() as f64 * self.fit.shape.bytes() as f64 / 1e9;
        Error::Input {
            path: listing.path.clone(),
            problem: format!(
                "has {} images, which at {} take {gigabytes:.1} GB, {why}; use a smaller size or fewer \
                 images",
                listing.samples(),
                self.fit.shape
            ),
        }
    }
}
