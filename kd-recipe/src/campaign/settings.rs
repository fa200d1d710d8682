//! Settings of a campaign file: values put over recipes.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use toml::Value;

/// Values put over a recipe: a table whose keys are paths, or a list of `path=value`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct Settings(Vec<String>);

impl Settings {
    /// As `--set` takes them.
    pub(crate) fn overrides(&self) -> &[String] {
        &self.0
    }
}

impl TryFrom<Value> for Settings {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let wrong = "`set` is a table such as `{ \"train.epochs\" = 3 }`, or a list such as \
                     `[\"train.epochs=3\"]`";
        match value {
            Value::Table(table) => {
                let entry = |(path, value): (String, Value)| match value {
                    Value::Table(inner) if !path.contains('.') => {
                        let key = inner.keys().next().cloned().unwrap_or_default();
                        Err(format!(
                            "`set` takes whole paths in quotes: write `\"{path}.{key}\"` in place of \
                             `{path}.{key}`, or `set = [\"{path}=...\"]` to replace the whole of `{path}`"
                        ))
                    }
                    value => Ok(override_of(&path, &value)),
                };
                Ok(Self(
                    table.into_iter().map(entry).collect::<Result<_, _>>()?,
                ))
            }
            Value::Array(items) => {
                let entry = |item: Value| match item {
                    Value::String(text) if text.contains('=') => Ok(text),
                    _ => Err(wrong.to_owned()),
                };
                Ok(Self(
                    items.into_iter().map(entry).collect::<Result<_, _>>()?,
                ))
            }
            _ => Err(wrong.to_owned()),
        }
    }
}

impl JsonSchema for Settings {
    fn schema_name() -> Cow<'static, str> {
        "Settings".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [
                { "type": "object" },
                { "type": "array", "items": { "type": "string", "pattern": "=" } }
            ]
        })
    }
}

/// `path=value`, the value as TOML.
pub(crate) fn override_of(path: &str, value: &Value) -> String {
    format!("{path}={value}")
}

/// The path of a `path=value`.
pub(crate) fn path_of(entry: &str) -> &str {
    entry.split('=').next().unwrap_or_default().trim()
}
