//! The targets of the students: the teacher's dense representations, computed once and kept in memory or in
//! files.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use kd_core::{
    Batch, Cache, CacheConfig, CacheDtype, CacheRequest, CachedTeacher, DENSE_TAP, Error,
    KeptAnswers, Loader, Observer, Requested, Result, Teacher, Tensors,
};

use crate::method::TeacherClass;
use crate::output::ChunkOutput;
use crate::split::{Chunk, Division};
use crate::student::Student;
use crate::teacher_head::dense;

/// The targets of the students.
#[derive(Debug)]
pub(crate) struct Targets<'a> {
    teacher: CachedTeacher<&'a dyn Teacher>,
    division: &'a Division,
}

impl Targets<'_> {
    /// The targets of one student for a batch, `[batch_size, chunk_length]` or a map with as many channels,
    /// on the plain device.
    pub(crate) fn chunk<O: ChunkOutput>(&self, batch: &Batch, chunk: &Chunk) -> Result<O> {
        Ok(self.all::<O>(batch)?.units(chunk.start, chunk.length))
    }

    /// The targets of all students for a batch, joined.
    pub(crate) fn all<O: ChunkOutput>(&self, batch: &Batch) -> Result<O> {
        let dense: O = dense(&self.teacher, batch)?;
        Ok(self.division.targets_of(dense))
    }
}

impl<S: Student> TeacherClass<S> {
    /// Opens the caches of the teacher's dense vectors, and builds those that are missing; without caches
    /// the vectors are computed and held in memory, if they are to be kept. The runner does it before the
    /// first student.
    ///
    /// # Errors
    ///
    /// As [`TeacherClass::check`] and [`CacheRequest::open`].
    pub fn open_caches(&self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<()> {
        if self.kept.get().is_some() {
            return Ok(());
        }
        let (train, held_out) = (self.train_loader(0)?, self.held_out_loader()?);
        let kept = match &self.cache {
            Some(config) => {
                config.check(1)?;
                let mut kept = vec![self.open(config, &train, observer, stop)?];
                if config.file.is_none() {
                    kept.push(self.open(config, &held_out, observer, stop)?);
                } else if self.config.keep {
                    kept.push(self.in_memory(&held_out, observer, stop)?);
                }
                kept
            }
            None if self.config.keep => vec![
                self.in_memory(&train, observer, stop)?,
                self.in_memory(&held_out, observer, stop)?,
            ],
            None => return Ok(()),
        };
        // Had another thread been faster, what it has kept would be the same.
        drop(self.kept.set(kept));
        Ok(())
    }

    /// The caches that are open, that of the training data first.
    pub fn caches(&self) -> impl Iterator<Item = &Cache> {
        let kept = self.kept.get().into_iter().flatten();
        kept.filter_map(|answers| answers.store().cache())
    }

    /// The targets, read where they are kept.
    pub(crate) fn targets(&self) -> Result<Targets<'_>> {
        let teacher = CachedTeacher::new(self.teacher.as_ref());
        let kept = self.kept.get().into_iter().flatten().cloned();
        Ok(Targets {
            teacher: kept.fold(teacher, CachedTeacher::with),
            division: self.division()?,
        })
    }

    /// The division as files beside the result of a phase; nothing by index.
    pub(crate) fn division_artifact(&self) -> Result<BTreeMap<String, Tensors>> {
        let tensors = self.division()?.tensors();
        let entry = (!tensors.is_empty()).then(|| ("split".to_owned(), tensors));
        Ok(entry.into_iter().collect())
    }

    /// Checks that the dense vectors fit into memory, if they are to be held there.
    pub(crate) fn check_memory(&self) -> Result<()> {
        if self.cache.is_some() || !self.config.keep {
            return Ok(());
        }
        for loader in [self.train_loader(0)?, self.held_out_loader()?] {
            self.with_request(&loader, CacheDtype::F32, |request| {
                request.check_memory("teacher-class.keep")
            })?;
        }
        Ok(())
    }

    fn open(
        &self,
        config: &CacheConfig,
        loader: &Loader,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<KeptAnswers> {
        self.with_request(loader, config.dtype, |request| {
            request.open(config, observer, stop)
        })
    }

    fn in_memory(
        &self,
        loader: &Loader,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<KeptAnswers> {
        let what = "dense vectors of the teacher";
        self.with_request(loader, CacheDtype::F32, |request| {
            let kept = request.in_memory(what, observer, stop)?;
            kept.ok_or_else(|| Error::Interrupted {
                run: std::path::PathBuf::new(),
                phase: "student-0".into(),
                step: 0,
            })
        })
    }

    /// The request for the dense vectors of the samples of `loader`.
    fn with_request<T>(
        &self,
        loader: &Loader,
        dtype: CacheDtype,
        with: impl FnOnce(&CacheRequest<'_>) -> Result<T>,
    ) -> Result<T> {
        let requested = Requested::at_taps([DENSE_TAP]);
        let teacher: &dyn Teacher = self.teacher.as_ref();
        let first = loader.view(0, &loader.subset().ids()[..1])?;
        let answer = teacher.answer(&first, &requested)?;
        let size = self.training.eval_batch_size;
        let request = CacheRequest::new(teacher, &requested, &answer, loader, size, dtype)?;
        with(&request)
    }
}
