//! Model folders: the weights of a trained network and their description.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, TensorData};
use kd_core::{
    Error, Names, Preprocessing, Result, Tensors, export, import, write_atomically, write_tensors,
};

use crate::model_config::{CONFIG_FILE, ModelConfig, TOKENIZER_FILE};
use crate::named::{ModelNetwork, other_type};
use crate::weights::{BATCH_COUNTER, WeightFit, Weights};

/// The weights of a model folder.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// Writes `network` to `folder`, which is made where it is missing: `model.safetensors`, for a network for
/// text `tokenizer.json`, and then `config.json`.
///
/// The weights have the names and layouts of PyTorch and come with the `num_batches_tracked` (0) that its
/// batch norms have, so that `load_state_dict(strict=True)` takes the file. The running variances are Burn's,
/// which are the biased ones of each batch where PyTorch's are unbiased. Each file is written beside its
/// place and renamed there, so that a reader sees the old one or the whole new one; the same network gives
/// the same bytes.
///
/// # Errors
///
/// As [`ModelConfig::check`]; [`Error::Config`] or [`Error::Mismatch`] if `network` is not the one that
/// `config` describes; [`Error::Io`] if a file cannot be written.
pub fn save_model<N: ModelNetwork>(folder: &Path, network: &N, config: &ModelConfig) -> Result<()> {
    config.check()?;
    let mut tensors = export(network, Names::PyTorch);
    let device = network.devices().into_iter().next().unwrap_or_default();
    let blank = N::blank(&config.network, &device)?;
    import(&blank, &tensors, Names::PyTorch, "the network to be saved")?;
    add_batch_counters(&mut tensors);
    write_model(folder, &tensors, config)
}

/// Writes the files; the tensors are those of the network of `config`.
fn write_model(folder: &Path, tensors: &Tensors, config: &ModelConfig) -> Result<()> {
    write_tensors(&folder.join(WEIGHTS_FILE), tensors)?;
    if let Preprocessing::Text(tokenizer) = &config.preprocessing {
        let text = tokenizer.json().ok_or_else(|| {
            let problem =
                "is a tokenizer of which only the hash is known; read it with the model's folder";
            Error::config("preprocessing", problem)
        })?;
        write_atomically(&folder.join(TOKENIZER_FILE), text.as_bytes())?;
    }
    let path = folder.join(CONFIG_FILE);
    let mut text = serde_json::to_string_pretty(config)
        .map_err(|error| Error::io("write", &path)(std::io::Error::other(error)))?;
    text.push('\n');
    write_atomically(&path, text.as_bytes())
}

/// The tensors of `network` as PyTorch's `state_dict()` has them, so that `load_state_dict(strict=True)`
/// takes them.
///
/// These are weights and running statistics, and for each batch norm the `num_batches_tracked` (0) that
/// PyTorch counts.
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

/// Reads the network in `folder`, a [`Network`](crate::Network), a [`UNet`](crate::UNet) or another type,
/// onto `device`. [`ModelNetwork`] has an example.
///
/// Give an autodiff device to train it further. To hold it as a teacher, give the network to
/// [`kd_core::FrozenTeacher`]. Where the type is not known, [`open_model`](crate::open_model) reads any.
///
/// # Errors
///
/// [`Error::Io`] if a file is missing, [`Error::BadFile`] if one is broken or describes a network that there
/// is not, [`Error::Input`] if it describes a network of another type, [`Error::Mismatch`] if the weights are
/// those of another network or of another number of classes.
pub fn load_model<N: ModelNetwork>(folder: &Path, device: &Device) -> Result<(N, ModelConfig)> {
    let config = ModelConfig::read(folder)?;
    if let Some((found, wanted)) = other_type::<N>(&config.network)? {
        let name = &config.network.name;
        let problem = format!(
            "describes `{name}`, {found}, where {wanted} is to be read; give another folder"
        );
        let path = folder.join(CONFIG_FILE);
        return Err(Error::Input { path, problem });
    }
    let weights = Weights::read(&folder.join(WEIGHTS_FILE))?;
    let (network, _) = weights.load_network(&config.network, WeightFit::Exact, device)?;
    Ok((network, config))
}
