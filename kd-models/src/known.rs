//! The networks that go by a name.

use std::fmt;

use burn::tensor::Device;
use kd_core::{Costs, CountCosts, Error, Result};
use serde::{Deserialize, Serialize};

use crate::model_network::ModelNetwork;
use crate::network::Network;
use crate::table::{Architecture, Entry, entries, find};
use crate::unet::UNet;

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
            Architecture::Skd(config) => config.check(input, classes),
            Architecture::UNet(config) => config.check(input, classes),
        }
    }

    /// What the network is for, and with it whether it is a [`Network`] or a [`UNet`].
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] for a name that is not known.
    pub fn task(&self) -> Result<NetworkTask> {
        Ok(self.entry()?.known.task)
    }

    /// As [`check`](Self::check), and that the network is for `task`.
    ///
    /// ```
    /// use kd_models::{NetworkSpec, NetworkTask};
    ///
    /// let spec = NetworkSpec::new("skd-unet-resnet10", 12, [3, 480, 640]);
    /// assert!(spec.check_for(NetworkTask::Segmentation).is_ok());
    /// let error = spec.check_for(NetworkTask::Classification).unwrap_err();
    /// assert!(error.to_string().starts_with("`name` is `skd-unet-resnet10`, a segmentation network"));
    /// ```
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check), and [`Error::Config`] for a network of another task.
    pub fn check_for(&self, task: NetworkTask) -> Result<()> {
        if self.task()? != task {
            return Err(self.other_task(task));
        }
        self.check()
    }

    /// That this network is not for `wanted`.
    pub(crate) fn other_task(&self, wanted: NetworkTask) -> Error {
        let found = match wanted {
            NetworkTask::Classification => NetworkTask::Segmentation,
            NetworkTask::Segmentation => NetworkTask::Classification,
        };
        let problem = format!(
            "is `{}`, a {found} network, where a {wanted} network is wanted; name another",
            self.name
        );
        Error::config("name", problem)
    }

    /// What the network costs, without drawing its weights.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn costs(&self, device: &Device) -> Result<Costs> {
        match self.task()? {
            NetworkTask::Classification => Network::blank(self, device)?.costs(self.input),
            NetworkTask::Segmentation => UNet::blank(self, device)?.costs(self.input),
        }
    }

    pub(crate) fn architecture(&self) -> Result<Architecture> {
        Ok(self.entry()?.architecture)
    }

    fn entry(&self) -> Result<&'static Entry> {
        let names = || entries().map(|entry| entry.known.name);
        find(&self.name).ok_or_else(|| Error::unknown_name("network", &self.name, names()))
    }
}

/// What a network says of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkTask {
    /// The class of the whole image: logits `[batch_size, num_classes]`. These networks are [`Network`]s.
    Classification,
    /// The class of every pixel: logits `[batch_size, num_classes, height, width]`. These networks are [`UNet`]s.
    Segmentation,
}

impl fmt::Display for NetworkTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classification => "classification",
            Self::Segmentation => "segmentation",
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
    /// What it says of an image.
    pub task: NetworkTask,
}

/// All names, small networks first within a family.
pub fn known_networks() -> impl ExactSizeIterator<Item = KnownNetwork> {
    let known: Vec<_> = entries().map(|entry| entry.known).collect();
    known.into_iter()
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
