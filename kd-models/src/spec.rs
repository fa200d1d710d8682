//! The spec of a network: its name or its structure, its classes, and its images.

use burn::tensor::Device;
use kd_core::{Costs, Error, Result, SampleKind, Task};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::catalogue::{self, Entry};
use crate::families::Families;
use crate::model_config::ModelConfig;
use crate::structure::Structure;

/// A network without its weights: which one, for how many classes and which images.
///
/// Mostly it goes by a name of the catalogue ([`known_networks`](crate::known_networks)), which stands for a
/// [`Structure`]. A network that has been cut or put together has a structure of its own in place of it.
///
/// ```
/// let spec = kd_models::NetworkSpec::new("resnet20", 10, [3, 32, 32]);
/// assert!(spec.check().is_ok());
/// let error = kd_models::NetworkSpec::new("resnet21", 10, [3, 32, 32]).check().unwrap_err();
/// assert!(error.to_string().starts_with("unknown network `resnet21`"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredSpec")]
#[non_exhaustive]
pub struct NetworkSpec {
    /// A name of the catalogue, or of a network with a structure of its own whatever it is called.
    pub name: String,
    /// Number of classes, 2 or more.
    pub classes: usize,
    /// Channels, height and width of the images; of texts `[vocabulary, 1, length]`, as of images of one row
    /// with a channel for each token id.
    pub input: [usize; 3],
    /// The structure, where it is none of the catalogue's.
    #[serde(skip_serializing_if = "Option::is_none")]
    structure: Option<Structure>,
}

/// A spec as a file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "NetworkSpec")]
struct StoredSpec {
    name: String,
    classes: usize,
    input: [usize; 3],
    #[serde(default)]
    structure: Option<Structure>,
}

impl From<StoredSpec> for NetworkSpec {
    fn from(stored: StoredSpec) -> Self {
        let spec = Self {
            name: stored.name,
            classes: stored.classes,
            input: stored.input,
            structure: None,
        };
        match stored.structure {
            Some(structure) => spec.of(structure),
            None => spec,
        }
    }
}

impl NetworkSpec {
    /// The network `name` for `classes` classes and images of `[channels, height, width]`; unchecked.
    ///
    /// A name that the catalogue has in another spelling, such as `wrn_40_2` or `MobileNetV2`, becomes the
    /// catalogue's.
    ///
    /// ```
    /// let spec = kd_models::NetworkSpec::new("wrn_40_2", 100, [3, 32, 32]);
    /// assert_eq!(spec.name, "wrn-40-2");
    /// ```
    pub fn new(name: impl Into<String>, classes: usize, input: [usize; 3]) -> Self {
        let name = name.into();
        let name = catalogue::find(&name).map_or(name, |entry| entry.known.name.to_owned());
        Self {
            name,
            classes,
            input,
            structure: None,
        }
    }

    /// A network with a structure of its own, called `name`; unchecked.
    ///
    /// A structure that the catalogue has becomes the catalogue's, with its name: equal networks have equal
    /// specs.
    ///
    /// ```
    /// use kd_models::{NetworkSpec, ResNetConfig, Structure};
    ///
    /// let cut = Structure::HeResNet(ResNetConfig { blocks: 3, widths: [16, 16, 24, 40] });
    /// let spec = NetworkSpec::with_structure("resnet20-cut", cut.clone(), 10, [3, 32, 32]);
    /// assert_eq!(spec.structure()?, cut);
    /// assert_eq!(spec.title(), "resnet20-cut (he-resnet)");
    ///
    /// let whole = Structure::HeResNet(ResNetConfig { blocks: 3, widths: [16, 16, 32, 64] });
    /// let spec = NetworkSpec::with_structure("not cut", whole, 10, [3, 32, 32]);
    /// assert_eq!(spec, NetworkSpec::new("resnet20", 10, [3, 32, 32]));
    /// # Ok::<(), kd_core::Error>(())
    /// ```
    pub fn with_structure(
        name: impl Into<String>,
        structure: Structure,
        classes: usize,
        input: [usize; 3],
    ) -> Self {
        let spec = Self {
            name: name.into(),
            classes,
            input,
            structure: None,
        };
        spec.of(structure)
    }

    fn of(mut self, structure: Structure) -> Self {
        match catalogue::preset(&structure) {
            Some(preset) => preset.clone_into(&mut self.name),
            None => self.structure = Some(structure),
        }
        self
    }

    /// The structure: its own, or the one that its name stands for.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] for a name that the catalogue does not have.
    pub fn structure(&self) -> Result<Structure> {
        match &self.structure {
            Some(structure) => Ok(structure.clone()),
            None => Ok((self.entry()?.structure)()),
        }
    }

    /// Whether it is a network of the catalogue, so that its name says everything.
    pub fn is_preset(&self) -> bool {
        self.structure.is_none()
    }

    /// The name to be shown: that of the catalogue, or its own with the family of its structure.
    pub fn title(&self) -> String {
        match &self.structure {
            Some(structure) if structure.family() != self.name => {
                format!("{} ({})", self.name, structure.family())
            }
            _ => self.name.clone(),
        }
    }

    /// Checks everything that can be checked without building the network.
    ///
    /// The structure of a family that another crate brings is checked when the network is built.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] for a name that is not known, [`Error::Config`] for too few classes, an input
    /// that the network cannot take, or a structure that is impossible or too large.
    pub fn check(&self) -> Result<()> {
        let structure = self.structure()?;
        check_classes(self.classes)?;
        check_sides(self.input, structure.takes())?;
        if self.structure.is_some() {
            check_name(&self.name)?;
        }
        structure.check(self.input, self.classes)
    }

    /// The task that the network is for.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] for a name that is not known, or for a family that another crate brings: a
    /// model of it says it ([`TrainedModel::task`](crate::TrainedModel::task)).
    pub fn task(&self) -> Result<Task> {
        let structure = self.structure()?;
        let unknown = || Error::unknown_name("family", structure.family(), Structure::FAMILIES);
        structure.task().ok_or_else(unknown)
    }

    /// The costs of the network, without drawing its weights.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check). Those of a family that another crate brings are counted by a model of it
    /// ([`Families::blank`]).
    pub fn costs(&self, device: &Device) -> Result<Costs> {
        self.blank(device)?.costs()
    }

    /// A model of it without weights, for its shapes and costs.
    pub(crate) fn blank(&self, device: &Device) -> Result<Box<dyn crate::TrainedModel>> {
        // Neither depends on the preprocessing.
        Families::new().blank(ModelConfig::plain(self.clone())?, device)
    }

    /// The config of its structure, which must be of the family `family`: for the
    /// [`ModelNetwork`](crate::ModelNetwork) of a family that another crate brings.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the structure is of another family, or its config is not a `C`.
    pub fn config_of<C: DeserializeOwned>(&self, family: &str) -> Result<C> {
        self.structure()?.config_of(family)
    }

    /// The same network for other classes and channels.
    pub(crate) fn resized(&self, classes: usize, channels: usize) -> Self {
        let [_, height, width] = self.input;
        Self {
            classes,
            input: [channels, height, width],
            ..self.clone()
        }
    }

    fn entry(&self) -> Result<&'static Entry> {
        let names = || catalogue::entries().map(|entry| entry.known.name);
        catalogue::find(&self.name)
            .ok_or_else(|| Error::unknown_name("network", &self.name, names()))
    }
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
fn check_sides(input: [usize; 3], takes: Option<SampleKind>) -> Result<()> {
    if takes == Some(SampleKind::Texts) {
        let sizes = [("vocabulary", input[0]), ("length", input[2])];
        return match sizes.into_iter().find(|(_, size)| *size > MOST_TOKENS) {
            Some((what, size)) => {
                let problem = format!("must have a {what} of at most {MOST_TOKENS}, got {size}");
                Err(Error::config("input", problem))
            }
            None => Ok(()),
        };
    }
    match input.into_iter().find(|&size| size > 4096) {
        Some(size) => Err(Error::config(
            "input",
            format!("must have at most 4096 channels and sides of at most 4096, got {size}"),
        )),
        None => Ok(()),
    }
}

/// The largest vocabulary and the longest text.
const MOST_TOKENS: usize = 1 << 16;

/// The longest name of a network with a structure of its own.
const NAME: usize = 100;

/// The name of a network with a structure of its own is shown in lines and tables, and must not be another
/// network's.
fn check_name(name: &str) -> Result<()> {
    let bad = |problem: String| Err(Error::config("name", problem));
    if let Some(entry) = catalogue::find(name) {
        let other = entry.known.name;
        return bad(format!(
            "is `{name}`, and the structure is not that of `{other}`; give the network another name"
        ));
    }
    if name.trim().is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) {
        return bad(format!(
            "of a network with a structure of its own must be 1 to {NAME} characters in one line, got \
             {name:?}"
        ));
    }
    Ok(())
}
