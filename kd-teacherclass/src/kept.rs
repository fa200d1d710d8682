//! The features of the finished students, which are computed once for the tuning of the head.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use kd_core::{
    Batch, CacheField, Error, Loader, Metrics, Names, Observer, Result, Rows, RunFolder, Store,
    StoreBuild, StoreRows, check_memory, export, hash_tensors, store_bytes,
};

use crate::class::Class;
use crate::method::{TeacherClass, is_of_pixels};
use crate::output::ChunkOutput;
use crate::refit::RefittedHeads;
use crate::split::DenseStatistics;
use crate::student::Student;

/// The field of the features in a store.
const FEATURES: &str = "features";

/// The features of the finished students: the joined chunks after the ReLU.
#[derive(Clone, Debug)]
pub(crate) struct Features {
    /// Where they are kept, those of the training samples and the held-out ones; otherwise they are computed
    /// of each batch.
    pub(crate) kept: Option<[Store; 2]>,
    /// The means and covariances of the features over the training samples, and over their pixels where each
    /// has features.
    pub(crate) statistics: Arc<DenseStatistics>,
}

impl Features {
    /// The features of the training samples, where they are kept.
    pub(crate) fn train(&self) -> Option<&Store> {
        self.kept.as_ref().map(|[train, _]| train)
    }

    /// The features of the held-out samples, where they are kept.
    pub(crate) fn held_out(&self) -> Option<&Store> {
        self.kept.as_ref().map(|[_, held_out]| held_out)
    }
}

/// The error of computing that was stopped.
fn interrupted(run: &std::path::Path, phase: &str) -> Error {
    Error::Interrupted {
        run: run.to_owned(),
        phase: phase.to_owned(),
        step: 0,
    }
}

impl<S: Student> TeacherClass<S> {
    /// The class of the finished students with the copied head, and what was last measured of each.
    pub(crate) fn merged(&self, folder: &RunFolder) -> Result<(Class<S>, Vec<Metrics>)> {
        let layout = self.layout()?;
        let chunks = layout.division.chunks().iter();
        let students = chunks.map(|chunk| self.chosen(chunk, folder));
        let students = students.collect::<Result<Vec<(S, Metrics)>>>()?;
        let (students, measured) = students.into_iter().unzip();
        let class = Class::with_teacher_head(students, &layout.head, layout.relu)?;
        Ok((class, measured))
    }

    /// The features of the class of a run: those that were computed before, if they are of the same students.
    pub(crate) fn keep_features(
        &self,
        class: &Class<S>,
        folder: &RunFolder,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Features> {
        let hash = hash_tensors(&export(class, Names::Burn));
        let mut kept = self.features.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, features)) = kept.as_ref().filter(|(of, _)| *of == hash) {
            return Ok(features.clone());
        }
        let features = self.features_of(class, observer, stop)?;
        let features = features.ok_or_else(|| interrupted(folder.path(), crate::HEAD_PHASE))?;
        *kept = Some((hash, features.clone()));
        Ok(features)
    }

    /// The features of a batch: read from `kept`, or computed by the class.
    pub(crate) fn features(
        &self,
        kept: Option<&Store>,
        class: &Class<S>,
        batch: &Batch,
    ) -> Result<S::Output> {
        if let Some(store) = kept {
            return store.read(FEATURES, batch.view, &batch.ids);
        }
        let input = self.preprocessing.input(batch)?;
        Ok(class.join(class.chunks(&input)))
    }

    /// Whether features are kept: those of pixels take as much memory as the teacher's maps.
    fn keeps_features(&self) -> bool {
        self.config.keep || !is_of_pixels::<S::Output>()
    }

    /// Checks that the features fit into memory, if they are to be held there, beside the teacher's maps,
    /// which are as large.
    pub(crate) fn check_features(&self, shape: &[usize]) -> Result<()> {
        let makes_none = self.config.only.is_some();
        if !is_of_pixels::<S::Output>() || !self.keeps_features() || makes_none {
            return Ok(());
        }
        let fields = [CacheField::new(FEATURES, shape.to_vec())];
        let loaders = [self.train_loader(0)?, self.held_out_loader()?];
        let bytes = loaders.iter().map(|loader| store_bytes(&fields, loader));
        let pieces = if self.cache.is_some() { 1 } else { 2 };
        let what = "what is kept of teacher and students, for each pixel and channel";
        let bytes = bytes.sum::<u64>().saturating_mul(pieces);
        check_memory("teacher-class.keep", what, bytes)
    }

    /// The features of a class; none if it was told to stop.
    fn features_of(
        &self,
        class: &Class<S>,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Option<Features>> {
        let (train, held_out) = (self.train_loader(0)?, self.held_out_loader()?);
        let shape = self.features(None, class, &self.sample()?)?.sample_shape();
        let fields = [CacheField::new(FEATURES, shape)];
        let lengths: Vec<usize> = self.chunks()?.iter().map(|chunk| chunk.length).collect();
        let length = lengths.iter().sum();
        let mut statistics = if RefittedHeads::can_be_of(&lengths) {
            DenseStatistics::new(length)
        } else {
            DenseStatistics::of_means(length)
        };
        let mut build = StoreBuild {
            what: "features of the students".into(),
            observer,
            stop,
            batch_size: self.training.eval_batch_size,
        };
        let mut of_training = |view: u64, ids: &[u32]| {
            let features = self.features(None, class, &train.view(view, ids)?)?;
            statistics.add(&features.clone().vectors());
            Ok(vec![features.into_rows()])
        };
        if !self.keeps_features() {
            let done = for_all_views(&train, &mut build, &mut of_training)?;
            return Ok(done.then(|| Features {
                kept: None,
                statistics: Arc::new(statistics),
            }));
        }
        let Some(of_train) = Store::compute(&fields, &train, &mut build, &mut of_training)? else {
            return Ok(None);
        };
        let mut of_held_out = |view: u64, ids: &[u32]| {
            let features = self.features(None, class, &held_out.view(view, ids)?)?;
            Ok(vec![features.into_rows()])
        };
        let of_held_out = Store::compute(&fields, &held_out, &mut build, &mut of_held_out)?;
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        Ok(of_held_out.map(|of_held_out| Features {
            kept: Some([of_train, of_held_out]),
            statistics: Arc::new(statistics),
        }))
    }
}

/// Passes every view of every sample of `loader` to `rows`, as [`Store::compute`] does, and keeps nothing;
/// false if it was told to stop.
fn for_all_views(
    loader: &Loader,
    build: &mut StoreBuild<'_>,
    rows: &mut StoreRows<'_>,
) -> Result<bool> {
    let ids = loader.subset().ids();
    let views = u64::from(loader.config().views.count().unwrap_or(0));
    let (mut done, total) = (0, views * ids.len() as u64);
    for view in 0..views {
        for ids in ids.chunks(build.batch_size.max(1)) {
            if build.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            rows(view, ids)?;
            done += ids.len() as u64;
            build.observer.preparing(&build.what, done, total);
        }
    }
    Ok(true)
}
