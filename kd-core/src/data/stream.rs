//! Reading a file, plain or gzipped, without trusting it.

use std::fs::File;
use std::io::{BufReader, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::data::folder::most_bytes;
use crate::error::{Error, Result};

/// A file that is read from front to back, and knows where it is when something is wrong.
///
/// Memory grows with what was really read, never with what a header promises.
pub(crate) struct Stream {
    path: PathBuf,
    offset: u64,
    gzipped: bool,
    reader: Box<dyn Read>,
}

impl Stream {
    /// Opens `path`; whether it is gzipped is seen from its first bytes, not from its name.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| not_opened(path, error))?;
        Self::new(path, BufReader::with_capacity(1 << 16, file))
    }

    /// Reads `bytes`, which were made of the file `path`.
    pub(crate) fn of(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        Self::new(path, Cursor::new(bytes))
    }

    /// Reads `bytes`, which are shown as `path` in errors.
    pub(crate) fn embedded(path: &str, bytes: &'static [u8]) -> Result<Self> {
        Self::new(Path::new(path), Cursor::new(bytes))
    }

    fn new(path: &Path, mut reader: impl Read + 'static) -> Result<Self> {
        let mut head = Vec::new();
        reader
            .by_ref()
            .take(2)
            .read_to_end(&mut head)
            .map_err(Error::io("read", path))?;
        let gzipped = head == [0x1f, 0x8b];
        let whole = Cursor::new(head).chain(reader);
        let reader: Box<dyn Read> = if gzipped {
            Box::new(MultiGzDecoder::new(whole))
        } else {
            Box::new(whole)
        };
        Ok(Self {
            path: path.to_owned(),
            offset: 0,
            gzipped,
            reader,
        })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next byte is, in the decompressed file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next `count` bytes, which are said to hold `what`.
    pub(crate) fn bytes(&mut self, count: u64, what: &str) -> Result<Vec<u8>> {
        let bytes = self.up_to(count)?;
        let found = bytes.len() as u64;
        if found < count {
            let problem =
                format!("the file ends {found} bytes into {what}, which should have {count}");
            return Err(self.bad_at(self.offset, problem, TRUNCATED));
        }
        Ok(bytes)
    }

    /// The next bytes, at most `count`, fewer only at the end of the file.
    pub(crate) fn up_to(&mut self, count: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // A gzip stream can be a thousand times its file.
        let room = most_bytes().saturating_sub(self.offset);
        let taken = count.min(room.saturating_add(1));
        let outcome = self.reader.by_ref().take(taken).read_to_end(&mut bytes);
        self.offset += bytes.len() as u64;
        if bytes.len() as u64 > room {
            let problem = "more bytes follow than memory is used for".to_owned();
            return Err(self.bad_at(self.offset, problem, "give a part of the data"));
        }
        match outcome {
            Ok(_) => Ok(bytes),
            Err(error) if self.gzipped && is_bad_gzip(&error) => {
                let problem = match error.kind() {
                    ErrorKind::UnexpectedEof => "the gzip stream ends early".to_owned(),
                    _ => format!("the gzip stream is damaged ({error})"),
                };
                Err(self.bad_at(
                    self.offset,
                    problem,
                    "download the file again, or unpack it with gzip to see more",
                ))
            }
            Err(error) => Err(Error::io("read", &self.path)(error)),
        }
    }

    /// The next four bytes as a big-endian number.
    pub(crate) fn big_endian(&mut self, what: &str) -> Result<u32> {
        let bytes = self.bytes(4, what)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// Checks that nothing follows; this also makes a gzip stream check its own checksum.
    pub(crate) fn end(&mut self, remedy: &str) -> Result<()> {
        let here = self.offset;
        if self.up_to(1)?.is_empty() {
            return Ok(());
        }
        Err(self.bad_at(
            here,
            "more bytes follow where the file should end".into(),
            remedy,
        ))
    }

    /// An error about the byte at `offset` of this file.
    pub(crate) fn bad_at(&self, offset: u64, problem: String, remedy: &str) -> Error {
        Error::BadFile {
            path: self.path.clone(),
            offset,
            problem,
            remedy: remedy.to_owned(),
        }
    }
}

const TRUNCATED: &str = "the file is truncated: download it again";

/// The error for a file that cannot be opened: missing, or there but unreadable.
pub(super) fn not_opened(path: &Path, error: std::io::Error) -> Error {
    if error.kind() != ErrorKind::NotFound {
        return Error::io("read", path)(error);
    }
    let shown =
        |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let folder = path.parent().unwrap_or(Path::new(""));
    Error::DataMissing {
        name: shown(folder.file_name()),
        missing: format!("`{}`", shown(path.file_name())),
        looked_in: format!("`{}`", folder.display()),
        remedy: "check the path, or put the file there".into(),
    }
}

fn is_bad_gzip(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof
    )
}
