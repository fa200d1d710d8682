//! The test for a process that works in a run, which does not touch the run's lock.

use std::path::Path;

/// Whether a process holds the lock `file`, where the system tells.
///
/// To try the lock would tell as well, and keep a run from starting that tries it at the same moment.
#[cfg(target_os = "linux")]
pub(super) fn is_held(file: &Path) -> Option<bool> {
    use std::os::unix::fs::MetadataExt;

    let Ok(metadata) = file.metadata() else {
        return Some(false);
    };
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let ending = format!(":{}", metadata.ino());
    let of_file = |line: &str| line.split_whitespace().any(|word| word.ends_with(&ending));
    Some(locks.lines().any(of_file))
}

/// Whether a process holds the lock, where the system tells.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_held(_file: &Path) -> Option<bool> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_and_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run.lock");
        assert_eq!(is_held(&path), Some(false));
        let file = std::fs::File::create(&path).unwrap();
        assert_eq!(is_held(&path), Some(false));
        file.lock().unwrap();
        assert_eq!(is_held(&path), Some(true));
        drop(file);
        assert_eq!(is_held(&path), Some(false));
    }
}
