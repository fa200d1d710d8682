//! Procedures as recipes have them: a word, or a table with constants.

use kd_core::nearest;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::Procedure;

impl<'de> Deserialize<'de> for Procedure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = match Value::deserialize(deserializer)? {
            Value::String(kind) => Map::from_iter([("kind".to_owned(), Value::String(kind))]),
            Value::Object(table) => table,
            _ => {
                return Err(D::Error::custom(
                    "expected a word such as \"skd\", or a table with `kind`",
                ));
            }
        };
        let kind = table.remove("kind");
        let kind = kind
            .as_ref()
            .and_then(Value::as_str)
            .ok_or_else(|| D::Error::custom("`kind` is missing, a word such as \"skd\""))?;
        let mut made = Self::of(kind).map_err(D::Error::custom)?;
        for (key, value) in table {
            made.set(&key, value).map_err(D::Error::custom)?;
        }
        Ok(made)
    }
}

impl Procedure {
    /// The constants that it has.
    fn constants(&self) -> &'static [&'static str] {
        match self {
            Self::FitnetsCode { .. } => &["guided"],
            Self::Fitnets { .. } => &["guided", "alpha", "temperature"],
            Self::AttentionTransfer { .. } => &["beta"],
            Self::Hinton { .. } => &["alpha", "temperature"],
            _ => &[],
        }
    }

    fn set(&mut self, key: &str, value: Value) -> Result<(), String> {
        fn typed<T: serde::de::DeserializeOwned>(key: &str, value: Value) -> Result<T, String> {
            serde_json::from_value(value).map_err(|error| format!("`{key}`: {error}"))
        }
        match (&mut *self, key) {
            (Self::FitnetsCode { guided }, "guided") => *guided = typed(key, value)?,
            (Self::Fitnets { guided, .. }, "guided") => *guided = typed(key, value)?,
            (Self::Fitnets { alpha, .. } | Self::Hinton { alpha, .. }, "alpha") => {
                *alpha = typed(key, value)?;
            }
            (
                Self::Fitnets { temperature, .. } | Self::Hinton { temperature, .. },
                "temperature",
            ) => *temperature = typed(key, value)?,
            (Self::AttentionTransfer { beta }, "beta") => *beta = typed(key, value)?,
            _ => {
                let known = self.constants();
                let hint = match nearest(key, known.iter().copied()) {
                    Some(near) => format!("; did you mean `{near}`?"),
                    None => String::new(),
                };
                let known = match known {
                    [] => "it has no constants".to_owned(),
                    some => format!("its constants: {}", some.join(", ")),
                };
                return Err(format!(
                    "procedure `{}` has no constant `{key}`{hint} ({known})",
                    self.kind()
                ));
            }
        }
        Ok(())
    }
}

#[cfg(feature = "recipe")]
impl schemars::JsonSchema for Procedure {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Procedure".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let table = |kind: &'static str| {
            let usual = Self::of(kind).and_then(|usual| kd_core::settings_of(&usual));
            let usual = usual.unwrap_or_default();
            let constants = Self::of(kind).map_or(&[][..], |made| made.constants());
            let mut keys =
                Map::from_iter([("kind".to_owned(), serde_json::json!({ "const": kind }))]);
            for key in constants {
                let words = match *key {
                    "guided" => "The guided stage, or stages; `layer2` where nothing is said.",
                    "alpha" => "The weight of the labels; the rest is that of the soft targets.",
                    "beta" => {
                        "The weight of the attention maps; about 1000 in their authors' own code."
                    }
                    _ => "The temperature of the soft targets.",
                };
                let mut schema = match usual.get(*key) {
                    Some(Value::Number(_)) => {
                        let mut schema = match *key {
                            "alpha" => serde_json::json!({ "minimum": 0, "maximum": 1 }),
                            "beta" => serde_json::json!({ "minimum": 0 }),
                            _ => serde_json::json!({ "exclusiveMinimum": 0 }),
                        };
                        schema["type"] = "number".into();
                        schema["description"] = words.into();
                        schema
                    }
                    _ => serde_json::json!({ "type": ["string", "array"], "description": words }),
                };
                if let Some(value) = usual.get(*key) {
                    schema["default"] = value.clone();
                }
                keys.insert((*key).to_owned(), schema);
            }
            serde_json::json!({
                "type": "object", "properties": keys, "required": ["kind"], "additionalProperties": false,
            })
        };
        let tables = Self::KINDS.iter().map(|kind| table(kind));
        let word = serde_json::json!({ "enum": Self::KINDS });
        let any: Vec<Value> = std::iter::once(word).chain(tables).collect();
        schemars::json_schema!({ "oneOf": any })
    }
}
