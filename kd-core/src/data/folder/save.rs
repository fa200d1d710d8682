//! A data set written as a folder of images.

use std::io::Cursor;
use std::path::Path;

use image::{ExtendedColorType, ImageFormat};

use crate::data::dataset::Dataset;
use crate::data::parallel::for_each;
use crate::data::shape::ImageShape;
use crate::error::{Error, Result};

/// What the names of classes are called as folders: as they are, where the folders then stand in the order of
/// the classes, or else each with its number in front.
///
/// A folder of images is read in the order of its folders' names, so that only such names give each class its
/// number back. What cannot be part of a file's name becomes `-`.
///
/// ```
/// use kd_core::class_folders;
/// assert_eq!(class_folders(&["cat", "dog"]), ["cat", "dog"]);
/// assert_eq!(class_folders(&["t-shirt/top", "bag"]), ["0-t-shirt-top", "1-bag"]);
/// ```
pub fn class_folders<Name: AsRef<str>>(names: &[Name]) -> Vec<String> {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    let are_good = names.iter().all(|name| is_good(name));
    if are_good && names.is_sorted_by(|one, next| one < next) {
        return names.iter().map(|&name| name.to_owned()).collect();
    }
    let digits = names.len().saturating_sub(1).to_string().len();
    let numbered = |(number, name): (usize, &&str)| {
        let safe: String = name.chars().map(safe).collect();
        let safe = safe.trim_matches([' ', '.', '-']);
        match safe {
            "" => format!("{number:0digits$}"),
            safe => format!("{number:0digits$}-{safe}"),
        }
    };
    names.iter().enumerate().map(numbered).collect()
}

/// Whether a name can be a folder's on every system.
fn is_good(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && !name.ends_with(['.', ' '])
        && name.chars().all(|c| safe(c) == c)
}

fn safe(character: char) -> char {
    match character {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '-',
        control if control.is_control() => '-',
        other => other,
    }
}

/// Writes a data set as PNG files, `PATH/SPLIT/CLASS/ID.png`, as [`ImageFolder`](crate::ImageFolder) reads
/// them: `folders` are what the classes are called, in the order of the labels.
///
/// The samples of a class keep their order. A class without a sample has no folder, as one without an image
/// would be refused when it is read. [`write_folder`](crate::write_folder) makes all of it appear at once.
///
/// # Errors
///
/// [`Error::Config`] for masks in place of labels, images of other than 1 or 3 channels, or folders that are
/// not one for each class; [`Error::Io`] if a file cannot be written.
pub fn write_image_folder(data: &Dataset, path: &Path, folders: &[String]) -> Result<()> {
    data.check_labelled()?;
    let ImageShape {
        channels,
        height,
        width,
    } = data.shape();
    let colours = match channels {
        1 => ExtendedColorType::L8,
        3 => ExtendedColorType::Rgb8,
        _ => {
            let problem = format!("must have 1 or 3 channels to be written as PNG, got {channels}");
            return Err(Error::config("images", problem));
        }
    };
    if folders.len() != data.classes() {
        let problem = format!(
            "must be one for each of {} classes, got {}",
            data.classes(),
            folders.len()
        );
        return Err(Error::config("folders", problem));
    }
    let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    let (width, height) = (side(width), side(height));
    let split = path.join(data.split().to_string());
    for (label, folder) in (0_u16..).zip(folders) {
        if data.labels().contains(&label) {
            let folder = split.join(folder);
            std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        }
    }
    let digits = data.len().saturating_sub(1).to_string().len();
    let images = data.images().chunks_exact(data.shape().bytes());
    let samples = data.labels().iter().zip(images).enumerate();
    for_each(
        Some("writing images"),
        data.len(),
        samples,
        |(id, (label, planes))| {
            let folder = split.join(&folders[usize::from(*label)]);
            let path = folder.join(format!("{id:0digits$}.png"));
            let plane = planes.len() / channels;
            let pixel = |at: usize| planes[at % channels * plane + at / channels];
            let pixels: Vec<u8> = (0..planes.len()).map(pixel).collect();
            let format = ImageFormat::Png;
            // In memory first: an encoder that is dropped says nothing of a disk that is full.
            let mut file = Cursor::new(Vec::new());
            let encoded =
                image::write_buffer_with_format(&mut file, &pixels, width, height, colours, format);
            encoded.map_err(|error| Error::io("write", &path)(std::io::Error::other(error)))?;
            std::fs::write(&path, file.into_inner()).map_err(Error::io("write", &path))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_keep_the_order_of_the_classes() {
        let sorted = |names: &[&str]| class_folders(names).is_sorted();
        assert_eq!(class_folders(&["b", "a"]), ["0-b", "1-a"]);
        assert_eq!(class_folders(&["a", "a"]), ["0-a", "1-a"]);
        assert_eq!(class_folders(&["", "..", "con:x"]), ["0", "1", "2-con-x"]);
        let many: Vec<String> = (0..101).map(|class| class.to_string()).collect();
        assert_eq!(class_folders(&many)[7], "007-7");
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(sorted(&many) && sorted(&["z", "y", "x"]));
    }
}
