//! Files of many megabytes, read and written in blocks, so that the time that is left can be told.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use crate::counted_work::{CountedWork, tell_counted};
use crate::error::{Error, Result};

/// A file of fewer bytes is read and written before anybody asks how long it takes.
const LARGE: u64 = 64 << 20;
/// The bytes between two tellings.
const BLOCK: u64 = 16 << 20;

/// How far a file is, told while it is read or written.
#[derive(Debug)]
pub struct FileProgress {
    what: String,
    total: u64,
    done: u64,
    told: Option<u64>,
}

impl FileProgress {
    /// Of `total` bytes of the file `path`; `verb` says what is done with it, as "reading".
    ///
    /// ```
    /// use std::path::Path;
    /// use kd_core::{FileProgress, listening};
    /// let tell = || FileProgress::new("reading", Path::new("a/weights.pth"), 100 << 20).add(50 << 20);
    /// listening(|work| assert_eq!(work.to_string(), "reading weights.pth: 50 of 100 MiB"), tell);
    /// ```
    pub fn new(verb: &str, path: &Path, total: u64) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str());
        Self {
            what: format!("{verb} {}", name.to_string_lossy()),
            total,
            done: 0,
            told: None,
        }
    }

    /// So many bytes more are done. Nothing is told of a file that is small.
    pub fn add(&mut self, bytes: u64) {
        self.done += bytes;
        let is_due = self.told.is_none_or(|told| self.done - told >= BLOCK);
        if self.total < LARGE || !(is_due || self.done >= self.total) {
            return;
        }
        self.told = Some(self.done);
        tell_counted(CountedWork {
            what: &self.what,
            unit: "MiB",
            done: self.done.min(self.total) >> 20,
            total: self.total >> 20,
        });
    }
}

/// A reader of a file that tells how far it is, as it lies on the disk.
#[derive(Debug)]
pub struct CountedFile {
    file: File,
    progress: FileProgress,
}

impl CountedFile {
    /// Opens the file `path`.
    ///
    /// # Errors
    ///
    /// If it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let progress = FileProgress::new("reading", path, length);
        Ok(Self { file, progress })
    }

    /// The length of the file when it was opened.
    pub fn length(&self) -> u64 {
        self.progress.total
    }
}

impl Read for CountedFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(bytes)?;
        self.progress.add(read as u64);
        Ok(read)
    }
}

/// All bytes of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    CountedFile::open(path)
        .and_then(|mut file| {
            bytes.try_reserve_exact(usize::try_from(file.length()).unwrap_or(0))?;
            file.read_to_end(&mut bytes)
        })
        .map_err(Error::io("read", path))?;
    Ok(bytes)
}

/// Writes `bytes` to `file`, which will be the file `path`, and waits until they are on the disk. Of many
/// each block is waited for, as it is the disk that takes its time.
pub(super) fn write(file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    if (bytes.len() as u64) < LARGE {
        file.write_all(bytes)?;
        return file.sync_all();
    }
    let mut progress = FileProgress::new("writing", path, bytes.len() as u64);
    for block in bytes.chunks(usize::try_from(LARGE).unwrap_or(usize::MAX)) {
        progress.add(0);
        file.write_all(block)?;
        file.sync_data()?;
        progress.add(block.len() as u64);
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::counted_work::listening;

    /// What is told while `work` is done.
    fn told(work: impl FnOnce()) -> Vec<String> {
        let told = Rc::new(RefCell::new(Vec::new()));
        let hear = Rc::clone(&told);
        listening(move |work| hear.borrow_mut().push(work.to_string()), work);
        told.take()
    }

    #[test]
    fn a_large_file_is_told_block_by_block_and_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        let size = usize::try_from(LARGE).unwrap() + (3 << 20) + 7;
        let bytes: Vec<u8> = (0..=250).cycle().take(size).collect();
        let written = told(|| write(&mut File::create(&path).unwrap(), &path, &bytes).unwrap());
        let lines = [0, 64, 67].map(|done| format!("writing weights: {done} of 67 MiB"));
        assert_eq!(written, lines);
        let read = told(|| assert!(read(&path).unwrap() == bytes));
        assert!(read.len() > 3, "{read:?}");
        assert_eq!(read.last().unwrap(), "reading weights: 67 of 67 MiB");
    }

    #[test]
    fn nothing_is_told_of_a_small_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        let work = || {
            write(&mut File::create(&path).unwrap(), &path, &[7; 99]).unwrap();
            assert_eq!(read(&path).unwrap(), [7; 99]);
        };
        assert_eq!(told(work), Vec::<String>::new());
    }
}
