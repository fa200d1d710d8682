//! The student that a phase begins with: the result of the phase before, with stages copied where asked.

use kd_core::{
    Names, Result, RunFolder, Snapshot, TaskNetwork, Teacher, Tensors, detached_copy, export,
    import, stage_tensors,
};

use crate::layout::Layout;
use crate::{Select, Stagewise};

impl<S: TaskNetwork> Stagewise<S> {
    /// The student with which phase `index` begins.
    pub(crate) fn first_student(
        &self,
        layout: &Layout<S::Input>,
        index: usize,
        earlier: &RunFolder,
    ) -> Result<S> {
        let before = index.checked_sub(1);
        let student = match before.and_then(|before| layout.phases.get(before)) {
            None => detached_copy(&self.student),
            Some(before) => {
                let snapshot = match self.config.select {
                    Select::Last => Snapshot::Last,
                    _ => Snapshot::Best,
                };
                let tensors = earlier.result(&before.name, snapshot)?;
                let origin = format!("the result of phase `{}`", before.name);
                import(&self.student, &tensors, Names::PyTorch, &origin)?
            }
        };
        match self.with_copied_stages(layout, index, &student) {
            Some(copied) => import(&student, &copied, Names::Burn, "the teacher's stage"),
            None => Ok(student),
        }
    }

    /// The student's tensors, those of the stages that phase `index` trains taken from the teacher where both
    /// are alike.
    fn with_copied_stages(
        &self,
        layout: &Layout<S::Input>,
        index: usize,
        student: &S,
    ) -> Option<Tensors> {
        let phase = &layout.phases[index];
        let teacher = self.teacher.as_ref()?;
        if !self.config.copy_identical || phase.objective.reads_output() {
            return None;
        }
        let mut all = export(student, Names::Burn);
        for stage in phase.stages.clone() {
            let own = stage_tensors(student, &all, stage);
            let lent = layout.teacher_stage(stage);
            let lent = lent.and_then(|stage| teacher.stage_tensors(stage));
            let lent = lent.unwrap_or_default();
            if !own.is_empty() && are_alike(&own, &lent) {
                all.extend(lent);
            }
        }
        Some(all)
    }
}

/// Whether tensors have the same names and shapes.
fn are_alike(one: &Tensors, other: &Tensors) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|((name, own), (other, given))| name == other && own.shape() == given.shape())
}
