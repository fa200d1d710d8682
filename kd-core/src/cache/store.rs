//! Rows of numbers by field, view and sample, in memory or in a file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::cache::build::fill_cache;
use crate::cache::description::{CacheDescription, CacheDtype, CacheField};
use crate::cache::read::Cache;
use crate::cache::reader::CacheReader;
use crate::data::subset::Subset;
use crate::error::{Error, Result};
use crate::loader::batch::BatchSource;
use crate::loader::batches::Loader;
use crate::memory::check_memory;
use crate::network::rows::Rows;
use crate::training::observer::Observer;

/// The bytes that `fields` of every view of every sample of `loader` take.
pub fn store_bytes(fields: &[CacheField], loader: &Loader) -> u64 {
    let views = u64::from(loader.config().views.count().unwrap_or(0));
    let numbers: usize = fields
        .iter()
        .map(|field| field.shape.iter().product::<usize>())
        .sum();
    (numbers as u64 * 4)
        .saturating_mul(loader.subset().len() as u64)
        .saturating_mul(views)
}

/// Rows of numbers by field, view and sample: what is computed once of each view of each sample.
///
/// Clones share the memory or the file.
#[derive(Clone, Debug)]
pub struct Store(Place);

#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<Memory>),
    File(Arc<File>),
}

/// Everything on the device; row `view * samples + position` is of the sample at that position of the subset.
#[derive(Debug)]
struct Memory {
    source: Arc<BatchSource>,
    samples: Subset,
    fields: Vec<(CacheField, Tensor<2>)>,
}

#[derive(Debug)]
struct File {
    source: Arc<BatchSource>,
    reader: CacheReader,
    /// The device that rows are sent to.
    device: Device,
    /// Whether the file is removed together with this.
    passing: AtomicBool,
}

impl Drop for File {
    fn drop(&mut self) {
        if self.passing.load(Ordering::Relaxed) {
            // A file that stays is found and removed, or used again, by a later run of the same folder.
            drop(std::fs::remove_file(self.reader.cache().path()));
        }
    }
}

/// Computes the rows of each field of a store, `[samples, numbers]`, for some samples of one view.
pub type StoreRows<'a> = dyn FnMut(u64, &[u32]) -> Result<Vec<Tensor<2>>> + 'a;

/// The computing of a store: who is told of it, who stops it, how many samples are computed together.
pub struct StoreBuild<'a> {
    /// The name of what is computed, for the observer.
    pub what: String,
    /// Told how far it is.
    pub observer: &'a mut dyn Observer,
    /// Stops it.
    pub stop: &'a AtomicBool,
    /// Samples that are computed together.
    pub batch_size: usize,
}

impl std::fmt::Debug for StoreBuild<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreBuild")
            .field("what", &self.what)
            .field("batch_size", &self.batch_size)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Computes `fields` of every view of every sample of `loader` and keeps them in memory.
    ///
    /// `answer` computes the rows of each field for the samples of one view.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if they take more memory than there is, and those of `answer`. `None` if it was told
    /// to stop.
    pub fn compute(
        fields: &[CacheField],
        loader: &Loader,
        build: &mut StoreBuild<'_>,
        answer: &mut StoreRows<'_>,
    ) -> Result<Option<Self>> {
        check_memory("cache", &build.what, store_bytes(fields, loader))?;
        let ids = loader.subset().ids();
        let views = u64::from(loader.config().views.count().unwrap_or(0));
        let total = views * ids.len() as u64;
        let mut kept: Vec<Vec<Tensor<2>>> = vec![Vec::new(); fields.len()];
        let mut done = 0;
        for view in 0..views {
            for ids in ids.chunks(build.batch_size.max(1)) {
                if build.stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                for (kept, rows) in kept.iter_mut().zip(answer(view, ids)?) {
                    kept.push(rows);
                }
                done += ids.len() as u64;
                build.observer.preparing(&build.what, done, total);
            }
        }
        let joined = kept.into_iter().map(|rows| Tensor::cat(rows, 0));
        Ok(Some(Self(Place::Memory(Arc::new(Memory {
            source: Arc::clone(loader.source()),
            samples: loader.subset().clone(),
            fields: fields.iter().cloned().zip(joined).collect(),
        })))))
    }

    /// Computes `fields` as [`Store::compute`] does and keeps them in the file `path`; what is there already
    /// is not computed again. `hash` names the network that computes them.
    ///
    /// # Errors
    ///
    /// Those of [`build_cache`](crate::build_cache).
    pub fn in_file(
        path: &Path,
        hash: &str,
        fields: &[CacheField],
        loader: &Loader,
        build: &mut StoreBuild<'_>,
        answer: &mut StoreRows<'_>,
    ) -> Result<Self> {
        let wanted = CacheDescription::new(hash, loader, fields.to_vec(), CacheDtype::F32)
            .map_err(|error| error.within("data"))?;
        let mut data = |view: u64, ids: &[u32]| {
            let rows = answer(view, ids)?.into_iter().zip(fields);
            let shaped = rows.map(|(rows, field)| match field.shape.len() {
                3 => Tensor::<4>::from_rows(rows, &field.shape).into_data(),
                _ => rows.into_data(),
            });
            Ok(shaped.collect())
        };
        let ids = loader.subset().ids();
        let (size, observer) = (build.batch_size, &mut *build.observer);
        let cache = fill_cache(path, wanted, ids, size, &mut data, observer, build.stop)?;
        Self::of_cache(cache, loader)
    }

    /// A cache that is complete, of the views and samples of `loader`.
    ///
    /// # Errors
    ///
    /// [`Error::StaleCache`] if the cache is of other samples.
    pub fn of_cache(cache: Cache, loader: &Loader) -> Result<Self> {
        Ok(Self(Place::File(Arc::new(File {
            source: Arc::clone(loader.source()),
            reader: CacheReader::new(cache, loader.subset())?,
            device: loader.device().clone(),
            passing: AtomicBool::new(false),
        }))))
    }

    /// The data set and the views that it is of.
    pub fn source(&self) -> &BatchSource {
        match &self.0 {
            Place::Memory(memory) => &memory.source,
            Place::File(file) => &file.source,
        }
    }

    /// The samples that it is of.
    pub fn samples(&self) -> &Subset {
        match &self.0 {
            Place::Memory(memory) => &memory.samples,
            Place::File(file) => file.reader.samples(),
        }
    }

    /// The cache, if it is in a file.
    pub fn cache(&self) -> Option<&Cache> {
        match &self.0 {
            Place::Memory(_) => None,
            Place::File(file) => Some(file.reader.cache()),
        }
    }

    /// The fields that it holds.
    pub fn fields(&self) -> Vec<&CacheField> {
        match &self.0 {
            Place::Memory(memory) => memory.fields.iter().map(|(field, _)| field).collect(),
            Place::File(file) => file.reader.cache().description().fields.iter().collect(),
        }
    }

    /// The file that it is in, if it is in one.
    pub fn path(&self) -> Option<&Path> {
        self.cache().map(Cache::path)
    }

    /// The bytes that it takes in memory.
    pub fn memory(&self) -> u64 {
        match &self.0 {
            Place::Memory(memory) => {
                let numbers = memory
                    .fields
                    .iter()
                    .map(|(_, rows)| rows.dims().iter().product::<usize>());
                numbers.sum::<usize>() as u64 * 4
            }
            Place::File(_) => 0,
        }
    }

    /// The same store; its file is removed together with its last clone.
    #[must_use]
    pub fn for_this_run(self) -> Self {
        if let Place::File(file) = &self.0 {
            file.passing.store(true, Ordering::Relaxed);
        }
        self
    }

    /// Whether it holds a field of this name.
    pub fn has(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.fields().iter().position(|field| field.name == name)
    }

    /// The field `name` of view `view` of the samples `ids`, in the order given, on the plain device.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a field, a view or a sample that is not there; those of reading a file.
    pub fn read<T: Rows>(&self, name: &str, view: u64, ids: &[u32]) -> Result<T> {
        let place = self
            .place(name)
            .ok_or_else(|| Error::config("cache", format!("holds no field `{name}`")))?;
        match &self.0 {
            Place::Memory(memory) => {
                let (field, all) = &memory.fields[place];
                let rows = memory.rows(view, ids)?;
                let rows =
                    Tensor::<1, Int>::from_data(TensorData::new(rows, [ids.len()]), &all.device());
                Ok(T::from_rows(all.clone().select(0, rows), &field.shape))
            }
            Place::File(file) => {
                let data = file.reader.read(place, view, ids)?;
                let fields = &file.reader.cache().description().fields;
                let shape = &fields[place].shape;
                let rows = match shape.len() {
                    3 => Tensor::<4>::from_data(data, &file.device).into_rows(),
                    _ => Tensor::<2>::from_data(data, &file.device),
                };
                Ok(T::from_rows(rows, shape))
            }
        }
    }
}

impl Memory {
    fn rows(&self, view: u64, ids: &[u32]) -> Result<Vec<i64>> {
        let samples = self.samples.len() as u64;
        let row = |id: &u32| {
            let position = self.samples.ids().binary_search(id).map_err(|_| {
                Error::config(
                    "ids",
                    format!("must be among the samples of the run, got {id}"),
                )
            })?;
            i64::try_from(view * samples + position as u64)
                .map_err(|error| Error::method("a row of a store", error))
        };
        ids.iter().map(row).collect()
    }
}
