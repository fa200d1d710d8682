//! The teachers of a run with their kept answers.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use kd_core::{
    Cache, CacheConfig, CacheDescription, CacheDtype, CacheRequest, CachedTeacher, Error,
    KeptAnswers, Observer, Requested, Result, TaskNetwork, Teacher,
};

use crate::Offline;
use crate::prepared::Prepared;

impl<S: TaskNetwork> Offline<S> {
    /// Opens the caches, and builds those that are missing; the runner does it at the beginning of a run.
    ///
    /// # Errors
    ///
    /// As [`Offline::check`]; [`Error::StaleCache`] if a file is of something else,
    /// [`Error::CacheInterrupted`] if `stop` turns true, and those of [`kd_core::build_cache`].
    pub fn open_caches(&self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<()> {
        let Some(config) = self.cache.as_ref().filter(|_| self.kept.get().is_none()) else {
            return Ok(());
        };
        config.check(self.teachers.len())?;
        let prepared = self.prepared()?;
        let mut kept = Vec::new();
        for index in 0..self.teachers.len() {
            let train = self.request_of(prepared, index, config.dtype)?;
            let mut answers = vec![train.open(config, observer, stop)?];
            // Of masks nothing of the teacher is read in an evaluation.
            if config.file.is_none() && !prepared.student.is_of_pixels {
                answers.push(self.open_held_out(prepared, index, config, observer, stop)?);
            }
            kept.push(answers);
        }
        // Had another thread been faster, its caches would be the same.
        drop(self.kept.set(kept));
        Ok(())
    }

    fn open_held_out(
        &self,
        prepared: &Prepared,
        index: usize,
        config: &CacheConfig,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<KeptAnswers> {
        let requested = Requested::output();
        let request = CacheRequest::new(
            self.teacher(index)?,
            &requested,
            &prepared.teachers[index].part(&requested),
            &prepared.held_out,
            self.training.batch_size,
            config.dtype,
        )?;
        request.open(config, observer, stop)
    }

    /// The caches that are open, those of the training data first for each teacher.
    pub fn caches(&self) -> impl Iterator<Item = &Cache> {
        let kept = self.kept.get().into_iter().flatten().flatten();
        kept.filter_map(|answers| answers.store().cache())
    }

    /// The description of the cache of teacher `index` and the training data.
    ///
    /// # Errors
    ///
    /// As [`Offline::open_caches`].
    pub fn cache_description(&self, index: usize, dtype: CacheDtype) -> Result<CacheDescription> {
        let request = self.request_of(self.prepared()?, index, dtype)?;
        Ok(request.description().clone())
    }

    /// Builds the cache of teacher `index` and the training data at `path`, or opens the one that is there.
    ///
    /// # Errors
    ///
    /// As [`Offline::open_caches`].
    pub fn build_cache(
        &self,
        index: usize,
        path: &Path,
        dtype: CacheDtype,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Cache> {
        let request = self.request_of(self.prepared()?, index, dtype)?;
        request.build(path, observer, stop)
    }

    /// The teachers as a phase holds them: each with its kept answers, if caches are open.
    pub(crate) fn cached_teachers(&self) -> Vec<Box<dyn Teacher + '_>> {
        let kept = self.kept.get().map(Vec::as_slice).unwrap_or_default();
        let kept = kept
            .iter()
            .map(Vec::as_slice)
            .chain(std::iter::repeat(&[][..]));
        let teachers = self.teachers.iter().zip(kept);
        teachers
            .map(|(teacher, kept)| {
                let cached = CachedTeacher::new(teacher.as_ref());
                let cached = kept.iter().cloned().fold(cached, CachedTeacher::with);
                Box::new(cached) as Box<dyn Teacher + '_>
            })
            .collect()
    }

    /// The teachers themselves, whether their answers are kept or not.
    pub(crate) fn live_teachers(&self) -> Vec<Box<dyn Teacher + '_>> {
        let teachers = self.teachers.iter();
        teachers
            .map(|teacher| Box::new(teacher.as_ref()) as Box<dyn Teacher + '_>)
            .collect()
    }

    /// The request for the answers of teacher `index` for the training data.
    pub(crate) fn request_of<'a>(
        &'a self,
        prepared: &'a Prepared,
        index: usize,
        dtype: CacheDtype,
    ) -> Result<CacheRequest<'a>> {
        let teacher = self.teacher(index)?;
        let requested = &prepared.kept_requests[index];
        CacheRequest::new(
            teacher,
            requested,
            &prepared.teachers[index].part(requested),
            &prepared.train,
            self.training.batch_size,
            dtype,
        )
    }

    fn teacher(&self, index: usize) -> Result<&dyn Teacher> {
        self.teachers.get(index).map(AsRef::as_ref).ok_or_else(|| {
            let problem = format!(
                "must be below {} (the number of teachers), got {index}",
                self.teachers.len()
            );
            Error::config("teacher", problem)
        })
    }
}
