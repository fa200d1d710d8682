//! All networks behind one type, chosen by name.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, CountCosts, Result, StagedNetwork};

use crate::chain::Chain;
use crate::initialise::{Scheme, initialise};
use crate::known::{Architecture, NetworkSpec};
use crate::lenet::LeNet;
use crate::resnet::{CrdResNet, HeResNet};

/// Any of the networks of this crate.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_core::StagedNetwork;
/// use kd_models::{Network, NetworkSpec};
///
/// let device = Device::flex();
/// let spec = NetworkSpec::new("resnet8", 10, [3, 32, 32]);
/// let network = Network::build(&spec, 0, &device)?;
/// let trace = network.forward_traced(&Tensor::zeros([2, 3, 32, 32], &device));
/// assert_eq!(trace.maps[network.tap("layer2")?].dims(), [2, 32, 16, 16]);
/// assert_eq!((trace.dense.dims(), trace.output.dims()), ([2, 64], [2, 10]));
/// # Ok::<(), kd_core::Error>(())
/// ```
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a run has a few networks and rarely moves one"
)]
pub enum Network {
    /// LeNet-5 and its half.
    LeNet(LeNet),
    /// A CIFAR ResNet with shortcuts that have no parameters.
    HeResNet(HeResNet),
    /// A ResNet of the CRD benchmark, with 1x1 convolutions as shortcuts.
    CrdResNet(CrdResNet),
}

impl Network {
    /// The network of `spec` with initial weights that are a function of `seed` and the path of each tensor alone.
    ///
    /// Give an autodiff device (`device.autodiff()`) for a network that is to be trained, a plain one for one that is to
    /// be used.
    ///
    /// # Errors
    ///
    /// As [`NetworkSpec::check`].
    pub fn build(spec: &NetworkSpec, seed: u64, device: &Device) -> Result<Self> {
        let blank = Self::blank(spec, device)?;
        let scheme = match &blank {
            Self::LeNet(_) => Scheme::PyTorch,
            Self::HeResNet(_) => HeResNet::SCHEME,
            Self::CrdResNet(_) => CrdResNet::SCHEME,
        };
        initialise(&blank, scheme, seed)
    }

    /// The network of `spec` with all weights zero, to be filled.
    pub(crate) fn blank(spec: &NetworkSpec, device: &Device) -> Result<Self> {
        spec.check()?;
        let (input, classes) = (spec.input, spec.classes);
        Ok(match spec.architecture()? {
            Architecture::LeNet(config) => {
                Self::LeNet(LeNet::blank(&config, input, classes, device)?)
            }
            Architecture::He(config) => {
                Self::HeResNet(HeResNet::blank(&config, input, classes, device)?)
            }
            Architecture::Crd(config) => {
                Self::CrdResNet(CrdResNet::blank(&config, input, classes, device)?)
            }
        })
    }
}

macro_rules! forward {
    ($network:expr, $inner:ident => $call:expr) => {
        match $network {
            Network::LeNet($inner) => $call,
            Network::HeResNet($inner) => $call,
            Network::CrdResNet($inner) => $call,
        }
    };
}

impl StagedNetwork for Network {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        forward!(self, network => network.stage_names())
    }

    fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
        forward!(self, network => network.forward_stage(stage, input, earlier))
    }

    fn forward_dense(&self, input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        forward!(self, network => network.forward_dense(input, maps))
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        forward!(self, network => network.forward_head(dense))
    }

    fn stage_parameters(&self, stage: usize) -> Vec<String> {
        forward!(self, network => network.stage_parameters(stage))
    }

    fn fold_norms(&self) -> Self {
        match self {
            Self::LeNet(network) => Self::LeNet(network.fold_norms()),
            Self::HeResNet(network) => Self::HeResNet(network.fold_norms()),
            Self::CrdResNet(network) => Self::CrdResNet(network.fold_norms()),
        }
    }
}

impl CountCosts for Network {
    fn costs(&self, input: [usize; 3]) -> Result<Costs> {
        forward!(self, network => network.costs(input))
    }
}
