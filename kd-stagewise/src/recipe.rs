//! `method = "stagewise"`: a student trained stage by stage on a teacher's maps, and the baselines of that.

use kd_core::{
    Costs, Error, Finding, InnerTables, Result, SampleKind, Subset, Task, Topic, Training,
    settings_of, settings_over, settings_schema,
};
use kd_models::{ModelNetwork, Network, TextCnn, UNet};
use kd_recipe::{
    Check, Context, DataFacts, DataRecipe, LoadedData, MethodRecipe, NetworkRecipe, NewNetwork,
    Prepared, TeacherRecipe,
};
use kd_report::count;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::{
    Select, StageCache, StagewiseConfig, classification_training, segmentation_training,
};
use crate::data::StagewiseData;
use crate::method::Stagewise;

/// The share of the training samples that picks the best epoch where neither the recipe nor the data says
/// which do.
const VALIDATION: f64 = 0.1;

/// A recipe of stagewise distillation.
///
/// The data decide what is learnt: a class for each image by a [`Network`], one for each pixel by a [`UNet`],
/// or one for each text by a [`TextCnn`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StagewiseRecipe {
    /// The data.
    pub data: DataRecipe,
    /// The division of the training samples.
    #[serde(default)]
    pub split: SplitRecipe,
    /// The student.
    pub student: NetworkRecipe,
    /// The teacher; procedures without one do not read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherRecipe>,
    /// The procedure and its settings.
    #[serde(default)]
    pub stagewise: StagewiseConfig,
    /// The keeping of what is computed once.
    #[serde(default)]
    pub cache: StageCache,
    /// Settings put over the paper's training; see [`classification_training`] and [`segmentation_training`].
    #[schemars(schema_with = "train_schema")]
    #[serde(default)]
    pub train: Map<String, Value>,
}

/// The table `[split]` of a stagewise recipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SplitRecipe {
    /// The share of each class of the training samples (of all of them where there are masks) that picks the
    /// best epoch and is not trained on; none for 0. By default the split that the data set was published
    /// with for this, and without one a share of 0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1), extend("x-unit" = "share"))]
    pub validation: Option<f64>,
    /// The share of each class of the whole training split whose images, without their labels, the feature
    /// stages are trained on in place of the training samples. Not the paper's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1.0), extend("x-unit" = "share"))]
    pub unlabelled: Option<f64>,
}

impl MethodRecipe for StagewiseRecipe {
    const METHOD: &'static str = "stagewise";
    const ABOUT: &'static str =
        "a student trained stage by stage on a teacher's maps, from little data (1911.06786)";

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }

    fn prepare(&mut self, at: &Context) -> Result<Prepared> {
        let facts = at.facts(&self.data)?;
        match (facts.task, facts.kind) {
            (Task::Segmentation, _) => self.method::<UNet>(at)?.prepared(at),
            (_, SampleKind::Texts) => self.method::<TextCnn>(at)?.prepared(at),
            _ => self.method::<Network>(at)?.prepared(at),
        }
    }

    fn metrics(&self) -> Option<Vec<String>> {
        let of_output = [
            "accuracy",
            "top#_accuracy",
            "loss",
            "ece",
            "mean_iou",
            "miou_compat",
            "pixel_accuracy",
        ];
        let of_validation = of_output.map(|name| format!("validation_{name}"));
        let of_maps = ["map_loss", "relative_error"].map(str::to_owned);
        let of_output = of_output.map(str::to_owned);
        Some([&of_output[..], &of_validation, &of_maps].concat())
    }

    fn check(&mut self, at: &Context) -> Result<Check> {
        let facts = at.facts(&self.data)?;
        match (facts.task, facts.kind) {
            (Task::Segmentation, _) => self.method::<UNet>(at)?.checked(at),
            (_, SampleKind::Texts) => self.method::<TextCnn>(at)?.checked(at),
            _ => self.method::<Network>(at)?.checked(at),
        }
    }
}

/// A method with its student.
struct PreparedStagewise<N: ModelNetwork> {
    method: Stagewise<N>,
    student: NewNetwork<N>,
    facts: DataFacts,
    procedure: &'static str,
}

impl<N: ModelNetwork> PreparedStagewise<N> {
    fn prepared(self, at: &Context) -> Result<Prepared> {
        at.warn(self.method.findings()?);
        let (phase, extra) = (self.method.result_phase()?, self.method.extra_parameters()?);
        Ok(Prepared::new(self.method)
            .with_student(phase, self.student.config)
            .with_extra_parameters(extra))
    }

    fn checked(self, at: &Context) -> Result<Check> {
        let mut check = Check::of_student(&self.student, &self.facts)?;
        check.title = format!("{}, procedure {}", check.title, self.procedure);
        for teacher in at.inputs().teachers {
            check.frozen("the teacher", teacher.model.as_ref(), &self.facts)?;
        }
        check.findings.extend(self.method.findings()?);
        let costs = self.student.network.costs(self.facts.input())?;
        for (phase, steps) in self.method.steps()? {
            let word = if steps == 1 { "step" } else { "steps" };
            let mut text = format!("phase {phase}: {} {word}", count(steps as u64));
            if let Some(parameters) = trained_in(&phase, &costs) {
                text = format!("{text}, {} parameters trained", count(parameters));
            }
            check.findings.push(Finding::ok(Topic::Schedule, text));
        }
        let extra = self.method.extra_parameters()?;
        if extra > 0 {
            let extra = count(extra as u64);
            let text = format!("{extra} parameters are trained beside the student and thrown away");
            check.findings.push(Finding::note(Topic::Costs, text));
        }
        Ok(check)
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
    /// Reads everything, checks that it fits, and writes into the recipe what was left to the data.
    fn method<N: ModelNetwork>(&mut self, at: &Context) -> Result<PreparedStagewise<N>> {
        let training = self.settle_training(N::TASK)?;
        let facts = at.facts(&self.data)?;
        self.student.spec(&facts)?;
        let data = at.data(&self.data)?;
        let student: NewNetwork<N> = at.network(&mut self.student, &data, at.seed())?;
        let samples = self.samples(data)?;
        let mut method = Stagewise::new(
            &student.network,
            student.config.preprocessing.clone(),
            samples,
            training,
            at.device(),
        );
        let needed = self.stagewise.procedure.needs_teacher();
        if let Some(teacher) = self.teacher.as_mut().filter(|_| needed) {
            method = method.with_teacher(at.teacher(teacher, &facts)?);
            teacher.settle(&facts)?;
        }
        if let Some(dir) = &mut self.cache.dir {
            *dir = std::path::absolute(&*dir).map_err(Error::io("read", &*dir))?;
        }
        let method = method
            .with_config(self.stagewise.clone())
            .with_cache(self.cache.clone())
            .with_seed(at.seed())
            .with_bank_seed(self.data.bank_seed);
        method.check()?;
        Ok(PreparedStagewise {
            method,
            student,
            facts,
            procedure: self.stagewise.procedure.kind(),
        })
    }

    /// The training of all phases; every default is written into the recipe.
    fn settle_training(&mut self, task: Task) -> Result<Training> {
        let usual = match task {
            Task::Segmentation => segmentation_training(),
            _ => classification_training(),
        };
        let training = settings_over(&usual, &self.train, "train", InnerTables::Replaced)?;
        training.check()?;
        self.train = settings_of(&training)?;
        Ok(training)
    }

    /// The samples, divided.
    fn samples(&mut self, data: LoadedData) -> Result<StagewiseData> {
        let seed = self.data.subset_seed;
        let mut samples = StagewiseData::new(data.train, data.held_out)
            .with_views(self.data.views, self.data.augment.clone());
        let selects = self.stagewise.select == Select::Validation;
        match (self.split.validation, data.validation) {
            (None, Some(published)) => {
                if selects {
                    samples = samples.with_validation(published);
                }
            }
            (share, _) => {
                let share = *self.split.validation.insert(share.unwrap_or(VALIDATION));
                if !(0.0..1.0).contains(&share) {
                    let problem = format!("must be at least 0 and below 1, got {share}");
                    return Err(Error::config("split.validation", problem));
                }
                if share > 0.0 && selects {
                    let divided = samples.with_validation_share(share, seed);
                    samples = divided.map_err(|error| error.within("split"))?;
                }
            }
        }
        match self.split.unlabelled {
            Some(share) => with_unlabelled(samples, share, seed),
            None => Ok(samples),
        }
    }
}

/// With a share of the whole training split as images without labels: what selects and what is reported are
/// not among them.
fn with_unlabelled(samples: StagewiseData, share: f64, seed: u64) -> Result<StagewiseData> {
    let whole = Subset::all(samples.train.dataset());
    let drawn = whole.fraction(share, seed).map_err(|error| match error {
        Error::Config { problem, .. } => Error::config("split.unlabelled", problem),
        other => other,
    })?;
    // What selects and what is reported may be parts of the same split, or splits with ids of their own.
    let split = whole.dataset().split();
    let apart = [samples.validation.as_ref(), Some(&samples.test)];
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
    Ok(samples.with_unlabelled(unlabelled))
}

/// The defaults are those of classifiers; beside each stands that of masks where it is another.
fn train_schema(_: &mut SchemaGenerator) -> Schema {
    let schema = settings_schema(&classification_training(), InnerTables::Replaced);
    let mut schema = schema.unwrap_or_default().to_value();
    let of_classes = settings_of(&classification_training()).unwrap_or_default();
    let of_masks = settings_of(&segmentation_training()).unwrap_or_default();
    let keys = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, key) in keys.into_iter().flatten() {
        let of_masks = of_masks.get(name);
        if let Some(value) = of_masks.filter(|value| of_classes.get(name) != Some(*value)) {
            key["x-source"] = format!("the paper's public code; for masks `{value}`").into();
        }
    }
    Schema::try_from(schema).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_masks_stand_beside_those_of_classifiers() {
        let schema = train_schema(&mut SchemaGenerator::default()).to_value();
        let keys = &schema["properties"];
        assert_eq!(keys["lr"]["default"], 1e-4);
        for (key, source) in [
            ("lr", "the paper's public code; for masks `0.01`"),
            ("batch_size", "the paper's public code; for masks `8`"),
        ] {
            assert_eq!(keys[key]["x-source"], source, "{key}");
        }
        assert_eq!(keys["log_every"].get("x-source"), None);
        let schedule = keys["schedule"]["x-source"].as_str().unwrap();
        assert!(schedule.contains("one-cycle"), "{schedule}");
    }
}
