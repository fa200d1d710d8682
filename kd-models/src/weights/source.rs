//! Reading a file piece by piece, never more than it holds.

use std::io::Read;
use std::path::Path;

use kd_core::{Error, Result};

/// The remedy of a file that ends early or contradicts itself.
pub(super) const DAMAGED: &str = "the file is damaged or incomplete; copy or download it again";

/// A stream with a known length, of which no piece is longer than what is left.
#[derive(Debug)]
pub(super) struct Source<'a, R> {
    reader: R,
    path: &'a Path,
    /// The member of an archive, as the beginning of a sentence, or empty.
    part: &'static str,
    position: u64,
    length: u64,
}

impl<'a, R: Read> Source<'a, R> {
    pub(super) fn new(reader: R, path: &'a Path, part: &'static str, length: u64) -> Self {
        Self {
            reader,
            path,
            part,
            position: 0,
            length,
        }
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> u64 {
        self.length - self.position
    }

    /// The error for what is wrong just before this place.
    pub(super) fn bad(&self, problem: impl AsRef<str>, remedy: impl Into<String>) -> Error {
        Error::BadFile {
            path: self.path.to_owned(),
            offset: self.position,
            problem: format!("{}{}", self.part, problem.as_ref()),
            remedy: remedy.into(),
        }
    }

    /// The error of a file that ends early or contradicts itself.
    pub(super) fn damaged(&self, problem: impl AsRef<str>) -> Error {
        self.bad(problem, DAMAGED)
    }

    /// The next `count` bytes; an error before anything is allocated if there are fewer.
    pub(super) fn take(&mut self, count: u64) -> Result<Vec<u8>> {
        let left = self.left();
        let size = usize::try_from(count).ok().filter(|_| count <= left);
        let Some(size) = size else {
            return Err(self.damaged(format!("{count} bytes are announced, {left} are left")));
        };
        let mut bytes = vec![0; size];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        if (N as u64) > self.left() {
            return Err(self.damaged("it ends in the middle"));
        }
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// Text up to the next line feed, which is dropped.
    pub(super) fn line(&mut self) -> Result<String> {
        let mut bytes = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => break,
                _ if bytes.len() >= 1000 => {
                    return Err(self.damaged("a name is longer than 1000 bytes"));
                }
                byte => bytes.push(byte),
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Passes over `count` bytes.
    pub(super) fn skip(&mut self, count: u64) -> Result<()> {
        let left = self.left();
        if count > left {
            return Err(self.damaged(format!("{count} bytes are announced, {left} are left")));
        }
        let copied = std::io::copy(&mut self.reader.by_ref().take(count), &mut std::io::sink())
            .map_err(Error::io("read", self.path))?;
        self.position += copied;
        if copied < count {
            return Err(self.damaged("it ends in the middle"));
        }
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.reader
            .read_exact(bytes)
            .map_err(Error::io("read", self.path))?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}
