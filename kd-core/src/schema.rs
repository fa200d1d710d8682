//! JSON schemas of settings that are laid over others, as recipes hold them.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::Result;
use crate::settings_over::{InnerTables, settings_of};

/// The schema of a table that is laid over `usual` by [`settings_over`](crate::settings_over): the keys of
/// the config, none of them needed, each with its usual value as `default`.
///
/// ```
/// use kd_core::{InnerTables, Training, settings_schema};
///
/// let schema = settings_schema(&Training::for_epochs(3), InnerTables::Replaced)?;
/// let schema = schema.as_value();
/// assert_eq!(schema["properties"]["epochs"]["default"], 3);
/// assert!(schema.get("required").is_none());
/// # Ok::<(), kd_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Method`](crate::Error::Method) for a config that cannot be written.
pub fn settings_schema<C: JsonSchema + Serialize>(usual: &C, inner: InnerTables) -> Result<Schema> {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<C>()
        .to_value();
    set_defaults(&mut schema, &settings_of(usual)?);
    if let Some(schema) = schema.as_object_mut() {
        for key in ["$schema", "title", "required"] {
            schema.remove(key);
        }
    }
    if inner == InnerTables::Merged {
        loosen(&mut schema);
    }
    Ok(Schema::try_from(schema).unwrap_or_default())
}

/// Gives the keys of a table, and of the tables inside, their usual values.
fn set_defaults(schema: &mut Value, usual: &Map<String, Value>) {
    if let Some(keys) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, key) in keys {
            match usual.get(name) {
                Some(Value::Object(inner)) => set_defaults(key, inner),
                Some(value) => set_default(key, value),
                None => {}
            }
        }
    }
    let kind = usual.get("kind");
    for variants in ["oneOf", "anyOf"] {
        let variants = schema.get_mut(variants).and_then(Value::as_array_mut);
        for variant in variants.into_iter().flatten() {
            if kind.is_none() || variant.pointer("/properties/kind/const") == kind {
                set_defaults(variant, usual);
            }
        }
    }
}

fn set_default(key: &mut Value, value: &Value) {
    if let Some(key) = key.as_object_mut()
        && !key.contains_key("const")
    {
        key.insert("default".into(), value.clone());
    }
}

/// Lets every key be left out, also in tables inside.
fn loosen(schema: &mut Value) {
    match schema {
        Value::Object(table) => {
            table.remove("required");
            if let Some(variants) = table.remove("oneOf") {
                table.insert("anyOf".into(), variants);
            }
            table.values_mut().for_each(loosen);
        }
        Value::Array(items) => items.iter_mut().for_each(loosen),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::optim::OptimizerConfig;
    use crate::training::settings::Training;

    #[test]
    fn usual_values_are_those_of_the_config() {
        let mut usual = Training::for_epochs(7);
        usual.optimizer = OptimizerConfig::adam();
        let schema = settings_schema(&usual, InnerTables::Replaced)
            .unwrap()
            .to_value();
        let keys = &schema["properties"];
        assert_eq!(
            (&keys["epochs"]["default"], &keys["lr"]["default"]),
            (&7.into(), &0.05.into())
        );
        let kinds = keys["optimizer"]["oneOf"].as_array().unwrap();
        let adam = kinds
            .iter()
            .find(|kind| kind["properties"]["kind"]["const"] == "adam");
        assert_eq!(adam.unwrap()["properties"]["beta1"]["default"], 0.9);
        assert!(kinds.iter().all(|kind| kind["required"][0] == "kind"));
        let loose = settings_schema(&usual, InnerTables::Merged)
            .unwrap()
            .to_value();
        let kinds = loose["properties"]["optimizer"]["anyOf"]
            .as_array()
            .unwrap();
        assert!(kinds.iter().all(|kind| kind.get("required").is_none()));
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod ranges {
    use super::*;
    use crate::testing::wrong_ranges;
    use crate::training::optim::OptimizerConfig;
    use crate::training::schedule::Schedule;
    use crate::training::settings::Training;
    use crate::views::Augment;

    fn checked<C: JsonSchema + Serialize + serde::de::DeserializeOwned>(
        usual: &C,
        check: impl Fn(&C) -> Result<()>,
    ) {
        let schema = settings_schema(usual, InnerTables::Replaced).unwrap();
        let wrong = wrong_ranges(
            schema.as_value(),
            &serde_json::to_value(usual).unwrap(),
            |all| {
                let read = serde_json::from_value(all.clone());
                let read = read.map_err(|error| format!("unreadable: {error}"))?;
                check(&read).map_err(|error| error.to_string())
            },
        );
        assert_eq!(wrong, Vec::<String>::new());
    }

    #[test]
    fn ranges_of_a_training_are_those_that_are_enforced() {
        let adamw = serde_json::from_str("{\"kind\":\"adamw\"}").unwrap();
        let multi_step = Schedule::MultiStep {
            milestones: vec![3],
            gamma: 0.1,
        };
        for (optimizer, schedule) in [
            (
                OptimizerConfig::default(),
                Schedule::one_cycle_with_momentum(),
            ),
            (OptimizerConfig::adam(), Schedule::Cosine { final_lr: 0.1 }),
            (adamw, multi_step),
        ] {
            let mut usual = Training::for_epochs(3);
            (usual.optimizer, usual.schedule) = (optimizer, schedule);
            checked(&usual, |training| {
                // One of the two says how long it is.
                let mut training = training.clone();
                if training.steps.is_some() {
                    training.epochs = None;
                }
                training.check()
            });
        }
    }

    #[test]
    fn ranges_of_views_are_those_that_are_enforced() {
        checked(&Augment::default(), Augment::check);
    }
}
