//! The header of a MAT file, and the way from one variable to the next.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::ZlibDecoder;

use crate::data::mat::body::{Body, DAMAGED, TRUNCATED, kind, u32_of};
use crate::data::mat::variable::Variable;
use crate::data::stream::not_opened;
use crate::error::{Error, Result};

/// A MAT file that is open at its first variable.
pub(crate) struct MatFile {
    path: PathBuf,
    input: BufReader<File>,
    big_endian: bool,
    /// Where the next variable is.
    next: u64,
    length: u64,
}

const HEADER: usize = 128;
const HDF5: [u8; 8] = *b"\x89HDF\r\n\x1a\n";
const NOT_LEVEL_5: &str =
    "load it where it was made and save it with `save(..., '-v7')` in MATLAB or `scipy.io.savemat`";

impl MatFile {
    /// Opens `path` and reads its header.
    ///
    /// # Errors
    ///
    /// [`Error::DataMissing`] if it is not there; [`Error::BadFile`] for a file of level 4, of version 7.3
    /// (HDF5) or of another kind.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| not_opened(path, error))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        let mut input = BufReader::with_capacity(1 << 16, file);
        let mut header = Vec::new();
        input
            .by_ref()
            .take(HEADER as u64)
            .read_to_end(&mut header)
            .map_err(Error::io("read", path))?;
        let bad = |offset: u64, problem: &str, remedy: &str| Error::BadFile {
            path: path.to_owned(),
            offset,
            problem: problem.to_owned(),
            remedy: remedy.to_owned(),
        };
        if header.starts_with(&HDF5) || header.starts_with(b"MATLAB 7.3 MAT-file") {
            let problem = "this is a MAT file of version 7.3 (HDF5), only level 5 is read";
            return Err(bad(0, problem, NOT_LEVEL_5));
        }
        if header.len() >= 4 && header.iter().take(4).any(|byte| *byte == 0) {
            let problem = "this is a MAT file of level 4 or no MAT file, only level 5 is read";
            return Err(bad(0, problem, NOT_LEVEL_5));
        }
        let Some(&[major, minor, first, second]) = header.get(124..HEADER) else {
            let problem = format!(
                "the file ends {} bytes into the header of {HEADER}",
                header.len()
            );
            return Err(bad(header.len() as u64, &problem, TRUNCATED));
        };
        let (big_endian, version) = match [first, second] {
            [b'I', b'M'] => (false, u16::from_le_bytes([major, minor])),
            [b'M', b'I'] => (true, u16::from_be_bytes([major, minor])),
            _ => {
                let problem = "the header has no byte-order mark, so that this is no MAT file";
                return Err(bad(126, problem, "give the .mat file as it was published"));
            }
        };
        if version != 0x0100 {
            let problem = format!("the header says version {version:#06x}, level 5 has 0x0100");
            return Err(bad(124, &problem, NOT_LEVEL_5));
        }
        Ok(Self {
            path: path.to_owned(),
            input,
            big_endian,
            next: HEADER as u64,
            length,
        })
    }

    /// The next variable; nothing at the end of the file. What was not read of the one before is passed over.
    pub(crate) fn next(&mut self) -> Result<Option<Variable<'_>>> {
        let start = self.next;
        let left = self.length.saturating_sub(start);
        if left == 0 {
            return Ok(None);
        }
        let mut tag = [0; 8];
        let sought = self.input.seek(SeekFrom::Start(start));
        sought.map_err(Error::io("read", &self.path))?;
        if left < tag.len() as u64 {
            let problem = format!("the file ends {left} bytes into the tag of a variable");
            return Err(self.bad(start, problem, TRUNCATED));
        }
        self.input
            .read_exact(&mut tag)
            .map_err(Error::io("read", &self.path))?;
        let [a, b, c, d, e, f, g, h] = tag;
        let found = u32_of([a, b, c, d], self.big_endian);
        let size = u64::from(u32_of([e, f, g, h], self.big_endian));
        if !matches!(found, kind::MATRIX | kind::COMPRESSED) {
            let problem = format!("an element of type {found}, where a variable should begin");
            return Err(self.bad(start, problem, DAMAGED));
        }
        let left = left - tag.len() as u64;
        if size > left {
            let problem = format!("the file ends {left} bytes into a variable of {size}");
            return Err(self.bad(start, problem, TRUNCATED));
        }
        self.next = start + tag.len() as u64 + size;
        let input = self.input.by_ref().take(size);
        let (path, big_endian) = (self.path.as_path(), self.big_endian);
        let body = if found == kind::COMPRESSED {
            let reader = Box::new(ZlibDecoder::new(input));
            let mut body = Body::new(reader, path, start, big_endian, Some(size), 0);
            body.enter()?;
            body
        } else {
            Body::new(Box::new(input), path, start, big_endian, None, size)
        };
        Variable::read(body).map(Some)
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// An error about the byte at `offset` of this file.
    pub(crate) fn bad(&self, offset: u64, problem: String, remedy: &str) -> Error {
        Error::BadFile {
            path: self.path.clone(),
            offset,
            problem,
            remedy: remedy.to_owned(),
        }
    }
}
