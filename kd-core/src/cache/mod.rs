//! Caches: a frozen network's outputs and maps by sample and view, in a file or in memory.
//!
//! A frozen teacher says the same of the same view every time, so it is asked once. This module knows nothing
//! of networks: it keeps rows of numbers, and says by hash what they are of.
//!
//! ```text
//! 0   8   "KDCACHE\0"
//! 8   4   version of the format
//! 12  4   zero
//! 16  8   length of the description in bytes
//! 24  32  SHA-256 of the description
//! 56  4   CRC-32 of the 56 bytes before
//! 60  4   zero
//! 64      the description, JSON: teacher, data, views by hash; names and shapes of what is kept; f32 or f16
//! ...     rows, all of one length: by view, then by the position of the sample among the ascending ids
//!
//! row     for each field: its numbers, then the CRC-32 of description, row, place in the row, and numbers
//! ```
//!
//! All numbers are little endian. Each checksum is compared whenever its numbers are read, so that damage, or
//! a row in another row's place, is an error and never a wrong answer. A file that is being built has another
//! name, `FILE.partial`, and the same form; what of it is done is seen from its own checksums, so that there
//! is no count to keep in step with the rows, and a kill at any moment costs at most the rows that were not
//! on the disk yet.
//!
//! Rows are read by positioned reads and not through a memory map: mapping needs `unsafe`, a mapped file that
//! is cut meanwhile kills the process, and mapped pages count as memory of the process. The system keeps what
//! is read often either way. Both building and reading hold one block of rows, whatever the size of the file.

pub(crate) mod build;
pub(crate) mod cells;
pub(crate) mod checksum;
pub(crate) mod description;
pub(crate) mod file;
pub(crate) mod header;
pub(crate) mod read;
pub(crate) mod reader;
pub(crate) mod room;
pub(crate) mod store;
pub(crate) mod write;

pub use build::build_cache;
pub use description::{CacheDescription, CacheDtype, CacheField, CachedData};
pub use read::Cache;
pub use reader::CacheReader;
pub use store::{Store, StoreBuild, StoreRows, store_bytes};
pub use write::{CacheWriter, partial_path};
