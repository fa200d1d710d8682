//! Ranges of keys as the schema states them, against those that the methods enforce.

use kd_compact::CompactSettings;
use kd_core::testing::wrong_ranges;
use kd_core::{DeviceName, ImageShape, Normalisation};
use kd_datafree::{DataFreeConfig, FrozenClassifier};
use kd_models::{Network, NetworkSpec};
use kd_online::OnlineConfig;
use kd_teacherclass::TeacherClassConfig;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::explain::schema;

/// The schema of the tables of a method, with the definitions that it refers to.
fn of_method(whole: &Value, method: &str, tables: &[&str]) -> Value {
    let keys = whole["$defs"][format!("recipe-{method}")]["properties"].as_object();
    let keys = keys.unwrap().iter();
    let keys = keys.filter(|(name, _)| tables.contains(&name.as_str()));
    let keys: Map<String, Value> = keys
        .map(|(name, key)| (name.clone(), key.clone()))
        .collect();
    assert_eq!(keys.len(), tables.len(), "{method}");
    json!({ "properties": keys, "$defs": whole["$defs"] })
}

fn read<C: DeserializeOwned>(settings: &Value) -> Result<C, String> {
    serde_json::from_value(settings.clone()).map_err(|error| format!("unreadable: {error}"))
}

fn none_is_wrong(wrong: Vec<String>, but: &[&str]) {
    let mut wrong = wrong;
    wrong.retain(|text| !but.iter().any(|one| text.starts_with(one)));
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn ranges_of_classes_of_students_are_those_that_are_enforced() {
    let schema = of_method(&schema(), "teacher-class", &["teacher-class"]);
    let mut usual = json!({ "teacher-class": TeacherClassConfig::default() });
    usual["teacher-class"]["loss"] = "gan-direct".into();
    usual["teacher-class"]["gan"] = json!({ "lr": 0.1 });
    let wrong = wrong_ranges(&schema, &usual, |settings| {
        let config: TeacherClassConfig = read(&settings["teacher-class"])?;
        config.check().map_err(|error| error.to_string())
    });
    // Its end is the number of students.
    none_is_wrong(wrong, &["/teacher-class/only: 1000000"]);
}

#[test]
fn ranges_of_cuts_are_those_that_are_enforced() {
    let schema = of_method(&schema(), "compact", &["distill", "compact"]);
    let usual = CompactSettings::default();
    let usual = json!({ "distill": usual.distill, "compact": usual.compact });
    let wrong = wrong_ranges(&schema, &usual, |settings| {
        let mut all = CompactSettings::default();
        all.distill = read(&settings["distill"])?;
        all.compact = read(&settings["compact"])?;
        all.check().map_err(|error| error.to_string())
    });
    none_is_wrong(wrong, &[]);
}

#[test]
fn ranges_of_peers_are_those_that_are_enforced() {
    let schema = of_method(&schema(), "online", &["online"]);
    for usual in [
        json!({
            "kind": "okdmde", "shared": "layer2", "teacher": { "weight": 1.0, "temperature": 4.0 },
            "prediction_penalty": { "weight": 1.0, "temperature": 1.0 },
        }),
        json!({ "kind": "pcl", "shared": "layer2" }),
        json!({ "kind": "single" }),
    ] {
        let wrong = wrong_ranges(&schema, &json!({ "online": usual }), |settings| {
            let config: OnlineConfig = read(&settings["online"])?;
            config.check().map_err(|error| error.to_string())
        });
        // Each kind has its own number of students; attention needs something that trains it.
        none_is_wrong(wrong, &["/online/branches", "/online/kd_weight: 0 "]);
    }
}

#[test]
fn ranges_of_synthesis_are_those_that_are_enforced() {
    let whole = schema();
    let device = DeviceName::Cpu.open().unwrap();
    let spec = NetworkSpec::new("resnet8", 10, [3, 32, 32]);
    let network = Network::build(&spec, 0, &device).unwrap();
    let shape = ImageShape::new(3, 32, 32);
    let plain = Normalisation::identity(3);
    let teacher = FrozenClassifier::new(&network, plain, shape, &device).unwrap();
    let schema = of_method(&whole, "data-free", &["synthesis"]);
    for kind in ["rdskd", "dafl", "zskt", "adaptive-deep-inversion"] {
        let none = Map::new();
        let [mut usual, _] = DataFreeConfig::named(kind, &none, &none)
            .unwrap()
            .tables()
            .unwrap();
        usual.insert("kind".into(), kind.into());
        // The ranges of a training have their own test, in kd-core.
        usual.remove("generator_training");
        let wrong = wrong_ranges(&schema, &json!({ "synthesis": usual }), |settings| {
            let Value::Object(mut table) = settings["synthesis"].clone() else {
                return Err("unreadable".into());
            };
            table.remove("kind");
            let config = DataFreeConfig::named(kind, &table, &Map::new());
            let config = config.map_err(|error| format!("unreadable: {error}"))?;
            let checked = match config {
                DataFreeConfig::TwoPhases(config) => config.check(&teacher),
                DataFreeConfig::Joint(config) => config.check(&teacher),
                DataFreeConfig::Pooled(config) => config.check(&teacher),
                _ => Ok(()),
            };
            checked.map_err(|error| error.to_string())
        });
        // A batch of the student must not be larger than what there is at first, a padding not than an
        // image; where both learn from the same images there is one step of each.
        let coupled = [
            "/synthesis/bank/images: 1 ",
            "/synthesis/generator_steps: 1000000",
            "/synthesis/student_steps: 1000000",
            "/synthesis/batch: 1 ",
            "/synthesis/views/crop_padding: 1000000",
        ];
        none_is_wrong(wrong, &coupled);
    }
}
