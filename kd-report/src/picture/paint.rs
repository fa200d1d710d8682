//! Parts of the pictures of images: colours, distances, sizes, and the ways from pixels to an image and to a
//! file.

use std::io::Cursor;

use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};

use crate::{Error, Result};

pub(super) const INK: Rgb<u8> = Rgb([34, 34, 34]);
pub(super) const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
/// The free rim, and the room between two images.
pub(super) const RIM: u32 = 16;
pub(super) const GAP: u32 = 8;
const LONGEST_SIDE: usize = 4096;

/// Checks the height and width of images.
pub(super) fn check_size(size: [usize; 2]) -> Result<[u32; 2]> {
    let sides = 1..=LONGEST_SIDE;
    let [Ok(height), Ok(width)] = size.map(u32::try_from) else {
        return Err(bad_size(size));
    };
    if !size.iter().all(|side| sides.contains(side)) {
        return Err(bad_size(size));
    }
    Ok([height, width])
}

fn bad_size([height, width]: [usize; 2]) -> Error {
    Error::Config {
        field: "size",
        problem: format!("must be 1 to {LONGEST_SIDE} pixels a side, got {height}x{width}"),
    }
}

/// The image of `pixels`, `[channels, height, width]` from 0 to 255, grey or red, green and blue; `of` names
/// the picture.
pub(super) fn image(pixels: &[u8], [height, width]: [u32; 2], of: &str) -> Result<RgbImage> {
    let plane = (height * width) as usize;
    if pixels.len() != plane && pixels.len() != 3 * plane {
        return Err(Error::Length {
            what: format!("an image of {of}"),
            expected: 3 * plane,
            found: pixels.len(),
            remedy: format!("give one or three channels of {height}x{width} pixels"),
        });
    }
    let channel = |channel: usize, at: usize| pixels[(channel * plane + at) % pixels.len()];
    Ok(RgbImage::from_fn(width, height, |x, y| {
        let at = (y * width + x) as usize;
        Rgb([0, 1, 2].map(|of| channel(of, at)))
    }))
}

/// The height and width in which images of `size` are shown where `wanted` pixels are a good width.
pub(super) fn cell([height, width]: [u32; 2], wanted: u32) -> [u32; 2] {
    if width > wanted {
        return [(height * wanted / width).max(1), wanted];
    }
    let factor = (wanted / width).max(1);
    [height * factor, width * factor]
}

/// The image in the size that it is shown in: larger by the nearest pixel, smaller by `filter`.
pub(super) fn scaled(image: &RgbImage, [height, width]: [u32; 2], filter: FilterType) -> RgbImage {
    let filter = if width > image.width() {
        FilterType::Nearest
    } else {
        filter
    };
    imageops::resize(image, width, height, filter)
}

/// The image of `pixels`, `[channels, height, width]`, as a PNG file, with no side above `longest` pixels.
pub(crate) fn thumbnail(pixels: &[u8], size: [usize; 2], longest: u32) -> Result<Vec<u8>> {
    const WHAT: &str = "an image of a page";
    let [height, width] = check_size(size)?;
    let picture = image(pixels, [height, width], "a page")?;
    let side = height.max(width);
    if side <= longest {
        return png(&picture, WHAT);
    }
    let part = |of: u32| (of * longest / side).max(1);
    let small = scaled(&picture, [part(height), part(width)], FilterType::Triangle);
    png(&small, WHAT)
}

/// The picture as a PNG file; `of` names it.
pub(super) fn png(picture: &RgbImage, of: &str) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let encoded = picture.write_to(&mut bytes, ImageFormat::Png);
    encoded.map_err(|error| Error::Draw {
        title: of.into(),
        problem: error.to_string(),
    })?;
    Ok(bytes.into_inner())
}

pub(super) fn no_images(of: &str) -> Error {
    Error::NoValues {
        what: of.into(),
        remedy: "give at least one image".into(),
    }
}

/// Rows and columns are few.
pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
