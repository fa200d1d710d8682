//! The features of the finished students, which are computed once for the tuning of the head.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use burn::tensor::Tensor;
use kd_core::{
    CacheField, Error, Metrics, Names, Observer, Result, RunFolder, Store, StoreBuild, export,
    hash_tensors,
};

use crate::class::Class;
use crate::method::TeacherClass;
use crate::refit::RefittedHeads;
use crate::split::DenseStatistics;
use crate::student::Student;

/// The field of the features in a store.
const FEATURES: &str = "features";

/// The features of the finished students, `[samples, features]` for each view.
#[derive(Clone, Debug)]
pub(crate) struct Features {
    pub(crate) train: Store,
    pub(crate) held_out: Store,
    /// The means and covariances of the features over the training samples.
    pub(crate) statistics: Arc<DenseStatistics>,
}

impl Features {
    /// The features of samples, `[ids, features]`.
    pub(crate) fn read(store: &Store, view: u64, ids: &[u32]) -> Result<Tensor<2>> {
        store.read(FEATURES, view, ids)
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

    /// The features of a class; none if it was told to stop.
    fn features_of(
        &self,
        class: &Class<S>,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Option<Features>> {
        let (train, held_out) = (self.train_loader(0)?, self.held_out_loader()?);
        let chunks = self.division()?.chunks();
        let length = chunks.iter().map(|chunk| chunk.length).sum::<usize>();
        let fields = [CacheField::new(FEATURES, [length])];
        let lengths: Vec<usize> = chunks.iter().map(|chunk| chunk.length).collect();
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
            let batch = train.view(view, ids)?;
            let rows = class.join(class.chunks(&self.preprocessing.input(&batch)?));
            statistics.add(&rows);
            Ok(vec![rows])
        };
        let Some(of_train) = Store::compute(&fields, &train, &mut build, &mut of_training)? else {
            return Ok(None);
        };
        let mut of_held_out = |view: u64, ids: &[u32]| {
            let batch = held_out.view(view, ids)?;
            let outputs = class.chunks(&self.preprocessing.input(&batch)?);
            Ok(vec![class.join(outputs)])
        };
        let of_held_out = Store::compute(&fields, &held_out, &mut build, &mut of_held_out)?;
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        Ok(of_held_out.map(|of_held_out| Features {
            train: of_train,
            held_out: of_held_out,
            statistics: Arc::new(statistics),
        }))
    }
}
