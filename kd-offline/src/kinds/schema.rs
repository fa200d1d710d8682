//! The JSON schema of an entry of `[[losses]]`, made from the kinds and from the catalogue.

use std::borrow::Cow;

use kd_losses::find_loss;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::{LossKind, Reads, all};
use crate::LossConfig;

impl JsonSchema for LossConfig {
    fn schema_name() -> Cow<'static, str> {
        "LossConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let weight = generator.subschema_for::<Weight>().to_value();
        let kinds: Vec<Value> = all().map(|kind| of_kind(kind, weight.clone())).collect();
        json_schema!({ "oneOf": kinds })
    }
}

fn of_kind(kind: &LossKind, mut weight: Value) -> Value {
    weight["default"] = kind.weight().into();
    weight["description"] =
        "The weight of the term: a number, or a table that changes it with time.".into();
    let about = find_loss(kind.name).map_or("", |loss| loss.about);
    let mut keys = Map::new();
    let mut key = |name: &str, schema: Value| keys.insert(name.to_owned(), schema);
    key("kind", json!({ "const": kind.name, "description": about }));
    key("weight", weight);
    key(
        "name",
        json!({ "type": "string", "description": "The name in logs; the kind by default." }),
    );
    if kind.reads == Reads::Logits {
        let words = "Whether both logits are standardised first.";
        key(
            "standardise",
            json!({ "type": "boolean", "default": false, "description": words }),
        );
    }
    if let Reads::Taps { .. } = kind.reads {
        let words = "The index of the teacher, from 0.";
        key(
            "teacher",
            json!({ "type": "integer", "minimum": 0, "default": 0, "description": words }),
        );
        for (one, several, words) in [
            (
                "student_tap",
                "student_taps",
                "Stages of the student, or `dense`, the input of its head.",
            ),
            (
                "teacher_tap",
                "teacher_taps",
                "The same of the teacher; the same names by default.",
            ),
        ] {
            key(one, json!({ "type": "string", "description": words }));
            let names =
                json!({ "type": "array", "items": { "type": "string" }, "description": words });
            key(several, names);
        }
    }
    for (name, value) in (kind.defaults)() {
        let schema = constant(kind, &name, value);
        key(&name, schema);
    }
    json!({
        "type": "object", "description": about, "properties": keys, "required": ["kind"],
        "additionalProperties": false,
    })
}

/// The weight of a term: a number, or a function of time.
struct Weight;

impl JsonSchema for Weight {
    fn schema_name() -> Cow<'static, str> {
        "LossWeight".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let number = |name: &str, words: &str| {
            let mut schema = json!({ "type": "number", "description": words });
            match name {
                "begin" | "from_epoch" => schema["minimum"] = 0.into(),
                "epochs" => schema["exclusiveMinimum"] = 0.into(),
                _ => {}
            }
            if ["begin", "epochs", "from_epoch", "until_epoch"].contains(&name) {
                schema["x-unit"] = "epochs".into();
            }
            schema
        };
        let table = |name: &str, own: &[(&str, &str)]| {
            let mut keys = Map::from_iter([("kind".to_owned(), json!({ "const": name }))]);
            keys.extend(
                own.iter()
                    .map(|(name, words)| ((*name).to_owned(), number(name, words))),
            );
            json!({
                "type": "object", "properties": keys, "required": ["kind"],
                "additionalProperties": false,
            })
        };
        let change = [
            ("from", "The weight until `begin`."),
            ("to", "The weight from `begin + epochs` on."),
            ("begin", "The epoch at which the change begins."),
            ("epochs", "The length of the change in epochs."),
        ];
        let rise = [
            ("to", "The weight from `epochs` on."),
            ("epochs", "The length of the change in epochs."),
        ];
        let window = [
            ("value", "The weight within the window; it is 0 elsewhere."),
            ("from_epoch", "The first epoch of the window."),
            ("until_epoch", "The end of the window, which is outside it."),
        ];
        json_schema!({
            "oneOf": [
                { "type": "number" },
                table("constant", &[("value", "The weight.")]),
                table("linear", &change),
                table("cosine", &change),
                table("warm-up", &rise),
                table("ramp-up", &rise),
                table("window", &window),
            ],
        })
    }
}

/// A constant: its type is that of its default, its words are where that comes from.
fn constant(kind: &LossKind, name: &str, default: Value) -> Value {
    let constants = find_loss(kind.name).map_or(&[][..], |loss| loss.constants);
    let constant = constants.iter().find(|constant| constant.name == name);
    let words = constant.map_or("", |constant| constant.source);
    let about = format!("A constant of `{0}`; `kd losses {0}` says more.", kind.name);
    let mut schema = json!({ "description": about, "x-source": words });
    let type_name = match &default {
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        // Absent by default, or a table of its own.
        _ => return schema,
    };
    schema["type"] = type_name.into();
    schema["default"] = default;
    if let (Some(schema), Value::Object(range)) = (schema.as_object_mut(), range(kind.name, name)) {
        schema.extend(range);
    }
    schema
}

/// The range of a constant, as the loss enforces it, which a test compares. What depends on networks and
/// batches has no end here.
fn range(kind: &str, name: &str) -> Value {
    match (kind, name) {
        ("pkt", "epsilon") => json!({ "minimum": 1e-15, "maximum": 0.01 }),
        (_, "epsilon") if kind != "vid" => json!({ "minimum": 1e-15, "maximum": 1 }),
        ("jensen-shannon", "beta") | (_, "correct_probability") => {
            json!({ "exclusiveMinimum": 0, "exclusiveMaximum": 1 })
        }
        ("cc", "gamma") => json!({ "exclusiveMinimum": 0 }),
        ("cc", "order") => json!({ "minimum": 1, "maximum": 16 }),
        ("ft", "rate") => json!({ "exclusiveMinimum": 0, "maximum": 16 }),
        (_, "scale") => json!({ "exclusiveMinimum": 0, "maximum": 1 }),
        (_, "label_smoothing" | "mask_ratio" | "momentum") => {
            json!({ "minimum": 0, "exclusiveMaximum": 1 })
        }
        (_, "temperature" | "margin" | "width" | "epsilon" | "initial_variance") => {
            json!({ "exclusiveMinimum": 0 })
        }
        (
            _,
            "dim" | "num_negatives" | "max_mid_channels" | "reduction" | "components" | "factor",
        ) => {
            json!({ "minimum": 1 })
        }
        (_, "alpha" | "beta" | "gamma") => json!({ "minimum": 0 }),
        (_, weight) if weight.ends_with("_weight") => json!({ "minimum": 0 }),
        _ => Value::Null,
    }
}
