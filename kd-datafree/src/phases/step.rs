//! The steps that several phases take.

use burn::module::Module;
use burn::tensor::Tensor;
use kd_core::{
    Error, ImageClassifier, LossTerms, NamedGradients, Result, StepContext, Trained, Training,
};
use kd_losses::soft_target;

/// Moves a network one step down the gradient of `loss`, which is limited as `training` has it.
pub(super) fn step_down<N: Module>(
    trained: &mut Trained<N>,
    loss: &Tensor<1>,
    training: &Training,
    at: StepContext,
) {
    let mut gradients = NamedGradients::new();
    trained.collect(&mut gradients, &mut loss.backward());
    training.clip(&mut gradients);
    trained.step(at, &gradients);
}

/// Images as the teacher takes them and its logits for them, both without a graph.
pub(super) struct SoftTargets {
    pub(super) images: Tensor<4>,
    pub(super) teacher: Tensor<2>,
    pub(super) temperature: f64,
}

impl SoftTargets {
    /// A step of `student` down [`soft_target`], and that loss.
    pub(super) fn step<S: ImageClassifier>(
        self,
        student: &mut Trained<S>,
        training: &Training,
        at: StepContext,
    ) -> Result<LossTerms> {
        let logits = student.network().forward(&Tensor::from_inner(self.images));
        let loss = soft_target(logits, Tensor::from_inner(self.teacher), self.temperature)
            .map_err(|error| Error::method("the student's loss", error))?;
        step_down(student, &loss, training, at);
        Ok(vec![("total".into(), loss.inner())])
    }
}
