//! Writing a cache, from nothing or from what is there of it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use burn::tensor::TensorData;

use crate::cache::cells::Cells;
use crate::cache::description::CacheDescription;
use crate::cache::header;
use crate::cache::read::{Cache, first_damaged};
use crate::error::{Error, Result};
use crate::training::observer::Observer;

/// Where a cache is while it is being built.
pub fn partial_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".partial");
    name.into()
}

/// A cache that is being built, held by one process at a time.
///
/// Rows are appended in order and written at once, so that no more than one block of them is in memory.
#[derive(Debug)]
pub struct CacheWriter {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    description: CacheDescription,
    cells: Cells,
    done: u64,
    /// The block that is being written; kept to be used again.
    block: Vec<u8>,
}

impl CacheWriter {
    /// Begins a cache that will be at `path`, or goes on with one that was begun there for the same
    /// `description`.
    ///
    /// What is there already is read, and kept up to the first row that is not whole.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if another process builds it, [`Error::StaleCache`] if what was begun is of something
    /// else, [`Error::CacheInterrupted`], and [`Error::Io`].
    pub fn open(
        path: &Path,
        description: CacheDescription,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Self> {
        Self::open_free(path, description, observer, stop)?.ok_or_else(|| Error::Input {
            path: path.to_owned(),
            problem: "is being built by another process; wait for it or stop it first".into(),
        })
    }

    /// As [`CacheWriter::open`], but nothing if another process builds it.
    pub(super) fn open_free(
        path: &Path,
        description: CacheDescription,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Option<Self>> {
        let partial = partial_path(path);
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&partial)
            .map_err(Error::io("write", &partial))?;
        // The system lets go of the lock when the process ends, however it ends.
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", &partial)(source)),
        }
        let (description, cells, done) =
            if let Some((found, cells)) = begun(&file, &partial, &description)? {
                let there = cells.rows_there(&file, &partial)?;
                let damaged = first_damaged(&file, &partial, &cells, there, observer, stop)?;
                (found, cells, damaged.map_or(there, |(row, _)| row))
            } else {
                let (bytes, seal) = header::encode(&description)?;
                let cells = Cells::new(&description, seal);
                file.set_len(0)
                    .and_then(|()| file.seek(SeekFrom::Start(0)))
                    .and_then(|_| file.write_all(&bytes))
                    .map_err(Error::io("write", &partial))?;
                (description, cells, 0)
            };
        file.set_len(cells.row_at(done))
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .map_err(Error::io("write", &partial))?;
        Ok(Some(Self {
            path: path.to_owned(),
            partial,
            file,
            description,
            cells,
            done,
            block: Vec::new(),
        }))
    }

    /// Gives up what was begun after another process had finished.
    pub(super) fn abandon(self) -> Result<()> {
        match std::fs::remove_file(&self.partial) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &self.partial)(error))
            }
            _ => Ok(()),
        }
    }

    /// What it will hold.
    pub fn description(&self) -> &CacheDescription {
        &self.description
    }

    /// Rows that are done.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Rows in all.
    pub fn rows(&self) -> u64 {
        self.cells.rows()
    }

    /// Appends the next rows: for each field of the description the numbers of all of them, `[rows, ...]`.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if the fields are not those of the description, all with equally many rows that still
    /// have place; [`Error::Input`] for a number that is not finite, or too large for half precision;
    /// [`Error::Io`].
    pub fn append(&mut self, fields: &[TensorData]) -> Result<()> {
        let rows = self.check(fields)?;
        let fields: Vec<Vec<f32>> = fields
            .iter()
            .map(|data| data.iter::<f32>().collect())
            .collect();
        self.block.clear();
        for row in 0..rows {
            for (field, all) in fields.iter().enumerate() {
                let count = self.cells.numbers(field);
                let numbers = &all[row * count..(row + 1) * count];
                let here = self.done + row as u64;
                self.cells
                    .encode(&mut self.block, here, field, numbers)
                    .map_err(|number| self.cannot_keep(here, field, number))?;
            }
        }
        self.file
            .write_all(&self.block)
            .map_err(Error::io("write", &self.partial))?;
        self.done += rows as u64;
        Ok(())
    }

    /// Brings all rows to the disk, reads them back, and gives the file its name.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if rows are missing, [`Error::BadFile`] if one did not survive the way to the disk,
    /// [`Error::CacheInterrupted`], [`Error::Io`].
    pub fn finish(self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Cache> {
        if self.done < self.rows() {
            return Err(Error::Input {
                path: self.partial,
                problem: format!(
                    "has {} of {} rows; build it to its end",
                    self.done,
                    self.cells.rows()
                ),
            });
        }
        self.file
            .sync_all()
            .map_err(Error::io("write", &self.partial))?;
        // Through the same handle: on some systems a lock keeps out every other.
        let rows = self.cells.rows();
        let damaged = first_damaged(&self.file, &self.partial, &self.cells, rows, observer, stop)?;
        if let Some((row, _)) = damaged {
            return Err(Error::BadFile {
                offset: self.cells.row_at(row),
                path: self.partial,
                problem: format!("row {row} did not come back from the disk as it was written"),
                remedy: "look at the disk, and build again: it goes on from that row".into(),
            });
        }
        std::fs::rename(&self.partial, &self.path).map_err(Error::io("write", &self.path))?;
        #[cfg(unix)]
        {
            let folder = match self.path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(Error::io("write", folder))?;
        }
        Cache::open(&self.path)
    }

    /// The number of rows in `fields`, if they fit.
    fn check(&self, fields: &[TensorData]) -> Result<usize> {
        let shown = |shapes: Vec<String>| shapes.join(", ");
        let wrong = |expected: String, found: String| Error::Shape {
            what: format!("rows for the cache `{}`", self.path.display()),
            expected,
            found,
            remedy: "append what the description says, row by row".into(),
        };
        let rows = fields.first().map_or(0, |data| {
            data.shape().as_slice().first().copied().unwrap_or(0)
        });
        let same = fields.len() == self.description.fields.len()
            && fields
                .iter()
                .zip(&self.description.fields)
                .all(|(data, field)| {
                    data.shape().as_slice().split_first() == Some((&rows, &field.shape[..]))
                });
        if !same {
            let expected = self
                .description
                .fields
                .iter()
                .map(|field| format!("{field} a row"));
            let found = fields
                .iter()
                .map(|data| format!("{:?}", data.shape().as_slice()));
            return Err(wrong(shown(expected.collect()), shown(found.collect())));
        }
        let left = self.cells.rows() - self.done;
        if rows as u64 > left {
            return Err(wrong(format!("at most {left} rows"), rows.to_string()));
        }
        Ok(rows)
    }

    fn cannot_keep(&self, row: u64, field: usize, number: f32) -> Error {
        let samples = self.description.data.samples;
        let what = if number.is_finite() {
            "beyond 65504 and so too large for f16; keep it as f32"
        } else {
            "not a number that can be kept; evaluate the teacher by itself"
        };
        Error::Input {
            path: self.path.clone(),
            problem: format!(
                "cannot be built: `{}` of view {} of the sample at position {} is {number}, {what}",
                self.description.fields[field].name,
                row / samples,
                row % samples
            ),
        }
    }
}

/// What was begun in `file`, if it is the beginning of what `wanted` describes; none if there is not even a
/// header.
fn begun(
    file: &File,
    partial: &Path,
    wanted: &CacheDescription,
) -> Result<Option<(CacheDescription, Cells)>> {
    let (found, seal) = match header::read(file, partial) {
        Ok(found) => found,
        // A header that was cut by a kill, or is of another version: nothing after it can be used.
        Err(Error::BadFile { .. }) if header::is_ours(file, partial)? => return Ok(None),
        Err(error) => return Err(error),
    };
    let difference = found.difference(wanted).or_else(|| {
        let same = found.fields == wanted.fields;
        (!same).then(|| {
            (
                "what is kept",
                format!("{:?}", found.fields),
                format!("{:?}", wanted.fields),
            )
        })
    });
    match difference {
        None => {
            let cells = Cells::new(&found, seal);
            Ok(Some((found, cells)))
        }
        Some((what, found, wanted)) => Err(Error::StaleCache {
            path: partial.to_owned(),
            what,
            found,
            wanted,
        }),
    }
}
