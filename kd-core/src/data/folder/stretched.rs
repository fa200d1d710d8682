//! Images of any size for a network of masks, and the masks that it makes of them.

use std::io::Cursor;
use std::path::Path;

use image::{GrayImage, ImageFormat};

use crate::data::folder::decode::decode_image;
use crate::data::folder::resize::{Pixels, stretch, stretch_nearest};
use crate::data::shape::ImageShape;
use crate::error::{Error, Result};
use crate::network::tensor_files::write_atomically;

/// Images that were brought to one size, whatever their own was.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StretchedImages {
    /// `[images, channels, height, width]`, 0 to 255.
    pub pixels: Vec<u8>,
    /// Height and width of each before.
    pub sizes: Vec<[usize; 2]>,
}

/// Reads images by their paths, each stretched to `shape` as those of [`MaskFolder`](crate::MaskFolder) are.
///
/// # Errors
///
/// [`Error::BadFile`] for the first file that is not an image, damaged, cut off, or larger than 100
/// megapixels.
pub fn read_stretched<P: AsRef<Path>>(paths: &[P], shape: ImageShape) -> Result<StretchedImages> {
    let mut pixels = vec![0; paths.len() * shape.bytes()];
    let mut sizes = Vec::new();
    for (path, place) in paths.iter().zip(pixels.chunks_exact_mut(shape.bytes())) {
        let image = decode_image(path.as_ref(), shape.channels)?;
        stretch(&image, [shape.height, shape.width], place);
        sizes.push([image.height as usize, image.width as usize]);
    }
    Ok(StretchedImages { pixels, sizes })
}

/// Writes a mask of `size`, a number for each pixel, as a grey PNG of height and width `to`: each pixel is
/// the one that its centre lies in.
///
/// # Errors
///
/// [`Error::Shape`] if there are more or fewer numbers than pixels, [`Error::Io`] if the file cannot be
/// written.
pub fn write_mask(path: &Path, classes: &[u8], size: [usize; 2], to: [usize; 2]) -> Result<()> {
    let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    let wrong = || Error::Shape {
        what: format!("mask `{}`", path.display()),
        expected: format!(
            "{} numbers for {}x{} pixels",
            size[0] * size[1],
            size[0],
            size[1]
        ),
        found: classes.len().to_string(),
        remedy: "give one for each pixel".into(),
    };
    if classes.len() != size[0] * size[1] {
        return Err(wrong());
    }
    let mask = Pixels {
        bytes: classes.to_vec(),
        channels: 1,
        height: side(size[0]),
        width: side(size[1]),
    };
    let mut out = vec![0; to[0] * to[1]];
    stretch_nearest(&mask, to, &mut out);
    let image = GrayImage::from_raw(side(to[1]), side(to[0]), out).ok_or_else(wrong)?;
    let mut bytes = Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|error| Error::method("the mask", error))?;
    write_atomically(path, bytes.get_ref())
}
