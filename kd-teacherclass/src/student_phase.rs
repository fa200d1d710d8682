//! The phase of one student: one step, one evaluation, the whole state.

use burn::tensor::Tensor;
use kd_core::{
    CachedTeacher, Loader, LossTerms, Metrics, NamedGradients, NetworkInput, Phase, PhaseState,
    Plan, Result, StepContext, Teacher, Tensors, Trained, detached_copy,
};

use crate::method::{TeacherClass, student_seed};
use crate::objective::chunk_mse;
use crate::split::Chunk;
use crate::student::Student;
use crate::teacher_head::dense;

/// One student under training.
pub(crate) struct StudentPhase<'a, S: Student> {
    method: &'a TeacherClass<S>,
    chunk: Chunk,
    plan: Plan,
    student: Trained<S>,
    teacher: CachedTeacher<&'a dyn Teacher>,
    train: Loader,
    held_out: Loader,
}

impl<S: Student> TeacherClass<S> {
    /// The phase of student `student`, `attempt` 0 or 1.
    pub(crate) fn student_phase(
        &self,
        student: usize,
        attempt: usize,
    ) -> Result<StudentPhase<'_, S>> {
        let chunk = self.layout()?.chunks[student];
        let train = self.train_loader(student_seed(self.seed, student, attempt))?;
        let network = detached_copy(&self.student(&chunk, attempt)?).train();
        Ok(StudentPhase {
            method: self,
            chunk,
            plan: self.training.plan(train.steps_per_epoch(), None)?,
            student: Trained::new("student", network, self.training.optimizer.clone())?,
            teacher: self.asked(),
            train,
            held_out: self.held_out_loader()?,
        })
    }
}

impl<S: Student> Phase for StudentPhase<'_, S> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let batch = self.train.batch(at.epoch, at.step_in_epoch)?;
        let input: S::Input = self.method.preprocessing.input(&batch)?;
        let target = dense(&self.teacher, &batch)?;
        let target = target.narrow(1, self.chunk.start, self.chunk.length);
        let output = self.student.network().forward(&input.lifted());
        let loss = chunk_mse(output, Tensor::from_inner(target))?;
        let mut gradients = NamedGradients::new();
        self.student
            .collect(&mut gradients, &mut loss.clone().backward());
        self.method.training.clip(&mut gradients);
        self.student.step(at, &gradients);
        Ok(vec![("total".into(), loss.inner())])
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let student = self.student.valid();
        let sums = self.method.measure(&student, &self.chunk, &self.held_out)?;
        let mut metrics = Metrics::from([
            ("mse".to_owned(), sums.mse()),
            ("dead_units".to_owned(), sums.dead() as f64),
        ]);
        metrics.extend(sums.nmse().map(|nmse| ("nmse".to_owned(), nmse)));
        Ok(metrics)
    }

    fn result(&self) -> Tensors {
        self.student.result()
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        self.student.put(&mut state);
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.student.restore(state)
    }
}
