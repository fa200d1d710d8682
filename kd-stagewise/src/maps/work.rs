//! The context that the maps of a phase are computed in: the samples that it reads, and its student.

use std::path::Path;

use kd_core::{Error, TaskNetwork};

use crate::Stagewise;
use crate::data::Role;
use crate::layout::Layout;
use crate::phase_spec::PhaseSpec;

/// The maps that a phase needs, and the student that computes them.
pub(crate) struct PhaseWork<'a, S: TaskNetwork> {
    pub(crate) method: &'a Stagewise<S>,
    pub(crate) layout: &'a Layout<S::Input>,
    pub(crate) index: usize,
    /// The student with which the phase begins, on the plain device.
    pub(crate) student: S,
    /// The folder of the run.
    pub(crate) folder: &'a Path,
}

impl<S: TaskNetwork> PhaseWork<'_, S> {
    pub(super) fn phase(&self) -> &PhaseSpec {
        &self.layout.phases[self.index]
    }

    /// The roles of the samples that the phase reads.
    pub(super) fn roles(&self) -> Vec<Role> {
        let mut roles = self.method.measured_on(self.phase());
        roles.push(self.method.data.trained_on(self.phase()));
        roles
    }

    /// Whether this phase or a later one reads the teacher.
    pub(super) fn teacher_is_still_read(&self) -> bool {
        let mut phases = self.layout.phases[self.index..].iter();
        phases.any(|phase| phase.objective.reads_teacher())
    }

    /// Whether the phase asks the teacher about the samples of a role: one with labels is measured by its
    /// outputs alone.
    pub(super) fn asks_teacher(&self, role: Role) -> bool {
        let objective = &self.phase().objective;
        objective.reads_teacher() && (role.is_trained_on() || !objective.reads_output())
    }

    pub(super) fn interrupted(&self) -> Error {
        Error::Interrupted {
            run: self.folder.to_owned(),
            phase: self.phase().name.clone(),
            step: 0,
        }
    }
}
