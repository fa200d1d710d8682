//! The phase after the cut: the smaller network learns on from the network as it was.

use burn::tensor::Tensor;
use kd_core::{
    Classifier, Loader, LossTerms, Metrics, NamedGradients, NetworkInput, Phase, PhaseState, Plan,
    Result, RunFolder, Selection, StepContext, Tensors, Trained, detached_copy,
};

use crate::method::Compact;
use crate::objective::loss;

/// The cut network under training.
pub(crate) struct TrainPhase<'a, N: Classifier> {
    method: &'a Compact<N>,
    plan: Plan,
    network: Trained<N>,
    train: Loader,
    held_out: Loader,
}

impl<N: Classifier> Compact<N> {
    /// The phase that begins with the network that the cut left.
    pub(crate) fn train_phase(&self, earlier: &RunFolder) -> Result<TrainPhase<'_, N>> {
        let train = self.train_loader(&self.train)?;
        let network = detached_copy(&self.cut_result(earlier)?).train();
        let selection = Some(Selection::highest("accuracy"));
        Ok(TrainPhase {
            plan: self.train.plan(train.steps_per_epoch(), selection)?,
            network: Trained::new("network", network, self.train.optimizer.clone())?,
            held_out: self.held_out_loader()?,
            train,
            method: self,
        })
    }
}

impl<N: Classifier> Phase for TrainPhase<'_, N> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let batch = self.train.batch(at.epoch, at.step_in_epoch)?;
        let method = self.method;
        let teacher = method.teacher_logits(&batch)?;
        let input: N::Input = method.preprocessing.input(&batch)?;
        let logits = self.network.network().forward(&input.lifted());
        let targets = Tensor::from_inner(batch.targets);
        let (total, terms) = loss(logits, teacher, targets, &method.settings.distill)?;
        let mut gradients = NamedGradients::new();
        self.network.collect(&mut gradients, &mut total.backward());
        method.train.clip(&mut gradients);
        self.network.step(at, &gradients);
        Ok(terms)
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        self.method.measure(&self.network.valid(), &self.held_out)
    }

    fn result(&self) -> Tensors {
        self.network.result()
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        self.network.put(&mut state);
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.network.restore(state)
    }
}
