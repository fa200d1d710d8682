//! The classifiers of this crate behind one type.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, CountCosts, Result, Scheme, StagedNetwork, initialise};

use crate::chain::Chain;
use crate::chunk_cnn::ChunkCnn;
use crate::densenet::DenseNet;
use crate::lenet::LeNet;
use crate::mobilenet::MobileNetV2;
use crate::mobilenet_paper::PaperMobileNetV2;
use crate::named::ModelNetwork;
use crate::okddip_resnet::OkddipResNet;
use crate::okddip_vgg::OkddipVgg;
use crate::resnet::{CrdResNet, HeResNet};
use crate::resnet_large::{CifarStemResNet, ImageNetResNet};
use crate::shufflenet_v1::ShuffleNetV1;
use crate::shufflenet_v2::ShuffleNetV2;
use crate::skd_resnet::SkdResNet;
use crate::spec::NetworkSpec;
use crate::structure::Structure;
use crate::vgg::Vgg;
use crate::vgg_imagenet::LargeVgg;
use crate::wrn::WideResNet;

/// A classifier of this crate, of whichever family.
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
pub enum Network {
    /// LeNet-5 and its half.
    LeNet(LeNet),
    /// A CIFAR ResNet with shortcuts that have no parameters.
    HeResNet(HeResNet),
    /// A ResNet of the CRD benchmark, with 1x1 convolutions as shortcuts.
    CrdResNet(CrdResNet),
    /// A wide ResNet.
    WideResNet(WideResNet),
    /// A VGG for small images.
    Vgg(Vgg),
    /// A MobileNetV2 for small images.
    MobileNetV2(MobileNetV2),
    /// A MobileNetV2 of its paper.
    PaperMobileNetV2(PaperMobileNetV2),
    /// A ShuffleNet V1 for small images.
    ShuffleNetV1(ShuffleNetV1),
    /// A ShuffleNet V2 for small images.
    ShuffleNetV2(ShuffleNetV2),
    /// A ResNet with the stem for large images.
    ImageNetResNet(ImageNetResNet),
    /// A ResNet with four groups and a stem for small images.
    CifarStemResNet(CifarStemResNet),
    /// A ResNet of Stagewise KD.
    SkdResNet(SkdResNet),
    /// A plain convolutional network with free widths.
    ChunkCnn(ChunkCnn),
    /// A ResNet of bottlenecks as in the code of OKDDip.
    OkddipResNet(OkddipResNet),
    /// The VGG of the code of OKDDip.
    OkddipVgg(OkddipVgg),
    /// A DenseNet-BC for small images.
    DenseNet(DenseNet),
    /// A VGG with batch norm for large images.
    LargeVgg(LargeVgg),
}

impl Network {
    /// The network of `spec` with initial weights that are a function of `seed` and the path of each tensor
    /// alone.
    ///
    /// Give an autodiff device (`device.autodiff()`) for a network that is to be trained, a plain one for one
    /// that is to be used.
    ///
    /// # Errors
    ///
    /// As [`ModelNetwork::check_spec`].
    pub fn build(spec: &NetworkSpec, seed: u64, device: &Device) -> Result<Self> {
        let blank = Self::blank(spec, device)?;
        let scheme = match &blank {
            Self::LeNet(_) => Scheme::PyTorch,
            Self::HeResNet(_) => HeResNet::SCHEME,
            Self::CrdResNet(_) => CrdResNet::SCHEME,
            Self::WideResNet(_) => WideResNet::SCHEME,
            Self::Vgg(_) => Vgg::SCHEME,
            Self::MobileNetV2(_) => MobileNetV2::SCHEME,
            Self::PaperMobileNetV2(_) => PaperMobileNetV2::SCHEME,
            Self::ShuffleNetV1(_) => ShuffleNetV1::SCHEME,
            Self::ShuffleNetV2(_) => ShuffleNetV2::SCHEME,
            Self::ImageNetResNet(_) => ImageNetResNet::SCHEME,
            Self::CifarStemResNet(_) => CifarStemResNet::SCHEME,
            Self::SkdResNet(_) => SkdResNet::SCHEME,
            Self::ChunkCnn(_) => ChunkCnn::SCHEME,
            Self::OkddipResNet(_) => OkddipResNet::SCHEME,
            Self::OkddipVgg(_) => OkddipVgg::SCHEME,
            Self::LargeVgg(_) => LargeVgg::SCHEME,
            Self::DenseNet(network) => return Ok(Self::DenseNet(network.drawn(seed)?)),
        };
        initialise(&blank, scheme, seed)
    }

    /// The network of `spec` with all weights zero, to be filled or counted.
    ///
    /// Nothing is drawn and the weights take up no memory before they are read.
    ///
    /// # Errors
    ///
    /// As [`ModelNetwork::check_spec`].
    pub fn blank(spec: &NetworkSpec, device: &Device) -> Result<Self> {
        Self::check_spec(spec)?;
        let (input, classes) = (spec.input, spec.classes);
        macro_rules! blank {
            ($variant:ident, $config:expr) => {
                Self::$variant($variant::blank(&$config, input, classes, device)?)
            };
        }
        Ok(match spec.structure()? {
            Structure::LeNet(config) => blank!(LeNet, config),
            Structure::HeResNet(config) => blank!(HeResNet, config),
            Structure::CrdResNet(config) => blank!(CrdResNet, config),
            Structure::WideResNet(config) => blank!(WideResNet, config),
            Structure::Vgg(config) => blank!(Vgg, config),
            Structure::MobileNetV2(config) => blank!(MobileNetV2, config),
            Structure::PaperMobileNetV2(config) => blank!(PaperMobileNetV2, config),
            Structure::HeResNetBlocks(config) => {
                Self::HeResNet(HeResNet::of_blocks(&config, input, classes, device)?)
            }
            Structure::CrdResNetBlocks(config) => {
                Self::CrdResNet(CrdResNet::of_blocks(&config, input, classes, device)?)
            }
            Structure::ImageNetResNetBlocks(config) => {
                Self::ImageNetResNet(ImageNetResNet::of_blocks(&config, input, classes, device)?)
            }
            Structure::CifarStemResNetBlocks(config) => {
                let network = CifarStemResNet::of_blocks(&config, input, classes, device)?;
                Self::CifarStemResNet(network)
            }
            Structure::WideResNetBlocks(config) => {
                Self::WideResNet(WideResNet::of_blocks(&config, input, classes, device)?)
            }
            Structure::ShuffleNetV1(config) => blank!(ShuffleNetV1, config),
            Structure::ShuffleNetV2(config) => blank!(ShuffleNetV2, config),
            Structure::ShuffleNetV2Blocks(config) => {
                Self::ShuffleNetV2(ShuffleNetV2::of_blocks(&config, input, classes, device)?)
            }
            Structure::ImageNetResNet(config) => blank!(ImageNetResNet, config),
            Structure::CifarStemResNet(config) => blank!(CifarStemResNet, config),
            Structure::SkdResNet(config) => blank!(SkdResNet, config),
            Structure::ChunkCnn(config) => blank!(ChunkCnn, config),
            Structure::OkddipResNet(config) => blank!(OkddipResNet, config),
            Structure::OkddipVgg(config) => blank!(OkddipVgg, config),
            Structure::DenseNet(config) => blank!(DenseNet, config),
            Structure::LargeVgg(config) => blank!(LargeVgg, config),
            other => return Err(other.wrong_family(&Self::FAMILIES.join(", "))),
        })
    }
}

macro_rules! forward {
    ($network:expr, $inner:ident => $call:expr) => {
        match $network {
            Network::LeNet($inner) => $call,
            Network::HeResNet($inner) => $call,
            Network::CrdResNet($inner) => $call,
            Network::WideResNet($inner) => $call,
            Network::Vgg($inner) => $call,
            Network::MobileNetV2($inner) => $call,
            Network::PaperMobileNetV2($inner) => $call,
            Network::ShuffleNetV1($inner) => $call,
            Network::ShuffleNetV2($inner) => $call,
            Network::ImageNetResNet($inner) => $call,
            Network::CifarStemResNet($inner) => $call,
            Network::SkdResNet($inner) => $call,
            Network::ChunkCnn($inner) => $call,
            Network::OkddipResNet($inner) => $call,
            Network::OkddipVgg($inner) => $call,
            Network::DenseNet($inner) => $call,
            Network::LargeVgg($inner) => $call,
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
            Self::WideResNet(network) => Self::WideResNet(network.fold_norms()),
            Self::Vgg(network) => Self::Vgg(network.fold_norms()),
            Self::MobileNetV2(network) => Self::MobileNetV2(network.fold_norms()),
            Self::PaperMobileNetV2(network) => Self::PaperMobileNetV2(network.fold_norms()),
            Self::ShuffleNetV1(network) => Self::ShuffleNetV1(network.fold_norms()),
            Self::ShuffleNetV2(network) => Self::ShuffleNetV2(network.fold_norms()),
            Self::ImageNetResNet(network) => Self::ImageNetResNet(network.fold_norms()),
            Self::CifarStemResNet(network) => Self::CifarStemResNet(network.fold_norms()),
            Self::SkdResNet(network) => Self::SkdResNet(network.fold_norms()),
            Self::ChunkCnn(network) => Self::ChunkCnn(network.fold_norms()),
            Self::OkddipResNet(network) => Self::OkddipResNet(network.fold_norms()),
            Self::OkddipVgg(network) => Self::OkddipVgg(network.fold_norms()),
            Self::DenseNet(network) => Self::DenseNet(network.fold_norms()),
            Self::LargeVgg(network) => Self::LargeVgg(network.fold_norms()),
        }
    }
}

impl CountCosts for Network {
    fn costs(&self, input: [usize; 3]) -> Result<Costs> {
        forward!(self, network => network.costs(input))
    }
}

impl ModelNetwork for Network {
    const FAMILIES: &'static [&'static str] = &[
        "lenet",
        "he-resnet",
        "crd-resnet",
        "he-resnet-blocks",
        "crd-resnet-blocks",
        "imagenet-resnet-blocks",
        "cifar-stem-resnet-blocks",
        "wide-resnet-blocks",
        "wide-resnet",
        "vgg",
        "mobilenet-v2",
        "mobilenet-v2-paper",
        "shufflenet-v1",
        "shufflenet-v2",
        "shufflenet-v2-blocks",
        "imagenet-resnet",
        "cifar-stem-resnet",
        "skd-resnet",
        "chunk-cnn",
        "okddip-resnet",
        "okddip-vgg",
        "densenet",
        "imagenet-vgg",
    ];

    fn blank(spec: &NetworkSpec, device: &Device) -> Result<Self> {
        Self::blank(spec, device)
    }

    fn build(spec: &NetworkSpec, seed: u64, device: &Device) -> Result<Self> {
        Self::build(spec, seed, device)
    }

    fn portable(self) -> Self {
        match self {
            Self::HeResNet(network) => Self::HeResNet(network.with_explicit_shortcuts()),
            Self::PaperMobileNetV2(network) => {
                Self::PaperMobileNetV2(network.with_portable_activations())
            }
            other => other,
        }
    }
}
