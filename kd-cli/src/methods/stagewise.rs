//! `method = "stagewise"`: a student trained stage by stage on a teacher's maps, and what that is compared with.

use kd_core::{Costs, Error, Result, Subset, Task, Training};
use kd_models::{Network, NetworkTask, UNet};
use kd_offline::{Finding, Topic};
use kd_stagewise::{
    Select, StageCache, Stagewise, StagewiseConfig, StagewiseData, classification_training,
    segmentation_training, training_with,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::auto;
use crate::examination::Examination;
use crate::method::{Context, MadeModel, MethodRecipe, Prepared};
use crate::output::count;
use crate::parts::{DataFacts, DataRecipe, LoadedData, NetworkRecipe, NewNetwork, TeacherRecipe};
use crate::report::AskedNetwork;

/// The share of the training samples that picks the best epoch where neither the recipe nor the data says which do.
const VALIDATION: f64 = 0.1;

/// A recipe of stagewise distillation.
///
/// The data decide what is learnt: a class for each image by a [`Network`], or one for each pixel by a [`UNet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StagewiseRecipe {
    /// Always `stagewise`.
    pub method: String,
    /// Seed of initial weights, order and views.
    #[serde(default)]
    pub seed: u64,
    /// Where to compute.
    #[serde(default = "auto")]
    pub device: String,
    /// The data.
    pub data: DataRecipe,
    /// How the training samples are divided.
    #[serde(default)]
    pub split: SplitRecipe,
    /// The student.
    pub student: NetworkRecipe,
    /// The teacher; procedures without one do not read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherRecipe>,
    /// How the student is trained.
    #[serde(default)]
    pub stagewise: StagewiseConfig,
    /// What is computed once and kept.
    #[serde(default)]
    pub cache: StageCache,
    /// What is put over the paper's training; see [`classification_training`] and [`segmentation_training`].
    #[serde(default)]
    pub train: Map<String, Value>,
}

/// The table `[split]` of a stagewise recipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SplitRecipe {
    /// The share of each class of the training samples (of all of them where there are masks) that picks the best epoch and is not
    /// trained on; none for 0. Where nothing is said, the split that the data set was published with for this, and without one a
    /// share of 0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
    /// The share of each class of the whole training split whose images, without their labels, the feature stages are trained on in
    /// place of the training samples. Not the paper's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlabelled: Option<f64>,
}

impl MethodRecipe for StagewiseRecipe {
    const METHOD: &'static str = "stagewise";
    const ABOUT: &'static str =
        "a student trained stage by stage on a teacher's maps, from little data (1911.06786)";

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
        match self.task()? {
            NetworkTask::Classification => self.made::<Network>(at)?.prepared(),
            NetworkTask::Segmentation => self.made::<UNet>(at)?.prepared(),
        }
    }

    fn examine(&mut self, at: &Context) -> Result<Examination> {
        match self.task()? {
            NetworkTask::Classification => self.made::<Network>(at)?.examined(at),
            NetworkTask::Segmentation => self.made::<UNet>(at)?.examined(at),
        }
    }
}

/// A student and its method.
struct Made<N: AskedNetwork> {
    method: Stagewise<N>,
    student: NewNetwork<N>,
    facts: DataFacts,
    procedure: &'static str,
}

impl<N: AskedNetwork> Made<N> {
    fn prepared(self) -> Result<Prepared> {
        let phase = self.method.result_phase()?;
        Ok(Prepared {
            extra_parameters: self.method.extra_parameters()?,
            models: vec![MadeModel::student(phase, self.student.config)],
            method: Box::new(self.method),
        })
    }

    fn examined(self, at: &Context) -> Result<Examination> {
        let mut found = Examination::new(&self.student, &self.facts)?;
        found.title = format!("{}, procedure {}", found.title, self.procedure);
        for (_, teacher) in at.seen().teachers {
            found.frozen("the teacher", teacher.config(), &self.facts, at.device())?;
        }
        let costs = self.student.network.costs(self.facts.input())?;
        for (phase, steps) in self.method.steps()? {
            let word = if steps == 1 { "step" } else { "steps" };
            let mut text = format!("phase {phase}: {} {word}", count(steps as u64));
            if let Some(parameters) = trained_in(&phase, &costs) {
                text = format!("{text}, {} parameters trained", count(parameters));
            }
            found.findings.push(Finding::ok(Topic::Schedule, text));
        }
        let extra = self.method.extra_parameters()?;
        if extra > 0 {
            let text = format!(
                "{} parameters are trained beside the student and thrown away",
                count(extra as u64)
            );
            found.findings.push(Finding::note(Topic::Costs, text));
        }
        Ok(found)
    }
}

/// The parameters of the one stage, or of the head, that a phase is named after.
fn trained_in(phase: &str, costs: &Costs) -> Option<u64> {
    let stage = match phase {
        "head" => phase,
        _ => phase.strip_prefix("stage-")?,
    };
    let all = costs.by_stage();
    let of_stage = all.iter().find(|(name, _)| name == stage);
    of_stage.map(|(_, cost)| cost.params)
}

impl StagewiseRecipe {
    /// What the data are for.
    fn task(&self) -> Result<NetworkTask> {
        Ok(match self.data.facts_of_any_task()?.task {
            Task::Segmentation => NetworkTask::Segmentation,
            _ => NetworkTask::Classification,
        })
    }

    /// Reads everything, checks that it fits, and writes into the recipe what was left to the data.
    fn made<N: AskedNetwork>(&mut self, at: &Context) -> Result<Made<N>> {
        let training = self.settle_training(N::TASK)?;
        let facts = self.data.facts_of_any_task()?;
        self.student.spec_for(&facts, N::TASK)?;
        let data = at.data_of_any_task(&self.data)?;
        let student = at.network_as::<N>(&mut self.student, &data, self.seed)?;
        let seen = self.seen(data)?;
        let mut method = Stagewise::new(
            &student.network,
            student.config.normalisation.clone(),
            seen,
            training,
            at.device(),
        );
        let needed = self.stagewise.procedure.needs_teacher();
        if let Some(teacher) = self.teacher.as_mut().filter(|_| needed) {
            method = method.with_teacher(at.stage_teacher_as::<N>(teacher, &facts)?);
            teacher.settle(&facts)?;
        }
        if let Some(dir) = &mut self.cache.dir {
            *dir = std::path::absolute(&*dir).map_err(Error::io("read", &*dir))?;
        }
        let method = method
            .with_config(self.stagewise.clone())
            .with_cache(self.cache.clone())
            .with_seed(self.seed)
            .with_bank_seed(self.data.bank_seed);
        method.check()?;
        Ok(Made {
            method,
            student,
            facts,
            procedure: self.stagewise.procedure.kind(),
        })
    }

    /// The training of all phases; every default is written into the recipe.
    fn settle_training(&mut self, task: NetworkTask) -> Result<Training> {
        let usual = match task {
            NetworkTask::Classification => classification_training(),
            NetworkTask::Segmentation => segmentation_training(),
        };
        let training = training_with(&usual, &self.train, "train")?;
        training.check()?;
        if let Ok(Value::Object(all)) = serde_json::to_value(&training) {
            // TOML has no null.
            self.train = all
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .collect();
        }
        Ok(training)
    }

    /// The samples, divided.
    fn seen(&mut self, data: LoadedData) -> Result<StagewiseData> {
        let seed = self.data.subset_seed;
        let mut seen = StagewiseData::new(data.train, data.held_out)
            .with_views(self.data.views, self.data.augment.clone());
        let selects = self.stagewise.select == Select::Validation;
        match (self.split.validation, data.validation) {
            (None, Some(published)) => {
                if selects {
                    seen = seen.with_validation(published);
                }
            }
            (share, _) => {
                let share = *self.split.validation.insert(share.unwrap_or(VALIDATION));
                if !(0.0..1.0).contains(&share) {
                    let problem = format!("must be at least 0 and below 1, got {share}");
                    return Err(Error::config("split.validation", problem));
                }
                if share > 0.0 && selects {
                    let divided = seen.with_validation_share(share, seed);
                    seen = divided.map_err(|error| error.within("split"))?;
                }
            }
        }
        let Some(share) = self.split.unlabelled else {
            return Ok(seen);
        };
        let whole = Subset::all(seen.train.dataset());
        let drawn = whole.fraction(share, seed).map_err(|error| match error {
            Error::Config { problem, .. } => Error::config("split.unlabelled", problem),
            other => other,
        })?;
        // What selects and what is reported may be parts of the same split, or splits with ids of their own.
        let split = whole.dataset().split();
        let apart = [seen.validation.as_ref(), Some(&seen.test)];
        let apart: Vec<&Subset> = apart
            .into_iter()
            .flatten()
            .filter(|samples| samples.dataset().split() == split)
            .collect();
        let free = |id: &u32| {
            apart
                .iter()
                .all(|samples| samples.ids().binary_search(id).is_err())
        };
        let ids = drawn.ids().iter().copied().filter(free).collect();
        let unlabelled = Subset::from_ids(drawn.dataset(), ids)?;
        Ok(seen.with_unlabelled(unlabelled))
    }
}
