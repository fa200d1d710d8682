//! Penalties on the likeness of students: of their classifiers, of their predictions.

use kd_core::{Error, Result};
use kd_losses::{ClassifierDiversificationLoss, ClassifierOverlap};
use serde::{Deserialize, Deserializer, Serialize};

/// A penalty on the likeness of the classifiers: `weight * overlap(W_1, ..., W_m)`.
///
/// The paper's formula is not known; [`ClassifierOverlap`] has the forms. In a recipe it is a table with
/// `overlap` and `weight`, or the name of a preset:
///
/// * `literal`: the form and the weight, 5e-8, that two implementations by others have. Its gradient is some
///   1e-5 of that of a usual weight decay: it changes nothing that can be measured.
/// * `working`: the mean of absolute cosines, class by class, with a weight of 0.1: ours, to be tried.
///
/// A classifier is the affine head of a student, found by asking the student; biases take no part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Diversification {
    /// The likeness of two classifiers.
    pub overlap: ClassifierOverlap,
    /// The weight of the term; not negative.
    pub weight: f64,
    /// Whether a leader's classifier takes part as well.
    pub leader: bool,
}

impl Diversification {
    /// A penalty with this weight on this likeness.
    pub fn new(overlap: ClassifierOverlap, weight: f64) -> Self {
        Self {
            overlap,
            weight,
            leader: false,
        }
    }

    /// The preset `literal`.
    pub fn literal() -> Self {
        let weight = ClassifierDiversificationLoss::USUAL_WEIGHT;
        Self::new(ClassifierOverlap::Frobenius, weight)
    }

    /// The preset `working`.
    pub fn working() -> Self {
        Self::new(ClassifierOverlap::ClassCosine, 0.1)
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_weight("diversification.weight", self.weight)
    }
}

fn check_weight(field: &str, weight: f64) -> Result<()> {
    if weight.is_finite() && weight >= 0.0 {
        return Ok(());
    }
    let problem = format!("must be finite and not negative, got {weight}");
    Err(Error::config(field, problem))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    overlap: ClassifierOverlap,
    weight: f64,
    #[serde(default)]
    leader: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NameOrTable {
    Name(String),
    Table(serde_json::Value),
}

impl<'de> Deserialize<'de> for Diversification {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        use serde::de::Error as _;
        match NameOrTable::deserialize(deserializer)? {
            NameOrTable::Name(name) => match name.as_str() {
                "literal" => Ok(Self::literal()),
                "working" => Ok(Self::working()),
                _ => {
                    let known = ["literal", "working"];
                    Err(D::Error::custom(Error::unknown_name(
                        "preset of `diversification`",
                        &name,
                        known,
                    )))
                }
            },
            NameOrTable::Table(table) => {
                let table: Table = serde_json::from_value(table).map_err(D::Error::custom)?;
                Ok(Self {
                    overlap: table.overlap,
                    weight: table.weight,
                    leader: table.leader,
                })
            }
        }
    }
}

/// A penalty on the likeness of the predictions of the peers, beside the class of the label: ours, not the
/// paper's. See [`kd_losses::prediction_diversification`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PredictionPenalty {
    /// The weight of the term; not negative.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub weight: f64,
    /// The temperature of the predictions, finite and above 0.
    #[serde(default = "one")]
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub temperature: f64,
}

fn one() -> f64 {
    1.0
}

impl PredictionPenalty {
    /// A penalty with this weight at a temperature of 1.
    pub fn new(weight: f64) -> Self {
        Self {
            weight,
            temperature: 1.0,
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_weight("prediction_penalty.weight", self.weight)?;
        if self.temperature.is_finite() && self.temperature > 0.0 {
            return Ok(());
        }
        let problem = format!("must be finite and above 0, got {}", self.temperature);
        Err(Error::config("prediction_penalty.temperature", problem))
    }
}

#[cfg(feature = "recipe")]
impl schemars::JsonSchema for Diversification {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Diversification".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "oneOf": [
                { "enum": ["literal", "working"] },
                {
                    "type": "object",
                    "properties": {
                        "overlap": { "type": "string", "description": "The likeness of two classifiers." },
                        "weight": {
                            "type": "number", "minimum": 0, "description": "The weight of the term."
                        },
                        "leader": {
                            "type": "boolean", "default": false,
                            "description": "Whether a leader's classifier takes part as well."
                        }
                    },
                    "required": ["overlap", "weight"],
                    "additionalProperties": false
                }
            ]
        })
    }
}
