//! A network under training: the network, its name and its optimizer.

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};

use crate::error::Result;
use crate::network::change::change_parameters;
use crate::network::tensors::{Names, Tensors, export, import};
use crate::training::optim::{NamedGradients, Optimizer, OptimizerConfig};
use crate::training::phase::StepContext;
use crate::training::phase_state::PhaseState;

/// A network with its name and its optimizer: what is the same in every step, checkpoint and result.
///
/// A phase may hold several, each with a state of its own under its name. Modules that are trained beside a
/// network by the same optimizer, such as regressors, are stepped with [`Trained::step_beside`].
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::{Device, Tensor};
/// use kd_core::{NamedGradients, OptimizerConfig, StepContext, Trained};
///
/// let device = Device::flex().autodiff();
/// let layer = LinearConfig::new(2, 1).init(&device);
/// let mut student = Trained::new("student", layer, OptimizerConfig::default())?;
/// let loss = student.network().forward(Tensor::<2>::ones([4, 2], &device)).square().mean();
///
/// let mut gradients = NamedGradients::new();
/// student.collect(&mut gradients, &mut loss.backward());
/// let at = StepContext { step: 0, epoch: 0, step_in_epoch: 0, lr: 0.1, momentum: None };
/// student.step(at, &gradients);
/// # Ok::<(), kd_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Trained<N> {
    name: String,
    network: N,
    optimizer: Optimizer,
}

impl<N: Module> Trained<N> {
    /// `network`, on the autodiff form of its device, under a name of its own in the phase.
    ///
    /// # Errors
    ///
    /// As [`OptimizerConfig::check`].
    pub fn new(name: impl Into<String>, network: N, optimizer: OptimizerConfig) -> Result<Self> {
        Ok(Self {
            name: name.into(),
            network,
            optimizer: Optimizer::new(optimizer)?,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The network.
    pub fn network(&self) -> &N {
        &self.network
    }

    /// The network as it is run at inference, on the plain form of its device.
    pub fn valid(&self) -> N {
        self.network.valid()
    }

    /// Takes the gradients of its parameters out of `raw`, under paths that begin with its name.
    pub fn collect(&self, gradients: &mut NamedGradients, raw: &mut Gradients) {
        gradients.collect(&self.name, &self.network, raw);
    }

    /// Moves its parameters one step down their gradients.
    pub fn step(&mut self, at: StepContext, gradients: &NamedGradients) {
        self.optimizer.set_momentum(at.momentum);
        let network = self.network.clone();
        self.network = self.optimizer.step(&self.name, network, at.lr, gradients);
    }

    /// Moves the parameters of a module that is trained beside the network one step, by the network's
    /// optimizer. Its gradients were collected under `name`.
    #[must_use]
    pub fn step_beside<M: Module>(
        &mut self,
        name: &str,
        module: M,
        at: StepContext,
        gradients: &NamedGradients,
    ) -> M {
        self.optimizer.set_momentum(at.momentum);
        self.optimizer.step(name, module, at.lr, gradients)
    }

    /// The optimizer, for modules that are trained beside the network.
    pub fn optimizer_mut(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }

    /// Changes parameters and running statistics by their paths in Burn's names, flattened; none leaves a
    /// tensor as it is.
    ///
    /// This is how a network follows another one (an exponential moving average) and how a proximal step is
    /// taken.
    pub fn change(&mut self, change: impl FnMut(&str, Tensor<1>) -> Option<Tensor<1>>) {
        self.network = change_parameters(self.network.clone(), change);
    }

    /// The network's tensors as a phase's result, in PyTorch's names.
    pub fn result(&self) -> Tensors {
        export(&self.network, Names::PyTorch)
    }

    /// Puts the network and its optimizer into a state, under its name.
    pub fn put(&self, state: &mut PhaseState) {
        state.put(&self.name, export(&self.network, Names::Burn));
        state.put_optimizer(&self.optimizer_name(), &self.optimizer);
    }

    /// Takes back what [`Trained::put`] has put there.
    ///
    /// # Errors
    ///
    /// If the state is one of another network.
    pub fn restore(&mut self, state: &PhaseState) -> Result<()> {
        let tensors = state.part(&self.name);
        self.network = import(&self.network, &tensors, Names::Burn, "checkpoint")?;
        let device = self
            .network
            .devices()
            .into_iter()
            .next()
            .unwrap_or_default();
        state.restore_optimizer(&self.optimizer_name(), &mut self.optimizer, &device)
    }

    fn optimizer_name(&self) -> String {
        format!("{}-optimizer", self.name)
    }
}
