//! Offline distillation as kd-core's runner takes it.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use burn::tensor::{Device, Tensor};
use kd_core::{
    Augment, Cache, CacheDescription, CacheDtype, Error, ImageClassifier, Loader, LoaderConfig,
    Method, Normalisation, Observer, Optimizer, Phase, Result, RunFolder, Selection, Subset,
    Training, ViewPolicy, detached_copy,
};

use crate::cached::{CachedAnswers, TeacherCaches, Wanted};
use crate::kinds::{Binder, Seen};
use crate::phase::{Distill, RESULT_PHASE};
use crate::terms::Terms;
use crate::{CacheConfig, Ensemble, LossConfig, Taps, Teacher};

/// What the student sees.
#[derive(Clone, Debug)]
pub struct OfflineData {
    /// What it is trained on.
    pub train: Subset,
    /// What it is measured on.
    pub held_out: Subset,
    /// How many views each sample has.
    pub views: ViewPolicy,
    /// What the views look like.
    pub augment: Augment,
}

/// One student, frozen teachers, a weighted sum of losses.
///
/// Without teachers and with cross-entropy alone it is ordinary training.
///
/// ```text
/// L = sum over terms of weight * value
/// ```
///
/// The student that is given is the initial one; it is not changed. The seed decides the order of the samples, their views
/// where they are unlimited, and the initial regressors. The views of a bank have a seed of their own, so that runs of
/// different seeds see the same bank and share caches of what the teachers say of it.
#[derive(Debug)]
pub struct Offline<S> {
    pub(crate) student: S,
    pub(crate) normalisation: Normalisation,
    pub(crate) teachers: Vec<Box<dyn Teacher>>,
    pub(crate) ensemble: Ensemble,
    pub(crate) losses: Vec<LossConfig>,
    pub(crate) training: Training,
    pub(crate) data: OfflineData,
    pub(crate) seed: u64,
    pub(crate) bank_seed: u64,
    pub(crate) device: Device,
    pub(crate) cache: Option<CacheConfig>,
    /// The caches, once they are open.
    pub(crate) caches: OnceLock<Vec<TeacherCaches>>,
}

impl<S: ImageClassifier> Offline<S> {
    /// Ordinary training of `student` on `device` (its plain form or the autodiff one) with cross-entropy; see the
    /// methods that begin with `with_` for teachers and other losses.
    pub fn new(
        student: &S,
        normalisation: Normalisation,
        data: OfflineData,
        training: Training,
        device: &Device,
    ) -> Self {
        let device = device.clone().autodiff();
        Self {
            // `train` puts the parameters on the autodiff form of their device and keeps frozen ones frozen.
            student: student.valid().to_device(&device.clone().inner()).train(),
            normalisation,
            teachers: Vec::new(),
            ensemble: Ensemble::default(),
            losses: vec![LossConfig::cross_entropy(1.0)],
            training,
            data,
            seed: 0,
            bank_seed: 0,
            device,
            cache: None,
            caches: OnceLock::new(),
        }
    }

    /// With these teachers, averaged as `ensemble` says.
    #[must_use]
    pub fn with_teachers(mut self, teachers: Vec<Box<dyn Teacher>>, ensemble: Ensemble) -> Self {
        self.teachers = teachers;
        self.caches = OnceLock::new();
        self.ensemble = ensemble;
        self
    }

    /// With these losses.
    #[must_use]
    pub fn with_losses(mut self, losses: Vec<LossConfig>) -> Self {
        self.losses = losses;
        self.caches = OnceLock::new();
        self
    }

    /// With this seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// With this seed of the views of a bank; 0 where none is given.
    #[must_use]
    pub fn with_bank_seed(mut self, seed: u64) -> Self {
        self.bank_seed = seed;
        self.caches = OnceLock::new();
        self
    }

    /// With what the teachers say of the training data read from caches, at the place that `config` says. Those that are
    /// missing are built before the first step, those that were begun are finished.
    #[must_use]
    pub fn with_cache(mut self, config: CacheConfig) -> Self {
        self.cache = Some(config);
        self.caches = OnceLock::new();
        self
    }

    /// Opens the caches, and builds those that are missing; the runner does it at the beginning of a run.
    ///
    /// # Errors
    ///
    /// As [`Offline::check`]; [`Error::StaleCache`] if a file is of something else, [`Error::CacheInterrupted`] if `stop` turns
    /// true, and those of [`kd_core::build_cache`].
    pub fn open_caches(&self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<()> {
        let Some(config) = self.cache.as_ref().filter(|_| self.caches.get().is_none()) else {
            return Ok(());
        };
        config.check(self.teachers.len())?;
        let made = self.make()?;
        let mut caches = Vec::new();
        for index in 0..self.teachers.len() {
            let hash = self.teachers[index].hash();
            let train = self.wanted(&made, index, &hash, config.dtype)?;
            let train = train.open(config, observer, stop)?;
            let held_out = if config.file.is_some() {
                None
            } else {
                let none = Taps::new();
                let wanted = Wanted::new(
                    (self.teachers[index].as_ref(), &hash),
                    (&none, &made.answers[index]),
                    &made.held_out,
                    self.training.batch_size,
                    config.dtype,
                )?;
                Some(wanted.open(config, observer, stop)?)
            };
            caches.push(TeacherCaches { train, held_out });
        }
        drop(made);
        // Had another thread been faster, its caches would be the same.
        drop(self.caches.set(caches));
        Ok(())
    }

    /// The caches that are open, those of the training data first for each teacher.
    pub fn caches(&self) -> impl Iterator<Item = &Cache> {
        let caches = self.caches.get().map(Vec::as_slice).unwrap_or_default();
        caches
            .iter()
            .flat_map(|caches| std::iter::once(&caches.train).chain(&caches.held_out))
            .map(CachedAnswers::cache)
    }

    /// What a cache of teacher `index` and the training data must hold.
    ///
    /// # Errors
    ///
    /// As [`Offline::open_caches`].
    pub fn cache_description(&self, index: usize, dtype: CacheDtype) -> Result<CacheDescription> {
        let made = self.make()?;
        let hash = self.teacher(index)?.hash();
        Ok(self.wanted(&made, index, &hash, dtype)?.description)
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
        let made = self.make()?;
        let hash = self.teacher(index)?.hash();
        let wanted = self.wanted(&made, index, &hash, dtype)?;
        wanted.build(path, observer, stop)
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

    fn wanted<'a>(
        &'a self,
        made: &'a Distill<'_, S>,
        index: usize,
        hash: &str,
        dtype: CacheDtype,
    ) -> Result<Wanted<'a>> {
        Wanted::new(
            (self.teacher(index)?, hash),
            (&made.terms.asked[index], &made.answers[index]),
            &made.train,
            self.training.batch_size,
            dtype,
        )
    }

    /// The teachers, in order.
    pub fn teachers(&self) -> &[Box<dyn Teacher>] {
        &self.teachers
    }

    /// Checks everything that can be checked before the first step: the losses, the taps, class counts, shapes.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit.
    pub fn check(&self) -> Result<()> {
        let made = self.make()?;
        let Some(config) = &self.cache else {
            return Ok(());
        };
        config.check(self.teachers.len())?;
        for index in 0..self.teachers.len() {
            self.wanted(&made, index, "", config.dtype)?;
        }
        Ok(())
    }

    /// Trained parameters beside the student's: those of regressors and of other parts of the losses.
    ///
    /// # Errors
    ///
    /// As [`Offline::check`].
    pub fn extra_parameters(&self) -> Result<usize> {
        let parameters = self.make()?.terms.parameters();
        Ok(usize::try_from(parameters).unwrap_or(usize::MAX))
    }

    /// What each teacher is asked for in every step, beside its logits.
    ///
    /// # Errors
    ///
    /// As [`Offline::check`].
    pub fn asked(&self) -> Result<Vec<Taps>> {
        Ok(self.make()?.terms.asked)
    }

    pub(crate) fn make(&self) -> Result<Distill<'_, S>> {
        if self.losses.is_empty() {
            let problem = "is empty; name at least one, for example `kind = \"cross-entropy\"`";
            return Err(Error::config("losses", problem));
        }
        self.training.check()?;
        self.data.train.dataset().check_labelled()?;
        self.data.held_out.dataset().check_labelled()?;
        let plain = self.device.clone().inner();
        let train = Loader::new(
            self.data.train.clone(),
            LoaderConfig {
                seed: self.seed,
                bank_seed: self.bank_seed,
                views: self.data.views,
                augment: self.data.augment.clone(),
                ..LoaderConfig::new(self.training.batch_size)
            },
            &plain,
        )?;
        let held_out = LoaderConfig::ordered(self.training.eval_batch_size);
        let held_out = Loader::new(self.data.held_out.clone(), held_out, &plain)?;

        // A first look, to learn the shapes of maps and logits.
        let shape = self.data.train.dataset().shape();
        let pixels = Tensor::zeros([1, shape.channels, shape.height, shape.width], &plain);
        // The copy is in training form as in a step; what its batch norms make of zeros goes away with it.
        let student = detached_copy(&self.student);
        let input = Tensor::from_inner(self.normalisation.apply(pixels.clone())?);
        let seen = student.forward_traced(&input);
        let looks = self
            .teachers
            .iter()
            .map(|teacher| teacher.look(pixels.clone()))
            .collect::<Result<Vec<Seen>>>()?;
        self.check_classes(&seen, &looks)?;
        let asked: Vec<(&dyn Teacher, &Seen)> = self
            .teachers
            .iter()
            .map(AsRef::as_ref)
            .zip(&looks)
            .collect();
        let terms = Terms::bind(&self.losses, self.binder(&student, &seen, &asked))?;
        let answers = self
            .teachers
            .iter()
            .zip(&terms.asked)
            .map(|(teacher, taps)| teacher.answer(pixels.clone(), taps))
            .collect::<Result<Vec<_>>>()?;
        terms.try_on(&seen, &answers, &self.teachers, self.data.train.ids())?;
        let plan = self.training.plan(
            train.steps_per_epoch(),
            Some(Selection::highest("accuracy")),
        )?;
        Ok(Distill {
            student: detached_copy(&self.student),
            terms,
            optimizer: Optimizer::new(self.training.optimizer.clone())?,
            plan,
            normalisation: &self.normalisation,
            teachers: &self.teachers,
            caches: &[],
            answers,
            ensemble: self.ensemble,
            training: &self.training,
            train,
            held_out,
            device: self.device.clone(),
            teacher_logits: None,
        })
    }

    /// What the losses are bound with.
    pub(crate) fn binder<'a>(
        &'a self,
        student: &S,
        seen: &'a Seen,
        teachers: &'a [(&'a dyn Teacher, &'a Seen)],
    ) -> Binder<'a> {
        let train = &self.data.train;
        Binder {
            stages: student.stage_names(),
            student: seen,
            teachers,
            asked: vec![Taps::new(); teachers.len()],
            ensemble: self.ensemble,
            seed: self.seed,
            index: 0,
            device: &self.device,
            batch_size: self.training.batch_size.min(train.len()),
            ids: train.ids(),
            labels: train.dataset().labels(),
        }
    }

    fn check_classes(&self, student: &Seen, teachers: &[Seen]) -> Result<()> {
        let data = self.data.train.dataset();
        let wrong = |who: String, found: usize| Error::Shape {
            what: who,
            expected: format!(
                "{} classes, as data set `{}` has",
                data.classes(),
                data.name()
            ),
            found: format!("{found}"),
            remedy: "use a network and a data set of the same number of classes".into(),
        };
        let classes = student.output.dims()[1];
        if classes != data.classes() {
            return Err(wrong("student".into(), classes));
        }
        for (index, seen) in teachers.iter().enumerate() {
            let classes = seen.output.dims()[1];
            if classes != data.classes() {
                return Err(wrong(format!("teacher {index}"), classes));
            }
        }
        Ok(())
    }
}

impl<S: ImageClassifier> Method for Offline<S> {
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
        let mut made = self.make()?;
        made.caches = self.caches.get().map(Vec::as_slice).unwrap_or_default();
        Ok(Box::new(made))
    }
}
