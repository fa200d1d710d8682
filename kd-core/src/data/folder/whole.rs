//! Completeness of image files, as far as their formats tell.
//!
//! Decoders forgive much: a JPEG that was cut off comes out with a grey rest, and a PNG chunk with a wrong
//! checksum may be left out. For training data either is a silent mistake.

use std::borrow::Cow;

use flate2::Crc;
use image::ImageFormat;

/// Where something is wrong, and what.
pub(super) type Flaw = (usize, String);

/// Looks for the end of the image, and at the checksums where the format has them.
pub(super) fn check(format: ImageFormat, bytes: &[u8]) -> Result<(), Flaw> {
    match format {
        ImageFormat::Png => png(bytes),
        ImageFormat::Jpeg => jpeg(bytes),
        ImageFormat::WebP => webp(bytes),
        _ => Ok(()),
    }
}

/// Checks the checksum of every chunk up to the last, `IEND`.
fn png(bytes: &[u8]) -> Result<(), Flaw> {
    let mut at = 8;
    loop {
        let cut = || {
            (
                bytes.len(),
                "the file ends before the end of the image".to_owned(),
            )
        };
        let rest = bytes.get(at..).ok_or_else(cut)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| cut())?;
        let (chunk, rest) = rest
            .split_at_checked(length.saturating_add(4))
            .ok_or_else(cut)?;
        let found = rest.first_chunk::<4>().ok_or_else(cut)?;
        let mut crc = Crc::new();
        crc.update(chunk);
        let name = chunk.get(..4).unwrap_or_default();
        if crc.sum() != u32::from_be_bytes(*found) {
            let problem = format!("the checksum of chunk `{}` is wrong", name.escape_ascii());
            return Err((at, problem));
        }
        if name == b"IEND" {
            return Ok(());
        }
        at = at.saturating_add(length).saturating_add(12);
    }
}

/// A PNG without its texts and its colour profile, which are compressed by themselves, so that a small file
/// may hold ones that fill the memory; pixels do not depend on them. `bytes` are those of a whole file.
pub(super) fn without_texts(bytes: &[u8]) -> Cow<'_, [u8]> {
    const TEXTS: [&[u8]; 4] = [b"iCCP", b"zTXt", b"iTXt", b"tEXt"];
    let chunks = || Chunks { bytes, at: 8 };
    if !chunks().any(|(name, _)| TEXTS.contains(&name)) {
        return Cow::Borrowed(bytes);
    }
    let mut out = bytes.get(..8).unwrap_or_default().to_vec();
    for (_, chunk) in chunks().filter(|(name, _)| !TEXTS.contains(name)) {
        out.extend_from_slice(chunk);
    }
    Cow::Owned(out)
}

/// The chunks of a PNG, each with its name.
struct Chunks<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..)?;
        let length = usize::try_from(u32::from_be_bytes(*rest.first_chunk::<4>()?)).ok()?;
        let whole = length.checked_add(12)?;
        self.at = self.at.checked_add(whole)?;
        Some((rest.get(4..8)?, rest.get(..whole)?))
    }
}

/// Goes from marker to marker up to the one that ends the image. (Markers of a thumbnail are inside a
/// segment.)
fn jpeg(bytes: &[u8]) -> Result<(), Flaw> {
    const END_OF_IMAGE: u8 = 0xd9;
    let mut at = 2;
    loop {
        let cut = || {
            (
                bytes.len(),
                "the file ends before the end of the image".to_owned(),
            )
        };
        // In compressed data 0xff is followed by 0, by a restart marker, or by a true marker.
        let rest = bytes.get(at..).ok_or_else(cut)?;
        let marker = rest
            .windows(2)
            .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff | 0x01 | 0xd0..=0xd7));
        at += marker.ok_or_else(cut)?;
        if bytes.get(at + 1) == Some(&END_OF_IMAGE) {
            return Ok(());
        }
        at += 2;
        let length = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>());
        at += usize::from(u16::from_be_bytes(*length.ok_or_else(cut)?));
    }
}

/// Compares the size that the header tells with that of the file.
fn webp(bytes: &[u8]) -> Result<(), Flaw> {
    let size = bytes.get(4..).and_then(|rest| rest.first_chunk::<4>());
    let size = size.map_or(u64::MAX, |size| u64::from(u32::from_le_bytes(*size)));
    if bytes.len() as u64 >= size.saturating_add(8) {
        return Ok(());
    }
    Err((
        bytes.len(),
        "the file ends before the end of the image".to_owned(),
    ))
}
