//! The method: one student, frozen teachers, a weighted sum of losses.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use kd_core::{
    CacheConfig, KeptAnswers, Method, Observer, Phase, Preprocessing, Requested, Result, RunFolder,
    TaskNetwork, Teacher, Trained, Training, detached_copy,
};

use crate::phase::{Distill, RESULT_PHASE};
use crate::prepared::Prepared;
use crate::{Ensemble, LossConfig, OfflineData};

/// One student, frozen teachers, a weighted sum of losses.
///
/// Without teachers and with cross-entropy alone it is ordinary training.
///
/// ```text
/// L = sum over terms of weight * value
/// ```
///
/// The student that is given is the initial one; it is not changed. The seed decides the order of the
/// samples, their views where they are unlimited, and the initial regressors. The views of a bank have a seed
/// of their own, so that runs of different seeds see the same bank and share caches of the teachers' answers
/// for it.
///
/// The data is uploaded once and each teacher shown one sample once, for the shapes of its maps, however
/// often the method is checked or run.
#[derive(Debug)]
pub struct Offline<S> {
    pub(crate) student: S,
    pub(crate) preprocessing: Preprocessing,
    pub(crate) teachers: Vec<Box<dyn Teacher>>,
    pub(crate) ensemble: Ensemble,
    pub(crate) losses: Vec<LossConfig>,
    pub(crate) training: Training,
    pub(crate) data: OfflineData,
    pub(crate) seed: u64,
    pub(crate) bank_seed: u64,
    pub(crate) device: Device,
    pub(crate) cache: Option<CacheConfig>,
    /// The part of a run that is made once; none after a change of the settings.
    pub(crate) prepared: OnceLock<Box<Prepared>>,
    /// The kept answers of each teacher, once its caches are open.
    pub(crate) kept: OnceLock<Vec<Vec<KeptAnswers>>>,
}

impl<S: TaskNetwork> Offline<S> {
    /// Ordinary training of `student` on `device` (its plain form or the autodiff one) with cross-entropy;
    /// see the methods that begin with `with_` for teachers and other losses.
    pub fn new(
        student: &S,
        preprocessing: impl Into<Preprocessing>,
        data: OfflineData,
        training: Training,
        device: &Device,
    ) -> Self {
        let device = device.clone().autodiff();
        Self {
            // `train` puts the parameters on the autodiff form of their device and keeps frozen ones frozen.
            student: student.valid().to_device(&device.clone().inner()).train(),
            preprocessing: preprocessing.into(),
            teachers: Vec::new(),
            ensemble: Ensemble::default(),
            losses: vec![LossConfig::cross_entropy(1.0)],
            training,
            data,
            seed: 0,
            bank_seed: 0,
            device,
            cache: None,
            prepared: OnceLock::new(),
            kept: OnceLock::new(),
        }
    }

    /// With these teachers, averaged as `ensemble` says.
    #[must_use]
    pub fn with_teachers(self, teachers: Vec<Box<dyn Teacher>>, ensemble: Ensemble) -> Self {
        Self {
            teachers,
            ensemble,
            ..self.changed()
        }
    }

    /// With these losses.
    #[must_use]
    pub fn with_losses(self, losses: Vec<LossConfig>) -> Self {
        Self {
            losses,
            ..self.changed()
        }
    }

    /// With this seed.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self {
            seed,
            ..self.changed()
        }
    }

    /// With this seed of the views of a bank; 0 where none is given.
    #[must_use]
    pub fn with_bank_seed(self, bank_seed: u64) -> Self {
        Self {
            bank_seed,
            ..self.changed()
        }
    }

    /// With the teachers' answers for the training data read from caches, at the place that `config` says.
    /// Those that are missing are built before the first step, those that were begun are finished.
    #[must_use]
    pub fn with_cache(self, config: CacheConfig) -> Self {
        Self {
            cache: Some(config),
            kept: OnceLock::new(),
            ..self
        }
    }

    /// The same settings, with nothing made of them yet.
    fn changed(self) -> Self {
        Self {
            prepared: OnceLock::new(),
            kept: OnceLock::new(),
            ..self
        }
    }

    /// The teachers, in order.
    pub fn teachers(&self) -> &[Box<dyn Teacher>] {
        &self.teachers
    }

    /// Checks everything that can be checked before the first step: the losses, the taps, class counts,
    /// shapes.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit.
    pub fn check(&self) -> Result<()> {
        let prepared = self.prepared()?;
        let Some(config) = &self.cache else {
            return Ok(());
        };
        config.check(self.teachers.len())?;
        for index in 0..self.teachers.len() {
            self.request_of(prepared, index, config.dtype)?
                .check_room(config)?;
        }
        Ok(())
    }

    /// The number of parameters that are trained beside the student's: those of regressors and of other parts
    /// of the losses.
    ///
    /// # Errors
    ///
    /// As [`Offline::check`].
    pub fn extra_parameters(&self) -> Result<usize> {
        let parameters = self.prepared()?.extra_parameters;
        Ok(usize::try_from(parameters).unwrap_or(usize::MAX))
    }

    /// The request to each teacher in every step: its logits where a loss reads them, and the maps at the
    /// taps that losses read.
    ///
    /// # Errors
    ///
    /// As [`Offline::check`].
    pub fn requested(&self) -> Result<&[Requested]> {
        Ok(&self.prepared()?.requested)
    }

    /// The phase, its student and the modules of its losses as they are at first.
    pub(crate) fn distill<'a>(
        &'a self,
        teachers: Vec<Box<dyn Teacher + 'a>>,
    ) -> Result<Distill<'a, S>> {
        let prepared = self.prepared()?;
        let student = detached_copy(&self.student);
        Ok(Distill {
            student: Trained::new("student", student, self.training.optimizer.clone())?,
            losses: self.initial_losses(prepared)?,
            plan: &prepared.plan,
            preprocessing: &self.preprocessing,
            teachers,
            ensemble: self.ensemble,
            training: &self.training,
            train: &prepared.train,
            held_out: &prepared.held_out,
            comparable: !prepared.student.is_of_pixels
                && prepared
                    .teachers
                    .iter()
                    .all(|teacher| teacher.shapes.classes == prepared.student.classes),
            teacher_logits: None,
        })
    }
}

impl<S: TaskNetwork> Method for Offline<S> {
    fn phases(&self) -> Vec<String> {
        vec![RESULT_PHASE.into()]
    }

    fn make_ready(
        &self,
        _index: usize,
        _earlier: &RunFolder,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<()> {
        self.open_caches(observer, stop)
    }

    fn start(&self, _index: usize, _earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        self.open_caches(&mut (), &AtomicBool::new(false))?;
        Ok(Box::new(self.distill(self.cached_teachers())?))
    }
}
