//! The phase of one student: one step, one evaluation, the whole state.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use kd_core::{
    Draws, Loader, LossTerms, Metrics, NamedGradients, NetworkInput, Phase, PhaseState, Plan,
    Result, Rows, StepContext, Tensors, Trained, detached_copy,
};

use crate::adversarial::Adversary;
use crate::config::ChunkLoss;
use crate::discriminator::Discriminator;
use crate::method::{TeacherClass, student_seed};
use crate::output::ChunkOutput;
use crate::split::Chunk;
use crate::student::Student;
use crate::targets::Targets;

/// One student under training.
pub(crate) struct StudentPhase<'a, S: Student> {
    method: &'a TeacherClass<S>,
    chunk: Chunk,
    plan: Plan,
    student: Trained<S>,
    /// The discriminator, where the loss has one.
    adversary: Option<Adversary>,
    targets: Targets<'a>,
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
        let chunk = self.division()?.chunks()[student];
        let train = self.train_loader(student_seed(self.seed, student, attempt))?;
        let network = detached_copy(&self.student(&chunk, attempt)?).train();
        Ok(StudentPhase {
            method: self,
            chunk,
            plan: self.training.plan(train.steps_per_epoch(), None)?,
            student: Trained::new("student", network, self.training.optimizer.clone())?,
            adversary: self.adversary(&chunk, attempt)?,
            targets: self.targets()?,
            train,
            held_out: self.held_out_loader()?,
        })
    }

    /// The discriminator of a student that begins.
    fn adversary(&self, chunk: &Chunk, attempt: usize) -> Result<Option<Adversary>> {
        let gan = &self.config.gan;
        if self.config.loss == ChunkLoss::Mse {
            return Ok(None);
        }
        let seed = student_seed(self.seed, chunk.student, attempt);
        let seed = Draws::new(seed, "discriminator of a student", 0, 0).bits();
        let layers = gan.discriminator.layers();
        let discriminator = Discriminator::new(chunk.length, &layers, seed, &self.device)?;
        Adversary::new(gan, self.config.loss, discriminator).map(Some)
    }
}

impl<S: Student> StudentPhase<'_, S> {
    /// Moves the student one step down the gradient of a loss.
    fn descend(&mut self, at: StepContext, loss: &Tensor<1>) {
        let mut gradients = NamedGradients::new();
        self.student
            .collect(&mut gradients, &mut loss.clone().backward());
        self.method.training.clip(&mut gradients);
        self.student.step(at, &gradients);
    }

    /// A step by the mean squared error.
    fn step_by_mse(
        &mut self,
        at: StepContext,
        input: S::Input,
        target: S::Output,
    ) -> Result<LossTerms> {
        let output = self.student.network().forward(&input.lifted());
        let loss = output.mse(Rows::lifted(target))?;
        self.descend(at, &loss);
        Ok(vec![("total".into(), loss.inner())])
    }

    /// A step of the discriminator by the teacher's chunks and by those that the student gives at inference,
    /// then of the student through the discriminator as it is then.
    fn step_by_adversary(
        &mut self,
        at: StepContext,
        input: S::Input,
        target: Tensor<2>,
        mut adversary: Adversary,
    ) -> Result<LossTerms> {
        let output = self.student.valid().forward(&input).vectors();
        let input = input.lifted();
        let mut terms = adversary.step(at, &target, output)?;
        let frozen = adversary.frozen();
        let mut last = Vec::new();
        for _ in 0..adversary.student_steps() {
            let output = self.student.network().forward(&input).vectors();
            let target = Tensor::from_inner(target.clone());
            let [loss, origin, mse] = adversary.student_loss(&frozen, output, target)?;
            self.descend(at, &loss);
            let named = [("total", loss), ("adversarial", origin), ("mse", mse)];
            let inner = named.map(|(name, value)| (name.to_owned(), value.inner()));
            last = inner.into();
        }
        terms.extend(last);
        self.adversary = Some(adversary);
        Ok(terms)
    }
}

impl<S: Student> Phase for StudentPhase<'_, S> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn draws_on(&self) -> Option<(Device, u64)> {
        Some((self.train.device().clone(), self.train.config().seed))
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let batch = self.train.batch(at.epoch, at.step_in_epoch)?;
        let input: S::Input = self.method.preprocessing.input(&batch)?;
        let target: S::Output = self.targets.chunk(&batch, &self.chunk)?;
        match self.adversary.take() {
            Some(adversary) => self.step_by_adversary(at, input, target.vectors(), adversary),
            None => self.step_by_mse(at, input, target),
        }
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

    fn artifacts(&self) -> Result<BTreeMap<String, Tensors>> {
        self.method.division_artifact()
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        self.student.put(&mut state);
        if let Some(adversary) = &self.adversary {
            adversary.discriminator().put(&mut state);
        }
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.student.restore(state)?;
        match &mut self.adversary {
            Some(adversary) => adversary.discriminator_mut().restore(state),
            None => Ok(()),
        }
    }
}
