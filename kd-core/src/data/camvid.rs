//! `CamVid`: street scenes with a class for each pixel.

use std::fs;
use std::path::{Path, PathBuf};

use crate::data::dataset::Dataset;
use crate::data::folder::decode::{decode_image, decode_mask};
use crate::data::folder::fit::check_sides;
use crate::data::folder::most_bytes;
use crate::data::folder::resize::{Pixels, stretch, stretch_nearest};
use crate::data::masks::Masks;
use crate::data::parallel::for_each;
use crate::data::shape::ImageShape;
use crate::data::split::Split;
use crate::error::{Error, Result};

/// The classes of the version with eleven of them, in the order of their numbers.
pub(super) const CLASS_NAMES: [&str; 11] = [
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign_symbol",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
];
/// The number of pixels that are not labelled.
const VOID: u8 = 11;
/// The folders of the images and of the masks of a split.
pub(super) const fn folders(split: Split) -> [&'static str; 2] {
    match split {
        Split::Train => ["train", "trainannot"],
        Split::Validation => ["val", "valannot"],
        Split::Test => ["test", "testannot"],
    }
}

/// Reads one split of `CamVid`, the version with eleven classes that came with `SegNet`, in `size` (height
/// and width).
///
/// ```text
/// folder/train/ID.jpg (or .jpeg, .png)   folder/trainannot/ID.png
/// folder/val/...                         folder/valannot/...          and test, testannot alike
/// folder/classes.txt                     may be there; then its classes must be those below
/// ```
///
/// A mask is a grey PNG of 8 bits: 0 sky, 1 building, 2 pole, 3 road, 4 pavement, 5 tree, 6 sign or symbol, 7
/// fence, 8 car, 9 pedestrian, 10 bicyclist, and 11 where nothing is labelled, which is [`Masks::void`].
/// Sample ids follow the sorted names.
///
/// Image and mask are brought to `size` whatever their own ratio, as the usual resizing does it: the image
/// bilinearly with antialiasing, as [`ImageFit`](crate::ImageFit) does, the mask by the nearest pixel, so
/// that no class appears between two others. At the files' own size nothing is changed.
///
/// # Errors
///
/// [`Error::DataMissing`] for a folder that is not there; [`Error::Input`] naming the file or folder: no
/// images, an image without mask or a mask without image, two images of one name, a mask of another size than
/// its image, a value above 11, more than 8 GiB in all; [`Error::BadFile`] for a file that is no image,
/// damaged or cut off, or for other classes in `classes.txt`; [`Error::Config`] for a size that cannot be
/// used.
///
/// # References
///
/// Brostow, Fauqueur, Cipolla, "Semantic object classes in video: a high-definition ground truth database",
/// Pattern Recognition Letters 30(2), 2009; Badrinarayanan, Kendall, Cipolla, "`SegNet`", PAMI 2017,
/// arXiv:1511.00561, for the eleven classes and the split.
pub fn read_camvid(folder: impl AsRef<Path>, split: Split, size: [usize; 2]) -> Result<Dataset> {
    read_published("camvid", folder.as_ref(), split, size, None)
}

/// [`read_camvid`] with the number of images that the split should have.
pub(super) fn read_published(
    name: &str,
    folder: &Path,
    split: Split,
    size: [usize; 2],
    published: Option<usize>,
) -> Result<Dataset> {
    check_sides(size)?;
    check_classes(&folder.join("classes.txt"))?;
    let pairs = pairs(name, folder, split)?;
    if let Some(published) = published.filter(|published| *published != pairs.len()) {
        let problem = format!(
            "has the wrong number of images, {} in place of the {published} that were published; download \
             the data set again, or read a part of it as data of your own: `name = \"masks\"` with its \
             `path` and `classes`",
            pairs.len()
        );
        return Err(input(&folder.join(folders(split)[0]), problem));
    }
    let shape = ImageShape::new(3, size[0], size[1]);
    let pixels = shape.height * shape.width;
    let room = |bytes: usize| {
        let all = pairs.len().checked_mul(bytes);
        let mut room = Vec::new();
        let all =
            all.filter(|all| *all as u64 <= most_bytes() && room.try_reserve_exact(*all).is_ok());
        let all = all.ok_or_else(|| {
            let problem = format!(
                "has {} images, which at {shape} take more memory than is used for them; use a smaller size",
                pairs.len()
            );
            input(&folder.join(folders(split)[0]), problem)
        })?;
        room.resize(all, 0_u8);
        Ok::<_, Error>(room)
    };
    let (mut images, mut masks) = (room(shape.bytes())?, room(pixels)?);
    let places = images
        .chunks_exact_mut(shape.bytes())
        .zip(masks.chunks_exact_mut(pixels));
    for_each(
        Some("reading images"),
        pairs.len(),
        pairs.iter().zip(places),
        |(pair, (image, mask))| pair.read(size, image, mask),
    )?;
    let masks = Masks::new(CLASS_NAMES.len(), Some(VOID), masks)?;
    Dataset::segmentation(name, split, shape, images, masks)?.with_class_names(CLASS_NAMES)
}

/// An image and its mask.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) image: PathBuf,
    pub(super) mask: PathBuf,
}

impl Pair {
    /// Checks that a mask has the size of its image.
    pub(super) fn check_sizes(&self, pixels: &Pixels, classes: &Pixels) -> Result<()> {
        if (classes.height, classes.width) != (pixels.height, pixels.width) {
            let problem = format!(
                "has {}x{} pixels (height, width), its image `{}` has {}x{}; a mask must have the size of \
                 its image",
                classes.height,
                classes.width,
                self.image.display(),
                pixels.height,
                pixels.width
            );
            return Err(input(&self.mask, problem));
        }
        Ok(())
    }

    /// Reads both, in `size`.
    fn read(&self, size: [usize; 2], image: &mut [u8], mask: &mut [u8]) -> Result<()> {
        let pixels = decode_image(&self.image, 3)?;
        let classes = decode_mask(&self.mask)?;
        self.check_sizes(&pixels, &classes)?;
        if let Some(at) = classes.bytes.iter().position(|value| *value > VOID) {
            let width = classes.width as usize;
            let problem = format!(
                "has the value {} in row {}, column {} (from 0); classes are 0 to {}, and {VOID} is for \
                 pixels without one",
                classes.bytes[at],
                at / width,
                at % width,
                CLASS_NAMES.len() - 1
            );
            return Err(input(&self.mask, problem));
        }
        stretch(&pixels, size, image);
        stretch_nearest(&classes, size, mask);
        Ok(())
    }
}

/// The images of a split, sorted by name, and their masks.
fn pairs(name: &str, folder: &Path, split: Split) -> Result<Vec<Pair>> {
    let [image_folder, mask_folder] = folders(split).map(|name| folder.join(name));
    for path in [&image_folder, &mask_folder] {
        if !path.is_dir() {
            let shown = path.file_name().unwrap_or_default();
            return Err(Error::DataMissing {
                name: name.to_owned(),
                missing: format!("folder `{}`", shown.display()),
                looked_in: format!("`{}`", folder.display()),
                remedy:
                    "give the folder that has `train`, `trainannot`, `val`, `valannot`, `test` and \
                         `testannot`"
                        .into(),
            });
        }
    }
    match_masks(&image_folder, &mask_folder)
}

/// The images of a folder, sorted by name, and their masks in another.
pub(super) fn match_masks(image_folder: &Path, mask_folder: &Path) -> Result<Vec<Pair>> {
    let images = files(image_folder, &["jpg", "jpeg", "png"])?;
    let masks = files(mask_folder, &["png"])?;
    if images.is_empty() {
        return Err(input(
            image_folder,
            "has no images; put the files ID.jpg or ID.png of the data set there",
        ));
    }
    if let Some([one, other]) = images
        .array_windows()
        .find(|[one, other]| one.file_stem() == other.file_stem())
    {
        let problem = format!("and `{}` have one name; remove one of them", one.display());
        return Err(input(other, problem));
    }
    let has = |files: &[PathBuf], wanted: &Path| {
        files
            .iter()
            .any(|file| file.file_stem() == wanted.file_stem())
    };
    if let Some(mask) = masks.iter().find(|mask| !has(&images, mask)) {
        let problem = format!("is a mask without image in `{}`", image_folder.display());
        return Err(input(mask, problem));
    }
    let pair = |image: PathBuf| {
        let mask = masks
            .iter()
            .find(|mask| mask.file_stem() == image.file_stem());
        let Some(mask) = mask else {
            let stem = image.file_stem().unwrap_or_default();
            let wanted = mask_folder.join(stem).with_extension("png");
            let problem = format!("has no mask, `{}` is not there", wanted.display());
            return Err(input(&image, problem));
        };
        Ok(Pair {
            mask: mask.clone(),
            image,
        })
    };
    images.into_iter().map(pair).collect()
}

/// The files of these kinds directly in `folder`, sorted; hidden ones are passed over.
fn files(folder: &Path, kinds: &[&str]) -> Result<Vec<PathBuf>> {
    let all: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(Error::io("read", folder))?;
    let wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        let kind = path.extension().unwrap_or_default();
        !name.as_encoded_bytes().starts_with(b".")
            && kinds.iter().any(|known| kind.eq_ignore_ascii_case(known))
            && path.is_file()
    };
    let mut files: Vec<PathBuf> = all.into_iter().filter(wanted).collect();
    files.sort_by(|one, other| {
        (one.file_stem(), one.extension()).cmp(&(other.file_stem(), other.extension()))
    });
    Ok(files)
}

/// Checks that the classes in `classes.txt` have the numbers that are meant here; nothing where there is no
/// such file.
///
/// Other distributions of the data set number other classes, which no mask would betray.
fn check_classes(file: &Path) -> Result<()> {
    let Ok(text) = fs::read_to_string(file) else {
        return Ok(());
    };
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let letters = |name: &str| {
        name.chars()
            .filter(char::is_ascii_alphabetic)
            .collect::<String>()
    };
    for (number, name) in CLASS_NAMES.iter().enumerate() {
        let line = lines.get(number).copied().unwrap_or_default();
        let (found, called) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if found.parse() != Ok(number) || letters(&called.to_lowercase()) != letters(name) {
            return Err(Error::BadFile {
                path: file.to_owned(),
                offset: 0,
                problem: format!("line {} is `{}`, expected `{number}` and \
                                  `{name}`", number + 1, line.trim()),
                remedy: "give the version of eleven classes that came with SegNet; remove this file if the \
                         masks are of it"
                    .into(),
            });
        }
    }
    Ok(())
}

fn input(path: &Path, problem: impl Into<String>) -> Error {
    Error::Input {
        path: path.to_owned(),
        problem: problem.into(),
    }
}
