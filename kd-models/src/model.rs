//! A trained network in a folder: its weights and what one must know to use them.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, TensorData};
use kd_core::{
    Error, Names, Normalisation, Result, Tensors, export, import, write_atomically, write_tensors,
};
use serde::{Deserialize, Serialize};

use crate::known::NetworkSpec;
use crate::model_network::ModelNetwork;
use crate::network::Network;
use crate::weights::{BATCH_COUNTER, WeightFit, Weights};

/// The weights of a model folder.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// The description in a model folder.
pub const CONFIG_FILE: &str = "config.json";

/// What one must know to use the weights of a model folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ModelConfig {
    /// Which network, for how many classes and which images.
    pub network: NetworkSpec,
    /// What its input is normalised with, for pixels in `[0, 1]`.
    pub normalisation: Normalisation,
    /// The names of the classes in the order of the logits, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_names: Option<Vec<String>>,
    /// Where the weights come from.
    #[serde(default)]
    pub provenance: Provenance,
}

/// Where weights come from and what they are worth. Every part may be missing.
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
    pub notes: BTreeMap<String, serde_json::Value>,
}

impl ModelConfig {
    /// The description of a network that this version of kd trained.
    pub fn new(network: NetworkSpec, normalisation: Normalisation) -> Self {
        let kd_version = Some(env!("CARGO_PKG_VERSION").to_owned());
        let provenance = Provenance {
            kd_version,
            ..Provenance::default()
        };
        Self {
            network,
            normalisation,
            class_names: None,
            provenance,
        }
    }

    /// Reads the description in the model folder `folder`, without its weights.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it is not there, [`Error::BadFile`] if it is broken or its parts do not fit each other.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG_FILE);
        let config = read_config(&path)?;
        config.check().map_err(|error| Error::BadFile {
            path,
            offset: 0,
            problem: error.to_string(),
            remedy: "correct the file, or read it with the version of kd that wrote it".into(),
        })?;
        Ok(config)
    }

    /// Checks that the parts fit each other.
    ///
    /// # Errors
    ///
    /// As [`NetworkSpec::check`] and [`Normalisation::check`]; [`Error::Config`] if there are more or fewer means than
    /// channels or class names than classes.
    pub fn check(&self) -> Result<()> {
        self.network.check()?;
        self.normalisation.check()?;
        let (means, channels) = (self.normalisation.mean.len(), self.network.input[0]);
        if means != channels {
            let problem = format!("must have one mean a channel: {means} for {channels}");
            return Err(Error::config("normalisation", problem));
        }
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
}

/// Writes `network` to `folder`, which is made where it is missing: `model.safetensors` and then `config.json`.
///
/// The weights have the names and layouts of PyTorch and come with the `num_batches_tracked` (0) that its batch norms
/// have, so that `load_state_dict(strict=True)` takes the file. The running variances are Burn's, which are the biased
/// ones of each batch where PyTorch's are unbiased. Each file is written beside its place and renamed there, so that a
/// reader sees the old one or the whole new one; the same network gives the same bytes.
///
/// # Errors
///
/// As [`ModelConfig::check`]; [`Error::Config`] or [`Error::Mismatch`] if `network` is not the one that `config` describes; [`Error::Io`] if a
/// file cannot be written.
pub fn save_model<N: ModelNetwork>(folder: &Path, network: &N, config: &ModelConfig) -> Result<()> {
    config.check()?;
    let mut tensors = export(network, Names::PyTorch);
    let device = network.devices().into_iter().next().unwrap_or_default();
    import(
        &N::blank(&config.network, &device)?,
        &tensors,
        Names::PyTorch,
        "the network to be saved",
    )?;
    add_batch_counters(&mut tensors);
    write_tensors(&folder.join(WEIGHTS_FILE), &tensors)?;

    let path = folder.join(CONFIG_FILE);
    let mut text = serde_json::to_string_pretty(config)
        .map_err(|error| Error::io("write", &path)(std::io::Error::other(error)))?;
    text.push('\n');
    write_atomically(&path, text.as_bytes())
}

/// The tensors of `network` as PyTorch's `state_dict()` has them, so that `load_state_dict(strict=True)` takes them.
///
/// These are weights and running statistics, and for each batch norm the `num_batches_tracked` (0) that PyTorch counts.
pub fn state_dict<M: Module>(network: &M) -> Tensors {
    let mut tensors = export(network, Names::PyTorch);
    add_batch_counters(&mut tensors);
    tensors
}

fn add_batch_counters(tensors: &mut Tensors) {
    let norms: Vec<String> = tensors
        .keys()
        .filter_map(|name| {
            name.strip_suffix("running_mean")
                .map(|norm| format!("{norm}{BATCH_COUNTER}"))
        })
        .collect();
    tensors.extend(
        norms
            .into_iter()
            .map(|name| (name, TensorData::new(vec![0_i64], Vec::<usize>::new()))),
    );
}

/// Reads the classifier in `folder`, onto `device`.
///
/// Give an autodiff device to train it further. To hold it as a teacher, give the network to [`kd_core::Frozen`].
///
/// # Errors
///
/// [`Error::Io`] if a file is missing, [`Error::BadFile`] if one is broken or describes a network that there is not,
/// [`Error::Input`] if that is no classifier, [`Error::Mismatch`] if the weights are those of another network or of another
/// number of classes.
pub fn load_model(folder: &Path, device: &Device) -> Result<(Network, ModelConfig)> {
    load_model_as(folder, device)
}

/// Reads the network in `folder`, a [`Network`] or a [`UNet`](crate::UNet), onto `device`.
/// [`ModelNetwork`] has an example.
///
/// # Errors
///
/// As [`load_model`]; [`Error::Input`] if `folder` holds a network of the other type.
pub fn load_model_as<N: ModelNetwork>(folder: &Path, device: &Device) -> Result<(N, ModelConfig)> {
    let config = ModelConfig::read(folder)?;
    let path = folder.join(CONFIG_FILE);
    let (task, wanted) = (config.network.task()?, N::TASK);
    if task != wanted {
        let name = &config.network.name;
        let problem = format!(
            "describes `{name}`, a {task} network, where a {wanted} network is to be read; give another folder"
        );
        return Err(Error::Input { path, problem });
    }
    let weights = Weights::read(&folder.join(WEIGHTS_FILE))?;
    let (network, _) = weights.load_network_as(&config.network, WeightFit::Exact, device)?;
    Ok((network, config))
}

pub(crate) fn read_config(path: &Path) -> Result<ModelConfig> {
    let text = std::fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&text).map_err(|error| Error::BadFile {
        path: path.to_owned(),
        offset: byte_offset(&text, error.line(), error.column()),
        problem: error.to_string(),
        remedy: "correct the file".into(),
    })
}

/// The place of a line and a column, both from 1, in bytes from the start.
fn byte_offset(text: &[u8], line: usize, column: usize) -> u64 {
    let lines = text
        .split_inclusive(|&byte| byte == b'\n')
        .take(line.saturating_sub(1));
    (lines.map(<[u8]>::len).sum::<usize>() + column.saturating_sub(1)) as u64
}
