//! `method = "stagewise"`: a student trained stage by stage on a teacher's maps, and what that is compared with.

use kd_core::{Error, Result, Subset, Training};
use kd_models::{ModelConfig, Network};
use kd_stagewise::{
    Select, StageCache, Stagewise, StagewiseConfig, StagewiseData, classification_training,
    training_with,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::auto;
use crate::method::{Context, MadeModel, MethodRecipe, Prepared};
use crate::parts::{DataRecipe, LoadedData, NetworkRecipe, TeacherRecipe};

/// A recipe of stagewise distillation.
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
    /// The teacher; none for procedures without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherRecipe>,
    /// How the student is trained.
    #[serde(default)]
    pub stagewise: StagewiseConfig,
    /// What is computed once and kept.
    #[serde(default)]
    pub cache: StageCache,
    /// What is put over the paper's training; see [`classification_training`].
    #[serde(default)]
    pub train: Map<String, Value>,
}

/// The table `[split]` of a stagewise recipe.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SplitRecipe {
    /// The share of each class of the training samples that picks the best epoch and is not trained on; none for 0.
    pub validation: f64,
    /// The share of each class of the whole training split whose images, without their labels, the feature stages are trained on in
    /// place of the training samples. Not the paper's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlabelled: Option<f64>,
}

impl Default for SplitRecipe {
    fn default() -> Self {
        Self {
            validation: 0.1,
            unlabelled: None,
        }
    }
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
        let training = self.settle_training()?;
        self.student.spec(&self.data.facts()?)?;
        let data = at.data(&self.data)?;
        let facts = data.facts.clone();
        let made = at.network(&mut self.student, &data, self.seed)?;
        let seen = self.seen(data)?;
        let mut method: Stagewise<Network> = Stagewise::new(
            &made.network,
            made.config.normalisation.clone(),
            seen,
            training,
            at.device(),
        );
        if let Some(teacher) = &mut self.teacher {
            method = method.with_teacher(at.stage_teacher(teacher, &facts)?);
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
        let config: ModelConfig = made.config;
        Ok(Prepared {
            extra_parameters: method.extra_parameters()?,
            models: vec![MadeModel::student(method.result_phase()?, config)],
            method: Box::new(method),
        })
    }
}

impl StagewiseRecipe {
    /// The training of all phases; every default is written into the recipe.
    fn settle_training(&mut self) -> Result<Training> {
        let training = training_with(&classification_training(), &self.train, "train")?;
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
    fn seen(&self, data: LoadedData) -> Result<StagewiseData> {
        let seed = self.data.subset_seed;
        let mut seen = StagewiseData::new(data.train, data.held_out)
            .with_views(self.data.views, self.data.augment.clone());
        let share = self.split.validation;
        if !(0.0..1.0).contains(&share) {
            let problem = format!("must be at least 0 and below 1, got {share}");
            return Err(Error::config("split.validation", problem));
        }
        if share > 0.0 && self.stagewise.select == Select::Validation {
            let divided = seen.with_validation_share(share, seed);
            seen = divided.map_err(|error| error.within("split"))?;
        }
        let Some(share) = self.split.unlabelled else {
            return Ok(seen);
        };
        let whole = Subset::all(seen.train.dataset());
        let drawn = whole.fraction(share, seed).map_err(|error| match error {
            Error::Config { problem, .. } => Error::config("split.unlabelled", problem),
            other => other,
        })?;
        let kept_back = seen.validation.as_ref().map_or(&[][..], Subset::ids);
        let free = |id: &u32| kept_back.binary_search(id).is_err();
        let ids = drawn.ids().iter().copied().filter(free).collect();
        let unlabelled = Subset::from_ids(drawn.dataset(), ids)?;
        Ok(seen.with_unlabelled(unlabelled))
    }
}
