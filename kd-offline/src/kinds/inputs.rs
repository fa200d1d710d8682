//! The inputs of a term of the objective in one step.

use burn::tensor::{Int, Tensor};
use kd_core::{Answer, Rows, Teacher};

use super::Pair;
use super::binder::TeacherMap;
use crate::taps::StudentTrace;

/// Everything that a term of the objective may read in one step.
pub(crate) struct TermInputs<'a> {
    pub(crate) student: &'a StudentTrace,
    pub(crate) answers: &'a [Answer],
    pub(crate) teachers: &'a [Box<dyn Teacher + 'a>],
    /// On the autodiff device.
    pub(crate) targets: &'a Tensor<1, Int>,
    /// The classes of the pixels, where the data have masks.
    pub(crate) masks: Option<&'a PixelTargets>,
    /// The ids of the samples in their data set.
    pub(crate) ids: &'a [u32],
    /// The step, for random draws.
    pub(crate) step: u64,
    /// The epoch, which may be a fraction, for constants that change with time.
    pub(crate) epoch: f64,
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

    /// A map in the answer of a teacher.
    pub(super) fn teacher_map(&self, teacher: usize, map: TeacherMap) -> Tensor<4> {
        let maps = &self.answers[teacher].maps;
        match map {
            TeacherMap::Tap(position) => maps[position].clone(),
            TeacherMap::Output => maps[maps.len() - 1].clone(),
        }
    }

    /// The two maps of a pair, the student's first.
    pub(super) fn pair(&self, pair: &Pair) -> (Tensor<4>, Tensor<4>) {
        let theirs = self.teacher_map(pair.teacher, pair.map);
        (self.student_map(pair.student), theirs)
    }

    /// The two maps of a pair as vectors `[batch_size, features]`.
    pub(super) fn vectors(&self, pair: &Pair) -> (Tensor<2>, Tensor<2>) {
        let (ours, theirs) = self.pair(pair);
        (ours.flatten(1, 3), theirs.flatten(1, 3))
    }
}

/// The classes of the pixels of a batch.
#[derive(Clone, Debug)]
pub(crate) struct PixelTargets {
    /// `[batch_size, height, width]`, on the autodiff device.
    pub(crate) masks: Tensor<3, Int>,
    /// What pixels without a class have.
    pub(crate) void: Option<i64>,
}

/// A tap of the student.
#[derive(Clone, Copy, Debug)]
pub(super) enum StudentTap {
    /// The map of a stage.
    Stage(usize),
    /// The dense representation, as a map.
    Dense,
}
