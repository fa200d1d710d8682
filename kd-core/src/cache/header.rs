//! The header of a cache file: the bytes before the rows.

use std::fs::File;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::cache::checksum::crc;
use crate::cache::description::CacheDescription;
use crate::cache::file::{REMEDY, read_at};
use crate::error::{Error, Result};

/// The version of the format, which a file of another version is refused by.
const CACHE_FORMAT: u32 = 1;
const MAGIC: &[u8; 8] = b"KDCACHE\0";
/// Bytes before the description.
const FIXED: usize = 64;
/// A description is a few hundred bytes; one that claims more than this is none.
const MOST: u64 = 1 << 20;

/// What the rows must know of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    /// The beginning of the hash of the description, which enters every checksum.
    pub(super) bytes: [u8; 8],
    /// Where the rows begin.
    pub(super) rows_at: u64,
}

impl CacheDescription {
    /// The size of the whole file in bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Method`] if the description cannot be written out.
    pub fn file_bytes(&self) -> Result<u64> {
        let (header, _) = encode(self)?;
        Ok(header.len() as u64 + self.rows() * self.row_bytes())
    }
}

/// The whole header of a file of this description.
pub(super) fn encode(description: &CacheDescription) -> Result<(Vec<u8>, Seal)> {
    let json =
        serde_json::to_vec(description).map_err(|error| Error::method("cache header", error))?;
    let digest = Sha256::digest(&json);
    let mut bytes = Vec::with_capacity(FIXED + json.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&CACHE_FORMAT.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(json.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&digest);
    bytes.extend_from_slice(&crc(&[&bytes]).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&json);
    let seal = seal(&digest, bytes.len() as u64);
    Ok((bytes, seal))
}

/// Reads and checks the header of a file.
pub(super) fn read(file: &File, path: &Path) -> Result<(CacheDescription, Seal)> {
    let bad = |offset: u64, problem: String| Error::BadFile {
        path: path.to_owned(),
        offset,
        problem,
        remedy: REMEDY.into(),
    };
    let mut fixed = [0; FIXED];
    read_at(file, path, &mut fixed, 0)?;
    let (known, rest) = fixed.split_at(56);
    if &fixed[..8] != MAGIC {
        return Err(Error::BadFile {
            path: path.to_owned(),
            offset: 0,
            problem: "is no teacher cache".into(),
            remedy: "give a file that was built as one".into(),
        });
    }
    let version = number(&fixed[8..12]);
    if version != u64::from(CACHE_FORMAT) {
        return Err(Error::BadFile {
            path: path.to_owned(),
            offset: 8,
            problem: format!(
                "the format of the cache is {version}, this kd ({}) reads {CACHE_FORMAT}",
                env!("CARGO_PKG_VERSION")
            ),
            remedy: "remove the file to have it built again".into(),
        });
    }
    if number(&rest[..4]) != u64::from(crc(&[known]))
        || fixed[12..16] != [0; 4]
        || rest[4..] != [0; 4]
    {
        return Err(bad(
            0,
            "the header has another checksum than it says".into(),
        ));
    }
    let length = number(&fixed[16..24]);
    let length = usize::try_from(length.min(MOST + 1)).unwrap_or(usize::MAX);
    if length as u64 > MOST {
        return Err(bad(
            16,
            "the description is said to be longer than any is".into(),
        ));
    }
    let mut json = vec![0; length];
    read_at(file, path, &mut json, FIXED as u64)?;
    let digest = Sha256::digest(&json);
    if digest[..] != fixed[24..56] {
        return Err(bad(
            FIXED as u64,
            "the description has another hash than the header says".into(),
        ));
    }
    let description: CacheDescription = serde_json::from_slice(&json).map_err(|error| {
        bad(
            FIXED as u64,
            format!("the description cannot be read: {error}"),
        )
    })?;
    description.check().map_err(|problem| {
        bad(
            FIXED as u64,
            format!("the description cannot be: {problem}"),
        )
    })?;
    let seal = seal(&digest, (FIXED + length) as u64);
    Ok((description, seal))
}

/// Whether a file begins as a cache does, or would if it went on.
pub(super) fn is_ours(file: &File, path: &Path) -> Result<bool> {
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    let mut magic = [0; 8];
    let there = usize::try_from(length).unwrap_or(8).min(8);
    read_at(file, path, &mut magic[..there], 0)?;
    Ok(magic[..there] == MAGIC[..there])
}

/// Up to eight bytes as a number.
fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn seal(digest: &[u8], rows_at: u64) -> Seal {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    Seal { bytes, rows_at }
}
