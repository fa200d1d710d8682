//! The models of a run: the student that is deployed, the other students, and what combines them.

use burn::tensor::Device;
use kd_core::{Error, Names, Result, import, write_atomically, write_tensors};
use kd_models::{ModelConfig, ModelNetwork, save_model};
use kd_recipe::{MadeModel, MadeTensors};

use crate::phase::RESULT_PHASE;
use crate::{Online, OnlineConfig};

/// `model` is the student that is deployed, `branch-I` are the students, `average-I` the averaged ones,
/// `ensemble` is what combines them.
pub(super) fn models<N: ModelNetwork>(
    config: &OnlineConfig,
    networks: Vec<ModelConfig>,
    online: &Online,
    device: &Device,
) -> Result<Vec<MadeModel>> {
    let averaged = config.objective.average_decay().is_some();
    let student = config.student();
    let source = if averaged { "average" } else { "branch" };
    let deployed = networks[student].clone();
    let deployed = MadeModel::new("model", RESULT_PHASE, deployed);
    let mut models = vec![deployed.of_part(format!("{source}-{student}/"))];
    if config.branches > 1 {
        for (index, network) in networks.iter().enumerate() {
            models.push(branch::<N>(network.clone(), index, device));
            if averaged {
                let folder = format!("average-{index}");
                let part = format!("{folder}/");
                let write = writer::<N>(network.clone(), None, device);
                models.push(MadeModel::written_by(folder, RESULT_PHASE, write).of_part(part));
            }
        }
    }
    if online.combiner()?.is_some() {
        models.push(combiner(config, online)?);
    }
    Ok(models)
}

fn branch<N: ModelNetwork>(config: ModelConfig, index: usize, device: &Device) -> MadeModel {
    let folder = format!("branch-{index}");
    let part = format!("{folder}/");
    let write = writer::<N>(config, Some(format!("branch_{index}_accuracy")), device);
    MadeModel::written_by(folder, RESULT_PHASE, write).of_part(part)
}

/// Writes a network with its own accuracy, that of the metric named.
fn writer<N: ModelNetwork>(
    config: ModelConfig,
    metric: Option<String>,
    device: &Device,
) -> impl Fn(&MadeTensors<'_>) -> Result<()> + 'static + use<N> {
    let device = device.clone();
    move |made: &MadeTensors<'_>| {
        let mut config = config.clone();
        let measured = |metric: &String| made.metrics?.get(metric).copied();
        config.provenance.accuracy = metric.as_ref().and_then(measured);
        let blank = N::blank(&config.network, &device)?;
        let network = import(&blank, &made.tensors, Names::PyTorch, "the run's result")?;
        save_model(&made.folder, &network, &config)
    }
}

/// Gate, attention or classifier: `weights.safetensors`, and in `config.json` what it was made for.
fn combiner(config: &OnlineConfig, online: &Online) -> Result<MadeModel> {
    let described = serde_json::json!({
        "online": config,
        "sizes": online.combiner_sizes()?,
    });
    let text = serde_json::to_vec_pretty(&described)
        .map_err(|error| Error::method("the settings of the ensemble", error))?;
    let write = move |made: &MadeTensors<'_>| {
        write_tensors(&made.folder.join("weights.safetensors"), &made.tensors)?;
        write_atomically(&made.folder.join("config.json"), &text)
    };
    let folder = "ensemble";
    Ok(MadeModel::written_by(folder, RESULT_PHASE, write).of_part(format!("{folder}/")))
}
