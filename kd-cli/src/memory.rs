//! The memory of the machine.

/// A number of `/proc/meminfo`, in bytes; nothing where the system has no such file.
pub(crate) fn meminfo(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// The memory that can be had, where the system says it.
pub(crate) fn available_memory() -> Option<u64> {
    meminfo("MemAvailable:")
}
