//! `method = "train"`: a network from scratch, for example a teacher.

use kd_core::{Result, Training};
use kd_models::{ModelConfig, Network};
use kd_offline::{LossConfig, Offline, RESULT_PHASE};
use serde::{Deserialize, Serialize};

use super::{auto, offline::seen};
use crate::examination::Examination;
use crate::method::{Context, MadeModel, MethodRecipe, Prepared, Verb};
use crate::parts::{DataRecipe, LoadedData, NetworkRecipe, NewNetwork};

/// A recipe of `kd train`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainRecipe {
    /// Always `train`.
    #[serde(default = "method")]
    pub method: String,
    /// Seed of initial weights, order and views.
    #[serde(default)]
    pub seed: u64,
    /// Where to compute.
    #[serde(default = "auto")]
    pub device: String,
    /// Share of the target spread over all classes, in `[0, 1)`.
    #[serde(default)]
    pub label_smoothing: f64,
    /// The data.
    pub data: DataRecipe,
    /// The network.
    pub network: NetworkRecipe,
    /// How to train it.
    pub train: Training,
}

fn method() -> String {
    TrainRecipe::METHOD.into()
}

impl MethodRecipe for TrainRecipe {
    const METHOD: &'static str = "train";
    const ABOUT: &'static str = "a network from scratch with cross-entropy, for example a teacher";
    const VERB: Verb = Verb::Train;

    fn seed(&self) -> u64 {
        self.seed
    }

    fn device(&self) -> &str {
        &self.device
    }

    fn set_device(&mut self, name: String) {
        self.device = name;
    }

    fn prepare(&mut self, at: &Context) -> Result<Prepared> {
        let (offline, config) = self.offline(at)?;
        Ok(Prepared {
            method: Box::new(offline),
            models: vec![MadeModel::student(RESULT_PHASE, config)],
            extra_parameters: 0,
        })
    }

    fn examine(&mut self, at: &Context) -> Result<Examination> {
        self.network.spec(&self.data.facts()?)?;
        let data = at.data(&self.data)?;
        let facts = data.facts.clone();
        let made = at.network(&mut self.network, &data, self.seed)?;
        let mut examination = Examination::new(&made, &facts)?;
        let offline = self.method_on(&made, data, at);
        examination.diagnose(&offline, &facts, self.seed)?;
        Ok(examination)
    }
}

impl TrainRecipe {
    /// Ordinary training is offline distillation without a teacher.
    pub(crate) fn offline(&mut self, at: &Context) -> Result<(Offline<Network>, ModelConfig)> {
        self.train.check()?;
        self.network.spec(&self.data.facts()?)?;
        let data = at.data(&self.data)?;
        let made = at.network(&mut self.network, &data, self.seed)?;
        let offline = self.method_on(&made, data, at);
        offline.check()?;
        Ok((offline, made.config))
    }

    fn method_on(&self, made: &NewNetwork, data: LoadedData, at: &Context) -> Offline<Network> {
        Offline::new(
            &made.network,
            made.config.normalisation.clone(),
            seen(&self.data, data),
            self.train.clone(),
            at.device(),
        )
        .with_losses(vec![LossConfig::smoothed_cross_entropy(
            1.0,
            self.label_smoothing,
        )])
        .with_seed(self.seed)
        .with_bank_seed(self.data.bank_seed)
    }
}
