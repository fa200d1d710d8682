//! The inputs of a term of the objective in one step.

use burn::tensor::{Int, Tensor};
use kd_core::{Answer, Rows, Teacher};

use super::Pair;
use crate::taps::StudentTrace;

/// Everything that a term of the objective may read in one step.
pub(crate) struct TermInputs<'a> {
    pub(crate) student: &'a StudentTrace,
    pub(crate) answers: &'a [Answer],
    pub(crate) teachers: &'a [Box<dyn Teacher + 'a>],
    /// On the autodiff device.
    pub(crate) targets: &'a Tensor<1, Int>,
    /// The ids of the samples in their data set.
    pub(crate) ids: &'a [u32],
    /// The step, for random draws.
    pub(crate) step: u64,
    /// Whether this is only a trial, which changes no memory.
    pub(crate) trial: bool,
}

impl TermInputs<'_> {
    /// The student's map at a tap.
    pub(super) fn student_map(&self, tap: StudentTap) -> Tensor<4> {
        match tap {
            StudentTap::Stage(stage) => self.student.maps[stage].clone(),
            StudentTap::Dense => self.student.dense.clone().into_map(),
        }
    }

    /// The two maps of a pair, the student's first.
    pub(super) fn pair(&self, pair: &Pair) -> (Tensor<4>, Tensor<4>) {
        let theirs = self.answers[pair.teacher].maps[pair.map].clone();
        (self.student_map(pair.student), theirs)
    }

    /// The two maps of a pair as vectors `[batch_size, features]`.
    pub(super) fn vectors(&self, pair: &Pair) -> (Tensor<2>, Tensor<2>) {
        let (ours, theirs) = self.pair(pair);
        (ours.flatten(1, 3), theirs.flatten(1, 3))
    }
}

/// A tap of the student.
#[derive(Clone, Copy, Debug)]
pub(super) enum StudentTap {
    /// The map of a stage.
    Stage(usize),
    /// The dense representation, as a map.
    Dense,
}
