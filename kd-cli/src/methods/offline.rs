//! `method = "offline"`: one student, frozen teachers, a weighted sum of losses.

use kd_core::{Result, Training};
use kd_models::{ModelConfig, Network};
use kd_offline::{
    CacheConfig, Ensemble, Finding, LossConfig, Offline, OfflineData, RESULT_PHASE, Teacher, Topic,
};
use serde::{Deserialize, Serialize};

use super::auto;
use crate::examination::Examination;
use crate::method::{Context, MadeModel, MethodRecipe, Prepared};
use crate::parts::{DataRecipe, LoadedData, NetworkRecipe, NewNetwork, TeacherRecipe};

/// A recipe of `kd distill`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistillRecipe {
    /// Always `offline`.
    #[serde(default = "method")]
    pub method: String,
    /// Seed of initial weights, order and views.
    #[serde(default)]
    pub seed: u64,
    /// Where to compute.
    #[serde(default = "auto")]
    pub device: String,
    /// How several teachers are averaged.
    #[serde(default)]
    pub ensemble: Ensemble,
    /// The data.
    pub data: DataRecipe,
    /// The student.
    pub student: NetworkRecipe,
    /// The teachers.
    #[serde(default)]
    pub teachers: Vec<TeacherRecipe>,
    /// Where what the teachers say is kept, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheConfig>,
    /// The losses.
    pub losses: Vec<LossConfig>,
    /// How to train the student.
    pub train: Training,
}

fn method() -> String {
    DistillRecipe::METHOD.into()
}

impl MethodRecipe for DistillRecipe {
    const METHOD: &'static str = "offline";
    const ABOUT: &'static str = "one student, frozen teachers, any weighted sum of losses";

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
            extra_parameters: offline.extra_parameters()?,
            method: Box::new(offline),
            models: vec![MadeModel::student(RESULT_PHASE, config)],
        })
    }

    fn examine(&mut self, at: &Context) -> Result<Examination> {
        self.student.spec(&self.data.facts()?)?;
        let data = at.data(&self.data)?;
        let facts = data.facts.clone();
        let made = at.network(&mut self.student, &data, self.seed)?;
        let mut examination = Examination::new(&made, &facts)?;
        let teachers = examination.teachers(&self.teachers, &facts, at.device())?;
        let offline = self.method_on(&made, data, teachers, at);
        examination.diagnose(&offline, &facts, self.seed)?;
        if self.cache.is_some() {
            let text = "the teachers will answer from a cache; here they were asked themselves, so that the steps of the run are \
                        quicker than the estimate";
            examination.findings.push(Finding::note(Topic::Costs, text));
        }
        Ok(examination)
    }
}

impl DistillRecipe {
    /// The method with everything that it needs, and what the student's model folder will say.
    pub(crate) fn offline(&mut self, at: &Context) -> Result<(Offline<Network>, ModelConfig)> {
        self.train.check()?;
        self.student.spec(&self.data.facts()?)?;
        let data = at.data(&self.data)?;
        let made = at.network(&mut self.student, &data, self.seed)?;
        let teachers = at.teachers(&self.teachers, &data.facts)?;
        let facts = data.facts.clone();
        let mut offline = self.method_on(&made, data, teachers, at);
        if let Some(cache) = &mut self.cache {
            cache.make_absolute()?;
            offline = offline.with_cache(cache.clone());
        }
        offline.check()?;
        for teacher in &mut self.teachers {
            teacher.settle(&facts)?;
        }
        Ok((offline, made.config))
    }

    fn method_on(
        &self,
        made: &NewNetwork,
        data: LoadedData,
        teachers: Vec<Box<dyn Teacher>>,
        at: &Context,
    ) -> Offline<Network> {
        Offline::new(
            &made.network,
            made.config.normalisation.clone(),
            seen(&self.data, data),
            self.train.clone(),
            at.device(),
        )
        .with_teachers(teachers, self.ensemble)
        .with_losses(self.losses.clone())
        .with_seed(self.seed)
        .with_bank_seed(self.data.bank_seed)
    }
}

/// The data as the student sees it.
pub(super) fn seen(recipe: &DataRecipe, data: LoadedData) -> OfflineData {
    OfflineData {
        train: data.train,
        held_out: data.held_out,
        views: recipe.views,
        augment: recipe.augment.clone(),
    }
}
