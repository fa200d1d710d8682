//! The description in a model folder: network, preprocessing, classes, and the origin of the weights.

use std::collections::BTreeMap;
use std::path::Path;

use kd_core::{Error, Normalisation, Preprocessing, Result, SampleKind, TokenizerFile};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::spec::NetworkSpec;

/// The description in a model folder.
pub const CONFIG_FILE: &str = "config.json";

/// The tokenizer in the model folder of a network for text, beside its description.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// Everything that must be known to use the weights of a model folder.
///
/// ```
/// use kd_core::Normalisation;
/// use kd_models::{ModelConfig, NetworkSpec};
///
/// let spec = NetworkSpec::new("resnet20", 10, [3, 32, 32]);
/// let mut config = ModelConfig::new(spec, Normalisation::identity(3));
/// config.provenance.data = Some("cifar10".into());
/// assert!(config.check().is_ok());
/// assert_eq!(config.normalisation()?.mean, [0.0; 3]);
/// # Ok::<(), kd_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredConfig", into = "StoredConfig")]
#[non_exhaustive]
pub struct ModelConfig {
    /// The network, for how many classes and which images.
    pub network: NetworkSpec,
    /// The preprocessing of its input; in files the `normalisation` of images, for pixels in `[0, 1]`.
    pub preprocessing: Preprocessing,
    /// The names of the classes in the order of the logits, if there are any.
    pub class_names: Option<Vec<String>>,
    /// The origin of the weights.
    pub provenance: Provenance,
}

/// The origin of weights, and how good they are. Every part may be missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Provenance {
    /// The version of kd that wrote the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kd_version: Option<String>,
    /// The data set that the network was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Accuracy, 0 to 1; say in the notes on which split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Anything else: teacher, method, seed, split, ...
    #[serde(flatten)]
    pub notes: BTreeMap<String, Value>,
}

/// A config as a file has it: either a normalisation, which images have, or another preprocessing.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename = "ModelConfig")]
struct StoredConfig {
    network: NetworkSpec,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    normalisation: Option<Normalisation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preprocessing: Option<Preprocessing>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class_names: Option<Vec<String>>,
    #[serde(default)]
    provenance: Provenance,
}

impl TryFrom<StoredConfig> for ModelConfig {
    type Error = &'static str;

    fn try_from(stored: StoredConfig) -> std::result::Result<Self, Self::Error> {
        let preprocessing = match (stored.normalisation, stored.preprocessing) {
            (Some(normalisation), None) => normalisation.into(),
            (None, Some(preprocessing)) => preprocessing,
            (None, None) => return Err("missing field `normalisation`"),
            (Some(_), Some(_)) => {
                return Err("`normalisation` and `preprocessing` exclude each other");
            }
        };
        Ok(Self {
            network: stored.network,
            preprocessing,
            class_names: stored.class_names,
            provenance: stored.provenance,
        })
    }
}

impl From<ModelConfig> for StoredConfig {
    fn from(config: ModelConfig) -> Self {
        let (normalisation, preprocessing) = match config.preprocessing {
            Preprocessing::Images(normalisation) => (Some(normalisation), None),
            other => (None, Some(other)),
        };
        Self {
            network: config.network,
            normalisation,
            preprocessing,
            class_names: config.class_names,
            provenance: config.provenance,
        }
    }
}

impl ModelConfig {
    /// The description of a network that this version of kd trained.
    pub fn new(network: NetworkSpec, preprocessing: impl Into<Preprocessing>) -> Self {
        let kd_version = Some(env!("CARGO_PKG_VERSION").to_owned());
        let provenance = Provenance {
            kd_version,
            ..Provenance::default()
        };
        Self {
            network,
            preprocessing: preprocessing.into(),
            class_names: None,
            provenance,
        }
    }

    /// The description of a network whose preprocessing does not matter, as for its costs.
    ///
    /// # Errors
    ///
    /// As [`NetworkSpec::structure`].
    pub fn plain(network: NetworkSpec) -> Result<Self> {
        let preprocessing = match network.structure()?.takes() {
            Some(SampleKind::Texts) => Preprocessing::Tokens,
            _ => Normalisation::identity(network.input[0].max(1)).into(),
        };
        Ok(Self::new(network, preprocessing))
    }

    /// The normalisation of its images.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a network that takes no images.
    pub fn normalisation(&self) -> Result<&Normalisation> {
        self.preprocessing.normalisation()
    }

    /// Reads the description in the model folder `folder`, without its weights.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it is not there, [`Error::BadFile`] if it is broken or its parts do not fit each
    /// other.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG_FILE);
        let config = read_description(folder)?;
        config.check().map_err(|error| Error::BadFile {
            path,
            offset: 0,
            problem: error.to_string(),
            remedy: "correct the file, or read it with the version of kd that wrote it".into(),
        })?;
        Ok(config)
    }

    /// Reads the tokenizer beside the description, if there should be one.
    fn read_tokenizer(&mut self, folder: &Path) -> Result<()> {
        let Preprocessing::Text(described) = &self.preprocessing else {
            return Ok(());
        };
        let path = folder.join(TOKENIZER_FILE);
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let found = TokenizerFile::new(text);
        if found != *described {
            let problem = format!(
                "is another tokenizer than the network was trained with, which has the SHA-256 {}; put back \
                 the file that was written with the network",
                described.sha256()
            );
            return Err(Error::Input { path, problem });
        }
        self.preprocessing = Preprocessing::Text(found);
        Ok(())
    }

    /// Checks that the parts fit each other.
    ///
    /// # Errors
    ///
    /// As [`NetworkSpec::check`] and [`Normalisation::check`]; [`Error::Config`] if there are more or fewer
    /// means than channels or class names than classes.
    pub fn check(&self) -> Result<()> {
        self.network.check()?;
        self.check_preprocessing()?;
        match &self.class_names {
            Some(names) if names.len() != self.network.classes => {
                let (names, classes) = (names.len(), self.network.classes);
                Err(Error::config(
                    "class_names",
                    format!("must name every class: {names} for {classes}"),
                ))
            }
            _ => Ok(()),
        }
    }

    fn check_preprocessing(&self) -> Result<()> {
        let takes = self.network.structure()?.takes();
        let Preprocessing::Images(normalisation) = &self.preprocessing else {
            // What networks of other crates take, they find out themselves.
            let problem = "is not one for images, which the network takes; give its normalisation";
            return match takes {
                Some(SampleKind::Images) => Err(Error::config("preprocessing", problem)),
                _ => Ok(()),
            };
        };
        if takes == Some(SampleKind::Texts) {
            let problem = "is for images, and the network takes texts; give `preprocessing`";
            return Err(Error::config("normalisation", problem));
        }
        normalisation.check()?;
        let (means, channels) = (normalisation.mean.len(), self.network.input[0]);
        if means == channels {
            return Ok(());
        }
        let problem = format!("must have one mean a channel: {means} for {channels}");
        Err(Error::config("normalisation", problem))
    }
}

/// The description in a model folder, its parts not compared with each other.
pub(crate) fn read_description(folder: &Path) -> Result<ModelConfig> {
    let mut config = read_config(&folder.join(CONFIG_FILE))?;
    config.read_tokenizer(folder)?;
    Ok(config)
}

/// The description in the file `path`, its parts not compared with each other.
fn read_config(path: &Path) -> Result<ModelConfig> {
    let text = std::fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&text).map_err(|error| {
        let offset = byte_offset(&text, error.line(), error.column());
        let other = serde_json::from_slice::<Map<String, Value>>(&text);
        let other = other.is_ok_and(|table| !table.contains_key("network"));
        let (problem, remedy) = if other {
            let problem = "describes no network: it has no `network`".to_owned();
            (problem, "give the folder of a model; those of a run lie in the run, beside this one perhaps")
        } else {
            (error.to_string(), "correct the file")
        };
        Error::BadFile {
            path: path.to_owned(),
            offset,
            problem,
            remedy: remedy.into(),
        }
    })
}

/// The place of a line and a column, both from 1, in bytes from the start.
fn byte_offset(text: &[u8], line: usize, column: usize) -> u64 {
    let lines = text
        .split_inclusive(|&byte| byte == b'\n')
        .take(line.saturating_sub(1));
    (lines.map(<[u8]>::len).sum::<usize>() + column.saturating_sub(1)) as u64
}
