//! The question that a phase asks its teacher about each batch, and the answer by the student's stages.

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use kd_core::{
    Batch, CachedTeacher, Error, NetworkOutput, Requested, Result, Rows, TaskNetwork, Teacher,
};

use crate::Stagewise;
use crate::layout::Layout;
use crate::maps::PhaseMaps;
use crate::phase_spec::PhaseSpec;

/// The question of a phase: the maps that it compares or feeds to the student, and the output where it is
/// compared.
pub(crate) struct TeacherQuery<'a> {
    /// None where the phase asks for nothing.
    teacher: Option<CachedTeacher<&'a dyn Teacher>>,
    requested: Requested,
    /// The position of the map of each of the student's stages in an answer.
    positions: Vec<Option<usize>>,
}

/// The answer to a [`TeacherQuery`], on the plain device.
pub(crate) struct TeacherAnswer<O> {
    /// The maps by the student's stages.
    pub(crate) maps: Vec<Option<Tensor<4>>>,
    pub(crate) output: Option<O>,
}

impl<O: Rows> TeacherAnswer<O> {
    /// No answer.
    pub(crate) fn none(stages: usize) -> Self {
        Self {
            maps: vec![None; stages],
            output: None,
        }
    }

    /// The same on the autodiff form of the device.
    pub(crate) fn lifted(self) -> Self {
        let maps = self.maps.into_iter();
        Self {
            maps: maps.map(|map| map.map(Rows::lifted)).collect(),
            output: self.output.map(Rows::lifted),
        }
    }
}

impl TeacherQuery<'_> {
    /// Whether the teacher must be run for a batch, so that the batch must be rendered.
    pub(crate) fn needs_samples(&self, batch: &Batch) -> bool {
        let teacher = self.teacher.as_ref();
        teacher.is_some_and(|teacher| !teacher.has(batch, &self.requested))
    }

    /// Asks the teacher about a batch.
    pub(crate) fn ask<O: NetworkOutput>(&self, batch: &Batch) -> Result<TeacherAnswer<O>> {
        let Some(teacher) = &self.teacher else {
            return Ok(TeacherAnswer::none(self.positions.len()));
        };
        let answer = teacher.answer(batch, &self.requested)?;
        let map = |position: &Option<usize>| answer.maps.get((*position)?).cloned();
        let output = self.requested.has_output().then(|| answer.output_as());
        Ok(TeacherAnswer {
            maps: self.positions.iter().map(map).collect(),
            output: output.transpose()?,
        })
    }
}

impl<S: TaskNetwork> Stagewise<S> {
    /// Whether the stages of a phase read the teacher's maps in place of the student's own.
    pub(crate) fn takes_teacher_input(&self, phase: &PhaseSpec) -> bool {
        self.config.teacher_input && !phase.objective.reads_output()
    }

    /// The student's stages at which a phase asks for the teacher's maps.
    pub(crate) fn teacher_maps_of(
        &self,
        layout: &Layout<S::Input>,
        phase: &PhaseSpec,
    ) -> BTreeSet<usize> {
        let mut stages = phase.objective.taps();
        if self.takes_teacher_input(phase) {
            stages.extend(layout.inputs_of(phase).maps);
        }
        stages
    }

    /// The question of a phase, with the answers that are kept.
    pub(crate) fn query(
        &self,
        layout: &Layout<S::Input>,
        phase: &PhaseSpec,
        maps: &PhaseMaps,
    ) -> Result<TeacherQuery<'_>> {
        let mut requested = Requested::nothing();
        let mut positions = vec![None; layout.names.len()];
        for stage in self.teacher_maps_of(layout, phase) {
            if let Some(name) = layout.teacher_name(stage) {
                positions[stage] = Some(requested.add_tap(name));
            }
        }
        if phase.objective.reads_teacher_output() {
            requested = requested.with_output();
        }
        let mut teacher = None;
        if !requested.is_nothing() {
            let missing = || Error::config("teacher", "is missing");
            let asked = CachedTeacher::new(self.teacher.as_deref().ok_or_else(missing)?);
            let kept = maps.answers.values().cloned();
            teacher = Some(kept.fold(asked, CachedTeacher::with));
        }
        Ok(TeacherQuery {
            teacher,
            requested,
            positions,
        })
    }
}
