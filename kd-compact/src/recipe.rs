//! `method = "compact"`: the recipe, made into a method; its check, its model, its section of a report.

mod check;
mod histogram;
mod report;

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use kd_core::{
    Error, InnerTables, Method, Names, Phase, Result, RunFolder, SampleKind, Training, import,
    settings_of, settings_over, settings_schema,
};
use kd_models::{ModelConfig, Network};
use kd_recipe::{
    Check, Context, DataFacts, DataRecipe, MadeModel, MethodRecipe, MethodReport, OpenTeacher,
    Prepared, TeacherRecipe,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::{
    BlockConfig, BudgetConfig, CompactConfig, CompactSettings, DistillConfig, cut_training,
    sparsify_training,
};
use crate::method::{Compact, TRAIN_PHASE};
use crate::networks::{cut_spec, cuttable_graph};

/// The folder of the model, as that of every method's student.
const MODEL: &str = "model";

/// A recipe of a smaller network.
///
/// ```toml
/// method = "compact"
/// [data]
/// name = "cifar10"
/// [network]
/// model = "runs/baseline"
/// [budget]
/// macs = 0.5
/// [blocks.layer3]
/// parameters = 0.3
/// [sparsify]
/// epochs = 6
/// [train]
/// epochs = 12
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompactRecipe {
    /// The data.
    pub data: DataRecipe,
    /// The trained network that is made smaller, and the teacher of what is left where no other is named.
    pub network: TeacherRecipe,
    /// Another teacher, of the data's classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherRecipe>,
    /// What it may cost.
    #[serde(default)]
    pub budget: BudgetConfig,
    /// What its blocks may cost.
    #[serde(default)]
    pub blocks: BTreeMap<String, BlockConfig>,
    /// The distillation.
    #[serde(default)]
    pub distill: DistillConfig,
    /// Further settings of the method.
    #[serde(default)]
    pub compact: CompactConfig,
    /// Settings of sparse training, put over [`sparsify_training`].
    #[schemars(schema_with = "sparsify_schema")]
    #[serde(default)]
    pub sparsify: Map<String, Value>,
    /// Settings of the training after the cut, put over [`cut_training`].
    #[schemars(schema_with = "train_schema")]
    #[serde(default)]
    pub train: Map<String, Value>,
}

impl MethodRecipe for CompactRecipe {
    const METHOD: &'static str = "compact";
    const ABOUT: &'static str =
        "channels cut to a budget, with distillation from the network as it was (2104.09191)";

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }

    fn prepare(&mut self, at: &Context) -> Result<Prepared> {
        let facts = self.settle(at)?;
        let opened = at.open_teacher(&self.network, &facts, "the network")?;
        let teacher = self.open_teacher(at, &facts)?;
        let method = Rc::new(self.method(at, &opened, teacher.as_ref())?);
        method.check()?;
        at.warn(method.findings()?);
        self.network.settle(&facts)?;
        if let Some(teacher) = &mut self.teacher {
            teacher.settle(&facts)?;
        }
        let config = opened.model.config().clone();
        let spec = config.network.clone();
        Ok(Prepared::new(Shared(Rc::clone(&method)))
            .with_spec(spec)
            .with_models(move |folder| {
                let mut config = config.clone();
                config.network = cut_spec(&config.network, &method.widths(folder)?)?;
                Ok(vec![MadeModel::new(MODEL, TRAIN_PHASE, config)])
            }))
    }

    fn check(&mut self, at: &Context) -> Result<Check> {
        let facts = self.settle(at)?;
        check::check(self, at, &facts)
    }

    fn metrics(&self) -> Option<Vec<String>> {
        let names = [
            "accuracy",
            "loss",
            "masked_accuracy",
            "cut_accuracy",
            "macs",
            "parameters",
            "macs_share",
            "parameters_share",
            "live_macs",
            "live_parameters",
            "milliseconds",
            "milliseconds_before",
            "milliseconds_predicted",
            "scores_in_gap",
        ];
        Some(names.map(str::to_owned).to_vec())
    }

    fn report(&self, run: &Path) -> Result<MethodReport> {
        report::report(self, run)
    }
}

/// The method, which is asked for the widths of its result when the run is done.
struct Shared(Rc<Compact<Network>>);

impl Method for Shared {
    fn phases(&self) -> Vec<String> {
        self.0.phases()
    }

    fn skips(&self, index: usize, earlier: &RunFolder) -> Result<bool> {
        self.0.skips(index, earlier)
    }

    fn start(&self, index: usize, earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        self.0.start(index, earlier)
    }
}

impl CompactRecipe {
    /// Checks the settings, writes defaults into them, and gives facts about the data.
    fn settle(&mut self, at: &Context) -> Result<DataFacts> {
        self.settings().check()?;
        if self.teacher.is_some() && self.distill.weight == 0.0 {
            let problem =
                "has no effect, since `distill.weight` is 0; leave it out, or raise the weight";
            return Err(Error::config("teacher", problem));
        }
        let [sparsify, train] = self.trainings()?;
        self.sparsify = settings_of(&sparsify)?;
        self.train = settings_of(&train)?;
        let facts = at.facts(&self.data)?;
        facts.check_labelled()?;
        if facts.kind != SampleKind::Images {
            let problem = format!(
                "is `{}`, which has {}; channels are cut of networks for images alone",
                facts.name, facts.kind
            );
            return Err(Error::config("data.name", problem));
        }
        Ok(facts)
    }

    fn settings(&self) -> CompactSettings {
        CompactSettings {
            budget: self.budget,
            blocks: self.blocks.clone(),
            distill: self.distill,
            compact: self.compact.clone(),
        }
    }

    /// Sparse training, and that after the cut.
    fn trainings(&self) -> Result<[Training; 2]> {
        let usual = sparsify_training();
        let sparsify: Training =
            settings_over(&usual, &self.sparsify, "sparsify", InnerTables::Replaced)?;
        sparsify.check().map_err(of_sparsify)?;
        let usual = cut_training();
        let train: Training = settings_over(&usual, &self.train, "train", InnerTables::Replaced)?;
        train.check()?;
        Ok([sparsify, train])
    }

    /// The teacher, if it is not the network itself.
    fn open_teacher(&self, at: &Context, facts: &DataFacts) -> Result<Option<OpenTeacher>> {
        let teacher = self.teacher.as_ref();
        let open = |teacher| at.open_teacher(teacher, facts, "the teacher");
        teacher.map(open).transpose()
    }

    /// The method with everything that it needs.
    fn method(
        &self,
        at: &Context,
        opened: &OpenTeacher,
        teacher: Option<&OpenTeacher>,
    ) -> Result<Compact<Network>> {
        let data = at.data(&self.data)?;
        let network: &Network = opened.network()?;
        let config: &ModelConfig = opened.model.config();
        let spec = config.network.clone();
        let (graph, device, seed) = (cuttable_graph(&spec)?, at.device().clone(), at.seed());
        // A copy of its own: what was opened may be a teacher as well.
        let blank = Network::blank(&spec, at.device())?;
        let tensors = kd_core::export(network, Names::PyTorch);
        let network = import(&blank, &tensors, Names::PyTorch, "the network")?;
        let [sparsify, train] = self.trainings()?;
        let (views, augment) = (self.data.views, self.data.augment.clone());
        let method = Compact::new(
            &network,
            graph,
            move |widths| Network::build(&cut_spec(&spec, widths)?, seed, &device),
            teacher.unwrap_or(opened).model.teacher(at.device()),
            config.preprocessing.clone(),
            [data.train, data.held_out],
            at.device(),
        )?;
        Ok(method
            .with_settings(self.settings())
            .with_training(sparsify, train)
            .with_seed(seed)
            .with_views(views, augment, self.data.bank_seed))
    }
}

/// An error of a training by the key of its table.
fn of_sparsify(error: Error) -> Error {
    match error {
        Error::Config { field, problem } => {
            let key = field.strip_prefix("train.").unwrap_or(&field);
            Error::config(format!("sparsify.{key}"), problem)
        }
        other => other,
    }
}

fn sparsify_schema(_: &mut SchemaGenerator) -> Schema {
    settings_schema(&sparsify_training(), InnerTables::Replaced).unwrap_or_default()
}

fn train_schema(_: &mut SchemaGenerator) -> Schema {
    settings_schema(&cut_training(), InnerTables::Replaced).unwrap_or_default()
}
