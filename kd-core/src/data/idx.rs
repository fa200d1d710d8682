//! The IDX format of MNIST and its relatives.

use std::path::Path;

use crate::data::dataset::Dataset;
use crate::data::published::Published;
use crate::data::shape::ImageShape;
use crate::data::split::Split;
use crate::data::stream::Stream;
use crate::error::{Error, Result};
use crate::network::tensor_files::write_atomically;

const IMAGES_MAGIC: u32 = 0x0000_0803;
const LABELS_MAGIC: u32 = 0x0000_0801;

/// Reads a data set of grey images from a pair of IDX files, plain or gzipped.
///
/// Images are `idx3-ubyte` (magic 2051: count, rows, columns, pixels), labels `idx1-ubyte` (magic 2049:
/// count, labels). A gzipped file carries a checksum, which is checked; a plain one carries none: a wrong
/// pixel in it cannot be seen.
///
/// # Errors
///
/// [`Error::DataMissing`] for a file that is not there; [`Error::BadFile`] with the byte offset (in the
/// decompressed file) for a wrong magic number, an unusable image size, a truncated file, trailing bytes, a
/// damaged gzip stream, counts that differ between the two files, or a label that is not below `classes`.
///
/// # References
///
/// Y. Lecun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", file format section.
pub fn read_idx(
    name: impl Into<String>,
    split: Split,
    classes: usize,
    images: &Path,
    labels: &Path,
) -> Result<Dataset> {
    // Both are opened before either is read, so that a missing one is said at once.
    let (images, labels) = (Stream::open(images)?, Stream::open(labels)?);
    let any = Published::default();
    read_streams(name.into(), split, classes, images, labels, any)
}

/// Writes a data set of grey images as a pair of IDX files, plain, as [`read_idx`] reads them. Each appears
/// whole or not at all.
///
/// # Errors
///
/// [`Error::Config`] for masks in place of labels, images in colour or of sides above 65535, and for more
/// than 256 classes, none of which the format holds; [`Error::Io`] if a file cannot be written.
pub fn write_idx(data: &Dataset, images: &Path, labels: &Path) -> Result<()> {
    data.check_labelled()?;
    let shape = data.shape();
    let refused = |what: &str, problem: String| {
        let problem = format!("{problem} in IDX files; write a folder of images instead");
        Err(Error::config(what, problem))
    };
    if shape.channels != 1 {
        let problem = format!("must be grey, not of {} channels,", shape.channels);
        return refused("images", problem);
    }
    let labels_found: std::result::Result<Vec<u8>, _> = data
        .labels()
        .iter()
        .map(|&label| u8::try_from(label))
        .collect();
    let Ok(classes) = labels_found else {
        let problem = format!("must be at most 256, not {},", data.classes());
        return refused("classes", problem);
    };
    let side = |side: usize| u16::try_from(side).map(u32::from);
    let (Ok(height), Ok(width)) = (side(shape.height), side(shape.width)) else {
        let problem = format!("must have sides of at most 65535 pixels, not {shape},");
        return refused("images", problem);
    };
    // A data set has no more samples than 32 bits can number.
    let count = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let file = |head: &[u32], body: &[u8]| -> Vec<u8> {
        let head = head.iter().flat_map(|number| number.to_be_bytes());
        head.chain(body.iter().copied()).collect()
    };
    let pixels = file(&[IMAGES_MAGIC, count, height, width], data.images());
    write_atomically(images, &pixels)?;
    write_atomically(labels, &file(&[LABELS_MAGIC, count], &classes))
}

/// [`read_idx`] with the number of samples that the files should have.
pub(super) fn read_published(
    name: String,
    split: Split,
    classes: usize,
    [images, labels]: [&Path; 2],
    published: Published,
) -> Result<Dataset> {
    let (images, labels) = (Stream::open(images)?, Stream::open(labels)?);
    read_streams(name, split, classes, images, labels, published)
}

/// [`read_idx`] of streams that are already open.
pub(super) fn read_streams(
    name: String,
    split: Split,
    classes: usize,
    mut images: Stream,
    mut labels: Stream,
    published: Published,
) -> Result<Dataset> {
    check_magic(&mut images, IMAGES_MAGIC, "images (idx3-ubyte)")?;
    let image_count = images.big_endian("the image count")?;
    let shape = read_shape(&mut images)?;
    check_magic(&mut labels, LABELS_MAGIC, "labels (idx1-ubyte)")?;
    let label_count = labels.big_endian("the label count")?;
    if image_count != label_count {
        let problem = format!("{label_count} labels, but the image file has {image_count} images");
        return Err(labels.bad_at(4, problem, "use images and labels of the same split"));
    }
    if image_count == 0 {
        return Err(images.bad_at(
            4,
            "the header says that there are 0 images".into(),
            "give a file with samples",
        ));
    }
    let samples = usize::try_from(image_count).unwrap_or(usize::MAX);
    published.check(images.path(), 4, samples)?;
    let start = labels.offset();
    let label_bytes = labels.bytes(u64::from(label_count), "the labels")?;
    labels.end(TOO_LONG)?;
    if let Some(at) = label_bytes
        .iter()
        .position(|label| usize::from(*label) >= classes)
    {
        let problem = format!(
            "label {} of sample {at} is not below {classes}, the number of classes",
            label_bytes[at]
        );
        return Err(labels.bad_at(
            start + at as u64,
            problem,
            "use the label file that belongs to this data set",
        ));
    }
    // At most 2^32 * 2^16 * 2^16, which a u128 holds; `bytes` takes no more than what is really there.
    let wanted = u128::from(image_count) * (shape.bytes() as u128);
    let wanted = u64::try_from(wanted).map_err(|_| {
        images.bad_at(
            4,
            format!("{image_count} images of {shape} fit on no disk"),
            NOT_IDX,
        )
    })?;
    let pixels = images.bytes(wanted, "the pixels")?;
    images.end(TOO_LONG)?;
    Dataset::new(
        name,
        split,
        shape,
        classes,
        pixels,
        label_bytes.into_iter().map(u16::from).collect(),
    )
}

const NOT_IDX: &str = "give an IDX file as the original archive has it, plain or gzipped";
const TOO_LONG: &str = "the header's count does not fit the file: download it again";

fn check_magic(stream: &mut Stream, wanted: u32, what: &str) -> Result<()> {
    let found = stream.big_endian("the magic number")?;
    if found == wanted {
        return Ok(());
    }
    let swapped = match found {
        IMAGES_MAGIC => " (this is an image file)",
        LABELS_MAGIC => " (this is a label file)",
        _ => "",
    };
    let problem = format!("the magic number is {found}{swapped}, {what} have {wanted}");
    Err(stream.bad_at(0, problem, NOT_IDX))
}

fn read_shape(images: &mut Stream) -> Result<ImageShape> {
    let mut side = |what: &'static str| -> Result<usize> {
        let at = images.offset();
        let side = images.big_endian(what)?;
        u16::try_from(side)
            .ok()
            .filter(|side| *side > 0)
            .map(usize::from)
            .ok_or_else(|| -> Error {
                images.bad_at(
                    at,
                    format!("{what} must be 1 to 65535, got {side}"),
                    NOT_IDX,
                )
            })
    };
    Ok(ImageShape::new(
        1,
        side("the number of rows")?,
        side("the number of columns")?,
    ))
}
