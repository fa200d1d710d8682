//! A network that is trained.

use burn::tensor::Device;
use kd_core::{Normalisation, Result};
use kd_models::{ModelConfig, Network, NetworkSpec};
use serde::{Deserialize, Serialize};

use super::{DataFacts, LoadedData};

/// The table of a network to be trained: `[network]`, `[student]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkRecipe {
    /// Its name; `kd models` lists them.
    pub name: String,
    /// Its normalisation; that of the data set where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalisation: Option<Normalisation>,
}

/// A network as it is before the first step.
#[derive(Clone, Debug)]
pub struct NewNetwork {
    /// The network.
    pub network: Network,
    /// What its model folder will say of it.
    pub config: ModelConfig,
}

impl NetworkRecipe {
    /// Checks what can be checked without building the network, and gives its size.
    ///
    /// # Errors
    ///
    /// For a name that is not known, or images that the network cannot take.
    pub fn spec(&self, data: &DataFacts) -> Result<NetworkSpec> {
        let spec = NetworkSpec::new(&self.name, data.classes, data.input());
        spec.check()?;
        Ok(spec)
    }

    /// Makes the network, its weights a function of `seed`, and writes into the recipe which normalisation it has.
    ///
    /// # Errors
    ///
    /// As [`NetworkRecipe::spec`], or for a normalisation that cannot be used.
    pub fn build(&mut self, data: &LoadedData, seed: u64, device: &Device) -> Result<NewNetwork> {
        let spec = self.spec(&data.facts)?;
        let normalisation = self
            .normalisation
            .get_or_insert_with(|| data.facts.normalisation.clone());
        normalisation.check()?;
        let network = Network::build(&spec, seed, device)?;
        let mut config = ModelConfig::new(spec, normalisation.clone());
        config.class_names = data.train.dataset().class_names().map(<[String]>::to_vec);
        config.provenance.data = Some(data.facts.name.clone());
        Ok(NewNetwork { network, config })
    }
}
