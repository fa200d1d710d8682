//! The networks that go by a name.

use burn::tensor::Device;
use kd_core::{Costs, CountCosts, Error, Result};
use serde::{Deserialize, Serialize};

use crate::network::Network;
use crate::table::{Architecture, KNOWN, find};

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
    ///
    /// A name that the table has in another spelling, such as `wrn_40_2` or `MobileNetV2`, becomes the table's.
    ///
    /// ```
    /// let spec = kd_models::NetworkSpec::new("wrn_40_2", 100, [3, 32, 32]);
    /// assert_eq!(spec.name, "wrn-40-2");
    /// ```
    pub fn new(name: impl Into<String>, classes: usize, input: [usize; 3]) -> Self {
        let name = name.into();
        let name = find(&name).map_or(name, |entry| entry.known.name.to_owned());
        Self {
            name,
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
        let (input, classes) = (self.input, self.classes);
        check_classes(classes)?;
        check_sides(input)?;
        match architecture {
            Architecture::LeNet(_) => crate::lenet::check_input(input),
            Architecture::He(config) | Architecture::Crd(config) | Architecture::Wide(config) => {
                config.check(input, classes)
            }
            Architecture::Vgg(config) => config().check(input, classes),
            Architecture::MobileNetV2(config) => config.check(input, classes),
            Architecture::ShuffleNetV1(config) => config.check(input, classes),
            Architecture::ShuffleNetV2(config) => config.check(input, classes),
            Architecture::ImageNet(config) | Architecture::CifarStem(config) => {
                config.check(input, classes)
            }
        }
    }

    /// What the network costs, without drawing its weights.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn costs(&self, device: &Device) -> Result<Costs> {
        Network::blank(self, device)?.costs(self.input)
    }

    pub(crate) fn architecture(&self) -> Result<Architecture> {
        let names = || KNOWN.iter().map(|entry| entry.known.name);
        find(&self.name)
            .map(|entry| entry.architecture)
            .ok_or_else(|| Error::unknown_name("network", &self.name, names()))
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
    KNOWN.iter().map(|entry| entry.known)
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
