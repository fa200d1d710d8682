//! The bytes of one variable, plain or compressed, read from front to back.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Numbers of types of data, as the format has them.
pub(super) mod kind {
    pub(crate) const INT8: u32 = 1;
    pub(crate) const UINT8: u32 = 2;
    pub(crate) const INT16: u32 = 3;
    pub(crate) const UINT16: u32 = 4;
    pub(crate) const INT32: u32 = 5;
    pub(crate) const UINT32: u32 = 6;
    pub(crate) const SINGLE: u32 = 7;
    pub(crate) const DOUBLE: u32 = 9;
    pub(crate) const INT64: u32 = 12;
    pub(crate) const UINT64: u32 = 13;
    pub(crate) const MATRIX: u32 = 14;
    pub(crate) const COMPRESSED: u32 = 15;
    pub(crate) const UTF8: u32 = 16;
}

pub(super) const DAMAGED: &str = "the file is damaged: download it again";
pub(super) const TRUNCATED: &str = "the file is truncated: download it again";

/// A number of a file whose byte order its header tells.
pub(super) fn u32_of(bytes: [u8; 4], big_endian: bool) -> u32 {
    if big_endian {
        u32::from_be_bytes(bytes)
    } else {
        u32::from_le_bytes(bytes)
    }
}

/// What precedes data: its type, its length, and the data themselves where they are at most four bytes.
pub(super) struct Tag {
    pub(super) kind: u32,
    pub(super) bytes: u64,
    small: Option<[u8; 4]>,
}

/// The content of one variable. No read goes beyond what its tag allows, and memory grows with what was
/// really read.
pub(super) struct Body<'a> {
    reader: Box<dyn Read + 'a>,
    path: &'a Path,
    /// Where the variable's own tag is in the file.
    start: u64,
    pub(super) big_endian: bool,
    /// The size of the variable in the file where it is compressed.
    compressed: Option<u64>,
    left: u64,
    pending: Vec<u8>,
}

impl<'a> Body<'a> {
    /// The `size` bytes that `reader` gives; `compressed` is their size in the file if `reader` decompresses.
    pub(super) fn new(
        reader: Box<dyn Read + 'a>,
        path: &'a Path,
        start: u64,
        big_endian: bool,
        compressed: Option<u64>,
        size: u64,
    ) -> Self {
        Self {
            reader,
            path,
            start,
            big_endian,
            compressed,
            left: size,
            pending: Vec::new(),
        }
    }

    /// Goes into the one element that a compressed variable consists of.
    pub(super) fn enter(&mut self) -> Result<()> {
        // The element's own tag says how long it is.
        self.left = 8;
        let tag = self.tag("the compressed variable")?;
        if tag.kind != kind::MATRIX || tag.small.is_some() {
            let problem = format!(
                "a compressed element of type {}, where an array (type {}) should be",
                tag.kind,
                kind::MATRIX
            );
            return Err(self.bad(problem, DAMAGED));
        }
        self.left = tag.bytes;
        self.plausible(tag.bytes, "the variable")
    }

    /// Refuses a length that no compressed stream of this size can hold: deflate makes at most 1032 bytes of
    /// one.
    fn plausible(&self, bytes: u64, what: &str) -> Result<()> {
        match self.compressed {
            Some(size) if bytes / 1032 > size => {
                let problem = format!(
                    "{what} should have {bytes} bytes, which {size} compressed bytes cannot hold"
                );
                Err(self.bad(problem, DAMAGED))
            }
            _ => Ok(()),
        }
    }

    /// The next tag; data of at most four bytes come with it.
    pub(super) fn tag(&mut self, what: &str) -> Result<Tag> {
        let word = self.word(what)?;
        let (kind, bytes) = (word & 0xffff, word >> 16);
        if bytes == 0 {
            let bytes = u64::from(self.word(what)?);
            return Ok(Tag {
                kind,
                bytes,
                small: None,
            });
        }
        if bytes > 4 {
            let problem = format!("{what}: a short element of {bytes} bytes, which has at most 4");
            return Err(self.bad(problem, DAMAGED));
        }
        let small = self.four(what)?;
        Ok(Tag {
            kind,
            bytes: u64::from(bytes),
            small: Some(small),
        })
    }

    /// The data after `tag`, of which there may be at most `limit` bytes, without the padding behind them.
    pub(super) fn data(&mut self, tag: &Tag, limit: u64, what: &str) -> Result<Vec<u8>> {
        if tag.bytes > limit {
            let problem = format!(
                "{what} of {} bytes, more than the {limit} that it can have",
                tag.bytes
            );
            return Err(self.bad(problem, DAMAGED));
        }
        let mut data = Vec::new();
        self.blocks(tag, limit.max(1), what, &mut |block| {
            data.extend_from_slice(block);
            Ok(())
        })?;
        Ok(data)
    }

    /// Gives the data after `tag` in blocks of `size` bytes, the last of which may be shorter, and skips the
    /// padding.
    pub(super) fn blocks(
        &mut self,
        tag: &Tag,
        size: u64,
        what: &str,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        if let Some(small) = tag.small {
            let (data, _) = small.split_at(usize::try_from(tag.bytes).unwrap_or(4).min(4));
            return take(data);
        }
        let mut left = tag.bytes;
        while left > 0 {
            let count = left.min(size);
            self.fill(count, what)?;
            take(&self.pending)?;
            left -= count;
        }
        let padding = tag.bytes.next_multiple_of(8) - tag.bytes;
        // MATLAB pads the last element of a variable as well, but not everyone does.
        let padding = padding.min(self.left);
        self.fill(padding, what)
    }

    /// Checks that the variable ends here; this makes a compressed one check its own checksum.
    pub(super) fn end(&mut self) -> Result<()> {
        let mut rest = Vec::new();
        let outcome = self.reader.by_ref().take(1).read_to_end(&mut rest);
        outcome.map_err(|error| self.unread(error))?;
        if self.left == 0 && rest.is_empty() {
            return Ok(());
        }
        Err(self.bad(
            "more data follow where the variable should end".into(),
            DAMAGED,
        ))
    }

    /// The file and the byte at which the variable begins there.
    pub(super) fn place(&self) -> (PathBuf, u64) {
        (self.path.to_owned(), self.start)
    }

    /// An error about the variable.
    pub(super) fn bad(&self, problem: String, remedy: &str) -> Error {
        Error::BadFile {
            path: self.path.to_owned(),
            offset: self.start,
            problem,
            remedy: remedy.to_owned(),
        }
    }

    fn word(&mut self, what: &str) -> Result<u32> {
        let bytes = self.four(what)?;
        Ok(u32_of(bytes, self.big_endian))
    }

    fn four(&mut self, what: &str) -> Result<[u8; 4]> {
        self.fill(4, what)?;
        let mut four = [0; 4];
        four.copy_from_slice(&self.pending);
        Ok(four)
    }

    /// Reads `count` bytes into `pending`.
    fn fill(&mut self, count: u64, what: &str) -> Result<()> {
        self.pending.clear();
        if count > self.left {
            let problem = format!(
                "{what}: {count} more bytes are promised, but its variable ends after {}",
                self.left
            );
            return Err(self.bad(problem, DAMAGED));
        }
        let outcome = self
            .reader
            .by_ref()
            .take(count)
            .read_to_end(&mut self.pending);
        outcome.map_err(|error| self.unread(error))?;
        let found = self.pending.len() as u64;
        self.left -= found;
        if found == count {
            return Ok(());
        }
        let problem = format!("{what}: the data end {} bytes early", count - found);
        Err(self.bad(problem, TRUNCATED))
    }

    fn unread(&self, error: std::io::Error) -> Error {
        match error.kind() {
            _ if self.compressed.is_none() => Error::io("read", self.path)(error),
            ErrorKind::UnexpectedEof => {
                self.bad("the compressed variable ends early".into(), TRUNCATED)
            }
            ErrorKind::InvalidData | ErrorKind::InvalidInput => self.bad(
                format!("the compressed variable is damaged ({error})"),
                DAMAGED,
            ),
            _ => Error::io("read", self.path)(error),
        }
    }
}
