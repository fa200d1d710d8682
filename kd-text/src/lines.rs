//! Files of text, plain or gzipped, checked to be UTF-8.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use kd_core::{CountedFile, Error, Result, memory_limit};

/// The most bytes of one file.
const MOST_BYTES: u64 = 4 << 30;
/// The most bytes of text for each byte of a gzipped file, and beside them; texts are packed to a third or
/// less, tables of few words to a twentieth.
const MOST_RATIO: u64 = 64;
const BESIDE: u64 = 1 << 20;

/// The whole text of a file; one whose first bytes are those of gzip is unpacked.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let mut head = Vec::new();
    let opened = File::open(path).and_then(|file| file.take(2).read_to_end(&mut head));
    opened.map_err(Error::io("read", path))?;
    let file = CountedFile::open(path).map_err(Error::io("read", path))?;
    let packed = file.length();
    let reader = BufReader::new(file);
    let mut bytes = Vec::new();
    let mut most = memory_limit().map_or(MOST_BYTES, |memory| MOST_BYTES.min(memory / 2));
    let read = if head == [0x1f, 0x8b] {
        most = most.min(packed.saturating_mul(MOST_RATIO).saturating_add(BESIDE));
        let unpacked = MultiGzDecoder::new(reader)
            .take(most + 1)
            .read_to_end(&mut bytes);
        unpacked.map_err(|error| input(path, format!("cannot be unpacked: {error}")))
    } else {
        let read = reader.take(most + 1).read_to_end(&mut bytes);
        read.map_err(Error::io("read", path))
    };
    if read? as u64 > most {
        let problem = format!("has more than {most} bytes of text; use a part of it, or unpack it");
        return Err(input(path, problem));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let lines = error.as_bytes()[..valid].split(|&byte| byte == b'\n');
        let line = lines.count();
        let problem = format!(
            "is not UTF-8: byte {valid}, in line {line}, belongs to no character; save the file as UTF-8"
        );
        input(path, problem)
    })?;
    // A mark that some editors put in front.
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// An error about a file or a folder.
pub(crate) fn input(path: &Path, problem: impl Into<String>) -> Error {
    Error::Input {
        path: path.to_owned(),
        problem: problem.into(),
    }
}
