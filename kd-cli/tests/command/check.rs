//! `kd check` as a program: what a trained network makes of right and wrong normalisations, and that nothing
//! is left behind.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::Place;
use serde_json::Value;

const TEACHER: &str = r#"
method = "train"

[data]
name = "fashion-mnist-mini"

[network]
name = "lenet5-half"

[train]
epochs = 2
batch_size = 32
lr = 0.003
optimizer = { kind = "adam" }
"#;

/// A place with a teacher of some 70 % in the folder `teacher`.
fn with_teacher() -> Place {
    let place = Place::new();
    std::fs::write(place.path("teacher.toml"), TEACHER).unwrap();
    let done = place.run(&["train", "teacher.toml", "--out", "teacher"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    place
}

/// Writes another normalisation into the teacher's description.
fn feed_with(place: &Place, mean: f64, std: f64) {
    let path = place.path("teacher/model/config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["normalisation"] = serde_json::json!({ "mean": [mean], "std": [std] });
    std::fs::write(path, config.to_string()).unwrap();
}

/// The texts of the warnings.
fn warnings(place: &Place) -> Vec<String> {
    let found = place.json(&["check", "student.toml", "--json"]);
    let all = found["findings"].as_array().unwrap();
    all.iter()
        .filter(|one| one["grade"] == "warning")
        .map(|one| one["text"].as_str().unwrap().to_owned())
        .collect()
}

/// Every file below a folder with its content.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
    all
}

#[test]
fn a_trained_network_tells_a_wrong_normalisation_from_a_right_one() {
    let place = with_teacher();
    let before = files(&place.path("."));
    assert_eq!(warnings(&place), Vec::<String>::new());
    let strict = place.run(&["check", "student.toml", "--strict", "--brief"]);
    assert_eq!(
        (strict.code, strict.stderr.as_str()),
        (Some(0), ""),
        "{}",
        strict.stdout
    );
    assert_eq!(
        files(&place.path(".")),
        before,
        "a check leaves nothing behind"
    );

    // For pixels to 255, for none at all, and for raw bytes.
    for (mean, std) in [(72.94, 90.02), (0.0, 1.0), (0.0, 1.0 / 255.0)] {
        feed_with(&place, mean, std);
        let found = warnings(&place);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with(
                "teacher 0 seems to be fed with the wrong normalisation: with the data \
                                  set's constants"
            ) && found[0].ends_with("set its `normalisation` to `mean = [0.286]`, `std = [0.353]`"),
            "{found:?}"
        );
        let strict = place.run(&["check", "student.toml", "--strict", "--brief"]);
        assert_eq!(strict.code, Some(2), "{}", strict.stdout);
    }
    // One that comes to nearly the same is none to be warned of.
    feed_with(&place, 0.2861, 0.353);
    assert_eq!(warnings(&place), Vec::<String>::new());
}

#[test]
fn a_claim_that_the_teacher_does_not_hold_is_found() {
    let place = with_teacher();
    let path = place.path("teacher/model/config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["provenance"]["accuracy"] = 0.95.into();
    std::fs::write(&path, config.to_string()).unwrap();
    let found = warnings(&place);
    assert!(
        found.len() == 1 && found[0].contains("while its `config.json` says 95.0 %"),
        "{found:?}"
    );

    // A claim of other data says nothing of this.
    config["provenance"]["data"] = "fashion-mnist".into();
    std::fs::write(&path, config.to_string()).unwrap();
    assert_eq!(warnings(&place), Vec::<String>::new());
}

#[test]
fn a_recipe_that_trains_alone_is_looked_at_as_well() {
    let place = Place::new();
    let found = place.json(&["check", "teacher.toml", "--json"]);
    assert_eq!(
        (&found["passed"], &found["errors"]),
        (&Value::Bool(true), &0.into())
    );
    let terms = found["diagnosis"]["losses"]["terms"].as_array().unwrap();
    assert_eq!(terms.len(), 1);
    assert!(terms[0]["gradient"].as_f64().unwrap() > 0.0);
    assert!((terms[0]["share"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    assert_eq!(found["networks"].as_array().unwrap().len(), 1);
}

#[test]
fn errors_are_found_in_every_part_at_once() {
    let place = Place::new();
    let done = place.run(&[
        "check",
        "student.toml",
        "--json",
        "--set",
        "teachers.0.model=nowhere",
        "--set",
        "losses.2.student_tap=conv9",
        "--set",
        "train.lr=-1",
    ]);
    assert_eq!(done.code, Some(2));
    let found: Value = serde_json::from_str(done.stdout.trim()).unwrap();
    let errors: Vec<&Value> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["grade"] == "error")
        .collect();
    let topics: Vec<&str> = errors
        .iter()
        .map(|one| one["topic"].as_str().unwrap())
        .collect();
    assert_eq!(topics, ["weights", "schedule", "taps"], "{errors:?}");
    assert_eq!(found["errors"], 3);
    assert!(found["diagnosis"]["costs"].is_null());
}
