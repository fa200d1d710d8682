//! One step, one evaluation, the whole state. The runner of kd does the rest: epochs, checkpoints, resume, logs.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{
    Loader, LossTerms, Metrics, NamedGradients, Names, Normalisation, Optimizer, Phase, PhaseState,
    Plan, Result, StagedNetwork, StepContext, Tensors, Training, evaluate, export, import,
};
use kd_models::Network;
use kd_offline::Teacher;

pub struct Regress<'a> {
    pub student: Network,
    pub optimizer: Optimizer,
    pub plan: Plan,
    pub normalisation: &'a Normalisation,
    pub teacher: &'a dyn Teacher,
    pub training: &'a Training,
    pub train: &'a Loader,
    pub held_out: &'a Loader,
}

/// Logits without their mean over the classes, `[batch_size, num_classes]`: adding a constant to all says nothing.
fn centred(logits: Tensor<2>) -> Tensor<2> {
    let mean = logits.clone().mean_dim(1);
    logits - mean
}

impl Phase for Regress<'_> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let batch = self.train.batch(at.epoch, at.step_in_epoch)?;
        let teacher = self.teacher.look(batch.pixels.clone())?.output;
        // The teacher is on the plain device; lifting its answer makes it a constant of the student's graph.
        let teacher = Tensor::from_inner(centred(teacher));
        let input = Tensor::from_inner(self.normalisation.apply(batch.pixels)?);
        let student = centred(self.student.forward(&input));
        let loss = (student - teacher).powi_scalar(2).mean().div_scalar(2.0);

        let mut raw = loss.backward();
        let mut gradients = NamedGradients::new();
        gradients.collect("student", &self.student, &mut raw);
        self.training.clip(&mut gradients);
        self.student = self
            .optimizer
            .step("student", self.student.clone(), at.lr, &gradients);
        Ok(vec![("total".into(), loss.inner())])
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let student = self.student.valid();
        let summary = evaluate(self.held_out, None, |pixels| {
            Ok(student.forward(&self.normalisation.apply(pixels)?))
        })?
        .summary()?;
        Ok(Metrics::from([
            ("accuracy".to_owned(), summary.accuracy),
            ("loss".to_owned(), summary.loss),
        ]))
    }

    fn result(&self) -> Tensors {
        export(&self.student, Names::PyTorch)
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        state.put_optimizer(&self.optimizer);
        state.put("student", export(&self.student, Names::Burn));
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        let device: Device = self
            .student
            .devices()
            .into_iter()
            .next()
            .unwrap_or_default();
        let student = state.part("student");
        self.student = import(&self.student, &student, Names::Burn, "checkpoint")?;
        state.restore_optimizer(&mut self.optimizer, &device)
    }
}
