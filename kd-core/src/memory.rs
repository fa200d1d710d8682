//! The memory that a process may have, and the refusal of what asks for more.

use std::path::Path;

use crate::error::{Error, Result};

/// The memory of the machine in bytes, or what the control group of this process may have of it. None where
/// the system does not tell (it does on Linux).
pub fn memory_limit() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_groups = limits(Path::new("/sys/fs/cgroup"), &groups);
    let of_machine = meminfo("MemTotal:");
    of_machine.into_iter().chain(of_groups).min()
}

/// Checks that `bytes`, the least that a setting asks for, are no more than the memory there is. `what` says
/// in words what takes them.
///
/// # Errors
///
/// [`Error::Config`] for `field` if they are more. Where the system does not tell, nothing is checked.
pub fn check_memory(field: &str, what: &str, bytes: u64) -> Result<()> {
    match memory_limit() {
        Some(limit) if bytes > limit => {
            let problem = format!(
                "asks for {} of memory or more, for {what}; there are {}",
                bytes_in_words(bytes),
                bytes_in_words(limit)
            );
            Err(Error::config(field, problem))
        }
        _ => Ok(()),
    }
}

/// A size in the largest unit that leaves a number of 1 or more.
pub(crate) fn bytes_in_words(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut size, mut unit) = (bytes as f64, 0);
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} bytes"),
        _ => format!("{size:.1} {}", UNITS[unit]),
    }
}

/// A number of `/proc/meminfo`, as `MemTotal:`, in bytes; nothing where the system has no such file.
pub fn meminfo(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The limits of the control groups in `groups`, as `/proc/self/cgroup` has them, and of those that they are
/// in. Of both versions; what is no number, such as `max`, is no limit.
fn limits(root: &Path, groups: &str) -> Vec<u64> {
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let place = root.join(group.trim_start_matches('/'));
        let within = place.ancestors().take_while(|at| at.starts_with(&root));
        found.extend(within.filter_map(|at| {
            let text = std::fs::read_to_string(at.join(file)).ok()?;
            text.trim().parse::<u64>().ok()
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_their_unit() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (5 << 40, "5.0 TiB"),
        ] {
            assert_eq!(bytes_in_words(bytes), expected);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_no_machine_has_is_refused_and_a_byte_is_not() {
        assert!(memory_limit().is_some_and(|bytes| bytes > 1 << 20));
        assert!(check_memory("bank.images", "images", 1).is_ok());
        let error = check_memory("bank.images", "images", 1 << 60).unwrap_err();
        let said = "`bank.images` asks for 1.0 EiB of memory or more, for images; there are ";
        assert!(error.to_string().starts_with(said), "{error}");
    }

    #[test]
    fn control_groups_of_both_versions_are_heeded_and_those_around_them() {
        let place = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = place.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("a/b/memory.max", "max\n");
        write("a/memory.max", "3000\n");
        assert_eq!(limits(place.path(), "0::/a/b\n"), [3000]);
        write("memory/c/memory.limit_in_bytes", "2000\n");
        write("memory/memory.limit_in_bytes", "9000\n");
        let groups = "3:cpu:/c\n2:blkio,memory:/c\n0::/none\nnothing\n";
        assert_eq!(limits(place.path(), groups), [2000, 9000]);
    }
}
