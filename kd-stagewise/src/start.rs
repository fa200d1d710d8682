//! The start of a phase: its maps, training, batches, regressors and plan.

use std::sync::atomic::AtomicBool;

use kd_core::{
    Draws, Error, InnerTables, NetworkOutput, Observer, Result, RunFolder, Selection, StoreBuild,
    TaskNetwork, Trained, Training, settings_over,
};
use kd_losses::{MapSizes, Projection, Regressor, RegressorConfig};

use crate::data::Role;
use crate::layout::Layout;
use crate::maps::{MAPS_BATCH, PhaseMaps, PhaseWork};
use crate::outputs::{best_metric, loss_error};
use crate::phase::StagePhase;
use crate::phase_spec::PhaseSpec;
use crate::role_batches::RoleBatches;
use crate::stage_range::StageRange;
use crate::teacher_query::TeacherQuery;
use crate::terms::Term;
use crate::{Select, Stagewise};

impl<S: TaskNetwork> Stagewise<S> {
    /// Makes phase `index`.
    pub(crate) fn begin(&self, index: usize, earlier: &RunFolder) -> Result<StagePhase<'_, S>> {
        let (student, maps) = self.ready(index, earlier, &mut (), &AtomicBool::new(false))?;
        let layout = self.layout()?;
        let spec = &layout.phases[index];
        let training = self.phase_training(spec)?;
        let range = StageRange {
            method: self,
            layout,
            spec,
            inputs: layout.inputs_of(spec),
        };
        let teacher = self.query(layout, spec, &maps)?;
        let batches = |role| self.batches(role, &training, index, &range, &teacher, &maps);
        let train = batches(self.data.trained_on(spec))?;
        let measured = self.measured_on(spec).into_iter().map(batches);
        let measured = measured.collect::<Result<Vec<_>>>()?;
        let plan = training.plan(train.loader.steps_per_epoch(), self.selection(spec))?;
        Ok(StagePhase {
            prefix: student.valid(),
            regressors: self.regressors(layout, index)?,
            student: Trained::new("student", student, training.optimizer.clone())?,
            range,
            teacher,
            plan,
            training,
            train,
            measured,
        })
    }

    /// The student with which phase `index` begins, and the maps that are kept for it; those that are missing
    /// are computed.
    pub(crate) fn ready(
        &self,
        index: usize,
        earlier: &RunFolder,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<(S, PhaseMaps)> {
        let layout = self.layout()?;
        let student = self.first_student(layout, index, earlier)?;
        let work = PhaseWork {
            method: self,
            layout,
            index,
            student: student.valid(),
            folder: earlier.path(),
        };
        let mut build = StoreBuild {
            what: String::new(),
            observer,
            stop,
            batch_size: MAPS_BATCH,
        };
        let maps = self.map_cache().of_phase(&work, &mut build)?;
        Ok((student, maps))
    }

    /// The training of a phase.
    pub(crate) fn phase_training(&self, phase: &PhaseSpec) -> Result<Training> {
        let mut training = self.training.clone();
        if let ("fine-tune", Some(epochs)) = (phase.name.as_str(), self.config.fine_tune_epochs) {
            training.epochs = Some(epochs);
            training.steps = None;
        }
        for (name, table) in &self.config.phases {
            if phase.is_called(name) {
                let field = format!("stagewise.phases.{name}");
                training = settings_over(&training, table, &field, InnerTables::Replaced)?;
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

    /// The role of the samples that select a phase's result.
    fn selected_on(&self) -> Role {
        match self.config.select {
            Select::Test => Role::Test,
            _ if self.data.validation.is_none() => Role::Test,
            _ => Role::Validation,
        }
    }

    /// The roles of the samples that a phase is measured on, those that select first.
    pub(crate) fn measured_on(&self, phase: &PhaseSpec) -> Vec<Role> {
        let selected_on = self.selected_on();
        if phase.objective.reads_output() {
            return match selected_on {
                Role::Test => vec![Role::Test],
                other => vec![other, Role::Test],
            };
        }
        // The loss of a stage is not needed where nothing is selected and nothing was kept back.
        let idle = self.config.select == Select::Last && selected_on == Role::Test;
        if idle { Vec::new() } else { vec![selected_on] }
    }

    /// The metric that selects a phase's result.
    fn selection(&self, phase: &PhaseSpec) -> Option<Selection> {
        if self.config.select == Select::Last {
            return None;
        }
        if !phase.objective.reads_output() {
            return Some(Selection::lowest("map_loss"));
        }
        let metric = best_metric(S::Output::TASK);
        Some(match self.selected_on() {
            Role::Test => Selection::highest(metric),
            _ => Selection::highest(&format!("validation_{metric}")),
        })
    }

    /// The batches of a role, rendered where student or teacher are run on the samples themselves.
    fn batches(
        &self,
        role: Role,
        training: &Training,
        index: usize,
        range: &StageRange<'_, S>,
        teacher: &TeacherQuery<'_>,
        maps: &PhaseMaps,
    ) -> Result<RoleBatches> {
        let loader = self.phase_loader(role, training, index)?;
        let prefix = maps.prefix.get(&role).cloned();
        let asks = role.is_trained_on() || !range.spec.objective.reads_output();
        let asked = asks && teacher.needs_samples(&loader.batch_without_samples(0, 0)?);
        Ok(RoleBatches {
            rendered: asked || range.reads_input(prefix.as_ref()),
            role,
            loader,
            prefix,
        })
    }

    /// The regressors of phase `index` by stage.
    pub(crate) fn regressors(
        &self,
        layout: &Layout<S::Input>,
        index: usize,
    ) -> Result<Vec<Option<Regressor>>> {
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
            if matches!(term, Term::Map(_)) && *own == found {
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
}
