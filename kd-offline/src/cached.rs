//! Teachers whose answers are read from a file.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use burn::tensor::{Device, Tensor};
use kd_core::{
    Batch, Cache, CacheDescription, CacheDtype, CacheField, CacheReader, Error, Loader, Observer,
    Result, build_cache,
};
use serde::{Deserialize, Serialize};

use crate::{Answer, Taps, Teacher};

/// The name under which a cache keeps logits; maps go by the name of their tap.
const LOGITS: &str = "logits";

/// Where caches are and how they keep numbers: the table `[cache]` of a recipe. Either `dir` or `file`; the folder `caches` where
/// there is neither.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CacheConfig {
    /// A folder of caches, named after what they are of, so that all recipes, seeds and teachers can share it. What the
    /// teachers say of the held-out data is kept there, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// One file, for one teacher and the training data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// How numbers are kept; with `f32` a run is the same, byte for byte, as with the teacher itself.
    #[serde(default)]
    pub dtype: CacheDtype,
}

impl CacheConfig {
    /// Caches in this folder.
    pub fn dir(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: Some(dir.into()),
            ..Self::default()
        }
    }

    /// This one file.
    pub fn file(file: impl Into<PathBuf>) -> Self {
        Self {
            file: Some(file.into()),
            ..Self::default()
        }
    }

    /// With numbers kept like this.
    #[must_use]
    pub fn with_dtype(mut self, dtype: CacheDtype) -> Self {
        self.dtype = dtype;
        self
    }

    /// The folder, if it is not one file.
    pub fn folder(&self) -> Option<PathBuf> {
        let folder = || self.dir.clone().unwrap_or_else(|| "caches".into());
        self.file.is_none().then(folder)
    }

    /// Makes the place absolute, so that it is the same from elsewhere.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there is no working folder.
    pub fn make_absolute(&mut self) -> Result<()> {
        if self.file.is_none() {
            self.dir = self.folder();
        }
        for path in [&mut self.dir, &mut self.file].into_iter().flatten() {
            *path = std::path::absolute(&*path).map_err(Error::io("read", &*path))?;
        }
        Ok(())
    }

    /// Checks it for so many teachers.
    pub(crate) fn check(&self, teachers: usize) -> Result<()> {
        let wrong = |field: &str, problem: &str| Err(Error::config(field, problem));
        match (&self.dir, &self.file, teachers) {
            (_, _, 0) => wrong(
                "cache",
                "needs a teacher; add one under `[[teachers]]`, or leave the table out",
            ),
            (Some(_), Some(_), _) => wrong(
                "cache.file",
                "and `cache.dir` exclude each other; keep one of them",
            ),
            (None, Some(_), 2..) => wrong(
                "cache.file",
                "is one file, and there are several teachers; set `cache.dir` in its place",
            ),
            _ => Ok(()),
        }
    }
}

/// A cache as a run needs it: what it must hold, of which batches, and whom to ask if it is not there.
pub(crate) struct Wanted<'a> {
    pub(crate) description: CacheDescription,
    pub(crate) teacher: &'a dyn Teacher,
    pub(crate) taps: &'a [String],
    pub(crate) loader: &'a Loader,
    pub(crate) batch_size: usize,
}

impl<'a> Wanted<'a> {
    /// What `teacher` says to `taps` of the views of `loader`; `seen` is an answer to one sample.
    pub(crate) fn new(
        (teacher, hash): (&'a dyn Teacher, &str),
        (taps, seen): (&'a Taps, &Answer),
        loader: &'a Loader,
        batch_size: usize,
        dtype: CacheDtype,
    ) -> Result<Self> {
        let mut fields = vec![CacheField::new(LOGITS, &seen.logits.dims()[1..])];
        let maps = taps.iter().zip(&seen.maps);
        fields.extend(maps.map(|(tap, map)| CacheField::new(tap, &map.dims()[1..])));
        let description = CacheDescription::new(hash, loader, fields, dtype)
            .map_err(|error| error.within("data"))?;
        Ok(Self {
            description,
            teacher,
            taps,
            loader,
            batch_size,
        })
    }

    /// Opens the cache at the place that `config` says, and builds it where it is missing.
    pub(crate) fn open(
        &self,
        config: &CacheConfig,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<CachedAnswers> {
        let path = if let Some(file) = &config.file {
            file.clone()
        } else {
            let folder = config.folder().unwrap_or_default();
            if let Some(cache) = Cache::find(&folder, &self.description)? {
                return self.read(cache);
            }
            folder.join(self.description.file_name()?)
        };
        self.read(self.build(&path, observer, stop)?)
    }

    /// Builds the cache at `path`, or opens the one that is there.
    pub(crate) fn build(
        &self,
        path: &std::path::Path,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Cache> {
        let answer = |batch: &Batch| {
            let answer = self.teacher.answer(batch.pixels.clone(), self.taps)?;
            let mut fields = vec![answer.logits.into_data()];
            fields.extend(answer.maps.into_iter().map(Tensor::into_data));
            Ok(fields)
        };
        let description = self.description.clone();
        build_cache(
            path,
            description,
            self.loader,
            self.batch_size,
            answer,
            observer,
            stop,
        )
    }

    fn read(&self, cache: Cache) -> Result<CachedAnswers> {
        let logits = cache.field(LOGITS)?;
        let maps = self.taps.iter().map(|tap| cache.field(tap));
        Ok(CachedAnswers {
            logits,
            maps: maps.collect::<Result<_>>()?,
            reader: CacheReader::new(cache, self.loader.subset())?,
        })
    }
}

/// What one teacher says of the views of one part of the data, read from a cache.
#[derive(Debug)]
pub(crate) struct CachedAnswers {
    reader: CacheReader,
    logits: usize,
    maps: Vec<usize>,
}

impl CachedAnswers {
    /// What the teacher says of a batch.
    pub(crate) fn answer(&self, batch: &Batch, device: &Device) -> Result<Answer> {
        let read = |field: usize| self.reader.read(field, batch.view, &batch.ids);
        let maps = self
            .maps
            .iter()
            .map(|&field| Ok(Tensor::from_data(read(field)?, device)));
        Ok(Answer {
            logits: Tensor::from_data(read(self.logits)?, device),
            maps: maps.collect::<Result<_>>()?,
        })
    }

    /// The file.
    pub(crate) fn cache(&self) -> &Cache {
        self.reader.cache()
    }
}

/// The caches of one teacher.
#[derive(Debug)]
pub(crate) struct TeacherCaches {
    pub(crate) train: CachedAnswers,
    pub(crate) held_out: Option<CachedAnswers>,
}
