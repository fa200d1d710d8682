//! `method = "offline"`: one student, frozen teachers, a weighted sum of losses.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use kd_core::{CacheConfig, Finding, Observer, Result, SampleKind, Task, Teacher, Topic, Training};
use kd_models::{ModelConfig, ModelNetwork, Network, TextCnn, UNet};
use kd_recipe::{
    CachePlace, Check, Context, DataRecipe, LoadedData, MethodRecipe, NetworkRecipe, NewNetwork,
    Prepared, TeacherClasses, TeacherRecipe,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::{METRICS, diagnose, samples, say};
use crate::diagnose::{KEYS, KnownTeacher};
use crate::{Ensemble, LossConfig, Offline, RESULT_PHASE};

/// A recipe of distillation from frozen teachers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DistillRecipe {
    /// The average of several teachers.
    #[serde(default)]
    pub ensemble: Ensemble,
    /// The data.
    pub data: DataRecipe,
    /// The student.
    pub student: NetworkRecipe,
    /// The teachers.
    #[serde(default)]
    pub teachers: Vec<TeacherRecipe>,
    /// The place of the teachers' answers, if they are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheConfig>,
    /// The losses.
    pub losses: Vec<LossConfig>,
    /// The training of the student.
    pub train: Training,
}

impl MethodRecipe for DistillRecipe {
    const METHOD: &'static str = "offline";
    const TRAIN_KEYS: &'static [&'static str] = KEYS;
    const ABOUT: &'static str = "one student, frozen teachers, any weighted sum of losses";

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

    fn build_caches(
        &mut self,
        at: &Context,
        place: &CachePlace,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Vec<PathBuf>> {
        let facts = at.facts(&self.data)?;
        match (facts.task, facts.kind) {
            (Task::Segmentation, _) => self.build_caches_for::<UNet>(at, place, observer, stop),
            (_, SampleKind::Texts) => self.build_caches_for::<TextCnn>(at, place, observer, stop),
            _ => self.build_caches_for::<Network>(at, place, observer, stop),
        }
    }
}

impl DistillRecipe {
    fn prepare_for<N: ModelNetwork>(&mut self, at: &Context) -> Result<Prepared> {
        let (offline, config) = self.offline::<N>(at)?;
        let extra = offline.extra_parameters()?;
        say(at, &offline)?;
        Ok(Prepared::new(offline)
            .with_student(RESULT_PHASE, config)
            .with_extra_parameters(extra))
    }

    fn check_for<N: ModelNetwork>(&mut self, at: &Context) -> Result<Check> {
        let (made, data) = self.read::<N>(at)?;
        let facts = data.facts.clone();
        let mut check = Check::of_student(&made, &facts)?;
        let mut teachers: Vec<Box<dyn Teacher>> = Vec::new();
        let mut known = Vec::new();
        for checked in check.teachers_as(self.teacher_classes(), &self.teachers, &facts, at)? {
            teachers.push(checked.teacher);
            known.push(KnownTeacher {
                name: checked.name,
                accuracy: checked.accuracy,
                missing: checked.missing,
            });
        }
        if self.cache.is_some() {
            let text = "the teachers will answer from a cache; here they were asked themselves, so that the \
                        steps \
                        of the run are quicker than the estimate";
            check.findings.push(Finding::note(Topic::Costs, text));
        }
        let mut offline = self.method(&made, data, teachers, at);
        if let Some(cache) = &self.cache
            && known.iter().all(|teacher| !teacher.missing)
        {
            offline = offline.with_cache(cache.clone());
            // What else is wrong the diagnosis finds out piece by piece.
            if offline.requested().is_ok()
                && let Err(error) = offline.check()
            {
                check
                    .findings
                    .push(Finding::error(Topic::Costs, error.to_string()));
            }
        }
        diagnose(&mut check, &offline, &facts, at.seed(), known)?;
        Ok(check)
    }

    fn build_caches_for<N: ModelNetwork>(
        &mut self,
        at: &Context,
        place: &CachePlace,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Vec<PathBuf>> {
        let config = place.over(self.cache.take());
        let (offline, _) = self.offline::<N>(at)?;
        let offline = offline.with_cache(config);
        offline.check()?;
        offline.open_caches(observer, stop)?;
        Ok(offline
            .caches()
            .map(|cache| cache.path().to_owned())
            .collect())
    }

    /// The method with everything that it needs, and what the student's model folder will say.
    fn offline<N: ModelNetwork>(&mut self, at: &Context) -> Result<(Offline<N>, ModelConfig)> {
        self.train.check()?;
        let (made, data) = self.read::<N>(at)?;
        let teachers = at.teachers_as(self.teacher_classes(), &self.teachers, &data.facts)?;
        let facts = data.facts.clone();
        let mut offline = self.method(&made, data, teachers, at);
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

    /// The classes that the teachers must know: any, where no loss reads their logits.
    fn teacher_classes(&self) -> TeacherClasses {
        if self.losses.iter().any(LossConfig::reads_logits) {
            TeacherClasses::OfData
        } else {
            TeacherClasses::Any
        }
    }

    /// The student and the data; an unknown name is said before the data are read.
    fn read<N: ModelNetwork>(&mut self, at: &Context) -> Result<(NewNetwork<N>, LoadedData)> {
        let facts = at.facts(&self.data)?;
        self.student.spec(&facts)?;
        let data = at.data(&self.data)?;
        let made = at.network(&mut self.student, &data, at.seed())?;
        Ok((made, data))
    }

    fn method<N: ModelNetwork>(
        &self,
        made: &NewNetwork<N>,
        data: LoadedData,
        teachers: Vec<Box<dyn Teacher>>,
        at: &Context,
    ) -> Offline<N> {
        Offline::new(
            &made.network,
            made.config.preprocessing.clone(),
            samples(&self.data, data),
            self.train.clone(),
            at.device(),
        )
        .with_teachers(teachers, self.ensemble)
        .with_losses(self.losses.clone())
        .with_seed(at.seed())
        .with_bank_seed(self.data.bank_seed)
    }
}
