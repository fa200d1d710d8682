//! The campaign file: methods, teachers and seeds that are compared.

use std::borrow::Cow;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use toml::Value;

use crate::campaign::claim::ClaimEntry;
use crate::campaign::settings::Settings;

/// A campaign: several methods, each with several seeds, compared with one of them.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Campaign {
    /// The heading of the results.
    pub(crate) title: String,
    /// What every method may spend, as a sentence for the results.
    #[serde(default)]
    pub(crate) budget: Option<String>,
    /// The seeds that every method is run with.
    pub(crate) seeds: Vec<u64>,
    /// The metric that methods are compared by, as evaluations name it.
    #[serde(default = "accuracy")]
    pub(crate) metric: String,
    /// Metrics that get a column beside it.
    #[serde(default)]
    pub(crate) more_metrics: Vec<String>,
    /// Metrics that are drawn over epochs beside it.
    #[serde(default)]
    pub(crate) plot_metrics: Vec<String>,
    /// Which values of the metric are better; known for those that kd measures.
    #[serde(default)]
    pub(crate) better: Option<Better>,
    /// The method that the others are compared with.
    #[serde(default)]
    pub(crate) baseline: Option<String>,
    /// Values put over the recipe of every method, not of the teachers.
    #[serde(default)]
    pub(crate) set: Settings,
    /// What is trained before the methods.
    #[serde(default)]
    pub(crate) teachers: Vec<TeacherEntry>,
    /// What is compared.
    pub(crate) methods: Vec<MethodEntry>,
    /// A setting that is varied.
    #[serde(default)]
    pub(crate) sweep: Option<Sweep>,
    /// What the runs are to show.
    #[serde(default)]
    pub(crate) claims: Vec<ClaimEntry>,
}

/// A network that methods learn from.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TeacherEntry {
    /// By which methods name it.
    pub(crate) name: String,
    /// The recipe that trains it; relative to the campaign file.
    pub(crate) recipe: PathBuf,
    /// Its seed, or `each` for one network for each seed of the campaign.
    #[serde(default)]
    pub(crate) seed: TeacherSeed,
    /// Values put over its recipe.
    #[serde(default)]
    pub(crate) set: Settings,
    /// Its own teachers, among those that stand before it.
    #[serde(default)]
    pub(crate) teachers: Vec<String>,
}

/// Something that is compared.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MethodEntry {
    /// Its name, which is that of its folder, too.
    pub(crate) name: String,
    /// What tables and plots call it; the name where nothing is said.
    #[serde(default)]
    pub(crate) title: Option<String>,
    /// Its recipe; relative to the campaign file.
    pub(crate) recipe: PathBuf,
    /// Values put over its recipe.
    #[serde(default)]
    pub(crate) set: Settings,
    /// The teachers of the campaign that stand in the place of the recipe's, in order.
    #[serde(default)]
    pub(crate) teachers: Vec<String>,
    /// Whether it has a line in the plots.
    #[serde(default = "yes")]
    pub(crate) plot: bool,
}

fn yes() -> bool {
    true
}

/// A setting of the recipes that is varied.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sweep {
    /// The setting, as `--set` names it.
    pub(crate) setting: String,
    /// What tables and plots call it; the setting where nothing is said.
    #[serde(default)]
    pub(crate) label: Option<String>,
    /// The values.
    #[schemars(with = "Vec<serde_json::Value>")]
    pub(crate) values: Vec<Value>,
    /// Further settings for each value, in the same order, as fewer epochs where there are more samples.
    #[serde(default)]
    pub(crate) with: Vec<Settings>,
    /// The methods that are run with each of them; all where nothing is said.
    #[serde(default)]
    pub(crate) methods: Vec<String>,
}

/// Which values of a metric are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Better {
    /// As for an accuracy or an intersection over union.
    Higher,
    /// As for a loss.
    Lower,
}

/// The seeds of a teacher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) enum TeacherSeed {
    /// One network, from which every run learns.
    Fixed(u64),
    /// A network for each seed of the campaign.
    Each,
}

impl Default for TeacherSeed {
    fn default() -> Self {
        Self::Fixed(0)
    }
}

impl TryFrom<Value> for TeacherSeed {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let number = value.as_integer().and_then(|seed| u64::try_from(seed).ok());
        match (number, value.as_str()) {
            (Some(seed), _) => Ok(Self::Fixed(seed)),
            (_, Some("each")) => Ok(Self::Each),
            _ => Err(format!(
                "`seed` of a teacher is a number that is not negative, or \"each\" for one teacher a seed, \
                 got {value}"
            )),
        }
    }
}

impl JsonSchema for TeacherSeed {
    fn schema_name() -> Cow<'static, str> {
        "TeacherSeed".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [{ "type": "integer", "minimum": 0 }, { "const": "each" }] })
    }
}

fn accuracy() -> String {
    "accuracy".into()
}

impl MethodEntry {
    /// What tables and plots call it.
    pub(crate) fn shown(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }
}

impl Sweep {
    /// What tables and plots call the setting.
    pub(crate) fn shown(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.setting)
    }

    /// Whether a method is run with each value.
    pub(crate) fn takes(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|name| name == method)
    }
}

impl Campaign {
    /// Whether `a` is better than `b`; higher is, unless the metric is known as a loss or the file says so.
    pub(crate) fn is_better(&self, a: f64, b: f64) -> bool {
        match self.direction() {
            Better::Higher => a > b,
            Better::Lower => a < b,
        }
    }

    /// Which values of the metric are better.
    pub(crate) fn direction(&self) -> Better {
        self.better.unwrap_or_else(|| match self.metric.as_str() {
            "ece" | "loss" => Better::Lower,
            name if name.ends_with("loss") || name.ends_with("error") => Better::Lower,
            _ => Better::Higher,
        })
    }

    /// The entry of a method.
    pub(crate) fn method(&self, name: &str) -> Option<&MethodEntry> {
        self.methods.iter().find(|method| method.name == name)
    }
}
