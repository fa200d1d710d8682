//! Reading a file at a place.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::error::{Error, Result};

/// Fills `bytes` from `offset` on, without moving the place where others read or write.
pub(super) fn read_at(file: &File, path: &Path, bytes: &mut [u8], offset: u64) -> Result<()> {
    read_exact_at(file, bytes, offset).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => Error::BadFile {
            path: path.to_owned(),
            offset,
            problem: format!("the file ends where {} more bytes should be", bytes.len()),
            remedy: REMEDY.into(),
        },
        _ => Error::io("read", path)(error),
    })
}

/// What helps a cache that is not whole.
pub(super) const REMEDY: &str = "the file is damaged: remove it to have it built again";

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        match file.seek_read(bytes, offset) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                bytes = &mut bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
