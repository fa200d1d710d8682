//! One step, one evaluation, the whole state. kd's runner does the rest: epochs, checkpoints, resume, logs.

use burn::tensor::Tensor;
use kd_core::{
    Loader, LossTerms, Metrics, NamedGradients, NetworkInput, Phase, PhaseState, Plan,
    Preprocessing, Requested, Result, StagedNetwork, StepContext, Teacher, Tensors, Trained,
    Training, evaluate,
};
use kd_models::Network;

pub struct Regress<'a> {
    pub student: Trained<Network>,
    pub plan: Plan,
    pub preprocessing: &'a Preprocessing,
    pub teacher: &'a dyn Teacher,
    pub training: &'a Training,
    pub train: &'a Loader,
    pub held_out: &'a Loader,
}

/// Logits without their mean over the classes, `[batch_size, num_classes]`: a constant says nothing.
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
        let teacher = self
            .teacher
            .answer(&batch, &Requested::output())?
            .logits()?;
        // The teacher is on the plain device; lifting its answer makes it a constant of the student's graph.
        let teacher = Tensor::from_inner(centred(teacher));
        let input: Tensor<4> = self.preprocessing.input(&batch)?;
        let student = centred(self.student.network().forward(&input.lifted()));
        let loss = (student - teacher).square().mean().div_scalar(2.0);

        let mut raw = loss.backward();
        let mut gradients = NamedGradients::new();
        self.student.collect(&mut gradients, &mut raw);
        self.training.clip(&mut gradients);
        self.student.step(at, &gradients);
        Ok(vec![("total".into(), loss.inner())])
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let student = self.student.valid();
        let summary = evaluate(self.held_out, None, |batch| {
            Ok(student.forward(&self.preprocessing.input(batch)?))
        })?
        .summary()?;
        Ok(Metrics::from([
            ("accuracy".to_owned(), summary.accuracy),
            ("loss".to_owned(), summary.loss),
        ]))
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
