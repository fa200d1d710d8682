//! The images of a run written for other programs and other runs.

use std::path::Path;

use kd_core::{
    Dataset, Error, ImageShape, Result, class_folders, write_folder, write_idx, write_image_folder,
};

use super::images::RunImages;
use crate::bank::BANK_FILE;

const IDX_IMAGES: &str = "train-images-idx3-ubyte";
const IDX_LABELS: &str = "train-labels-idx1-ubyte";

/// The formats that synthetic images can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyntheticFormat {
    /// PNG files, one folder for each of the teacher's classes, as a recipe's `data.name = "folder"` takes
    /// them.
    Folder,
    /// The two files of MNIST's training split, for grey images.
    Idx,
    /// The bank as it is: with the teacher's logits, and what is beyond the range of pixels.
    Bank,
}

/// Images that were written.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WrittenImages {
    /// The number of images.
    pub images: usize,
    /// The shape of each.
    pub shape: ImageShape,
    /// The classes, and how many images each has.
    pub classes: Vec<(String, u64)>,
    /// The share of pixels that were beyond what a pixel can be and are cut; a bank keeps them.
    pub cut_share: f64,
}

impl RunImages {
    /// Writes the images to a new folder.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a format that cannot hold them, before anything is written; [`Error::Input`] if
    /// the folder is not empty.
    pub fn write(&self, format: SyntheticFormat, out: &Path) -> Result<WrittenImages> {
        let pixels = self.pixels()?;
        check(format, &pixels)?;
        let names = self.names();
        let folders = class_folders(&names);
        write_folder(out, |folder| match format {
            SyntheticFormat::Folder => write_image_folder(&pixels, folder, &folders),
            SyntheticFormat::Idx => {
                write_idx(&pixels, &folder.join(IDX_IMAGES), &folder.join(IDX_LABELS))
            }
            SyntheticFormat::Bank => self.bank().write(&folder.join(BANK_FILE)),
        })?;
        let counts = self.measures().histogram().to_vec();
        Ok(WrittenImages {
            images: pixels.len(),
            shape: pixels.shape(),
            classes: names.into_iter().zip(counts).collect(),
            cut_share: self.cut_share()?,
        })
    }
}

/// Whether the format can hold the images.
fn check(format: SyntheticFormat, pixels: &Dataset) -> Result<()> {
    let channels = pixels.shape().channels;
    let refused = |problem: String| Err(Error::config("format", problem));
    match format {
        SyntheticFormat::Idx if channels != 1 => refused(format!(
            "cannot be `idx`, which has no colour, and the images have {channels} channels; use `folder`"
        )),
        SyntheticFormat::Folder if !matches!(channels, 1 | 3) => refused(format!(
            "cannot be `folder`, whose PNG files are grey or in colour, and the images have {channels} \
             channels; use `bank`"
        )),
        _ => Ok(()),
    }
}
