//! Stagewise distillation as kd-core's runner takes it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use burn::tensor::{Device, Tensor};
use kd_core::{
    Draws, Error, Kept, Loader, LoaderConfig, Method, Names, Normalisation, Observer, Optimizer,
    Phase, Result, RunFolder, Selection, Subset, Task, Training, detached_copy, export, import,
};
use kd_losses::{MapSizes, Projection, Regressor, RegressorConfig};

use crate::kept::{KeptMaps, PhaseMaps, Role};
use crate::objective::Term;
use crate::phase::{StagePhase, Supply};
use crate::prediction::{Prediction, loss_error};
use crate::procedure::PhaseSpec;
use crate::reads::{Reads, discover};
use crate::rows::Rows;
use crate::teacher::stage_tensors;
use crate::{
    Select, StageCache, StageNetwork, StageTeacher, StagewiseConfig, StagewiseData, UnequalMaps,
    training_with,
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
    /// What was computed once.
    kept: Mutex<KeptMaps>,
}

/// What is the same for all phases of a run.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) names: Vec<String>,
    pub(crate) phases: Vec<PhaseSpec>,
    /// What each stage reads and, last, the dense representation.
    pub(crate) reads: Vec<Reads>,
    /// The teacher's stage of each of the student's; none where there is no such stage.
    pub(crate) teacher: Vec<Option<usize>>,
    /// The shapes of the student's maps, of its dense representation, of the teacher's maps by the student's stage.
    pub(crate) maps: Vec<Vec<usize>>,
    pub(crate) dense: Vec<usize>,
    pub(crate) teacher_maps: Vec<Option<Vec<usize>>>,
    pub(crate) answer: Option<Vec<usize>>,
}

impl Layout {
    /// What the stages that a phase runs read of what is frozen before them.
    pub(crate) fn reads_before(&self, phase: &PhaseSpec) -> Reads {
        let end = phase.end(self.names.len());
        let dense = phase.objective.reads_output();
        Reads::before(&self.reads, phase.stages.start, end, dense)
    }
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
            kept: Mutex::default(),
        }
    }

    /// With this teacher.
    #[must_use]
    pub fn with_teacher(mut self, teacher: Box<dyn StageTeacher<S::Output>>) -> Self {
        self.teacher = Some(teacher);
        self
    }

    /// With these settings.
    #[must_use]
    pub fn with_config(mut self, config: StagewiseConfig) -> Self {
        self.config = config;
        self
    }

    /// With this way of keeping what is computed once.
    #[must_use]
    pub fn with_cache(mut self, cache: StageCache) -> Self {
        self.cache = cache;
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
            let training = self.phase_training(&layout, index)?;
            self.loader(
                Role::of(&layout.phases[index], &self.data),
                &training,
                index,
            )?;
            self.regressors(&layout, index)?;
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
                let training = self.phase_training(&layout, index)?;
                let role = Role::of(&layout.phases[index], &self.data);
                let loader = self.loader(role, &training, index)?;
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
            let made = self.regressors(&layout, index)?;
            sum += made
                .iter()
                .flatten()
                .map(Regressor::extra_parameters)
                .sum::<usize>();
        }
        Ok(sum)
    }

    fn specs(&self) -> Result<Vec<PhaseSpec>> {
        let names = self.student.stage_names();
        let mut phases = self.config.procedure.phases(&names)?;
        if self.config.fine_tune_epochs.is_some() {
            phases.push(PhaseSpec::rest("fine-tune", 0..names.len()));
        }
        Ok(phases)
    }

    /// Looks at student and teacher once and brings everything into order.
    pub(crate) fn layout(&self) -> Result<Layout> {
        let names = self.student.stage_names();
        let phases = self.specs()?;
        self.check_settings(&phases, &names)?;
        let shape = self.data.train.dataset().shape();
        let shape = [shape.channels, shape.height, shape.width];
        let plain = self.device.clone().inner();
        let pixels = Tensor::<4>::zeros([1, shape[0], shape[1], shape[2]], &plain);
        let input = self.normalisation.apply(pixels.clone())?;
        let student = self.student.valid();
        let trace = student.forward_traced(&input);
        self.check_classes("student", trace.output.classes())?;

        let needed = phases.iter().any(|phase| phase.objective.reads_teacher());
        let mut teacher = vec![None; names.len()];
        let mut teacher_maps = vec![None; names.len()];
        let mut answer = None;
        if let (true, Some(asked)) = (needed, &self.teacher) {
            let known = asked.stage_names();
            let seen = asked.maps(pixels.clone(), known.len())?;
            let output = asked.output(pixels)?;
            self.check_classes("teacher", output.classes())?;
            answer = Some(output.sample_shape());
            for (stage, name) in names.iter().enumerate() {
                let named = self.config.teacher_stages.get(name).unwrap_or(name);
                teacher[stage] = known.iter().position(|known| known == named);
                teacher_maps[stage] = teacher[stage]
                    .and_then(|place| seen.get(place))
                    .map(Rows::sample_shape);
            }
        }
        let layout = Layout {
            maps: trace.maps.iter().map(Rows::sample_shape).collect(),
            dense: trace.dense.sample_shape(),
            reads: discover(&self.student, shape, &self.device),
            names,
            phases,
            teacher,
            teacher_maps,
            answer,
        };
        for phase in &layout.phases {
            self.check_maps(&layout, phase)?;
        }
        Ok(layout)
    }

    fn check_settings(&self, phases: &[PhaseSpec], names: &[String]) -> Result<()> {
        let data = self.data.train.dataset();
        if data.task() != S::Output::TASK {
            let (has, says) = match data.task() {
                Task::Segmentation => ("a class for each pixel", "image"),
                _ => ("a class for each image", "pixel"),
            };
            let problem = format!(
                "is `{}`, which has {has}, and the student says one for each {says}; use a network for it",
                data.name()
            );
            return Err(Error::config("data", problem));
        }
        self.data
            .views
            .check()
            .map_err(|error| error.within("data"))?;
        let asks = phases.iter().find(|phase| phase.objective.reads_teacher());
        if let (Some(phase), None) = (asks, &self.teacher) {
            let problem = format!(
                "is missing: phase `{}` of procedure `{}` learns from one; name it, or set `stagewise.procedure` to \"no-teacher\"",
                phase.name,
                self.config.procedure.kind()
            );
            return Err(Error::config("teacher", problem));
        }
        if self.config.fine_tune_epochs == Some(0) {
            let problem = "must be at least 1, got 0; leave it out for no fine-tuning";
            return Err(Error::config("stagewise.fine_tune_epochs", problem));
        }
        if self.config.select == Select::Validation && self.data.validation.is_none() {
            let problem = "is \"validation\", and there are no samples for it; give some, or select on \"test\" or take the \"last\" epoch";
            return Err(Error::config("stagewise.select", problem));
        }
        let known = |name: &str| names.iter().map(String::as_str).any(|known| known == name);
        for name in self.config.teacher_stages.keys() {
            if !known(name) {
                let all = names.iter().map(String::as_str);
                return Err(Error::unknown_name("stage of the student", name, all));
            }
        }
        for name in self.config.phases.keys() {
            if !phases.iter().any(|phase| is_called(phase, name)) {
                let all = phases.iter().map(|phase| short(&phase.name));
                return Err(Error::unknown_name("phase", name, all));
            }
        }
        if self.config.teacher_input && !matches!(self.config.procedure, crate::Procedure::Skd {}) {
            let problem = "is for the procedure \"skd\"; the others do not train stage by stage";
            return Err(Error::config("stagewise.teacher_input", problem));
        }
        Ok(())
    }

    fn check_classes(&self, who: &str, found: usize) -> Result<()> {
        let data = self.data.train.dataset();
        if found == data.classes() {
            return Ok(());
        }
        Err(Error::Shape {
            what: who.into(),
            expected: format!(
                "{} classes, as data set `{}` has",
                data.classes(),
                data.name()
            ),
            found: found.to_string(),
            remedy: "use a network and a data set of the same number of classes".into(),
        })
    }

    /// The maps that a phase compares must be there and, unless a regressor stands between them, of one shape.
    fn check_maps(&self, layout: &Layout, phase: &PhaseSpec) -> Result<()> {
        let mut wanted = phase.objective.taps();
        let teacher_input = self.takes_teacher_input(phase);
        if teacher_input {
            wanted.extend(layout.reads_before(phase).maps);
        }
        for stage in wanted {
            let name = &layout.names[stage];
            let Some(found) = &layout.teacher_maps[stage] else {
                let known = self.teacher.as_ref().map(|teacher| teacher.stage_names());
                let known = known.unwrap_or_default();
                let named = self.config.teacher_stages.get(name).unwrap_or(name);
                let known = known.iter().map(String::as_str);
                return Err(Error::unknown_name("stage of the teacher", named, known));
            };
            let own = &layout.maps[stage];
            let compared = |term: &Term| match term {
                Term::Map(at) if *at == stage => self.config.unequal_maps == UnequalMaps::Refuse,
                Term::HalfSquare(at) if *at == stage => own[1..] != found[1..],
                // Attention maps have no channels.
                Term::Attention(at) if *at == stage => own[1..] != found[1..],
                Term::Flow { stages, .. } if stages.contains(&stage) => own[0] != found[0],
                _ => false,
            };
            let strict = phase.objective.terms.iter().any(|(term, _)| match term {
                Term::Map(_) => compared(term) && own != found,
                other => compared(other),
            });
            let fed = teacher_input && !phase.objective.taps().contains(&stage) && own != found;
            if strict || fed {
                let shown = |shape: &[usize]| {
                    let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
                    sizes.join("x")
                };
                return Err(Error::Shape {
                    what: format!("stage `{name}` of the student in phase `{}`", phase.name),
                    expected: format!("a map of {}, as the teacher's is", shown(found)),
                    found: shown(own),
                    remedy: "use a student with the teacher's widths, or set `stagewise.unequal_maps` to \"regressor\"; results are \
                             not comparable with the paper's then"
                        .into(),
                });
            }
        }
        Ok(())
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
            if is_called(phase, name) {
                let field = format!("stagewise.phases.{name}");
                training = training_with(&training, table, &field)?;
            }
        }
        training.check()?;
        Ok(training)
    }

    /// The samples of `role` in phase `index`; those to train on are shuffled, and a batch that is not full is left out.
    pub(crate) fn loader(&self, role: Role, training: &Training, index: usize) -> Result<Loader> {
        let plain = self.device.clone().inner();
        let samples = self.samples(role)?;
        if !role.is_trained_on() {
            let config = LoaderConfig::ordered(training.eval_batch_size);
            return Loader::new(samples, config, &plain);
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
        Loader::new(samples, config, &plain)
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

    /// The samples that a phase is measured on.
    pub(crate) fn measured_on(&self, phase: &PhaseSpec) -> Vec<Role> {
        let mut roles = vec![self.selected_on()];
        if phase.objective.reads_labels() && !roles.contains(&Role::Test) {
            roles.push(Role::Test);
        }
        roles
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
            let Some(found) = &layout.teacher_maps[stage] else {
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
                    Select::Last => Kept::Last,
                    _ => Kept::Best,
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
            let given = teacher.stage_tensors(layout.teacher[stage]?)?;
            let alike = own.len() == given.len()
                && own.iter().zip(&given).all(|((name, own), (other, given))| {
                    name == other && own.shape() == given.shape()
                });
            if alike {
                all.extend(given);
            }
        }
        Some(all)
    }

    /// Makes ready what phase `index` reads, if it is not.
    fn maps_of(
        &self,
        layout: &Layout,
        index: usize,
        student: &S,
        earlier: &RunFolder,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<BTreeMap<Role, PhaseMaps>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.of_phase(self, layout, index, student, earlier.path(), observer, stop)
    }

    fn begin(
        &self,
        index: usize,
        earlier: &RunFolder,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<StagePhase<'_, S>> {
        let layout = self.layout()?;
        let training = self.phase_training(&layout, index)?;
        let student = self.student_of(&layout, index, earlier)?;
        let mut maps = self.maps_of(&layout, index, &student, earlier, observer, stop)?;
        let spec = layout.phases[index].clone();
        let role = Role::of(&spec, &self.data);
        let mut supply = |role: Role| {
            Ok(Supply {
                loader: self.loader(role, &training, index)?,
                maps: maps.remove(&role).unwrap_or_default(),
                role,
            })
        };
        let train = supply(role)?;
        let measured = self.measured_on(&spec).into_iter().map(&mut supply);
        let measured = measured.collect::<Result<Vec<_>>>()?;
        let selection = match (spec.objective.reads_labels(), self.config.select) {
            (_, Select::Last) => None,
            (true, Select::Test) => Some(Selection::highest(S::Output::METRIC)),
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
            regressors: self.regressors(&layout, index)?,
            reads: layout.reads_before(&spec),
            optimizer: Optimizer::new(training.optimizer.clone())?,
            method: self,
            student,
            plan,
            training,
            train,
            measured,
            spec,
            layout,
        })
    }
}

/// Whether settings under `name` are for `phase`: its name, or that of its stage.
fn is_called(phase: &PhaseSpec, name: &str) -> bool {
    phase.name == name || short(&phase.name) == name
}

/// A phase's name as settings have it: `layer2` for `stage-layer2`.
fn short(name: &str) -> &str {
    name.strip_prefix("stage-").unwrap_or(name)
}

impl<S: StageNetwork> Method for Stagewise<S> {
    fn phases(&self) -> Vec<String> {
        // What is wrong with them is said when the first is made.
        let phases = self.specs().unwrap_or_default();
        phases.into_iter().map(|phase| phase.name).collect()
    }

    fn make_ready(
        &self,
        index: usize,
        earlier: &RunFolder,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<()> {
        self.begin(index, earlier, observer, stop).map(drop)
    }

    fn start(&self, index: usize, earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        let begun = self.begin(index, earlier, &mut (), &AtomicBool::new(false))?;
        Ok(Box::new(begun))
    }
}
