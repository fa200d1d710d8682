//! The first steps of a run, done on a copy: losses and costs measured, student and teachers compared with
//! before.

use kd_core::{Finding, Names, Result, TaskNetwork, Topic, count_parameters, export, hash_tensors};

use super::{CostFacts, Diagnosis, Parts, costs, losses};
use crate::Offline;

impl<S: TaskNetwork> Offline<S> {
    /// Computes each loss on the first batch, does the first steps on a copy, and compares student and
    /// teachers with what they were.
    pub(super) fn measure_run(&self, parts: &mut Parts, diagnosis: &mut Diagnosis) -> Result<()> {
        let Some(schedule) = diagnosis.schedule.clone() else {
            return Ok(());
        };
        let student_hash = hash_tensors(&export(&self.student, Names::PyTorch));
        let hashes: Vec<String> = self.teachers.iter().map(|teacher| teacher.hash()).collect();
        let prepared = self.prepared()?;
        let mut phase = self.distill(self.live_teachers())?;
        let batch = phase.answered(phase.train.batch(0, 0)?)?;
        let student = phase.student.network();
        let facts = losses::measure(student, &phase.losses, &phase.teachers, &batch)?;
        parts.done();
        losses::judge(
            &facts,
            &self.losses,
            self.training.clip_norm,
            &mut diagnosis.findings,
        );
        let finite = facts.terms.iter().all(|term| term.value.is_finite());
        diagnosis.losses = Some(facts);
        if !finite {
            return Ok(());
        }
        let costs = CostFacts {
            student_parameters: count_parameters(&self.student),
            extra_parameters: phase.losses.parameters(),
            memory: costs::memory(&phase, prepared, &diagnosis.teachers),
            time: costs::time(&mut phase, &schedule, parts, &self.device)?,
        };
        drop(phase);
        self.compare_with_before(&student_hash, &hashes, diagnosis);
        let beside = match costs.extra_parameters {
            0 => String::new(),
            extra => format!(" and {extra} of regressors beside it"),
        };
        let text = format!(
            "{} parameters of the student{beside} are trained",
            costs.student_parameters
        );
        diagnosis.findings.push(Finding::ok(Topic::Frozen, text));
        diagnosis.costs = Some(costs);
        Ok(())
    }

    /// Compares the hashes of student and teachers with those before the first step.
    fn compare_with_before(&self, student: &str, teachers: &[String], diagnosis: &mut Diagnosis) {
        let before = self.teachers.iter().zip(teachers);
        for ((teacher, hash), facts) in before.zip(&diagnosis.teachers) {
            let name = &facts.name;
            diagnosis.findings.push(if teacher.hash() == *hash {
                let text = format!(
                    "{name} is frozen: weights and running statistics are the same after {} steps as before \
                     (sha256 {}...)",
                    costs::STEPS,
                    &hash[..12.min(hash.len())]
                );
                Finding::ok(Topic::Frozen, text)
            } else {
                let text = format!(
                    "{name} changed when it was queried; its `answer` must leave weights and running \
                     statistics alone, as that of `FrozenTeacher` does"
                );
                Finding::error(Topic::Frozen, text)
            });
        }
        if hash_tensors(&export(&self.student, Names::PyTorch)) != student {
            let text = "the initial student changed when a copy of it was trained; its module shares state \
                        that it must not";
            diagnosis.findings.push(Finding::error(Topic::Frozen, text));
        }
    }
}
