//! Ranges of constants as the schema of recipes states them, against those that a run enforces.

use kd_core::Normalisation;
use kd_core::testing::wrong_ranges;
use kd_offline::LossConfig;
use serde_json::{Value, json};

use crate::kinds::config;
use crate::support::{Small, boxed, offline, real_data, shared, steps};

/// The schema of one kind, with the definitions that it refers to.
fn of_kind(kind: &str) -> Value {
    let schema = schemars::schema_for!(LossConfig).to_value();
    let kinds = schema["oneOf"].as_array().unwrap().iter();
    let mut own = kinds
        .clone()
        .find(|own| own["properties"]["kind"]["const"] == kind)
        .unwrap()
        .clone();
    own["$defs"] = schema.get("$defs").cloned().unwrap_or_default();
    own
}

/// Whether a run could begin with a loss.
fn check(loss: &Value) -> Result<(), String> {
    let text = toml::to_string(loss).map_err(|error| format!("unreadable: {error}"))?;
    let loss: LossConfig = toml::from_str(&text).map_err(|error| format!("unreadable: {error}"))?;
    let [student, teacher] = [1, 2].map(|seed| Small::with_norms([3, 4], 10, seed));
    let teacher = shared(&teacher, Normalisation::identity(1));
    let method = offline(
        &student,
        real_data(),
        steps(6),
        vec![boxed(&teacher)],
        vec![loss],
    );
    method.check().map_err(|error| error.to_string())
}

#[test]
fn ranges_of_constants_are_those_that_are_enforced() {
    // What they must not be above is the teacher's, the batch's or the memory's.
    let no_end = [
        "factor",
        "reduction",
        "dim",
        "num_negatives",
        "order",
        "components",
    ];
    for kind in LossConfig::kinds() {
        let mut schema = of_kind(kind);
        let keys = schema["properties"].as_object_mut().unwrap();
        keys.remove("weight");
        keys.remove("teacher");
        if kind == "vid" {
            // Either limits the other.
            keys.remove("epsilon");
            keys.remove("initial_variance");
        }
        for name in no_end {
            if let Some(key) = keys
                .get_mut(name)
                .filter(|key| key.get("maximum").is_none())
            {
                key["maximum"] = json!(3);
            }
        }
        let text = toml::to_string(&config(kind)).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let usual = serde_json::to_value(table).unwrap();
        let wrong = wrong_ranges(&schema, &usual, check);
        // Above an end that is only ours here, nothing needs to be refused.
        let is_ours = |text: &&String| {
            no_end
                .iter()
                .any(|name| text.starts_with(&format!("/{name}: 4")))
        };
        // A factor of few channels may have none.
        let is_rate = |text: &&String| kind == "ft" && text.starts_with("/rate: 0.000001");
        let wrong = wrong.iter().filter(|text| !is_ours(text) && !is_rate(text));
        let wrong: Vec<&String> = wrong.collect();
        assert_eq!(wrong, Vec::<&String>::new(), "{kind}");
    }
}

#[test]
fn ranges_of_weights_are_those_that_are_enforced() {
    for weight in [
        json!({ "kind": "linear", "from": 0.0, "to": 1.0, "begin": 0.0, "epochs": 2.0 }),
        json!({ "kind": "ramp-up", "to": 1.0, "epochs": 2.0 }),
        json!({ "kind": "window", "value": 1.0, "from_epoch": 0.0, "until_epoch": 1e9 }),
    ] {
        let mut schema = of_kind("kd");
        let keys = schema["properties"].as_object_mut().unwrap();
        keys.retain(|name, _| name == "weight");
        for variant in schema["$defs"]["LossWeight"]["oneOf"]
            .as_array_mut()
            .unwrap()
        {
            // The end of a window must only be behind its beginning.
            if let Some(keys) = variant.get_mut("properties").and_then(Value::as_object_mut) {
                keys.remove("until_epoch");
            }
        }
        let usual = json!({ "kind": "kd", "weight": weight });
        assert_eq!(wrong_ranges(&schema, &usual, check), Vec::<String>::new());
    }
}
