//! Stagewise distillation as kd-core's runner takes it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock, PoisonError};

use burn::tensor::Device;
use kd_core::{
    Draws, Error, Snapshot, Loader, LoaderConfig, Method, Names, Normalisation, Observer, Optimizer,
    Phase, Result, RunFolder, Selection, Subset, Training, detached_copy, export, import,
};
use kd_losses::{MapSizes, Projection, Regressor, RegressorConfig};

use crate::kept::{KeptMaps, PhaseMaps, Role};
use crate::layout::Layout;
use crate::making::Work;
use crate::objective::Term;
use crate::phase::{Part, StagePhase, Supply};
use crate::prediction::{Prediction, loss_error};
use crate::procedure::PhaseSpec;
use crate::teacher::stage_tensors;
use crate::{
    Select, StageCache, StageNetwork, StageTeacher, StagewiseConfig, StagewiseData, training_with,
};

/// One student, a frozen teacher, and phases that train the student's stages one after the other.
///
/// The student that is given is the initial one; it is not changed. The seed decides the order of the samples in each phase,
/// their views where they are unlimited, and the initial regressors.
#[derive(Debug)]
pub struct Stagewise<S: StageNetwork> {
    pub(crate) student: S,
    pub(crate) normalisation: Normalisation,
    pub(crate) teacher: Option<Box<dyn StageTeacher<S::Output>>>,
    pub(crate) config: StagewiseConfig,
    pub(crate) cache: StageCache,
    pub(crate) training: Training,
    pub(crate) data: StagewiseData,
    pub(crate) seed: u64,
    pub(crate) bank_seed: u64,
    pub(crate) device: Device,
    pub(crate) layout: OnceLock<Layout>,
    /// What was computed once.
    kept: Mutex<KeptMaps>,
}

impl<S: StageNetwork> Stagewise<S> {
    /// A run of `student` on `device` (its plain form or the autodiff one), with the paper's procedure; see the methods that begin
    /// with `with_` for the teacher and everything else.
    pub fn new(
        student: &S,
        normalisation: Normalisation,
        data: StagewiseData,
        training: Training,
        device: &Device,
    ) -> Self {
        let device = device.clone().autodiff();
        Self {
            // `train` puts the parameters on the autodiff form of their device and keeps frozen ones frozen.
            student: student.valid().to_device(&device.clone().inner()).train(),
            normalisation,
            teacher: None,
            config: StagewiseConfig::default(),
            cache: StageCache::default(),
            training,
            data,
            seed: 0,
            bank_seed: 0,
            device,
            layout: OnceLock::new(),
            kept: Mutex::default(),
        }
    }

    /// With this teacher.
    #[must_use]
    pub fn with_teacher(mut self, teacher: Box<dyn StageTeacher<S::Output>>) -> Self {
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
        self.kept = Mutex::default();
        self
    }

    /// Checks everything that can be checked before the first step: stages, shapes, class counts, settings.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit.
    pub fn check(&self) -> Result<()> {
        let layout = self.layout()?;
        for index in 0..layout.phases.len() {
            let training = self.phase_training(layout, index)?;
            let role = Role::of(&layout.phases[index], &self.data);
            self.loader(role, &training, index, false)?;
            self.regressors(layout, index)?;
        }
        Ok(())
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
        let layout = self.layout()?;
        (0..layout.phases.len())
            .map(|index| {
                let training = self.phase_training(layout, index)?;
                let role = Role::of(&layout.phases[index], &self.data);
                let loader = self.loader(role, &training, index, false)?;
                let plan = training.plan(loader.steps_per_epoch(), None)?;
                Ok((layout.phases[index].name.clone(), plan.total_steps))
            })
            .collect()
    }

    /// Parameters that are trained beside the student's in some phase and thrown away after it.
    ///
    /// # Errors
    ///
    /// As [`Stagewise::check`].
    pub fn extra_parameters(&self) -> Result<usize> {
        let layout = self.layout()?;
        let mut sum = 0;
        for index in 0..layout.phases.len() {
            let made = self.regressors(layout, index)?;
            sum += made
                .iter()
                .flatten()
                .map(Regressor::extra_parameters)
                .sum::<usize>();
        }
        Ok(sum)
    }

    pub(crate) fn takes_teacher_input(&self, phase: &PhaseSpec) -> bool {
        self.config.teacher_input && !phase.objective.reads_output()
    }

    /// The training of phase `index`.
    pub(crate) fn phase_training(&self, layout: &Layout, index: usize) -> Result<Training> {
        let phase = &layout.phases[index];
        let mut training = self.training.clone();
        if let ("fine-tune", Some(epochs)) = (phase.name.as_str(), self.config.fine_tune_epochs) {
            training.epochs = Some(epochs);
            training.steps = None;
        }
        for (name, table) in &self.config.phases {
            if phase.is_called(name) {
                let field = format!("stagewise.phases.{name}");
                training = training_with(&training, table, &field)?;
                training.check().map_err(|error| match error {
                    Error::Config { field: at, problem } => {
                        let at = at.strip_prefix("train.").unwrap_or(&at).to_owned();
                        Error::config(format!("{field}.{at}"), problem)
                    }
                    other => other,
                })?;
            }
        }
        training.check()?;
        Ok(training)
    }

    /// The samples of `role` in phase `index`; those to train on are shuffled, and a batch that is not full is left out. Without
    /// `pixels` they are not moved to the device.
    fn loader(
        &self,
        role: Role,
        training: &Training,
        index: usize,
        pixels: bool,
    ) -> Result<Loader> {
        let plain = self.device.clone().inner();
        let samples = self.samples(role)?;
        let budget = |config: LoaderConfig| LoaderConfig {
            resident_budget_bytes: if pixels {
                config.resident_budget_bytes
            } else {
                0
            },
            ..config
        };
        if !role.is_trained_on() {
            let config = LoaderConfig::ordered(training.eval_batch_size);
            return Loader::new(samples, budget(config), &plain);
        }
        let config = LoaderConfig {
            seed: Draws::new(self.seed, "phase", index as u64, 0).bits(),
            bank_seed: self.bank_seed,
            views: self.data.views,
            augment: self.data.augment.clone(),
            drop_last: true,
            ..LoaderConfig::new(training.batch_size)
        };
        if samples.len() < training.batch_size {
            let problem = format!(
                "is {} and there are {} samples to train on: not one batch is full, and a batch that is not full is left out; make it smaller",
                training.batch_size,
                samples.len()
            );
            return Err(Error::config("train.batch_size", problem));
        }
        Loader::new(samples, budget(config), &plain)
    }

    pub(crate) fn samples(&self, role: Role) -> Result<Subset> {
        let none = || Error::config("data", "has no samples for validation");
        match role {
            Role::Train => Ok(self.data.train.clone()),
            Role::Unlabelled => {
                let unlabelled = self.data.unlabelled.clone();
                Ok(unlabelled.unwrap_or_else(|| self.data.train.clone()))
            }
            Role::Validation => self.data.validation.clone().ok_or_else(none),
            Role::Test => Ok(self.data.test.clone()),
        }
    }

    /// Where a phase's result is selected.
    pub(crate) fn selected_on(&self) -> Role {
        match self.config.select {
            Select::Test => Role::Test,
            _ if self.data.validation.is_none() => Role::Test,
            _ => Role::Validation,
        }
    }

    /// The samples that a phase is measured on, those that select first.
    pub(crate) fn measured_on(&self, phase: &PhaseSpec) -> Vec<Role> {
        let selected_on = self.selected_on();
        if phase.objective.reads_output() {
            return match selected_on {
                Role::Test => vec![Role::Test],
                other => vec![other, Role::Test],
            };
        }
        // Where nothing is selected and nothing was kept back, nobody asks for the loss of a stage.
        let idle = self.config.select == Select::Last && selected_on == Role::Test;
        if idle { Vec::new() } else { vec![selected_on] }
    }

    fn regressors(&self, layout: &Layout, index: usize) -> Result<Vec<Option<Regressor>>> {
        let phase = &layout.phases[index];
        let mut made: Vec<Option<Regressor>> = layout.names.iter().map(|_| None).collect();
        for (term, _) in &phase.objective.terms {
            let (stage, projection) = match term {
                Term::HalfSquare(stage) => (*stage, Projection::Always),
                Term::Map(stage) => (*stage, Projection::WhenWidthsDiffer),
                _ => continue,
            };
            let own = &layout.maps[stage];
            let Some(found) = layout.teacher_map(stage) else {
                continue;
            };
            if matches!(term, Term::Map(_)) && own == found {
                continue;
            }
            let seed = Draws::new(self.seed, "regressor", index as u64, stage as u64).bits();
            let config = RegressorConfig::new(own[0], found[0])
                .with_projection(projection)
                .with_map_sizes(MapSizes::PoolLarger);
            made[stage] = Some(config.init(seed, &self.device).map_err(loss_error)?);
        }
        Ok(made)
    }

    /// The student with which phase `index` begins.
    fn student_of(&self, layout: &Layout, index: usize, earlier: &RunFolder) -> Result<S> {
        let student = match index
            .checked_sub(1)
            .and_then(|before| layout.phases.get(before))
        {
            None => detached_copy(&self.student),
            Some(before) => {
                let kept = match self.config.select {
                    Select::Last => Snapshot::Last,
                    _ => Snapshot::Best,
                };
                let tensors = earlier.result(&before.name, kept)?;
                let origin = format!("the result of phase `{}`", before.name);
                import(&self.student, &tensors, Names::PyTorch, &origin)?
            }
        };
        match self.copied(layout, index, &student) {
            Some(copied) => import(&student, &copied, Names::Burn, "the teacher's stage"),
            None => Ok(student),
        }
    }

    /// The student's tensors with those of the stages that phase `index` trains taken from the teacher, where both are alike.
    fn copied(&self, layout: &Layout, index: usize, student: &S) -> Option<kd_core::Tensors> {
        let phase = &layout.phases[index];
        let teacher = self.teacher.as_ref()?;
        if !self.config.copy_identical || phase.objective.reads_output() {
            return None;
        }
        let mut all = export(student, Names::Burn);
        for stage in phase.stages.clone() {
            let own = stage_tensors(student, stage);
            let given = layout.teacher[stage].and_then(|place| teacher.stage_tensors(place));
            let given = given.unwrap_or_default();
            let alike = !own.is_empty()
                && own.len() == given.len()
                && own.iter().zip(&given).all(|((name, own), (other, given))| {
                    name == other && own.shape() == given.shape()
                });
            if alike {
                all.extend(given);
            }
        }
        Some(all)
    }

    /// The student with which phase `index` begins, and what is kept for it; what is missing is computed.
    fn ready(
        &self,
        index: usize,
        earlier: &RunFolder,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<(S, BTreeMap<Role, PhaseMaps>)> {
        let layout = self.layout()?;
        let student = self.student_of(layout, index, earlier)?;
        let work = Work {
            method: self,
            layout,
            index,
            student: student.valid(),
            folder: earlier.path(),
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let maps = kept.of_phase(&work, observer, stop)?;
        Ok((student, maps))
    }

    fn begin(&self, index: usize, earlier: &RunFolder) -> Result<StagePhase<'_, S>> {
        let (student, mut maps) = self.ready(index, earlier, &mut (), &AtomicBool::new(false))?;
        let layout = self.layout()?;
        let training = self.phase_training(layout, index)?;
        let spec = &layout.phases[index];
        let part = Part {
            method: self,
            layout,
            spec,
            reads: layout.reads_before(spec),
        };
        let mut supply = |role: Role| {
            let maps = maps.remove(&role).unwrap_or_default();
            let teacher = role.is_trained_on() || !spec.objective.reads_output();
            let pixels = part.needs_pixels(&maps, teacher);
            Ok(Supply {
                loader: self.loader(role, &training, index, pixels)?,
                maps,
                role,
                pixels,
            })
        };
        let train = supply(Role::of(spec, &self.data))?;
        let measured = self.measured_on(spec).into_iter().map(&mut supply);
        let measured = measured.collect::<Result<Vec<_>>>()?;
        let selection = match (spec.objective.reads_output(), self.config.select) {
            (_, Select::Last) => None,
            (true, _) if self.selected_on() == Role::Test => {
                Some(Selection::highest(S::Output::METRIC))
            }
            (true, _) => {
                let metric = format!("validation_{}", S::Output::METRIC);
                Some(Selection::highest(&metric))
            }
            (false, _) => Some(Selection::lowest("map_loss")),
        };
        let plan = training.plan(train.loader.steps_per_epoch(), selection)?;
        Ok(StagePhase {
            prefix: student.valid(),
            regressors: self.regressors(layout, index)?,
            optimizer: Optimizer::new(training.optimizer.clone())?,
            part,
            student,
            plan,
            training,
            train,
            measured,
        })
    }

    /// The student of a run that is done, on the plain device: of the last epoch, or the one that was selected.
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

impl<S: StageNetwork> Method for Stagewise<S> {
    fn phases(&self) -> Vec<String> {
        match self.specs() {
            Ok(phases) => phases.into_iter().map(|phase| phase.name).collect(),
            // What is wrong is said when it is made ready.
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
