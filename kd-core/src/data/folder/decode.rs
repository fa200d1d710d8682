//! Decoding one image file into pixels or a mask.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::metadata::Orientation;
use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
};

use crate::data::folder::fit::ImageFit;
use crate::data::folder::resize::{Pixels, resize};
use crate::data::folder::whole;
use crate::error::{Error, Result};
use crate::quiet_panic::catch_quietly;

/// A larger file is no image that anyone trains on.
const MOST_FILE_BYTES: u64 = 256 << 20;
/// A small file may promise an image that fills the memory.
const MOST_PIXELS: u64 = 100_000_000;
/// What a decoder may allocate.
const MOST_ALLOCATED: u64 = 1 << 30;

const REMEDY: &str = "replace the file or remove it";

/// Why a file is no image that can be used, and where.
struct Refusal {
    offset: usize,
    problem: String,
    remedy: &'static str,
}

impl Refusal {
    fn new(problem: impl Into<String>) -> Self {
        Self {
            offset: 0,
            problem: problem.into(),
            remedy: REMEDY,
        }
    }
}

/// Reads the image at `path` into `out`, `[channels, height, width]`.
pub(super) fn decode(path: &Path, fit: &ImageFit, out: &mut [u8]) -> Result<()> {
    read(path, |bytes| {
        let opened = open(bytes)?;
        resize(&upright(opened, fit.shape.channels), fit, out);
        Ok(())
    })
}

/// Reads the image at `path` as it is, in 1 or 3 channels.
pub(in crate::data) fn decode_image(path: &Path, channels: usize) -> Result<Pixels> {
    read(path, |bytes| Ok(upright(open(bytes)?, channels)))
}

/// Reads the mask at `path`: the value of each pixel of a grey image of 8 bits, row by row.
pub(in crate::data) fn decode_mask(path: &Path) -> Result<Pixels> {
    read(path, |bytes| {
        let Opened { image, stored, .. } = open(bytes)?;
        let (height, width) = (image.height(), image.width());
        match image {
            // Fewer bits, or a palette, would be scaled or coloured: other numbers than those in the file.
            DynamicImage::ImageLuma8(image) if stored == ExtendedColorType::L8 => Ok(Pixels {
                bytes: image.into_raw(),
                channels: 1,
                height,
                width,
            }),
            _ => Err(Refusal {
                remedy: "save the number of each pixel's class as its grey value",
                ..Refusal::new(format!(
                    "a mask is a grey image of 8 bits, this one is {stored:?}"
                ))
            }),
        }
    })
}

/// Reads the mask at `path` as numbers: the grey value of each pixel as the file has it, or the number of its
/// colour in the palette. Of equal colours in a palette the first counts.
pub(in crate::data) fn decode_numbers(path: &Path) -> Result<Pixels> {
    read(path, |bytes| {
        let Opened { image, stored, .. } = open(bytes)?;
        let (height, width) = (image.height(), image.width());
        let refused = || Refusal {
            remedy: "save class numbers as grey values or in a palette of 8 bits, or give a colour for each \
                     class",
            ..Refusal::new(format!(
                "a mask of class numbers is a grey image of at most 8 bits or has a palette, this one is \
                 {stored:?}"
            ))
        };
        let step = grey_step(bytes, stored);
        let numbers = match (image, step) {
            (image, 0) if stored == ExtendedColorType::Rgb8 && palette(bytes).is_none() => {
                // Grey that was saved as colours.
                let pixels = image.into_rgb8().into_raw();
                let grey = |pixel: &[u8]| {
                    (pixel[0] == pixel[1] && pixel[1] == pixel[2]).then_some(pixel[0])
                };
                let numbers: Option<Vec<u8>> = pixels.chunks_exact(3).map(grey).collect();
                numbers.ok_or_else(refused)?
            }
            (image, 0) => {
                let palette = palette(bytes).ok_or_else(refused)?;
                let pixels = image.into_rgb8().into_raw();
                let number = |colour: &[u8]| palette.get(colour).copied();
                let numbers: Option<Vec<u8>> = pixels.chunks_exact(3).map(number).collect();
                numbers.ok_or_else(refused)?
            }
            (DynamicImage::ImageLuma8(image), step) => image
                .into_raw()
                .into_iter()
                .map(|value| value / step)
                .collect(),
            _ => return Err(refused()),
        };
        Ok(Pixels {
            bytes: numbers,
            channels: 1,
            height,
            width,
        })
    })
}

/// Reads the mask at `path` as colours.
pub(in crate::data) fn decode_colours(path: &Path) -> Result<Pixels> {
    read(path, |bytes| {
        let Opened { image, .. } = open(bytes)?;
        let (height, width) = (image.height(), image.width());
        Ok(Pixels {
            bytes: image.into_rgb8().into_raw(),
            channels: 3,
            height,
            width,
        })
    })
}

/// What a grey value of a file was multiplied by to fill 8 bits; 0 if it is not grey of at most 8 bits.
fn grey_step(bytes: &[u8], stored: ExtendedColorType) -> u8 {
    // In a PNG the number of bits comes after width and height, and then the kind of image: 0 is grey.
    match (bytes.starts_with(b"\x89PNG"), bytes.get(24), bytes.get(25)) {
        (true, Some(1), Some(0)) => 255,
        (true, Some(2), Some(0)) => 85,
        (true, Some(4), Some(0)) => 17,
        (true, Some(8), Some(0)) => 1,
        (false, ..) if stored == ExtendedColorType::L8 => 1,
        _ => 0,
    }
}

/// The numbers of the colours in the palette of a PNG whose chunks are known to be whole.
fn palette(bytes: &[u8]) -> Option<HashMap<Vec<u8>, u8>> {
    // Width, height and bits come first; 3 is the kind of image whose pixels are numbers of a palette.
    if bytes.get(25) != Some(&3) {
        return None;
    }
    let mut at = 8;
    loop {
        let rest = bytes.get(at..)?;
        let length = usize::try_from(u32::from_be_bytes(*rest.first_chunk::<4>()?)).ok()?;
        if rest.get(4..8)? == b"PLTE" {
            let colours = rest.get(8..8 + length)?.chunks_exact(3);
            let mut numbers = HashMap::new();
            for (number, colour) in (0..=u8::MAX).zip(colours) {
                numbers.entry(colour.to_vec()).or_insert(number);
            }
            return Some(numbers);
        }
        at = at.checked_add(length)?.checked_add(12)?;
    }
}

/// Reads the file at `path` and makes something of its bytes.
fn read<T>(path: &Path, make: impl FnOnce(&[u8]) -> Result<T, Refusal>) -> Result<T> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(Error::io("read", path))?;
    // The decoders are not ours; a mistake in one of them should cost one file, not the process.
    let outcome = catch_quietly(|| make(&bytes));
    let outcome = outcome.unwrap_or_else(|| Err(Refusal::new("the decoder failed on it")));
    outcome.map_err(|refusal| Error::BadFile {
        path: path.to_owned(),
        offset: refusal.offset as u64,
        problem: refusal.problem,
        remedy: refusal.remedy.to_owned(),
    })
}

/// An image as it was stored.
struct Opened {
    image: DynamicImage,
    orientation: Orientation,
    /// The colours and bits that the file has.
    stored: ExtendedColorType,
}

/// Decodes a file that is all there.
fn open(bytes: &[u8]) -> Result<Opened, Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::new("the file is empty"));
    }
    if bytes.len() as u64 > MOST_FILE_BYTES {
        return Err(Refusal::new("the file has more than 256 MiB"));
    }
    let format = image::guess_format(bytes).ok();
    let known = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::WebP,
        ImageFormat::Bmp,
        ImageFormat::Gif,
        ImageFormat::Tiff,
    ];
    let Some(format) = format.filter(|format| known.contains(format)) else {
        return Err(Refusal {
            remedy: "save it as one of them, or remove it",
            ..Refusal::new("this is no PNG, JPEG, WebP, BMP, GIF or TIFF image")
        });
    };
    whole::check(format, bytes).map_err(|(offset, problem)| Refusal {
        offset,
        ..Refusal::new(problem)
    })?;
    match format {
        ImageFormat::Png => open_limited(format, &whole::without_texts(bytes)),
        _ => open_limited(format, bytes),
    }
}

/// Decodes within limits.
fn open_limited(format: ImageFormat, bytes: &[u8]) -> Result<Opened, Refusal> {
    let damaged =
        |error: ImageError| Refusal::new(format!("the image cannot be decoded ({error})"));
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_ALLOCATED);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(Refusal::new("the image has no pixel"));
    }
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(Refusal {
            remedy: "scale it down first",
            ..Refusal::new(format!(
                "the image is {width}x{height} pixels, more than the 100 million that are decoded"
            ))
        });
    }
    limits.reserve(decoder.total_bytes()).map_err(damaged)?;
    decoder.set_limits(limits).map_err(damaged)?;
    let orientation = decoder.orientation().map_err(damaged)?;
    let stored = decoder.original_color_type();
    let image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    Ok(Opened {
        image,
        orientation,
        stored,
    })
}

/// The image with its top at the top, in as many channels as asked for.
fn upright(opened: Opened, channels: usize) -> Pixels {
    let Opened {
        image, orientation, ..
    } = opened;
    let grey = !image.color().has_color();
    let mut image = match (channels, grey) {
        (1, true) => DynamicImage::ImageLuma8(image.into_luma8()),
        _ => DynamicImage::ImageRgb8(image.into_rgb8()),
    };
    image.apply_orientation(orientation);
    let (width, height) = (image.width(), image.height());
    let bytes = image.into_bytes();
    let bytes = match (channels, grey) {
        (1, false) => bytes.as_chunks().0.iter().copied().map(luma).collect(),
        _ => bytes,
    };
    Pixels {
        bytes,
        channels,
        height,
        width,
    }
}

/// The luma of ITU-R 601, to the nearest.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let sum = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue) + 500;
    u8::try_from(sum / 1000).unwrap_or(u8::MAX)
}
