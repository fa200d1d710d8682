//! The networks that go by a name.

use kd_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::lenet::LeNetConfig;
use crate::resnet::ResNetConfig;

/// Which network, for how many classes and which images.
///
/// ```
/// let spec = kd_models::NetworkSpec::new("resnet20", 10, [3, 32, 32]);
/// assert!(spec.check().is_ok());
/// let error = kd_models::NetworkSpec::new("resnet21", 10, [3, 32, 32]).check().unwrap_err();
/// assert!(error.to_string().starts_with("unknown network `resnet21`"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NetworkSpec {
    /// One of the names of [`known_networks`].
    pub name: String,
    /// Number of classes, 2 or more.
    pub classes: usize,
    /// Channels, height and width of the images.
    pub input: [usize; 3],
}

impl NetworkSpec {
    /// The network `name` for `classes` classes and images of `[channels, height, width]`; unchecked.
    pub fn new(name: impl Into<String>, classes: usize, input: [usize; 3]) -> Self {
        Self {
            name: name.into(),
            classes,
            input,
        }
    }

    /// Checks everything that can be checked without building the network.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] for a name that is not known, [`Error::Config`] for too few classes or an input that the
    /// network cannot take.
    pub fn check(&self) -> Result<()> {
        let architecture = self.architecture()?;
        check_classes(self.classes)?;
        check_sides(self.input)?;
        match architecture {
            Architecture::LeNet(_) => crate::lenet::check_input(self.input),
            Architecture::He(_) | Architecture::Crd(_) => {
                crate::layers::check_input("a ResNet", self.input, 1)
            }
        }
    }

    pub(crate) fn architecture(&self) -> Result<Architecture> {
        let known = KNOWN.iter().find(|(known, _)| known.name == self.name);
        known.map(|(_, architecture)| *architecture).ok_or_else(|| {
            Error::unknown_name(
                "network",
                &self.name,
                KNOWN.iter().map(|(known, _)| known.name),
            )
        })
    }
}

/// A name with what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownNetwork {
    /// The name, as in [`NetworkSpec::name`].
    pub name: &'static str,
    /// One line that says which of the networks of that name this is.
    pub description: &'static str,
}

/// All names, small networks first within a family.
pub fn known_networks() -> impl ExactSizeIterator<Item = KnownNetwork> {
    KNOWN.iter().map(|(known, _)| *known)
}

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Architecture {
    LeNet(LeNetConfig),
    He(ResNetConfig),
    Crd(ResNetConfig),
}

/// Classes must be at least two for any classifier.
pub(crate) fn check_classes(classes: usize) -> Result<()> {
    match classes {
        0 | 1 => Err(Error::config(
            "classes",
            format!("must be 2 or more, got {classes}"),
        )),
        1_000_001.. => Err(Error::config(
            "classes",
            format!("must be at most 1,000,000, got {classes}"),
        )),
        _ => Ok(()),
    }
}

/// Bounds what a damaged file can ask to be allocated.
fn check_sides(input: [usize; 3]) -> Result<()> {
    match input.into_iter().find(|&size| size > 4096) {
        Some(size) => Err(Error::config(
            "input",
            format!("must have at most 4096 channels and sides of at most 4096, got {size}"),
        )),
        None => Ok(()),
    }
}

const HE_WIDTHS: [usize; 4] = [16, 16, 32, 64];
const CRD_X4_WIDTHS: [usize; 4] = [32, 64, 128, 256];

const KNOWN: [(KnownNetwork, Architecture); 11] = [
    (
        KnownNetwork {
            name: "lenet5-half",
            description: "LeNet-5 with ReLU, max pooling and half the widths (3, 8, 60, 42), as in DAFL",
        },
        Architecture::LeNet(LeNetConfig::HALF),
    ),
    (
        KnownNetwork {
            name: "lenet5",
            description: "LeNet-5 with ReLU and max pooling (6, 16, 120, 84), as in DAFL",
        },
        Architecture::LeNet(LeNetConfig::FULL),
    ),
    he(
        "resnet8",
        1,
        "CIFAR ResNet of He et al., 8 layers, widths 16/32/64, shortcuts without parameters",
    ),
    he(
        "resnet14",
        2,
        "CIFAR ResNet of He et al., 14 layers, widths 16/32/64, shortcuts without parameters",
    ),
    he(
        "resnet20",
        3,
        "CIFAR ResNet of He et al., 20 layers, widths 16/32/64, shortcuts without parameters",
    ),
    he(
        "resnet32",
        5,
        "CIFAR ResNet of He et al., 32 layers, widths 16/32/64, shortcuts without parameters",
    ),
    he(
        "resnet44",
        7,
        "CIFAR ResNet of He et al., 44 layers, widths 16/32/64, shortcuts without parameters",
    ),
    he(
        "resnet56",
        9,
        "CIFAR ResNet of He et al., 56 layers, widths 16/32/64, shortcuts without parameters",
    ),
    he(
        "resnet110",
        18,
        "CIFAR ResNet of He et al., 110 layers, widths 16/32/64, shortcuts without parameters",
    ),
    crd(
        "resnet8x4",
        1,
        "ResNet of the CRD benchmark, 8 layers, widths 64/128/256, 1x1 convolutions as shortcuts",
    ),
    crd(
        "resnet32x4",
        5,
        "ResNet of the CRD benchmark, 32 layers, widths 64/128/256, 1x1 convolutions as shortcuts",
    ),
];

const fn he(
    name: &'static str,
    blocks: usize,
    description: &'static str,
) -> (KnownNetwork, Architecture) {
    let config = ResNetConfig {
        blocks,
        widths: HE_WIDTHS,
    };
    (KnownNetwork { name, description }, Architecture::He(config))
}

const fn crd(
    name: &'static str,
    blocks: usize,
    description: &'static str,
) -> (KnownNetwork, Architecture) {
    let config = ResNetConfig {
        blocks,
        widths: CRD_X4_WIDTHS,
    };
    (
        KnownNetwork { name, description },
        Architecture::Crd(config),
    )
}
