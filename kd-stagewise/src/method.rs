//! Stagewise distillation as a method of kd-core's runner.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use burn::tensor::Device;
use kd_core::{
    Error, Finding, Method, Names, Observer, Phase, Preprocessing, Result, RunFolder, Snapshot,
    TaskNetwork, Teacher, Training, import, sample_findings,
};
use kd_losses::Regressor;

use crate::layout::Layout;
use crate::loaders::Loaders;
use crate::maps::MapCache;
use crate::{StageCache, StagewiseConfig, StagewiseData};

/// One student, a frozen teacher, and phases that train the student's stages one after the other.
///
/// The student that is given is the initial one; it is not changed. The seed decides the order of the samples
/// in each phase, their views where they are unlimited, and the initial regressors.
#[derive(Debug)]
pub struct Stagewise<S: TaskNetwork> {
    pub(crate) student: S,
    pub(crate) preprocessing: Preprocessing,
    pub(crate) teacher: Option<Box<dyn Teacher>>,
    pub(crate) config: StagewiseConfig,
    pub(crate) cache: StageCache,
    pub(crate) training: Training,
    pub(crate) data: StagewiseData,
    pub(crate) seed: u64,
    pub(crate) bank_seed: u64,
    pub(crate) device: Device,
    pub(crate) layout: OnceLock<Layout<S::Input>>,
    pub(crate) loaders: Loaders,
    maps: Mutex<MapCache>,
}

impl<S: TaskNetwork> Stagewise<S> {
    /// A run of `student` on `device` (its plain form or the autodiff one), with the paper's procedure; see
    /// the methods that begin with `with_` for the teacher and everything else. `preprocessing` is the
    /// student's own, for images their [`Normalisation`](kd_core::Normalisation).
    pub fn new(
        student: &S,
        preprocessing: impl Into<Preprocessing>,
        data: StagewiseData,
        training: Training,
        device: &Device,
    ) -> Self {
        let device = device.clone().autodiff();
        Self {
            // `train` puts the parameters on the autodiff form of their device and keeps frozen ones frozen.
            student: student.valid().to_device(&device.clone().inner()).train(),
            preprocessing: preprocessing.into(),
            teacher: None,
            config: StagewiseConfig::default(),
            cache: StageCache::default(),
            training,
            data,
            seed: 0,
            bank_seed: 0,
            device,
            layout: OnceLock::new(),
            loaders: Loaders::default(),
            maps: Mutex::default(),
        }
    }

    /// With this teacher, such as a [`FrozenTeacher`](kd_core::FrozenTeacher) of any network.
    #[must_use]
    pub fn with_teacher(mut self, teacher: Box<dyn Teacher>) -> Self {
        self.teacher = Some(teacher);
        self.renewed()
    }

    /// With these settings.
    #[must_use]
    pub fn with_config(mut self, config: StagewiseConfig) -> Self {
        self.config = config;
        self.renewed()
    }

    /// With this way of keeping what is computed once.
    #[must_use]
    pub fn with_cache(mut self, cache: StageCache) -> Self {
        self.cache = cache;
        self.renewed()
    }

    /// With this seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self.renewed()
    }

    /// With this seed of the views of a bank; 0 where none is given.
    #[must_use]
    pub fn with_bank_seed(mut self, seed: u64) -> Self {
        self.bank_seed = seed;
        self.renewed()
    }

    /// Without what was computed before a setting was changed.
    fn renewed(mut self) -> Self {
        self.layout = OnceLock::new();
        self.loaders = Loaders::default();
        self.maps = Mutex::default();
        self
    }

    /// The maps that were computed so far.
    pub(crate) fn map_cache(&self) -> MutexGuard<'_, MapCache> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks everything that can be checked before the first step: stages, shapes, class counts, settings.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit.
    pub fn check(&self) -> Result<()> {
        self.steps()?;
        self.extra_parameters().map(drop)
    }

    /// The name of the last phase, whose result is the student.
    ///
    /// # Errors
    ///
    /// As [`Stagewise::check`].
    pub fn result_phase(&self) -> Result<String> {
        let phases = self.specs()?;
        let last = phases.last().map(|phase| phase.name.clone());
        last.ok_or_else(|| Error::config("stagewise.procedure", "has no phases"))
    }

    /// The number of optimizer steps of each phase, by name.
    ///
    /// # Errors
    ///
    /// As [`Stagewise::check`].
    pub fn steps(&self) -> Result<Vec<(String, usize)>> {
        let phases = self.layout()?.phases.iter().enumerate();
        phases
            .map(|(index, phase)| {
                let training = self.phase_training(phase)?;
                let role = self.data.trained_on(phase);
                let loader = self.phase_loader(role, &training, index)?;
                let plan = training.plan(loader.steps_per_epoch(), None)?;
                Ok((phase.name.clone(), plan.total_steps))
            })
            .collect()
    }

    /// What is suspicious about samples, batches and rates, each once with the phases that it is of.
    ///
    /// # Errors
    ///
    /// As [`Stagewise::check`].
    pub fn findings(&self) -> Result<Vec<Finding>> {
        let data = &self.data;
        let mut findings = sample_findings(&data.train, &data.test, &self.training, &[]);
        let mut of_phases: Vec<(Finding, Vec<String>)> = Vec::new();
        for phase in &self.layout()?.phases {
            let samples = data.samples(data.trained_on(phase))?.len();
            for found in self
                .phase_training(phase)?
                .schedule_findings(samples, &[])?
            {
                let name = format!("`{}`", phase.name);
                match of_phases.iter_mut().find(|(other, _)| *other == found) {
                    Some((_, phases)) => phases.push(name),
                    None => of_phases.push((found, vec![name])),
                }
            }
        }
        findings.extend(of_phases.into_iter().map(|(found, phases)| {
            let text = format!("phase {}: {}", phases.join(", "), found.text);
            Finding::new(found.grade, found.topic, text)
        }));
        Ok(findings)
    }

    /// The number of parameters that are trained beside the student's in some phase and thrown away after it.
    ///
    /// # Errors
    ///
    /// As [`Stagewise::check`].
    pub fn extra_parameters(&self) -> Result<usize> {
        let layout = self.layout()?;
        let mut sum = 0;
        for index in 0..layout.phases.len() {
            let regressors = self.regressors(layout, index)?;
            let parameters = regressors.iter().flatten().map(Regressor::extra_parameters);
            sum += parameters.sum::<usize>();
        }
        Ok(sum)
    }

    /// The student of a run that is done, on the plain device: of the last epoch, or the one that was
    /// selected.
    ///
    /// # Errors
    ///
    /// If the run is not done, or is one of another student.
    pub fn student(&self, folder: &RunFolder, snapshot: Snapshot) -> Result<S> {
        let tensors = folder.result(&self.result_phase()?, snapshot)?;
        let student = import(&self.student, &tensors, Names::PyTorch, "the run's result")?;
        Ok(student.valid())
    }
}

impl<S: TaskNetwork> Method for Stagewise<S> {
    fn phases(&self) -> Vec<String> {
        match self.specs() {
            Ok(phases) => phases.into_iter().map(|phase| phase.name).collect(),
            // The error is given when the first phase is made ready.
            Err(_) => vec!["stagewise".into()],
        }
    }

    fn make_ready(
        &self,
        index: usize,
        earlier: &RunFolder,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<()> {
        self.ready(index, earlier, observer, stop).map(drop)
    }

    fn start(&self, index: usize, earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        let begun = self.begin(index, earlier)?;
        Ok(Box::new(begun))
    }
}
