//! The most memory that the process has held.

/// The largest resident size of this process so far, in bytes, where the system tells it (Linux).
pub fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_that_touches_memory_has_held_it() {
        let touched = vec![1_u8; 64 << 20];
        let sum: u64 = touched.iter().map(|&byte| u64::from(byte)).sum();
        assert_eq!(sum, 64 << 20);
        assert!(peak_memory_bytes().is_some_and(|bytes| bytes > 64 << 20));
    }
}
