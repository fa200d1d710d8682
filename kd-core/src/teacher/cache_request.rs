//! A cache of a teacher's answers as a run needs it: opened where it is there, built where it is missing.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Tensor;

use crate::cache::build::build_cache;
use crate::cache::description::{CacheDescription, CacheDtype, CacheField};
use crate::cache::read::Cache;
use crate::cache::room::check_room;
use crate::cache::store::{Store, StoreBuild, store_bytes};
use crate::error::{Error, Result};
use crate::loader::batch::Batch;
use crate::loader::batches::Loader;
use crate::memory::check_memory;
use crate::network::output::Output;
use crate::network::rows::Rows;
use crate::teacher::answer::{Answer, Requested};
use crate::teacher::cache_config::CacheConfig;
use crate::teacher::cached::{KeptAnswers, OUTPUT_FIELD};
use crate::teacher::contract::Teacher;
use crate::training::observer::Observer;

/// The answers of one teacher for the views of one loader, to be read from a file.
#[derive(Debug)]
pub struct CacheRequest<'a> {
    description: CacheDescription,
    teacher: &'a dyn Teacher,
    requested: &'a Requested,
    loader: &'a Loader,
    batch_size: usize,
}

impl<'a> CacheRequest<'a> {
    /// The answers of `teacher` to `requested` for the views of `loader`. `answer` is one of them, from which
    /// the shapes are read; `batch_size` samples are asked for together where the cache is built.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the views are unlimited, nothing is requested, or `answer` is not one to
    /// `requested`.
    pub fn new(
        teacher: &'a dyn Teacher,
        requested: &'a Requested,
        answer: &Answer,
        loader: &'a Loader,
        batch_size: usize,
        dtype: CacheDtype,
    ) -> Result<Self> {
        let fields = fields_of(requested, answer)?;
        let description = CacheDescription::new(teacher.hash(), loader, fields, dtype)
            .map_err(|error| error.within("data"))?;
        Ok(Self {
            description,
            teacher,
            requested,
            loader,
            batch_size,
        })
    }

    /// What the cache must hold.
    pub fn description(&self) -> &CacheDescription {
        &self.description
    }

    /// Checks that the disk has room for the cache, where it is missing.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if it has not, and those of looking for the cache.
    pub fn check_room(&self, config: &CacheConfig) -> Result<()> {
        let path = match (&config.file, config.folder()) {
            (Some(file), _) => file.clone(),
            (None, folder) => {
                let folder = folder.unwrap_or_default();
                if Cache::find(&folder, &self.description)?.is_some() {
                    return Ok(());
                }
                folder.join(self.description.file_name()?)
            }
        };
        if path.exists() {
            return Ok(());
        }
        check_room(&path, self.description.file_bytes()?)
    }

    /// Checks that the answers fit into memory; `field` is the setting that keeps them there.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there is not so much.
    pub fn check_memory(&self, field: &str) -> Result<()> {
        let bytes = store_bytes(&self.description.fields, self.loader);
        check_memory(field, "answers of the teacher", bytes)
    }

    /// Opens the cache at the place that `config` says, and builds it where it is missing.
    ///
    /// # Errors
    ///
    /// [`Error::StaleCache`] if a file is of something else, [`Error::CacheInterrupted`] if `stop` turns
    /// true, and those of [`build_cache`].
    pub fn open(
        &self,
        config: &CacheConfig,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<KeptAnswers> {
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
    ///
    /// # Errors
    ///
    /// As [`CacheRequest::open`].
    pub fn build(
        &self,
        path: &Path,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Cache> {
        let answer = |batch: &Batch| {
            let answer = self.teacher.answer(batch, self.requested)?;
            let output = answer.output.map(|output| match output {
                Output::Classes(logits) => logits.into_data(),
                Output::Pixels(logits) => logits.into_data(),
            });
            let maps = answer.maps.into_iter().map(Tensor::into_data);
            Ok(output.into_iter().chain(maps).collect())
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

    /// Computes the answers and holds them in memory; `what` names them for the observer. None if `stop`
    /// turns true.
    ///
    /// # Errors
    ///
    /// Those of the loader and of the teacher.
    pub fn in_memory(
        &self,
        what: impl Into<String>,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Option<KeptAnswers>> {
        let mut build = StoreBuild {
            what: what.into(),
            observer,
            stop,
            batch_size: self.batch_size,
        };
        let mut rows = |view: u64, ids: &[u32]| {
            let batch = self.loader.view(view, ids)?;
            let answer = self.teacher.answer(&batch, self.requested)?;
            let output = answer.output.map(|output| match output {
                Output::Classes(logits) => logits.into_rows(),
                Output::Pixels(logits) => logits.into_rows(),
            });
            let maps = answer.maps.into_iter().map(Rows::into_rows);
            Ok(output.into_iter().chain(maps).collect())
        };
        let fields = &self.description.fields;
        let store = Store::compute(fields, self.loader, &mut build, &mut rows)?;
        Ok(store.map(KeptAnswers::new))
    }

    fn read(&self, cache: Cache) -> Result<KeptAnswers> {
        Store::of_cache(cache, self.loader).map(KeptAnswers::new)
    }
}

/// The fields of a cache of such answers, the output first.
fn fields_of(requested: &Requested, answer: &Answer) -> Result<Vec<CacheField>> {
    let lacks = |what: &str| {
        let problem =
            format!("has given an answer with {what}; a teacher answers all of a request");
        Error::config("teacher", problem)
    };
    let mut fields = Vec::new();
    if requested.has_output() {
        let output = answer.output.as_ref().ok_or_else(|| lacks("no output"))?;
        let shape = match output {
            Output::Classes(logits) => logits.sample_shape(),
            Output::Pixels(logits) => logits.sample_shape(),
        };
        fields.push(CacheField::new(OUTPUT_FIELD, shape));
    }
    if answer.maps.len() != requested.taps().len() {
        let (found, wanted) = (answer.maps.len(), requested.taps().len());
        return Err(lacks(&format!("{found} maps, {wanted} were requested")));
    }
    let maps = requested.taps().iter().zip(&answer.maps);
    fields.extend(maps.map(|(tap, map)| CacheField::new(tap, map.sample_shape())));
    Ok(fields)
}
