//! `method = "train"`: a network from scratch, for example a teacher.

use kd_core::{Result, SampleKind, Task, Training};
use kd_models::{ModelNetwork, Network, TextCnn, UNet};
use kd_recipe::{
    Check, Context, DataRecipe, LoadedData, MethodRecipe, NetworkRecipe, NewNetwork, Prepared, Verb,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::{METRICS, diagnose, samples, say};
use crate::diagnose::KEYS;
use crate::{LossConfig, Offline, RESULT_PHASE};

/// A recipe of ordinary training, which is offline distillation without a teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainRecipe {
    /// Share of the target spread over all classes, in `[0, 1)`.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1), extend("x-unit" = "share"))]
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
    const TRAIN_KEYS: &'static [&'static str] = KEYS;
    const ABOUT: &'static str = "a network from scratch with cross-entropy, for example a teacher";
    const VERB: Verb = Verb::Train;

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }

    fn prepare(&mut self, at: &Context) -> Result<Prepared> {
        let facts = at.facts(&self.data)?;
        match (facts.task, facts.kind) {
            (Task::Segmentation, _) => self.prepare_for::<UNet>(at),
            (_, SampleKind::Texts) => self.prepare_for::<TextCnn>(at),
            _ => self.prepare_for::<Network>(at),
        }
    }

    fn metrics(&self) -> Option<Vec<String>> {
        Some(METRICS.map(str::to_owned).to_vec())
    }

    fn check(&mut self, at: &Context) -> Result<Check> {
        let facts = at.facts(&self.data)?;
        match (facts.task, facts.kind) {
            (Task::Segmentation, _) => self.check_for::<UNet>(at),
            (_, SampleKind::Texts) => self.check_for::<TextCnn>(at),
            _ => self.check_for::<Network>(at),
        }
    }
}

impl TrainRecipe {
    fn prepare_for<N: ModelNetwork>(&mut self, at: &Context) -> Result<Prepared> {
        self.train.check()?;
        let (made, data) = self.read::<N>(at)?;
        let offline = self.method(&made, data, at);
        offline.check()?;
        say(at, &offline)?;
        Ok(Prepared::new(offline).with_student(RESULT_PHASE, made.config))
    }

    fn check_for<N: ModelNetwork>(&mut self, at: &Context) -> Result<Check> {
        let (made, data) = self.read::<N>(at)?;
        let facts = data.facts.clone();
        let mut check = Check::of_student(&made, &facts)?;
        let offline = self.method(&made, data, at);
        diagnose(&mut check, &offline, &facts, at.seed(), Vec::new())?;
        Ok(check)
    }

    /// The network and the data; an unknown name is said before the data are read.
    fn read<N: ModelNetwork>(&mut self, at: &Context) -> Result<(NewNetwork<N>, LoadedData)> {
        let facts = at.facts(&self.data)?;
        self.network.spec(&facts)?;
        let data = at.data(&self.data)?;
        let made = at.network(&mut self.network, &data, at.seed())?;
        Ok((made, data))
    }

    fn method<N: ModelNetwork>(
        &self,
        made: &NewNetwork<N>,
        data: LoadedData,
        at: &Context,
    ) -> Offline<N> {
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
