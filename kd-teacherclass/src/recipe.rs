//! `method = "teacher-class"`: the recipe, made into a method; its check, its model, its section of a report.

mod check;
mod missing;
mod report;

pub use missing::missing_students;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use kd_core::{
    CacheConfig, Error, InnerTables, Observer, Result, SampleKind, Task, Teacher, Training,
    settings_of, settings_over, settings_schema,
};
use kd_models::{
    Budget, ModelConfig, ModelNetwork, Network, NetworkSpec, Structure, TextCnn, UNet, Wanted,
    fit_network,
};
use kd_recipe::{
    CachePlace, Check, Context, DataFacts, DataRecipe, LoadedData, MethodRecipe, MethodReport,
    NetworkRecipe, NewNetwork, Parts, Prepared, TeacherRecipe,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::{TeacherClassConfig, segmentation_training, student_training};
use crate::family::{ClassConfig, ClassStudent};
use crate::method::{HEAD_PHASE, NewStudent, TeacherClass};
use crate::split::Chunk;
use crate::student::Student;

/// A recipe of a class.
///
/// ```toml
/// method = "teacher-class"
/// [data]
/// name = "fashion-mnist"
/// [teacher]
/// model = "runs/teacher"
/// [student]
/// name = "lenet5-half"
/// [teacher-class]
/// students = 4
/// [teacher-class.head]
/// epochs = 10
/// [train]
/// epochs = 10
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TeacherClassRecipe {
    /// The data.
    pub data: DataRecipe,
    /// The teacher: any classifier with a linear head, for masks a U-Net with a 1x1 convolution as head.
    pub teacher: TeacherRecipe,
    /// The network of every student, built for as many classes as its chunk has units; for masks a U-Net.
    pub student: NetworkRecipe,
    /// What the whole class may cost, for students with free widths: all get those that are nearest to it,
    /// whatever their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// The settings of the method.
    #[serde(default, rename = "teacher-class")]
    pub config: TeacherClassConfig,
    /// The place of the teacher's dense vectors, if they are kept in files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheConfig>,
    /// Settings put over [`student_training`], of masks [`segmentation_training`].
    #[schemars(schema_with = "train_schema")]
    #[serde(default)]
    pub train: Map<String, Value>,
}

/// A method with what its model folder will say.
struct Made<N: ModelNetwork + Student> {
    method: TeacherClass<N>,
    chunks: Vec<Chunk>,
    config: ModelConfig,
    facts: DataFacts,
    /// The budget that the widths of the students were made for.
    wanted: Option<Wanted>,
}

impl MethodRecipe for TeacherClassRecipe {
    const METHOD: &'static str = "teacher-class";
    const ABOUT: &'static str =
        "several small students, each with a chunk of the teacher's dense vector (2004.03281)";

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }

    fn prepare(&mut self, at: &Context) -> Result<Prepared> {
        let facts = self.settle(at)?;
        match (facts.task, facts.kind) {
            (Task::Segmentation, _) => self.prepare_as::<UNet>(at, &facts),
            (_, SampleKind::Texts) => self.prepare_as::<TextCnn>(at, &facts),
            _ => self.prepare_as::<Network>(at, &facts),
        }
    }

    fn check(&mut self, at: &Context) -> Result<Check> {
        let facts = self.settle(at)?;
        match (facts.task, facts.kind) {
            (Task::Segmentation, _) => check::check::<UNet>(self, at, &facts),
            (_, SampleKind::Texts) => check::check::<TextCnn>(self, at, &facts),
            _ => check::check::<Network>(self, at, &facts),
        }
    }

    fn build_caches(
        &mut self,
        at: &Context,
        place: &CachePlace,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Vec<PathBuf>> {
        let config = place.over(self.cache.take());
        let facts = self.settle(at)?;
        match (facts.task, facts.kind) {
            (Task::Segmentation, _) => {
                self.build_caches_as::<UNet>(at, &facts, config, observer, stop)
            }
            (_, SampleKind::Texts) => {
                self.build_caches_as::<TextCnn>(at, &facts, config, observer, stop)
            }
            _ => self.build_caches_as::<Network>(at, &facts, config, observer, stop),
        }
    }

    fn parts(&mut self) -> Option<Parts<'_>> {
        Some(Parts {
            name: "student",
            count: self.config.students,
            only: &mut self.config.only,
        })
    }

    fn metrics(&self) -> Option<Vec<String>> {
        let mut names: Vec<String> = [
            "accuracy",
            "loss",
            "mean_iou",
            "miou_compat",
            "pixel_accuracy",
            "agreement",
            "teacher_accuracy",
            "teacher_mean_iou",
            "copied_head_accuracy",
            "copied_head_mean_iou",
            "mse",
            "nmse",
            "dead_units",
        ]
        .map(str::to_owned)
        .to_vec();
        for student in 0..self.config.students {
            names.extend(["dead_units", "nmse"].map(|name| format!("student_{student}_{name}")));
            for policy in ["zero", "mean", "head"] {
                let kinds = ["accuracy", "worst_accuracy", "mean_iou", "worst_mean_iou"];
                names.extend(kinds.map(|kind| format!("{policy}_without_{student}_{kind}")));
            }
        }
        Some(names)
    }

    fn report(&self, run: &Path) -> Result<MethodReport> {
        report::report(&self.config, run)
    }
}

impl TeacherClassRecipe {
    fn prepare_as<N: ModelNetwork + Student>(
        &mut self,
        at: &Context,
        facts: &DataFacts,
    ) -> Result<Prepared> {
        let teacher = at.teacher(&self.teacher, facts)?;
        let made = self.made::<N>(at, teacher, facts)?;
        made.method.check()?;
        at.warn(check::findings(&made)?);
        self.teacher.settle(facts)?;
        if self.config.only.is_some() {
            // A student alone is no network for the data's classes: the merged class is the model.
            return Ok(Prepared::new(made.method));
        }
        let largest = check::largest_student(&made)?;
        let prepared = Prepared::new(made.method).with_student(HEAD_PHASE, made.config);
        Ok(prepared.with_largest_part_macs(largest))
    }

    fn build_caches_as<N: ModelNetwork + Student>(
        &mut self,
        at: &Context,
        facts: &DataFacts,
        config: CacheConfig,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Vec<PathBuf>> {
        let teacher = at.teacher(&self.teacher, facts)?;
        let method = self
            .made::<N>(at, teacher, facts)?
            .method
            .with_cache(config);
        method.check()?;
        method.open_caches(observer, stop)?;
        let caches = method.caches();
        Ok(caches.map(|cache| cache.path().to_owned()).collect())
    }

    /// Checks the settings, writes defaults into them, and gives facts about the data.
    fn settle(&mut self, at: &Context) -> Result<DataFacts> {
        self.config.check()?;
        let facts = at.facts(&self.data)?;
        let training = self.training(facts.task)?;
        self.train = settings_of(&training)?;
        if self.student.weights.is_some() {
            let problem = "is for a network of all classes, and each student of a class begins anew with a \
                           chunk of its own; leave it out";
            return Err(Error::config("student.weights", problem));
        }
        if let Some(cache) = &mut self.cache {
            cache.check(1)?;
            cache.make_absolute()?;
        }
        if self.student.budget.is_some() {
            let problem =
                "is that of one network; give that of the whole class in the table `[budget]`";
            return Err(Error::config("student.budget", problem));
        }
        self.student.spec(&facts)?;
        Ok(facts)
    }

    fn training(&self, task: Task) -> Result<Training> {
        let usual = match task {
            Task::Segmentation => segmentation_training(),
            _ => student_training(),
        };
        let training: Training =
            settings_over(&usual, &self.train, "train", InnerTables::Replaced)?;
        training.check()?;
        Ok(training)
    }

    /// The method with everything that it needs.
    fn made<N: ModelNetwork + Student>(
        &mut self,
        at: &Context,
        teacher: Box<dyn Teacher>,
        facts: &DataFacts,
    ) -> Result<Made<N>> {
        let data = at.data(&self.data)?;
        // For its preprocessing and what is known of the data; the students are made one by one.
        let plain: NewNetwork<N> = at.network(&mut self.student, &data, at.seed())?;
        let mut method = self.method(at, teacher, &plain, data)?;
        let chunks = method.chunks()?;
        let mut config = plain.config;
        let wanted = self.wanted(at)?;
        if let Some(wanted) = wanted {
            let classes = facts.classes;
            config.network = fit_network(&config.network, wanted, |widths| {
                class_counts(widths, &chunks, facts.input(), classes)
            })?;
            let (spec, device) = (config.network.clone(), at.device().clone());
            method = method.with_students(move |new| student(&spec, new, &device));
        }
        let config = model_config(&config, &chunks, method.has_relu()?)?;
        Ok(Made {
            method,
            chunks,
            config,
            facts: facts.clone(),
            wanted,
        })
    }

    /// The budget as a number.
    fn wanted(&self, at: &Context) -> Result<Option<Wanted>> {
        let Some(budget) = &self.budget else {
            return Ok(None);
        };
        let teachers = at.inputs().teachers;
        let costs = teachers.last().map(|teacher| teacher.model.costs());
        let costs = costs.transpose()?;
        let counts = costs.map(|costs| [costs.params(), costs.macs()]);
        budget.wanted(counts).map(Some)
    }

    fn method<N: ModelNetwork + Student>(
        &self,
        at: &Context,
        teacher: Box<dyn Teacher>,
        plain: &NewNetwork<N>,
        data: LoadedData,
    ) -> Result<TeacherClass<N>> {
        let spec = plain.config.network.clone();
        let device = at.device().clone();
        let method = TeacherClass::new(
            teacher,
            move |new| student(&spec, new, &device),
            plain.config.preprocessing.clone(),
            [data.train, data.held_out],
            self.training(data.facts.task)?,
            at.device(),
        );
        let method = match &self.cache {
            Some(cache) => method.with_cache(cache.clone()),
            None => method,
        };
        let (views, augment) = (self.data.views, self.data.augment.clone());
        Ok(method
            .with_config(self.config.clone())
            .with_seed(at.seed())
            .with_views(views, augment, self.data.bank_seed))
    }
}

/// Parameters and multiply-accumulates of the class of such students, its head among them.
fn class_counts(
    widths: &Structure,
    chunks: &[Chunk],
    input: [usize; 3],
    classes: usize,
) -> Option<[u64; 2]> {
    let features: usize = chunks.iter().map(|chunk| chunk.length).sum();
    let weights = (features * classes) as u64;
    // The head of a U-Net is applied to every pixel.
    let pixels = match widths.task() {
        Some(Task::Segmentation) => (input[1] * input[2]) as u64,
        _ => 1,
    };
    let mut all = [weights + classes as u64, weights * pixels];
    for chunk in chunks {
        let [parameters, macs] = widths.counts(input, chunk.length)?;
        all = [all[0] + parameters, all[1] + macs];
    }
    Some(all)
}

/// A student: the network of `spec` for as many classes as its chunk has units.
fn student<N: ModelNetwork>(spec: &NetworkSpec, new: &NewStudent, device: &Device) -> Result<N> {
    let structure = spec.structure()?;
    let spec = NetworkSpec::with_structure(&spec.name, structure, new.chunk.length, spec.input);
    N::build(&spec, new.seed, device)
}

/// What the model folder of the class will say.
fn model_config(plain: &ModelConfig, chunks: &[Chunk], relu: bool) -> Result<ModelConfig> {
    let network = plain.network.structure()?;
    let students = chunks.iter().map(|chunk| ClassStudent {
        length: chunk.length,
        network: network.clone(),
    });
    let class = ClassConfig {
        students: students.collect(),
        relu,
    };
    let name = format!("{}-class-{}", plain.network.name, chunks.len());
    let spec = class.spec(&name, plain.network.classes, plain.network.input)?;
    let mut config = ModelConfig::new(spec, plain.preprocessing.clone());
    config.class_names.clone_from(&plain.class_names);
    config.provenance.data.clone_from(&plain.provenance.data);
    Ok(config)
}

/// The defaults are those of classifiers; beside each stands that of masks where it is another.
fn train_schema(_: &mut SchemaGenerator) -> Schema {
    let schema = settings_schema(&student_training(), InnerTables::Replaced);
    let mut schema = schema.unwrap_or_default().to_value();
    let of_classes = settings_of(&student_training()).unwrap_or_default();
    let of_masks = settings_of(&segmentation_training()).unwrap_or_default();
    let keys = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, key) in keys.into_iter().flatten() {
        let of_masks = of_masks.get(name);
        if let Some(value) = of_masks.filter(|value| of_classes.get(name) != Some(*value)) {
            key["x-source"] = format!("for masks `{value}`, ours").into();
        }
    }
    Schema::try_from(schema).unwrap_or_default()
}
