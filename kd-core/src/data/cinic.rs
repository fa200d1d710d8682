//! CINIC-10: small images in a folder a class, in three splits.

use std::path::Path;

use crate::data::cifar::CIFAR10_CLASSES;
use crate::data::dataset::Dataset;
use crate::data::folder::decode::decode_image;
use crate::data::folder::listing::Listing;
use crate::data::folder::resize::stretch;
use crate::data::parallel::for_each;
use crate::data::shape::ImageShape;
use crate::data::split::Split;
use crate::error::{Error, Result};

/// The classes, which are those of CIFAR-10, in the order of their labels.
const CLASS_NAMES: [&str; 10] = CIFAR10_CLASSES;
const SHAPE: ImageShape = ImageShape {
    channels: 3,
    height: 32,
    width: 32,
};

/// The folder of a split.
pub(super) const fn split_folder(split: Split) -> &'static str {
    match split {
        Split::Train => "train",
        Split::Validation => "valid",
        Split::Test => "test",
    }
}

/// Reads one split of CINIC-10 from the folders that its archive unpacks to.
///
/// ```text
/// folder/train/CLASS/*.png   folder/valid/CLASS/*.png   folder/test/CLASS/*.png
/// ```
///
/// The classes are those of CIFAR-10: `airplane`, `automobile`, `bird`, `cat`, `deer`, `dog`, `frog`,
/// `horse`, `ship`, `truck`. Every image is of 32x32 pixels; a grey one gets three equal channels. Sample ids
/// follow the sorted class and file names.
///
/// # Errors
///
/// [`Error::DataMissing`] for a split that is not there; [`Error::Input`] naming the folder or file: other
/// classes, a class without images, an image of another size; [`Error::BadFile`] for a file that is no image,
/// damaged or cut off.
///
/// # References
///
/// Darlow, Crowley, Antoniou, Storkey, "CINIC-10 is not ImageNet or CIFAR-10", arXiv:1810.03505.
pub fn read_cinic10(folder: impl AsRef<Path>, split: Split) -> Result<Dataset> {
    read_published("cinic10", folder.as_ref(), split, None)
}

/// [`read_cinic10`] with the number of images that the split should have.
pub(super) fn read_published(
    name: &str,
    folder: &Path,
    split: Split,
    published: Option<usize>,
) -> Result<Dataset> {
    let path = folder.join(split_folder(split));
    if !path.is_dir() {
        return Err(Error::DataMissing {
            name: name.to_owned(),
            missing: format!("folder `{}`", split_folder(split)),
            looked_in: format!("`{}`", folder.display()),
            remedy: "give the folder that has `train`, `valid` and `test`".into(),
        });
    }
    let listing = Listing::read(path)?;
    check_classes(&listing)?;
    let samples = listing.samples();
    if let Some(published) = published.filter(|published| *published != samples) {
        let problem = format!(
            "has the wrong number of images, {samples} in place of the {published} that were published; \
             unpack the archive again"
        );
        return Err(input(&listing.path, problem));
    }
    let files = listing.classes.iter().flat_map(|class| &class.files);
    let files: Vec<&Path> = files.map(AsRef::as_ref).collect();
    let mut images = vec![0_u8; samples * SHAPE.bytes()];
    let places = images.chunks_exact_mut(SHAPE.bytes());
    let pairs = files.iter().zip(places);
    for_each(Some("reading images"), samples, pairs, |(file, image)| {
        read_image(file, image)
    })?;
    let labels = (0_u16..)
        .zip(&listing.classes)
        .flat_map(|(label, class)| std::iter::repeat_n(label, class.files.len()));
    let classes = CLASS_NAMES.len();
    Dataset::new(name, split, SHAPE, classes, images, labels.collect())?
        .with_class_names(CLASS_NAMES)
}

/// Reads one image into `[channels, height, width]`.
fn read_image(file: &Path, image: &mut [u8]) -> Result<()> {
    let pixels = decode_image(file, SHAPE.channels)?;
    let size = [pixels.height, pixels.width].map(|side| side as usize);
    if size != [SHAPE.height, SHAPE.width] {
        let problem = format!(
            "has {}x{} pixels (height, width), the images of CINIC-10 have 32x32; unpack the archive again, \
             or read the images as `folder`",
            pixels.height, pixels.width
        );
        return Err(input(file, problem));
    }
    // Of the same size: nothing is scaled.
    stretch(&pixels, size, image);
    Ok(())
}

/// The folders of a split must be the ten classes, which their sorted names number as the labels do.
fn check_classes(listing: &Listing) -> Result<()> {
    let found: Vec<&str> = listing.classes.iter().map(|class| &*class.name).collect();
    if let Some(name) = CLASS_NAMES.iter().find(|name| !found.contains(name)) {
        let problem = format!("has no folder `{name}`; unpack the archive again");
        return Err(input(&listing.path, problem));
    }
    match found.iter().find(|name| !CLASS_NAMES.contains(name)) {
        Some(name) => {
            let problem = format!(
                "is no class of CINIC-10, which are {}; remove it, or read the images as `folder`",
                CLASS_NAMES.join(", ")
            );
            Err(input(&listing.path.join(name), problem))
        }
        None => Ok(()),
    }
}

fn input(path: &Path, problem: impl Into<String>) -> Error {
    Error::Input {
        path: path.to_owned(),
        problem: problem.into(),
    }
}
