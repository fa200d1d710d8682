//! `method = "online"`: the recipe, made into a method; its check, its models, its section of a report.

mod check;
mod models;
mod report;
mod work;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use kd_core::{
    CacheConfig, Classifier, Error, Observer, Preprocessing, Result, SampleKind, Training,
};
use kd_models::{ModelNetwork, Network, TextCnn};
use kd_recipe::{
    CachePlace, Check, Context, DataFacts, DataRecipe, LoadedData, MethodRecipe, MethodReport,
    NetworkRecipe, NewNetwork, Prepared, TeacherRecipe,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::{Branches, Objective, Online, OnlineConfig, OnlineData, Peers, branch_seed, stretched};

/// A recipe of students that teach each other.
///
/// ```toml
/// method = "online"
/// [data]
/// name = "cifar10"
/// views = "unlimited"
/// [student]
/// name = "crd-resnet32"
/// [online]
/// kind = "okdmde"
/// shared = "layer2"
/// [train]
/// epochs = 300
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnlineRecipe {
    /// The data.
    pub data: DataRecipe,
    /// The network of all students; of the first alone where there are `others`.
    pub student: NetworkRecipe,
    /// Further students of other networks, which share nothing: `[[others]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<NetworkRecipe>,
    /// The objective and the branches.
    pub online: OnlineConfig,
    /// A frozen teacher, whose answers are one more target; `online.teacher` says how much it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherRecipe>,
    /// The place of the teacher's answers, if they are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheConfig>,
    /// The compute that one network alone may spend: that of so many branches, as a control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_of: Option<ComputeOf>,
    /// The training of the students.
    pub train: Training,
}

/// The branches whose compute one network spends: the table `[compute_of]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ComputeOf {
    /// Their number.
    pub branches: usize,
    /// The last stage that they share; nothing without a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<String>,
}

/// A method with the networks that it was made of.
struct Made<N> {
    online: Online,
    /// One for each student; they differ in their weights, and where there are others in more.
    students: Vec<NewNetwork<N>>,
    facts: DataFacts,
    /// How many times longer one network is trained, if it spends the compute of branches.
    factor: Option<f64>,
    /// The multiply-accumulates of an answer of the teacher that is asked in every step.
    teacher_macs: u64,
}

impl MethodRecipe for OnlineRecipe {
    const METHOD: &'static str = "online";
    const ABOUT: &'static str =
        "students that teach each other, as branches or as networks (2010.00795)";

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }

    fn prepare(&mut self, at: &Context) -> Result<Prepared> {
        match at.facts(&self.data)?.kind {
            SampleKind::Texts => self.prepare_as::<TextCnn>(at),
            _ => self.prepare_as::<Network>(at),
        }
    }

    fn check(&mut self, at: &Context) -> Result<Check> {
        if at.facts(&self.data)?.kind == SampleKind::Texts {
            let made = self.made::<TextCnn>(at)?;
            return check::check(&self.online, &made);
        }
        let made = self.made::<Network>(at)?;
        check::check(&self.online, &made)
    }

    fn metrics(&self) -> Option<Vec<String>> {
        Some(crate::measures::names(&self.online))
    }

    fn report(&self, run: &Path) -> Result<MethodReport> {
        report::report(&self.online, run)
    }

    fn build_caches(
        &mut self,
        at: &Context,
        place: &CachePlace,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Vec<PathBuf>> {
        let config = place.over(self.cache.take());
        let online = match at.facts(&self.data)?.kind {
            SampleKind::Texts => self.made::<TextCnn>(at)?.online,
            _ => self.made::<Network>(at)?.online,
        };
        let online = online.with_cache(config);
        online.check()?;
        online.open_cache(observer, stop)?;
        Ok(online
            .cache()
            .map(|cache| cache.path().to_owned())
            .into_iter()
            .collect())
    }
}

impl OnlineRecipe {
    fn prepare_as<N: ModelNetwork + Classifier>(&mut self, at: &Context) -> Result<Prepared> {
        let made = self.made::<N>(at)?;
        made.online.check()?;
        at.warn(made.online.findings()?);
        self.settle_teacher(&made.facts)?;
        let student = &made.students[self.online.student()];
        let deployed = kd_core::count_parameters(&student.network);
        let beside = made.online.trained_parameters()?.saturating_sub(deployed);
        let spec = student.config.network.clone();
        let configs = made.students.iter().map(|student| student.config.clone());
        let step_macs = work::step_macs(&self.online, &made)?;
        let models =
            models::models::<N>(&self.online, configs.collect(), &made.online, at.device())?;
        Ok(Prepared::new(made.online)
            .with_spec(spec)
            .with_models(move |_| Ok(models.clone()))
            .with_extra_parameters(usize::try_from(beside).unwrap_or(usize::MAX))
            .with_step_macs(step_macs))
    }

    /// Reads everything that the recipe names.
    fn made<N: ModelNetwork + Classifier>(&mut self, at: &Context) -> Result<Made<N>> {
        self.online
            .check()
            .map_err(|error| error.within("online"))?;
        self.train.check()?;
        let facts = at.facts(&self.data)?;
        facts.check_labelled()?;
        self.student.spec(&facts)?;
        for other in &self.others {
            other.spec(&facts)?;
        }
        let data = at.data(&self.data)?;
        let students = self.students(&data, at)?;
        let factor = self.compute_factor(&students[0], &facts)?;
        let training = match factor {
            Some(factor) => stretched(&self.train, factor),
            None => self.train.clone(),
        };
        let peers = self.peers(&students)?;
        let samples = OnlineData {
            train: data.train,
            held_out: data.held_out,
            validation: data.validation,
            views: self.data.views,
            augment: self.data.augment.clone(),
        };
        let config = self.online.clone();
        let mut online = Online::new(peers, config, samples, training, at.device())
            .with_seed(at.seed())
            .with_bank_seed(self.data.bank_seed);
        let mut teacher_macs = 0;
        if let Some(teacher) = &self.teacher {
            let opened = at.open_teacher(teacher, &facts, "the teacher")?;
            if self.cache.is_none() {
                teacher_macs = opened.model.costs()?.macs();
            }
            online = online.with_teacher(opened.model.teacher(at.device()));
        }
        if let Some(cache) = &mut self.cache {
            cache.make_absolute()?;
            online = online.with_cache(cache.clone());
        }
        Ok(Made {
            online,
            students,
            facts,
            factor,
            teacher_macs,
        })
    }

    fn settle_teacher(&mut self, facts: &DataFacts) -> Result<()> {
        match &mut self.teacher {
            Some(teacher) => teacher.settle(facts),
            None => Ok(()),
        }
    }

    /// The students, each drawn from a seed of its own.
    fn students<N: ModelNetwork>(
        &mut self,
        data: &LoadedData,
        at: &Context,
    ) -> Result<Vec<NewNetwork<N>>> {
        let count = self.online.branches;
        if !self.others.is_empty() && matches!(self.online.objective, Objective::Single { .. }) {
            let problem = "are further students, and kind `single` has one; leave them out";
            return Err(Error::config("others", problem));
        }
        if !self.others.is_empty() && self.others.len() + 1 != count {
            let problem = format!(
                "is {count}, and `student` and `others` name {} networks; set it to {}",
                self.others.len() + 1,
                self.others.len() + 1
            );
            return Err(Error::config("online.branches", problem));
        }
        let mut students = Vec::with_capacity(count);
        for index in 0..count {
            let recipe = match index
                .checked_sub(1)
                .and_then(|other| self.others.get_mut(other))
            {
                Some(other) => other,
                None => &mut self.student,
            };
            students.push(at.network(recipe, data, branch_seed(at.seed(), index))?);
        }
        Ok(students)
    }

    /// Branches of one network, or different networks.
    fn peers<N: ModelNetwork + Classifier>(&self, students: &[NewNetwork<N>]) -> Result<Peers> {
        let within = |error: Error| error.within("online");
        let preprocessing =
            |student: &NewNetwork<N>| -> Preprocessing { student.config.preprocessing.clone() };
        let shared = self.online.shared.as_deref();
        if self.others.is_empty() {
            let networks = students.iter().map(|student| student.network.clone());
            let branches = Branches::new(networks.collect(), shared).map_err(within)?;
            return Ok(Peers::of(branches, preprocessing(&students[0])));
        }
        let alone = |student: &NewNetwork<N>| {
            Branches::new(vec![student.network.clone()], None).map_err(within)
        };
        let mut peers = Peers::of(alone(&students[0])?, preprocessing(&students[0]));
        for student in &students[1..] {
            peers = peers.and(alone(student)?, preprocessing(student));
        }
        Ok(peers)
    }

    /// How many times longer one network is trained to spend the compute of branches.
    fn compute_factor<N: ModelNetwork + Classifier>(
        &self,
        student: &NewNetwork<N>,
        facts: &DataFacts,
    ) -> Result<Option<f64>> {
        let Some(of) = &self.compute_of else {
            return Ok(None);
        };
        if !matches!(self.online.objective, Objective::Single { .. }) {
            let problem = format!(
                "is for one network alone, kind `single`, and `online.kind` is `{}`; leave it out",
                self.online.objective.name()
            );
            return Err(Error::config("compute_of", problem));
        }
        if of.branches < 2 {
            let problem = format!("must be at least 2, got {}", of.branches);
            return Err(Error::config("compute_of.branches", problem));
        }
        let copies = (0..of.branches).map(|_| student.network.clone());
        let branches = Branches::new(copies.collect(), of.shared.as_deref());
        let branches = branches.map_err(|error| error.within("compute_of"))?;
        let costs = kd_core::CountCosts::costs(&student.network, facts.input())?;
        Ok(Some(branches.costs(&costs).compute_factor()))
    }
}
