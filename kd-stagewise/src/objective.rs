//! What a phase minimises: a weighted sum of terms.

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use kd_core::{LossTerms, Result};
use kd_losses::{AttentionDistance, FspPooling, Regressor, attention_transfer, fsp_pooled, hint};

use crate::prediction::{Prediction, Targets, loss_error};

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

/// A weighted sum of terms: `L = sum of weight * term`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Objective {
    pub(crate) terms: Vec<(Term, f64)>,
}

impl Objective {
    pub(crate) fn one(term: Term) -> Self {
        Self {
            terms: vec![(term, 1.0)],
        }
    }

    /// The stages whose maps are compared.
    pub(crate) fn taps(&self) -> BTreeSet<usize> {
        let mut taps = BTreeSet::new();
        for (term, _) in &self.terms {
            match *term {
                Term::Labels | Term::SoftTargets(_) => {}
                Term::Map(stage) | Term::HalfSquare(stage) | Term::Attention(stage) => {
                    taps.insert(stage);
                }
                Term::Flow { stages, .. } => taps.extend(stages),
            }
        }
        taps
    }

    /// Whether labels are used.
    pub(crate) fn reads_labels(&self) -> bool {
        self.terms.iter().any(|(term, _)| *term == Term::Labels)
    }

    /// Whether the student's output is used.
    pub(crate) fn reads_output(&self) -> bool {
        self.reads_labels() || self.reads_answer()
    }

    /// Whether the teacher's output is used.
    pub(crate) fn reads_answer(&self) -> bool {
        let soft = |term: &Term| matches!(term, Term::SoftTargets(_));
        self.terms.iter().any(|(term, _)| soft(term))
    }

    /// Whether the teacher is used at all.
    pub(crate) fn reads_teacher(&self) -> bool {
        self.reads_answer() || !self.taps().is_empty()
    }

    /// The value of each term and the weighted sum, as `total`.
    pub(crate) fn value<O: Prediction>(
        &self,
        seen: &Seen<'_, O>,
    ) -> Result<(Tensor<1>, LossTerms)> {
        let mut report = LossTerms::new();
        let mut total: Option<Tensor<1>> = None;
        for (term, weight) in &self.terms {
            let (name, value) = seen.term(term)?;
            report.push((name, value.clone().inner()));
            // A product with 1 changes no bit.
            let value = value * *weight;
            total = Some(match total {
                Some(sum) => sum + value,
                None => value,
            });
        }
        let total = total.ok_or_else(|| absent("a term"))?;
        report.push(("total".into(), total.clone().inner()));
        Ok((total, report))
    }
}

/// What a loss is computed from.
pub(crate) struct Seen<'a, O> {
    /// The names of the student's stages.
    pub(crate) names: &'a [String],
    /// The student's maps by stage; those of stages that were not run are missing.
    pub(crate) student: &'a [Option<Tensor<4>>],
    /// The teacher's maps by the student's stage.
    pub(crate) teacher: &'a [Option<Tensor<4>>],
    /// What stands between the maps of a stage, where their shapes differ.
    pub(crate) regressors: &'a [Option<Regressor>],
    pub(crate) output: Option<&'a O>,
    pub(crate) answer: Option<&'a O>,
    pub(crate) targets: Option<&'a Targets>,
}

impl<O: Prediction> Seen<'_, O> {
    fn term(&self, term: &Term) -> Result<(String, Tensor<1>)> {
        let named = |kind: &str, stage: usize| format!("{kind}-{}", self.names[stage]);
        Ok(match *term {
            Term::Labels => {
                let (Some(output), Some(targets)) = (self.output, self.targets) else {
                    return Err(absent("labels"));
                };
                (
                    "cross-entropy".into(),
                    output.clone().cross_entropy(targets)?,
                )
            }
            Term::SoftTargets(temperature) => {
                let (Some(output), Some(answer)) = (self.output, self.answer) else {
                    return Err(absent("soft targets"));
                };
                let value = output.clone().soft_target(answer.clone(), temperature)?;
                ("kd".into(), value)
            }
            Term::Map(stage) => {
                let (student, teacher) = self.pair(stage)?;
                let value = hint(student, teacher).map_err(loss_error)?;
                (named("map", stage), value)
            }
            Term::HalfSquare(stage) => {
                let (student, teacher) = self.pair(stage)?;
                let [_batch_size, channels, height, width] = teacher.dims();
                let half = (channels * height * width) as f64 / 2.0;
                let value = hint(student, teacher).map_err(loss_error)? * half;
                (named("hint", stage), value)
            }
            Term::Attention(stage) => {
                let (student, teacher) = (self.student_map(stage)?, self.teacher_map(stage)?);
                let distance = AttentionDistance::MeanSquare;
                let value = attention_transfer(student, teacher, distance, 1e-12);
                (named("attention", stage), value.map_err(loss_error)?)
            }
            Term::Flow {
                stages: [first, second],
                pooling,
                mean,
            } => {
                let student = [self.student_map(first)?, self.student_map(second)?];
                let teacher = [self.teacher_map(first)?, self.teacher_map(second)?];
                let entries = (student[0].dims()[1] * student[1].dims()[1]) as f64;
                let value = fsp_pooled(student, teacher, pooling).map_err(loss_error)?;
                let value = if mean { value * entries.recip() } else { value };
                (named("flow", second), value)
            }
        })
    }

    fn student_map(&self, stage: usize) -> Result<Tensor<4>> {
        self.student[stage]
            .clone()
            .ok_or_else(|| absent("map of the student"))
    }

    fn teacher_map(&self, stage: usize) -> Result<Tensor<4>> {
        self.teacher[stage]
            .clone()
            .ok_or_else(|| absent("map of the teacher"))
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
fn absent(what: &str) -> kd_core::Error {
    kd_core::Error::config(
        "stagewise.procedure",
        format!("needs {what}, which this phase does not have"),
    )
}
