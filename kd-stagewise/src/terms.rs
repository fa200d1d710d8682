//! The terms of a loss, and the inputs that they are computed from.

use burn::tensor::Tensor;
use kd_core::{Error, NetworkOutput, Result};
use kd_losses::{AttentionDistance, FspPooling, Regressor, attention_transfer, fsp_pooled, hint};

use crate::outputs::{Targets, cross_entropy, loss_error, soft_target};

/// One term of a loss.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Term {
    /// Cross-entropy with the labels.
    Labels,
    /// Hinton's soft targets at this temperature.
    SoftTargets(f64),
    /// Mean squared difference of the maps of a stage.
    Map(usize),
    /// Half the squared distance of the maps of a stage, summed over the map: equation (3) of FitNets.
    HalfSquare(usize),
    /// Attention maps of a stage, mean squared difference.
    Attention(usize),
    /// Flow matrices between two stages; whether their entries are averaged, or summed as in the paper.
    Flow {
        stages: [usize; 2],
        pooling: FspPooling,
        mean: bool,
    },
}

/// The inputs of a loss: maps and outputs of student and teacher, and the labels.
pub(crate) struct TermInputs<'a, O> {
    /// The names of the student's stages.
    pub(crate) names: &'a [String],
    /// The student's maps by stage; those of stages that were not run are missing.
    pub(crate) student: &'a [Option<Tensor<4>>],
    /// The teacher's maps by the student's stage.
    pub(crate) teacher: &'a [Option<Tensor<4>>],
    /// The regressors between the maps of a stage, where their shapes differ.
    pub(crate) regressors: &'a [Option<Regressor>],
    /// The student's output.
    pub(crate) output: Option<&'a O>,
    /// The teacher's output.
    pub(crate) teacher_output: Option<&'a O>,
    /// The labels.
    pub(crate) targets: Option<&'a Targets>,
}

impl<O: NetworkOutput> TermInputs<'_, O> {
    /// The name of a term in logs, and its value `[1]`.
    pub(crate) fn term(&self, term: &Term) -> Result<(String, Tensor<1>)> {
        let named = |kind: &str, stage: usize| format!("{kind}-{}", self.names[stage]);
        Ok(match *term {
            Term::Labels => ("cross-entropy".into(), self.labels()?),
            Term::SoftTargets(temperature) => ("kd".into(), self.soft_targets(temperature)?),
            Term::Map(stage) => {
                let (student, teacher) = self.pair(stage)?;
                let value = hint(student, teacher).map_err(loss_error)?;
                (named("map", stage), value)
            }
            Term::HalfSquare(stage) => (named("hint", stage), self.half_square(stage)?),
            Term::Attention(stage) => {
                let (student, teacher) = (self.student_map(stage)?, self.teacher_map(stage)?);
                let distance = AttentionDistance::MeanSquare;
                let value = attention_transfer(student, teacher, distance, 1e-12);
                (named("attention", stage), value.map_err(loss_error)?)
            }
            Term::Flow {
                stages,
                pooling,
                mean,
            } => (named("flow", stages[1]), self.flow(stages, pooling, mean)?),
        })
    }

    fn labels(&self) -> Result<Tensor<1>> {
        let (Some(output), Some(targets)) = (self.output, self.targets) else {
            return Err(absent("labels"));
        };
        cross_entropy(output.clone(), targets)
    }

    fn soft_targets(&self, temperature: f64) -> Result<Tensor<1>> {
        let (Some(output), Some(teacher)) = (self.output, self.teacher_output) else {
            return Err(absent("soft targets"));
        };
        soft_target(output.clone(), teacher.clone(), temperature)
    }

    fn half_square(&self, stage: usize) -> Result<Tensor<1>> {
        let (student, teacher) = self.pair(stage)?;
        let [_batch_size, channels, height, width] = teacher.dims();
        let half = (channels * height * width) as f64 / 2.0;
        Ok(hint(student, teacher).map_err(loss_error)? * half)
    }

    fn flow(&self, stages: [usize; 2], pooling: FspPooling, mean: bool) -> Result<Tensor<1>> {
        let [first, second] = stages;
        let student = [self.student_map(first)?, self.student_map(second)?];
        let teacher = [self.teacher_map(first)?, self.teacher_map(second)?];
        let entries = (student[0].dims()[1] * student[1].dims()[1]) as f64;
        let value = fsp_pooled(student, teacher, pooling).map_err(loss_error)?;
        Ok(if mean { value * entries.recip() } else { value })
    }

    fn student_map(&self, stage: usize) -> Result<Tensor<4>> {
        let map = self.student[stage].clone();
        map.ok_or_else(|| absent("a map of the student"))
    }

    fn teacher_map(&self, stage: usize) -> Result<Tensor<4>> {
        let map = self.teacher[stage].clone();
        map.ok_or_else(|| absent("a map of the teacher"))
    }

    /// The maps of a stage in one shape.
    fn pair(&self, stage: usize) -> Result<(Tensor<4>, Tensor<4>)> {
        let (student, teacher) = (self.student_map(stage)?, self.teacher_map(stage)?);
        match &self.regressors[stage] {
            Some(regressor) => regressor.forward(student, teacher).map_err(loss_error),
            None => Ok((student, teacher)),
        }
    }
}

/// Something that a phase did not provide for its own objective.
fn absent(what: &str) -> Error {
    let problem = format!("needs {what}, which this phase does not have");
    Error::config("stagewise.procedure", problem)
}
