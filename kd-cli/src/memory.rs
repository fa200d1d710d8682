//! The memory of the machine.

use kd_core::meminfo;

/// The memory that can be had, where the system says it.
pub(crate) fn available_memory() -> Option<u64> {
    meminfo("MemAvailable:")
}
