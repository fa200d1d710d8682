//! The room that a disk has for a file, looked at before anything is written.

use std::path::Path;

use crate::cache::write::partial_path;
use crate::error::{Error, Result};
use crate::memory::bytes_in_words;

/// Checks that the disk has room for a cache of `bytes` at `path`, less what was begun of it.
///
/// # Errors
///
/// [`Error::Input`] if it has not. Where the system does not tell, nothing is checked.
pub(crate) fn check_room(path: &Path, bytes: u64) -> Result<()> {
    let begun = std::fs::metadata(partial_path(path)).map_or(0, |about| about.len());
    let needed = bytes.saturating_sub(begun);
    let there = path.ancestors().skip(1).find(|folder| folder.is_dir());
    let Some(free) = free_bytes(there.unwrap_or(Path::new("."))).filter(|free| *free < needed)
    else {
        return Ok(());
    };
    Err(Error::Input {
        path: path.to_owned(),
        problem: format!(
            "would take {} more, and its disk has {} free; keep fewer views or samples, numbers of half the \
             size (`dtype = \"f16\"`), or leave the cache out",
            bytes_in_words(needed),
            bytes_in_words(free)
        ),
    })
}

/// The bytes that may still be written to the disk of a folder.
#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(folder).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn what_no_disk_has_is_refused_and_a_byte_is_not() {
        let folder = tempfile::tempdir().unwrap();
        // Of a folder that is not there yet the disk is that of the next one that is.
        let path = folder.path().join("not/there/yet.kdc");
        check_room(&path, 1).unwrap();
        let error = check_room(&path, 1 << 60).unwrap_err().to_string();
        assert!(
            error.contains("would take 1.0 EiB more, and its disk has"),
            "{error}"
        );
        // What was begun is there already.
        let begun = folder.path().join("begun.kdc");
        std::fs::write(partial_path(&begun), [0; 100]).unwrap();
        check_room(&begun, 100).unwrap();
    }
}
