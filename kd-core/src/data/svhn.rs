//! The cropped digits of SVHN (format 2), as MATLAB files.

use std::path::Path;

use crate::data::dataset::Dataset;
use crate::data::mat::file::MatFile;
use crate::data::mat::variable::{Class, NOT_PUBLISHED, Variable};
use crate::data::published::Published;
use crate::data::shape::ImageShape;
use crate::data::split::Split;
use crate::error::{Error, Result};

/// Reads the cropped digits of SVHN from their `.mat` files, one after the other.
///
/// A file has the variables `X` (`uint8`, `[32, 32, 3, samples]`, the row the fastest axis) and `y` (one
/// number a sample, of any numeric class). **Label 10 means the digit 0**, and becomes label 0; 1 to 9 stay
/// as they are. Files are MATLAB level 5, compressed or not, of either byte order; other variables in them
/// are passed over. Pixels are decompressed straight into the data set, so that nothing is held twice.
///
/// A compressed variable carries a checksum, which is checked. Others carry none: a wrong pixel in them
/// cannot be seen.
///
/// # Errors
///
/// [`Error::DataMissing`] for a file that is not there; [`Error::BadFile`] for a file of MATLAB 7.3 or of
/// level 4, a damaged or truncated one, a missing variable or one of another class or size, labels that are
/// not 1 to 10 or not as many as images.
///
/// # References
///
/// Netzer, Wang, Coates, Bissacco, Wu, Ng, "Reading digits in natural images with unsupervised feature
/// learning", NIPS workshop, 2011; the files are described on the data set's page, their format in "MAT-File
/// Format", The `MathWorks`.
pub fn read_svhn<P: AsRef<Path>>(
    name: impl Into<String>,
    split: Split,
    files: impl IntoIterator<Item = P>,
) -> Result<Dataset> {
    let files = files.into_iter().map(|file| (file, Published::default()));
    read_published(name.into(), split, files)
}

/// [`read_svhn`] with the number of samples that each file should have.
pub(super) fn read_published<P: AsRef<Path>>(
    name: String,
    split: Split,
    files: impl IntoIterator<Item = (P, Published)>,
) -> Result<Dataset> {
    // All are opened before any is read, so that a missing one is said at once.
    let files = files
        .into_iter()
        .map(|(path, published)| Ok((MatFile::open(path.as_ref())?, published)))
        .collect::<Result<Vec<_>>>()?;
    let mut digits = Digits::default();
    for (file, published) in files {
        digits.append(file, published)?;
    }
    Dataset::new(name, split, SHAPE, CLASSES, digits.images, digits.labels)
}

const SHAPE: ImageShape = ImageShape {
    channels: 3,
    height: 32,
    width: 32,
};
const CLASSES: usize = 10;
/// A variable of level 5 has less than 4 GiB, which this many images fill.
const MOST: usize = u32::MAX as usize / (3 * 32 * 32);
/// The label of the digit 0.
const ZERO: u16 = 10;

/// What was read so far.
#[derive(Default)]
struct Digits {
    images: Vec<u8>,
    labels: Vec<u16>,
}

impl Digits {
    /// Appends the samples of one file.
    fn append(&mut self, mut file: MatFile, published: Published) -> Result<()> {
        let labels_before = self.labels.len();
        let (mut images, mut labels) = (None, None);
        let mut others = Vec::new();
        while let Some(variable) = file.next()? {
            let (slot, count) = match variable.name.as_str() {
                "X" => (&mut images, count_images(&variable)?),
                "y" => (&mut labels, count_labels(&variable)?),
                _ => {
                    others.push(variable.name);
                    continue;
                }
            };
            if slot.replace(count).is_some() {
                let problem = format!("variable `{}` is in the file twice", variable.name);
                return Err(variable.bad(problem, NOT_PUBLISHED));
            }
            if variable.name == "X" {
                self.read_images(variable, count)?;
            } else {
                self.read_labels(variable)?;
            }
        }
        let missing = |name: &str| {
            let problem = match others.as_slice() {
                [] => format!("there is no variable `{name}` in the file"),
                others => format!(
                    "there is no variable `{name}` in the file, which also has `{}`",
                    others.join("`, `")
                ),
            };
            file.bad(0, problem, NOT_DIGITS)
        };
        let images = images.ok_or_else(|| missing("X"))?;
        labels.ok_or_else(|| missing("y"))?;
        let labels = self.labels.len() - labels_before;
        if images != labels {
            let problem = format!("`X` has {images} images, but `y` has {labels} labels");
            return Err(file.bad(0, problem, NOT_PUBLISHED));
        }
        published.check(file.path(), 0, images)
    }

    /// Appends the pixels of `X`, from `[channels, width, height]` to `[channels, height, width]` each.
    fn read_images(&mut self, variable: Variable<'_>, count: usize) -> Result<()> {
        let bytes = count * SHAPE.bytes();
        if self.images.try_reserve_exact(bytes).is_err() {
            let problem = format!("variable `X` takes {bytes} bytes, more memory than there is");
            return Err(variable.bad(problem, "free memory, or use a part of the file"));
        }
        let images = &mut self.images;
        variable.bytes(SHAPE.bytes(), &mut |image| {
            for plane in image.chunks_exact(SHAPE.height * SHAPE.width) {
                for row in 0..SHAPE.height {
                    images.extend(plane.iter().skip(row).step_by(SHAPE.height));
                }
            }
            Ok(())
        })
    }

    /// Appends the labels of `y`.
    fn read_labels(&mut self, variable: Variable<'_>) -> Result<()> {
        let file = variable.place();
        let (before, labels) = (self.labels.len(), &mut self.labels);
        variable.numbers(&mut |number| {
            let label = (1..=ZERO).find(|label| f64::from(*label).total_cmp(&number).is_eq());
            let Some(label) = label else {
                return Err(Error::BadFile {
                    path: file.0.clone(),
                    offset: file.1,
                    problem: format!(
                        "label {number} of sample {} in `y`, labels are 1 to 10, where 10 is the digit 0",
                        labels.len() - before
                    ),
                    remedy: NOT_DIGITS.to_owned(),
                });
            };
            labels.push(label % ZERO);
            Ok(())
        })
    }
}

const NOT_DIGITS: &str = "give the cropped digits (format 2) of SVHN, such as `train_32x32.mat`";

/// The number of images in `X`; one image has no fourth axis.
fn count_images(variable: &Variable<'_>) -> Result<usize> {
    let count = match variable.dims.as_slice() {
        [32, 32, 3] => Some(1),
        [32, 32, 3, count] => usize::try_from(*count).ok(),
        _ => None,
    };
    match count {
        Some(count) if variable.class == Class::UINT8 && count <= MOST => {
            at_least_one(variable, count)
        }
        _ => {
            let problem = format!(
                "variable `X` is a {} of {}, images are a uint8 array of 32x32x3xSAMPLES",
                variable.class,
                variable.size()
            );
            Err(variable.bad(problem, NOT_DIGITS))
        }
    }
}

/// The number of labels in `y`, a row or a column.
fn count_labels(variable: &Variable<'_>) -> Result<usize> {
    let count = match (variable.class, variable.dims.as_slice()) {
        (Class::Numeric(_), [count, 1] | [1, count]) => usize::try_from(*count).ok(),
        _ => None,
    };
    match count {
        Some(count) if count <= MOST => at_least_one(variable, count),
        _ => {
            let problem = format!(
                "variable `y` is a {} of {}, labels are an array of numbers of SAMPLESx1",
                variable.class,
                variable.size()
            );
            Err(variable.bad(problem, NOT_DIGITS))
        }
    }
}

fn at_least_one(variable: &Variable<'_>, count: usize) -> Result<usize> {
    if count > 0 {
        return Ok(count);
    }
    let problem = format!("variable `{}` is empty", variable.name);
    Err(variable.bad(problem, NOT_DIGITS))
}
