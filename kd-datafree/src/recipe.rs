//! `method = "data-free"`: the recipe of a student for a teacher whose training data is gone.

mod images;
mod synthesize;

use std::path::Path;

use kd_core::{Error, InnerTables, Result, Split, Subset, Training, settings_schema};
use kd_models::Network;
use kd_recipe::{
    Check, Context, DataFacts, DataRecipe, MethodRecipe, MethodReport, NetworkRecipe, NewNetwork,
    OpenTeacher, Prepared, TeacherRecipe,
};
use kd_report::Section;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::bank::BANK_FILE;
use crate::config::{DataFreeConfig, SYNTHESIS_KINDS, SynthesisKind, USUAL_KIND};
use crate::measures::BankMeasures;
use crate::method::DataFree;
use crate::phases::STUDENT_PHASE;
use crate::teacher::FrozenClassifier;

pub use images::RunImages;
pub use synthesize::{SyntheticFormat, WrittenImages};

/// A recipe of data-free distillation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataFreeRecipe {
    /// The teacher: its model folder says the images and the classes.
    pub teacher: TeacherRecipe,
    /// The student. It has the teacher's normalisation.
    pub student: NetworkRecipe,
    /// Real images to measure both on, if there are any; nothing is learnt from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<DataRecipe>,
    /// Real images of something else, for `kind = "images"`: their training split is taken, without its
    /// labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<DataRecipe>,
    /// The way of making images: `kind`, and what is put over its published settings.
    #[schemars(schema_with = "synthesis_schema")]
    #[serde(default)]
    pub synthesis: Map<String, Value>,
    /// The settings that are put over the published training of the student.
    #[schemars(schema_with = "train_schema")]
    #[serde(default)]
    pub train: Map<String, Value>,
}

/// The setting that names it.
const KIND: &str = "kind";

/// A method with its student, and what is known of the teacher.
struct PreparedDataFree {
    method: DataFree<Network>,
    student: NewNetwork,
    teacher: OpenTeacher,
    facts: DataFacts,
}

impl MethodRecipe for DataFreeRecipe {
    const METHOD: &'static str = "data-free";
    const ABOUT: &'static str =
        "a student from synthetic images alone, for a teacher whose data is gone (2011.03749)";

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }

    fn prepare(&mut self, at: &Context) -> Result<Prepared> {
        let made = self.method(at)?;
        at.warn(made.method.findings()?);
        let extra = made.method.extra_parameters();
        Ok(Prepared::new(made.method)
            .with_student(STUDENT_PHASE, made.student.config)
            .with_extra_parameters(extra))
    }

    fn metrics(&self) -> Option<Vec<String>> {
        let names = [
            "accuracy",
            "loss",
            "agreement",
            "synthetic_agreement",
            "synthetic_on_target",
            "synthetic_bn_statistics",
        ];
        let of_images = BankMeasures::METRICS.iter();
        Some(
            names
                .iter()
                .chain(of_images)
                .map(ToString::to_string)
                .collect(),
        )
    }

    fn check(&mut self, at: &Context) -> Result<Check> {
        let made = self.method(at)?;
        let mut check = Check::of_student(&made.student, &made.facts)?;
        check.title = format!("{}, images by `{}`", check.title, self.kind()?);
        check.frozen("the teacher", made.teacher.model.as_ref(), &made.facts)?;
        check.findings.extend(made.method.findings()?);
        Ok(check)
    }

    /// The images that the run has made: some of each class, what the teacher says of all, and what is wrong
    /// with them.
    fn report(&self, run: &Path) -> Result<MethodReport> {
        let mut report = MethodReport::default();
        if !run.join(BANK_FILE).is_file() {
            return Ok(report);
        }
        match RunImages::of(self, run).and_then(|images| images.report()) {
            Ok((section, findings)) => {
                report.sections.push(section);
                report.findings = findings;
            }
            Err(error) => {
                let text = format!("The synthetic images were not looked at, because: {error}.");
                report
                    .sections
                    .push(Section::new("Synthetic images").with_text(text));
            }
        }
        Ok(report)
    }
}

impl DataFreeRecipe {
    /// Reads everything, checks that it fits, and writes every default into the recipe.
    fn method(&mut self, at: &Context) -> Result<PreparedDataFree> {
        let config = self.settle()?;
        let (teacher, facts) = at.teacher_without_data(&self.teacher)?;
        self.teacher.make_absolute()?;
        let normalisation = teacher.model.config().normalisation()?.clone();
        let network: &Network = teacher.network()?;
        let frozen =
            FrozenClassifier::new(network, normalisation.clone(), facts.shape, at.device())?;
        let own = self.student.normalisation.as_ref();
        if own.is_some_and(|own| *own != normalisation) {
            let problem =
                "must be the teacher's, as synthetic images are made in its space; leave it out";
            return Err(Error::config("student.normalisation", problem));
        }
        let student: NewNetwork = at.network_without_data(&mut self.student, &facts, at.seed())?;
        if *student.config.normalisation()? != normalisation {
            let problem = "have another normalisation than the teacher, in whose space synthetic images \
                           are made";
            return Err(Error::config("student.weights", problem));
        }
        let mut method = DataFree::new(&student.network, Box::new(frozen), config, at.device())
            .with_seed(at.seed());
        if let Some(test) = &self.test {
            method = method.with_test(samples(at, test, Split::Test, "test")?);
        }
        if let Some(images) = &self.images {
            method = method.with_images(samples(at, images, Split::Train, "images")?);
        }
        method.check().map_err(in_recipe)?;
        Ok(PreparedDataFree {
            method,
            student,
            teacher,
            facts,
        })
    }

    /// The settings of the run; every default is written into the recipe.
    fn settle(&mut self) -> Result<DataFreeConfig> {
        let kind = self.kind()?;
        let config = self.config()?;
        [self.synthesis, self.train] = config.tables()?;
        self.synthesis.insert(KIND.to_owned(), Value::String(kind));
        Ok(config)
    }

    /// The settings of the run.
    fn config(&self) -> Result<DataFreeConfig> {
        let mut synthesis = self.synthesis.clone();
        synthesis.remove(KIND);
        DataFreeConfig::named(&self.kind()?, &synthesis, &self.train)
    }

    /// The way of making images.
    fn kind(&self) -> Result<String> {
        match self.synthesis.get(KIND) {
            Some(Value::String(kind)) => Ok(kind.clone()),
            None => Ok(USUAL_KIND.to_owned()),
            Some(other) => {
                let problem = format!("must be a name such as \"{USUAL_KIND}\", got {other}");
                Err(Error::config("synthesis.kind", problem))
            }
        }
    }
}

/// One split of real images, with a class each; `table` is their table in the recipe.
fn samples(at: &Context, recipe: &DataRecipe, split: Split, table: &str) -> Result<Subset> {
    at.facts(recipe)?.check_labelled()?;
    let what = match split {
        Split::Test => "the test data",
        _ => "the images",
    };
    let samples = at.split(recipe, split, what);
    samples.map_err(|error| error.within(table))
}

/// The same error with the field as a recipe has it: all but the training and the data is in `[synthesis]`.
fn in_recipe(error: Error) -> Error {
    match &error {
        Error::Config { field, .. }
            if !field.starts_with("train.") && field != "test" && field != "images" =>
        {
            error.within("synthesis")
        }
        _ => error,
    }
}

/// Each way of making images with its published settings.
fn synthesis_schema(_: &mut SchemaGenerator) -> Schema {
    let kinds: Vec<Value> = SYNTHESIS_KINDS.iter().map(SynthesisKind::schema).collect();
    json_schema!({ "oneOf": kinds })
}

/// The keys of the student's training; their values are those that were published for the way.
fn train_schema(_: &mut SchemaGenerator) -> Schema {
    let mut schema = settings_schema(&Training::default(), InnerTables::Merged)
        .unwrap_or_default()
        .to_value();
    drop_defaults(&mut schema);
    let keys = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, key) in keys.into_iter().flatten() {
        let values = published(name);
        if !values.is_empty() {
            key["x-source"] = format!("what was published: {values}").into();
        }
    }
    Schema::try_from(schema).unwrap_or_default()
}

/// The values of a key of the training, each with the ways that have it.
fn published(name: &str) -> String {
    let mut values: Vec<(String, Vec<&str>)> = Vec::new();
    for kind in SYNTHESIS_KINDS {
        let tables = DataFreeConfig::named(kind.name, &Map::new(), &Map::new())
            .and_then(|config| config.tables());
        let Some(value) = tables.ok().and_then(|[_, train]| train.get(name).cloned()) else {
            continue;
        };
        let value = value.to_string();
        match values.iter_mut().find(|(known, _)| *known == value) {
            Some((_, kinds)) => kinds.push(kind.name),
            None => values.push((value, vec![kind.name])),
        }
    }
    match values.as_slice() {
        [(value, _)] => format!("`{value}`"),
        several => {
            let of =
                |(value, kinds): &(String, Vec<&str>)| format!("`{value}` {}", kinds.join(", "));
            several.iter().map(of).collect::<Vec<_>>().join("; ")
        }
    }
}

fn drop_defaults(schema: &mut Value) {
    match schema {
        Value::Object(table) => {
            table.remove("default");
            table.values_mut().for_each(drop_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_defaults),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values_are_told_by_way() {
        let rates = published("lr");
        assert!(
            rates.contains("`0.01` dfad") && rates.contains("`0.002` rdskd"),
            "{rates}"
        );
        assert_eq!(published("log_every"), "`20`");
        assert_eq!(published("no such key"), "");
    }
}
