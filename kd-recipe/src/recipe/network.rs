//! The table of a network that is trained.

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::Device;
use kd_core::{
    Error, Normalisation, Preprocessing, Result, SampleKind, Task, check_memory, count_parameters,
};
use kd_models::{
    Budget, LoadReport, ModelConfig, ModelNetwork, Network, NetworkSpec, Structure, TextCnn, UNet,
    WeightFit, Weights, fit_network,
};
use serde::{Deserialize, Serialize};

use crate::notices::{Notice, Notices};
use crate::recipe::loaded::DataFacts;
use crate::recipe::paths::{absolute, model_folder};
use crate::recipe::teacher::choice;

/// The table of a network to be trained: `[network]`, `[student]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkRecipe {
    /// Its name; [`known_networks`](kd_models::known_networks) lists them. With `structure`, whatever it is
    /// to be called.
    pub name: String,
    /// The structure of a network that no name stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structure: Option<Structure>,
    /// What the network may cost, for one with free widths: it gets those that are nearest, of a U-Net in
    /// proportion, within 3 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// Its normalisation; that of the data set where nothing is said. Networks for text have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalisation: Option<Normalisation>,
    /// A file or model folder with the weights to begin with, in place of new ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
    /// How exactly `weights` must fit the network; what does not fit begins anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_fit: Option<WeightFit>,
    /// The state dictionary in `weights`, where they hold several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_key: Option<String>,
    /// What is before the names of its tensors in `weights`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_prefix: Option<String>,
    /// Parts of the names of its tensors in `weights`, and what the network calls them:
    /// `{ "fc.1." = "linear.", "downsample." = "shortcut." }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights_rename: BTreeMap<String, String>,
}

/// A network as it is before the first step.
#[derive(Clone, Debug)]
pub struct NewNetwork<N = Network> {
    /// The network: a [`Network`], a [`UNet`](kd_models::UNet) or a [`TextCnn`](kd_models::TextCnn).
    pub network: N,
    /// What its model folder will say of it.
    pub config: ModelConfig,
    /// The hash of the weights that it begins with and how they fitted, if they came from a file.
    pub weights: Option<(String, LoadReport)>,
}

impl NetworkRecipe {
    /// Checks what can be checked without building the network, and gives its name and size.
    ///
    /// # Errors
    ///
    /// For a name that is not known or not that of a network for the task of the data, images that the
    /// network cannot take, or a budget that no widths meet.
    pub fn spec(&self, data: &DataFacts) -> Result<NetworkSpec> {
        let template = self.template(data)?;
        let Some(budget) = &self.budget else {
            return Ok(template);
        };
        let wanted = budget.wanted(None)?;
        fit_network(&template, wanted, |widths| {
            widths.counts(template.input, template.classes)
        })
    }

    /// As [`NetworkRecipe::spec`], before its widths are made to meet a budget.
    ///
    /// # Errors
    ///
    /// As [`NetworkRecipe::spec`].
    pub fn template(&self, data: &DataFacts) -> Result<NetworkSpec> {
        let spec = match &self.structure {
            Some(structure) => NetworkSpec::with_structure(
                &self.name,
                structure.clone(),
                data.classes,
                data.input(),
            ),
            None => NetworkSpec::new(&self.name, data.classes, data.input()),
        };
        match (data.task, data.kind) {
            (Task::Segmentation, _) => UNet::check_spec(&spec)?,
            (_, SampleKind::Texts) => TextCnn::check_spec(&spec)?,
            _ => Network::check_spec(&spec)?,
        }
        Ok(spec)
    }

    /// Makes the network, its weights a function of `seed` or read from a file, and writes into the recipe
    /// which normalisation it has: that of `usual` where neither the recipe nor the file says one. A network
    /// for text has the tokenizer of `usual`.
    ///
    /// [`Context::network`](crate::Context::network) does this and notes the hash of such a file.
    ///
    /// # Errors
    ///
    /// As [`NetworkRecipe::spec`], for a normalisation that cannot be used, or for `weights` that cannot be
    /// read or do not fit.
    pub fn build<N: ModelNetwork>(
        &mut self,
        data: &DataFacts,
        usual: impl FnOnce() -> Result<Preprocessing>,
        seed: u64,
        device: &Device,
        notices: &dyn Notices,
    ) -> Result<NewNetwork<N>> {
        let spec = self.spec(data)?;
        let weights = self
            .read_weights()
            .map_err(|error| error.within("student"))?;
        let described = weights.as_ref().and_then(|weights| weights.config.as_ref());
        let preprocessing = match (self.normalisation.take(), described) {
            (Some(own), _) => own.into(),
            (None, Some(config)) => config.preprocessing.clone(),
            (None, None) => usual()?,
        };
        self.settle(&preprocessing, data)?;
        check_size::<N>(&spec)?;
        let mut network = N::build(&spec, seed, device)?;
        let mut loaded = None;
        if let Some(weights) = weights {
            let fit = self.weights_fit.unwrap_or_default();
            let (begun, report) = weights.load_known(&spec, &network, fit)?;
            if !report.is_exact() {
                let note = format!("{}: {report}", weights.path.display());
                notices.take(&Notice::Note(note));
            }
            network = begun;
            loaded = Some((weights.hash(), report));
        }
        Ok(NewNetwork {
            network,
            config: ModelConfig::new(spec, preprocessing),
            weights: loaded,
        })
    }

    /// Writes the normalisation of the network into the recipe, and checks that its preprocessing is one for
    /// the data.
    fn settle(&mut self, preprocessing: &Preprocessing, data: &DataFacts) -> Result<()> {
        match (preprocessing, data.kind) {
            (Preprocessing::Images(_), SampleKind::Texts) => {
                let problem = format!("is for images, and `{}` has texts; remove it", data.name);
                Err(Error::config("normalisation", problem))
            }
            (Preprocessing::Images(normalisation), _) => {
                normalisation.check()?;
                self.normalisation = Some(normalisation.clone());
                Ok(())
            }
            (other, _) => match (other.tokenizer(), &data.tokenizer) {
                (Some(own), Some(tokenizer)) if own != tokenizer => Err(Error::config(
                    "weights",
                    format!(
                        "are of a network with another tokenizer than that of data set `{}`; name its folder \
                         in `data.text.tokenizer`",
                        data.name
                    ),
                )),
                _ => Ok(()),
            },
        }
    }

    /// The weights to begin with, if the recipe names any.
    fn read_weights(&mut self) -> Result<Option<Weights>> {
        let Some(file) = &mut self.weights else {
            let extra = [
                ("weights_fit", self.weights_fit.is_some()),
                ("weights_key", self.weights_key.is_some()),
                ("weights_prefix", self.weights_prefix.is_some()),
                ("weights_rename", !self.weights_rename.is_empty()),
            ];
            return match extra.into_iter().find(|(_, given)| *given) {
                Some((field, _)) => Err(Error::config(field, "has no effect without `weights`")),
                None => Ok(None),
            };
        };
        *file = absolute(file)?;
        let (key, prefix) = (self.weights_key.as_ref(), self.weights_prefix.as_ref());
        let choice = choice(key, prefix, &self.weights_rename);
        let place = if file.is_dir() {
            model_folder(file)?
        } else {
            file.clone()
        };
        Weights::read_chosen(&place, &choice).map(Some)
    }
}

/// Checks that the weights of a network with a structure of its own, and their gradients, fit into memory.
/// Where they cannot be counted from the structure alone it is done on a network of zeros, of which the
/// system keeps no pages before they are written.
fn check_size<N: ModelNetwork>(spec: &NetworkSpec) -> Result<()> {
    if spec.is_preset() {
        return Ok(());
    }
    let counted = match spec.structure()? {
        Structure::ChunkCnn(widths) => widths.counts(spec.input, spec.classes),
        _ => None,
    };
    let parameters = match counted {
        Some([parameters, _]) => parameters,
        None => count_parameters(&N::blank(spec, &Device::default())?),
    };
    let bytes = parameters.saturating_mul(8);
    check_memory("structure", "weights and gradients", bytes)
}
