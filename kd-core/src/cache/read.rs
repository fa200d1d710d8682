//! Reading a complete cache.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cache::cells::Cells;
use crate::cache::description::CacheDescription;
use crate::cache::file::{REMEDY, read_at};
use crate::cache::header;
use crate::error::{Error, Result};
use crate::training::observer::Observer;

/// Bytes that are read at once where rows follow each other.
const BLOCK_BYTES: usize = 1 << 20;

/// A complete cache, open to be read.
///
/// Reading takes `&self` and may be done from several threads.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    file: File,
    description: CacheDescription,
    cells: Cells,
}

impl Cache {
    /// Opens a cache and checks its header and its length; the rows are checked as they are read.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read, [`Error::BadFile`] if it is no cache, one of another format
    /// version, or not whole.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let (description, seal) = header::read(&file, path)?;
        let cells = Cells::new(&description, seal);
        let cache = Self {
            path: path.to_owned(),
            file,
            description,
            cells,
        };
        let length = cache
            .file
            .metadata()
            .map_err(Error::io("read", path))?
            .len();
        let expected = cache.cells.file_bytes();
        if length == expected {
            return Ok(cache);
        }
        Err(Error::BadFile {
            path: path.to_owned(),
            offset: length.min(expected),
            problem: format!("the file has {length} bytes, its header says {expected}"),
            remedy: REMEDY.into(),
        })
    }

    /// Opens a cache that must hold what `wanted` asks for.
    ///
    /// # Errors
    ///
    /// As [`Cache::open`], and [`Error::StaleCache`] that names the first thing in which the two differ.
    pub fn open_for(path: &Path, wanted: &CacheDescription) -> Result<Self> {
        let cache = Self::open(path)?;
        match cache.description.difference(wanted) {
            None => Ok(cache),
            Some((what, found, wanted)) => Err(Error::StaleCache {
                path: path.to_owned(),
                what,
                found,
                wanted,
            }),
        }
    }

    /// The first cache in `folder`, by name, that holds what `wanted` asks for; files that are no caches are
    /// passed over.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there is such a folder and it cannot be read.
    pub fn find(folder: &Path, wanted: &CacheDescription) -> Result<Option<Self>> {
        if !folder.exists() {
            return Ok(None);
        }
        let entries = std::fs::read_dir(folder).map_err(Error::io("read", folder))?;
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|ending| ending == "kdcache"))
            .collect();
        // The one that is named after exactly this comes before those that hold more.
        let own = folder.join(wanted.file_name()?);
        paths.sort_by_key(|path| (*path != own, path.clone()));
        Ok(paths
            .iter()
            .find_map(|path| Self::open_for(path, wanted).ok()))
    }

    /// What a file holds or will hold, and how many rows of it there are, whether it is complete or still
    /// being built. The rows are not checked.
    ///
    /// # Errors
    ///
    /// As [`Cache::open`], but for the length.
    pub fn inspect(path: &Path) -> Result<(CacheDescription, u64)> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let (description, seal) = header::read(&file, path)?;
        let cells = Cells::new(&description, seal);
        let rows = cells.rows_there(&file, path)?;
        Ok((description, rows))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds.
    pub fn description(&self) -> &CacheDescription {
        &self.description
    }

    /// The size of the file in bytes.
    pub fn bytes(&self) -> u64 {
        self.cells.file_bytes()
    }

    /// The place of the field `name` in a row.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] with the fields there are.
    pub fn field(&self, name: &str) -> Result<usize> {
        let names = || {
            self.description
                .fields
                .iter()
                .map(|field| field.name.as_str())
        };
        names()
            .position(|known| known == name)
            .ok_or_else(|| Error::unknown_name("cache field", name, names()))
    }

    /// The numbers of a field in `rows`, one row after the other; row `view * samples + position` is of the
    /// sample at that position among the ascending ids.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a row or a field that there is not, [`Error::BadFile`] for a row that is
    /// damaged.
    pub fn read(&self, field: usize, rows: &[u64]) -> Result<Vec<f32>> {
        if field >= self.cells.fields() {
            let problem = format!("must be below {}, got {field}", self.cells.fields());
            return Err(Error::config("cache field", problem));
        }
        let mut numbers = Vec::with_capacity(rows.len() * self.cells.numbers(field));
        let mut cell = vec![0; self.cells.cell_bytes(field)];
        for &row in rows {
            if row >= self.cells.rows() {
                let problem = format!("must be below {}, got {row}", self.cells.rows());
                return Err(Error::config("cache row", problem));
            }
            let at = self.cells.cell_at(row, field);
            read_at(&self.file, &self.path, &mut cell, at)?;
            if !self.cells.is_whole(row, field, &cell) {
                return Err(self.damaged(row, field));
            }
            self.cells.decode(&cell, &mut numbers);
        }
        Ok(numbers)
    }

    /// Reads every row and compares every checksum.
    ///
    /// # Errors
    ///
    /// [`Error::BadFile`] that names the first damaged row, [`Error::CacheInterrupted`] if `stop` turns true.
    pub fn verify(&self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<()> {
        match first_damaged(
            &self.file,
            &self.path,
            &self.cells,
            self.cells.rows(),
            observer,
            stop,
        )? {
            None => Ok(()),
            Some((row, field)) => Err(self.damaged(row, field)),
        }
    }

    fn damaged(&self, row: u64, field: usize) -> Error {
        let samples = self.description.data.samples;
        Error::BadFile {
            path: self.path.clone(),
            offset: self.cells.cell_at(row, field),
            problem: format!(
                "`{}` of view {} of the sample at position {} has another checksum than was stored with it",
                self.description.fields[field].name,
                row / samples,
                row % samples
            ),
            remedy: REMEDY.into(),
        }
    }
}

/// The first cell among the first `rows` rows whose checksum is wrong.
pub(super) fn first_damaged(
    file: &File,
    path: &Path,
    cells: &Cells,
    rows: u64,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Option<(u64, usize)>> {
    let row_bytes = cells.row_bytes();
    let block = (BLOCK_BYTES / row_bytes).max(1) as u64;
    let mut bytes = Vec::new();
    let mut row = 0;
    while row < rows {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::CacheInterrupted {
                path: path.to_owned(),
                done: row,
                rows,
            });
        }
        let here = block.min(rows - row);
        bytes.resize(usize::try_from(here).unwrap_or(1) * row_bytes, 0);
        read_at(file, path, &mut bytes, cells.row_at(row))?;
        for (row, bytes) in (row..).zip(bytes.chunks_exact(row_bytes)) {
            if let Some(field) = cells.damaged(row, bytes) {
                return Ok(Some((row, field)));
            }
        }
        row += here;
        observer.cache_verified(row, rows);
    }
    Ok(None)
}
