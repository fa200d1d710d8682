//! A phase of a stagewise run: one step, one evaluation, the whole state.

use burn::tensor::{Device, Gradients, Tensor};
use kd_core::{
    LossTerms, Metrics, NamedGradients, Names, Phase, PhaseState, Plan, Result, StepContext,
    TaskNetwork, Tensors, Trained, Training, export, import,
};
use kd_losses::Regressor;

use crate::PrefixMode;
use crate::data::Role;
use crate::outputs::Targets;
use crate::role_batches::RoleBatches;
use crate::stage_range::StageRange;
use crate::teacher_query::TeacherQuery;
use crate::terms::TermInputs;

pub(crate) struct StagePhase<'a, S: TaskNetwork> {
    pub(crate) range: StageRange<'a, S>,
    pub(crate) teacher: TeacherQuery<'a>,
    pub(crate) training: Training,
    pub(crate) plan: Plan,
    pub(crate) student: Trained<S>,
    /// The student as the phase began, on the plain device: its frozen stages.
    pub(crate) prefix: S,
    /// The regressors by stage, trained beside the student.
    pub(crate) regressors: Vec<Option<Regressor>>,
    pub(crate) train: RoleBatches,
    /// The samples that it is measured on, those for selection first.
    pub(crate) measured: Vec<RoleBatches>,
}

impl<S: TaskNetwork> StagePhase<'_, S> {
    /// The losses of a training batch, the graph of their sum behind them.
    fn losses(&self, at: StepContext) -> Result<(Tensor<1>, LossTerms)> {
        let (range, student) = (&self.range, self.student.network());
        let batch = self.train.batch(at.epoch, at.step_in_epoch)?;
        let answer = self.teacher.ask::<S::Output>(&batch)?;
        let mode = range.method.config.prefix;
        let moving = (mode == PrefixMode::BatchStatistics).then_some(student);
        let entry = range.enter(&self.train, &batch, &answer.maps, &self.prefix, moving)?;
        let made = range.run(student, entry.lifted());
        let answer = answer.lifted();
        let mut targets = None;
        if range.spec.objective.reads_labels() {
            targets = Some(Targets::of(&self.train.loader, &batch)?.lifted());
        }
        range.spec.objective.value(&TermInputs {
            names: &range.layout.names,
            student: &made.maps,
            teacher: &answer.maps,
            regressors: &self.regressors,
            output: made.output.as_ref(),
            teacher_output: answer.output.as_ref(),
            targets: targets.as_ref(),
        })
    }

    fn gradients(&self, mut raw: Gradients) -> NamedGradients {
        let mut gradients = NamedGradients::new();
        self.student.collect(&mut gradients, &mut raw);
        for (stage, regressor) in self.regressors.iter().enumerate() {
            if let Some(regressor) = regressor {
                gradients.collect(&regressor_name(stage), regressor, &mut raw);
            }
        }
        self.training.clip(&mut gradients);
        gradients
    }
}

impl<S: TaskNetwork> Phase for StagePhase<'_, S> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn draws_on(&self) -> Option<(Device, u64)> {
        let method = self.range.method;
        Some((method.device.clone(), method.seed))
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let (total, report) = self.losses(at)?;
        let gradients = self.gradients(total.backward());
        self.student.step(at, &gradients);
        for (stage, regressor) in self.regressors.iter_mut().enumerate() {
            if let Some(old) = regressor.take() {
                let name = regressor_name(stage);
                *regressor = Some(self.student.step_beside(&name, old, at, &gradients));
            }
        }
        Ok(report)
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        if !self.range.spec.objective.reads_output() {
            let first = self.measured.first().map(|batches| self.map_loss(batches));
            return first.unwrap_or_else(|| Ok(Metrics::new()));
        }
        let mut all = Metrics::new();
        for batches in &self.measured {
            let name = |name: String| match batches.role {
                Role::Validation => format!("validation_{name}"),
                _ => name,
            };
            let metrics = self.output_metrics(batches)?.into_iter();
            all.extend(metrics.map(|(metric, value)| (name(metric), value)));
        }
        Ok(all)
    }

    fn result(&self) -> Tensors {
        self.student.result()
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        self.student.put(&mut state);
        for (stage, regressor) in self.regressors.iter().enumerate() {
            if let Some(regressor) = regressor {
                state.put(&regressor_name(stage), export(regressor, Names::Burn));
            }
        }
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.student.restore(state)?;
        for (stage, regressor) in self.regressors.iter_mut().enumerate() {
            if let Some(old) = regressor {
                let tensors = state.part(&regressor_name(stage));
                *old = import(old, &tensors, Names::Burn, "checkpoint")?;
            }
        }
        Ok(())
    }
}

/// The name of a stage's regressor in gradients and checkpoints.
fn regressor_name(stage: usize) -> String {
    format!("regressor{stage}")
}
