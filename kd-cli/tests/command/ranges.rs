//! Ranges of keys as the schema states them, against those that the methods enforce.

use kd_compact::CompactSettings;
use kd_core::testing::wrong_ranges;
use kd_core::{DeviceName, Grade, ImageShape, Normalisation};
use kd_datafree::{DataFreeConfig, FrozenClassifier};
use kd_models::{Network, NetworkSpec};
use kd_online::OnlineConfig;
use kd_recipe::{DataRecipe, Machine, Methods};
use kd_stagewise::StagewiseRecipe;
use kd_teacherclass::TeacherClassConfig;
use kd_text::TextSettings;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::explain::schema;
use crate::pictures::photos;
use crate::support::Place;

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

/// The stagewise keys of `tables`, but for `without`, against what a check of a whole recipe says.
fn wrong_in_stagewise(usual: &Value, tables: &[&str], without: &[&str]) -> Vec<String> {
    let mut schema = of_method(&schema(), "stagewise", tables);
    for definition in schema["$defs"].as_object_mut().unwrap().values_mut() {
        if let Some(keys) = definition
            .get_mut("properties")
            .and_then(Value::as_object_mut)
        {
            keys.retain(|name, _| !without.contains(&name.as_str()));
        }
    }
    let methods = Methods::new().with::<StagewiseRecipe>();
    wrong_ranges(&schema, usual, |settings| {
        let text = toml::to_string(settings).map_err(|error| error.to_string())?;
        let recipe = methods.read("recipe", &text, &[]);
        let mut recipe = recipe.map_err(|error| error.to_string())?;
        let check = recipe
            .check(&Machine::default())
            .map_err(|error| error.to_string())?;
        let mut errors = check
            .findings
            .into_iter()
            .filter(|found| found.grade == Grade::Error);
        errors.next().map_or(Ok(()), |found| Err(found.text))
    })
}

/// A recipe without a teacher, so that nothing but the data is read.
fn stagewise(data: Value) -> Value {
    json!({
        "method": "stagewise", "data": data, "student": { "name": "lenet5-half" },
        "stagewise": { "procedure": "no-teacher" }, "split": { "validation": 0.2 },
        "cache": {}, "train": { "epochs": 1 },
    })
}

#[test]
fn ranges_of_data_are_those_that_are_enforced() {
    let plain = stagewise(json!({
        "name": "fashion-mnist-mini", "held_out": 0.2, "views": "unlimited", "augment": {},
    }));
    let tables = ["data", "split", "cache"];
    let wrong = wrong_in_stagewise(&plain, &tables, &["resize", "per_class"]);
    // Of so few samples these shares leave nothing of a class, an epoch is chosen by some samples, and
    // nothing moves further than its image.
    let coupled = [
        "/data/fraction: 0.000001 ",
        "/data/held_out: 0.000001 ",
        "/data/held_out: 0.999999 ",
        "/split/validation: 0 ",
        "/split/validation: 0.999999 ",
        "/split/unlabelled: 0.000001 ",
        "/data/augment/crop_padding: 1000000 ",
        "/data/augment/translate_pixels: 1000000 ",
    ];
    none_is_wrong(wrong, &coupled);
    let mut few = plain;
    few["data"]["per_class"] = 8.into();
    let others = [
        "resize",
        "fraction",
        "held_out",
        "augment",
        "subset_seed",
        "bank_seed",
    ];
    let wrong = wrong_in_stagewise(&few, &["data"], &others);
    none_is_wrong(wrong, &["/data/per_class: 1000000 "]);
}

#[test]
fn ranges_of_folders_are_those_that_are_enforced() {
    let place = Place::new();
    photos(&place.path("photos"));
    let mut schema = of_method(&schema(), "stagewise", &["data"]);
    let data = schema.pointer_mut("/$defs/DataRecipe/properties");
    let keys = data.and_then(Value::as_object_mut).unwrap();
    keys.retain(|name, _| name == "resize");
    let usual =
        json!({ "data": { "name": "folder", "path": place.path("photos"), "size": [8, 8] } });
    let wrong = wrong_ranges(&schema, &usual, |settings| {
        let recipe: DataRecipe = read(&settings["data"])?;
        recipe
            .source()
            .map(|_| ())
            .map_err(|error| error.to_string())
    });
    // A side must not be shorter than what is cut out of it.
    none_is_wrong(wrong, &["/data/resize: 1 "]);
}

#[test]
fn ranges_of_texts_are_those_that_are_enforced() {
    let mut schema = of_method(&schema(), "stagewise", &["data"]);
    let data = schema.pointer_mut("/$defs/DataRecipe/properties");
    data.and_then(Value::as_object_mut)
        .unwrap()
        .retain(|name, _| name == "text");
    let usual = json!({ "data": { "text": { "length": 8, "vocabulary": 100 } } });
    let wrong = wrong_ranges(&schema, &usual, |settings| {
        let settings: TextSettings = read(&settings["data"]["text"])?;
        settings.check().map_err(|error| error.to_string())
    });
    none_is_wrong(wrong, &[]);
}

#[test]
fn ranges_of_procedures_are_those_that_are_enforced() {
    let place = Place::new();
    place.done(&[
        "train",
        "teacher.toml",
        "--set",
        "train.epochs=1",
        "--out",
        "teacher",
    ]);
    for procedure in [
        json!({ "kind": "skd" }),
        json!({ "kind": "hinton", "alpha": 0.5, "temperature": 4.0 }),
        json!({ "kind": "fitnets", "guided": "conv2", "alpha": 0.5, "temperature": 4.0 }),
        json!({ "kind": "attention-transfer", "beta": 1.0 }),
    ] {
        let mut usual = stagewise(json!({ "name": "fashion-mnist-mini", "per_class": 8 }));
        usual["teacher"] = json!({ "model": place.path("teacher") });
        usual["stagewise"] = json!({ "procedure": procedure, "fine_tune_epochs": 2 });
        let wrong = wrong_in_stagewise(&usual, &["stagewise"], &[]);
        none_is_wrong(wrong, &[]);
    }
}
