//! The checksum of a row's numbers.

use flate2::Crc;

/// Bytes of a checksum.
pub(super) const CRC_BYTES: usize = 4;

/// The CRC-32 of `parts`, one after the other.
pub(super) fn crc(parts: &[&[u8]]) -> u32 {
    let mut crc = Crc::new();
    for part in parts {
        crc.update(part);
    }
    crc.sum()
}
