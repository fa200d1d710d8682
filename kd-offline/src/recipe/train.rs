//! `method = "train"`: a network from scratch, for example a teacher.

use kd_core::{Result, Training};
use kd_models::Network;
use kd_recipe::{
    Check, Context, DataRecipe, LoadedData, MethodRecipe, NetworkRecipe, NewNetwork, Prepared, Verb,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::{SAMPLE_KEYS, diagnose, samples, say};
use crate::{LossConfig, Offline, RESULT_PHASE};

/// A recipe of ordinary training, which is offline distillation without a teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainRecipe {
    /// Share of the target spread over all classes, in `[0, 1)`.
    #[serde(default)]
    pub label_smoothing: f64,
    /// The data.
    pub data: DataRecipe,
    /// The network.
    pub network: NetworkRecipe,
    /// The training.
    pub train: Training,
}

impl MethodRecipe for TrainRecipe {
    const METHOD: &'static str = "train";
    const TRAIN_KEYS: &'static [&'static str] = SAMPLE_KEYS;
    const ABOUT: &'static str = "a network from scratch with cross-entropy, for example a teacher";
    const VERB: Verb = Verb::Train;

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }

    fn prepare(&mut self, at: &Context) -> Result<Prepared> {
        self.train.check()?;
        let (made, data) = self.read(at)?;
        let offline = self.method(&made, data, at);
        offline.check()?;
        say(at, &offline);
        Ok(Prepared::new(offline).with_student(RESULT_PHASE, made.config))
    }

    fn check(&mut self, at: &Context) -> Result<Check> {
        let (made, data) = self.read(at)?;
        let facts = data.facts.clone();
        let mut check = Check::of_student(&made, &facts)?;
        let offline = self.method(&made, data, at);
        diagnose(&mut check, &offline, &facts, at.seed(), Vec::new())?;
        Ok(check)
    }
}

impl TrainRecipe {
    /// The network and the data; an unknown name is said before the data are read.
    fn read(&mut self, at: &Context) -> Result<(NewNetwork, LoadedData)> {
        let facts = at.facts(&self.data)?;
        facts.check_labelled()?;
        self.network.spec(&facts)?;
        let data = at.data(&self.data)?;
        let made = at.network(&mut self.network, &data, at.seed())?;
        Ok((made, data))
    }

    fn method(&self, made: &NewNetwork, data: LoadedData, at: &Context) -> Offline<Network> {
        let smoothed = LossConfig::smoothed_cross_entropy(1.0, self.label_smoothing);
        Offline::new(
            &made.network,
            made.config.preprocessing.clone(),
            samples(&self.data, data),
            self.train.clone(),
            at.device(),
        )
        .with_losses(vec![smoothed])
        .with_seed(at.seed())
        .with_bank_seed(self.data.bank_seed)
    }
}
