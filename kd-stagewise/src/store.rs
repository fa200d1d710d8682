//! What was computed once of each view of each sample, in memory or in a file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::{
    Cache, CacheDescription, CacheDtype, CacheField, CacheReader, Error, Loader, Observer, Result,
    Subset, build_cache,
};

use crate::rows::Rows;

/// One thing that is kept of a sample: its name, and its shape without the batch.
pub(crate) type Field = CacheField;

/// The bytes that `fields` of every view of every sample of `loader` take.
pub(crate) fn bytes(fields: &[Field], loader: &Loader) -> u64 {
    let views = u64::from(loader.config().views.count().unwrap_or(0));
    let numbers: usize = fields
        .iter()
        .map(|field| field.shape.iter().product::<usize>())
        .sum();
    (numbers as u64 * 4)
        .saturating_mul(loader.subset().len() as u64)
        .saturating_mul(views)
}

/// Rows of numbers by field, view and sample.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    Memory(Arc<Memory>),
    File(Arc<File>),
}

/// Everything on the device; row `view * samples + position` is of the sample at that position of the subset.
#[derive(Debug)]
pub(crate) struct Memory {
    samples: Subset,
    fields: Vec<(Field, Tensor<2>)>,
}

#[derive(Debug)]
pub(crate) struct File {
    reader: CacheReader,
    /// Where rows are sent.
    device: Device,
    /// Whether the file goes when this does.
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

/// What a store is made with.
pub(crate) struct Making<'a> {
    /// What a person is told that is being computed.
    pub(crate) what: String,
    pub(crate) observer: &'a mut dyn Observer,
    pub(crate) stop: &'a AtomicBool,
    /// Samples that are asked about together.
    pub(crate) batch_size: usize,
}

impl Store {
    /// Computes `fields` of every view of every sample of `loader` and keeps them in memory.
    ///
    /// `answer` gives for the samples of one view the rows of each field.
    ///
    /// # Errors
    ///
    /// `None` if it was told to stop; those of `answer`.
    pub(crate) fn compute(
        fields: &[Field],
        loader: &Loader,
        making: &mut Making<'_>,
        mut answer: impl FnMut(u64, &[u32]) -> Result<Vec<Tensor<2>>>,
    ) -> Result<Option<Self>> {
        let ids = loader.subset().ids();
        let views = u64::from(loader.config().views.count().unwrap_or(0));
        let total = views * ids.len() as u64;
        let mut kept: Vec<Vec<Tensor<2>>> = vec![Vec::new(); fields.len()];
        let mut done = 0;
        for view in 0..views {
            for ids in ids.chunks(making.batch_size.max(1)) {
                if making.stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                for (kept, rows) in kept.iter_mut().zip(answer(view, ids)?) {
                    kept.push(rows);
                }
                done += ids.len() as u64;
                making.observer.preparing(&making.what, done, total);
            }
        }
        let joined = kept.into_iter().map(|rows| Tensor::cat(rows, 0));
        Ok(Some(Self::Memory(Arc::new(Memory {
            samples: loader.subset().clone(),
            fields: fields.iter().cloned().zip(joined).collect(),
        }))))
    }

    /// Computes `fields` as [`Store::compute`] does and keeps them in the file `path`; what is there already is not computed
    /// again. `hash` says who was asked.
    ///
    /// # Errors
    ///
    /// Those of [`build_cache`].
    pub(crate) fn in_file(
        path: &Path,
        hash: &str,
        fields: &[Field],
        loader: &Loader,
        making: &mut Making<'_>,
        mut answer: impl FnMut(u64, &[u32]) -> Result<Vec<Tensor<2>>>,
    ) -> Result<Self> {
        let wanted = CacheDescription::new(hash, loader, fields.to_vec(), CacheDtype::F32)
            .map_err(|error| error.within("data"))?;
        let cache = build_cache(
            path,
            wanted,
            loader,
            making.batch_size,
            |batch| {
                let rows = answer(batch.view, &batch.ids)?.into_iter().zip(fields);
                Ok(rows
                    .map(|(rows, field)| match field.shape.len() {
                        3 => Tensor::<4>::from_rows(rows, &field.shape).into_data(),
                        _ => rows.into_data(),
                    })
                    .collect())
            },
            making.observer,
            making.stop,
        )?;
        Self::of_cache(cache, loader.subset(), loader)
    }

    /// A cache that is complete; `samples` are all that it is of.
    pub(crate) fn of_cache(cache: Cache, samples: &Subset, loader: &Loader) -> Result<Self> {
        Ok(Self::File(Arc::new(File {
            reader: CacheReader::new(cache, samples)?,
            device: loader.device().clone(),
            passing: AtomicBool::new(false),
        })))
    }

    /// Where it is, if in a file.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Memory(_) => None,
            Self::File(file) => Some(file.reader.cache().path()),
        }
    }

    /// The bytes that it takes in memory.
    pub(crate) fn memory(&self) -> u64 {
        match self {
            Self::Memory(memory) => {
                let numbers = memory
                    .fields
                    .iter()
                    .map(|(_, rows)| rows.dims().iter().product::<usize>());
                numbers.sum::<usize>() as u64 * 4
            }
            Self::File(_) => 0,
        }
    }

    /// The same store, whose file is removed when nobody holds it any more.
    pub(crate) fn for_this_run(self) -> Self {
        if let Self::File(file) = &self {
            file.passing.store(true, Ordering::Relaxed);
        }
        self
    }

    /// Whether it holds a field of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    fn place(&self, name: &str) -> Option<usize> {
        match self {
            Self::Memory(memory) => memory
                .fields
                .iter()
                .position(|(field, _)| field.name == name),
            Self::File(file) => {
                let fields = &file.reader.cache().description().fields;
                fields.iter().position(|field| field.name == name)
            }
        }
    }

    /// The field `name` of view `view` of the samples `ids`, in the order given, on the plain device.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a field, a view or a sample that is not there; those of reading a file.
    pub(crate) fn read<T: Rows>(&self, name: &str, view: u64, ids: &[u32]) -> Result<T> {
        let place = self.place(name).ok_or_else(|| {
            Error::config("stages", format!("have no map of the name `{name}` kept"))
        })?;
        match self {
            Self::Memory(memory) => {
                let (field, all) = &memory.fields[place];
                let rows = memory.rows(view, ids)?;
                let rows =
                    Tensor::<1, Int>::from_data(TensorData::new(rows, [ids.len()]), &all.device());
                Ok(T::from_rows(all.clone().select(0, rows), &field.shape))
            }
            Self::File(file) => {
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
