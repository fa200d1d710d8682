//! `kd explain`, and the schema that it prints.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::json_schema::allows;
use crate::support::{Place, STUDENT, TEACHER};

pub(crate) fn schema() -> Value {
    let done = Place::new().run(&["explain", "--schema"]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&done.stdout).unwrap()
}

fn is_allowed(schema: &Value, text: &str) -> bool {
    let table: toml::Table = text
        .parse()
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    allows(schema, schema, &serde_json::to_value(table).unwrap())
}

fn recipes(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            recipes(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "toml") {
            found.push(path);
        }
    }
}

#[test]
fn the_schema_accepts_every_recipe_of_the_repository() {
    let schema = schema();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    recipes(&root.join("../recipes"), &mut found);
    recipes(&root.join("src/commands/demo"), &mut found);
    assert!(found.len() > 45, "{}", found.len());
    for path in found {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(is_allowed(&schema, &text), "{}", path.display());
    }
}

#[test]
fn the_schema_refuses_what_is_wrong() {
    let schema = schema();
    assert!(is_allowed(&schema, TEACHER) && is_allowed(&schema, STUDENT));
    for (from, to) in [
        ("method = \"train\"", "method = \"trian\""),
        ("method = \"train\"", "method = 3"),
        ("method = \"train\"", "method = \"offline\""),
        ("[network]\nname = \"lenet5-half\"", ""),
        ("name = \"lenet5-half\"", "name = 5"),
        ("name = \"fashion-mnist-mini\"", ""),
        ("per_class = 32", "per_class = 0"),
        ("per_class = 32", "perclass = 32"),
        ("held_out = 0.1", "held_out = 1.5"),
        ("views = \"unlimited\"", "views = \"many\""),
        ("views = \"unlimited\"", "views = 0"),
        ("crop_padding = 2", "crop = 2"),
        ("flip = 0.5", "flip = 2"),
        ("epochs = 2", "epochs = 0"),
        ("epochs = 2", "epochs = \"two\""),
        ("epochs = 2", "epoch = 2"),
        ("batch_size = 32", "batch_size = -1"),
        ("lr = 0.003", "lr = 0"),
        ("kind = \"adam\"", "kind = \"adm\""),
        ("kind = \"adam\"", "kind = \"adam\", momentum = 0.9"),
        ("kind = \"cosine\"", "final_lr = 0.1"),
        ("method = \"train\"", "method = \"train\"\nseed = -1"),
        ("method = \"train\"", "method = \"train\"\nunknown = 1"),
    ] {
        assert!(TEACHER.contains(from), "{from}");
        assert!(!is_allowed(&schema, &TEACHER.replacen(from, to, 1)), "{to}");
    }
    for (from, to) in [
        ("kind = \"kd\"", "kind = \"kdd\""),
        ("kind = \"kd\"", "kind = \"kd\"\ntemprature = 4.0"),
        ("kind = \"kd\"", "kind = \"kd\"\ntemperature = \"high\""),
        ("kind = \"cross-entropy\"", "weight = 1.0"),
        ("student_tap = \"conv2\"", "student_tap = 2"),
        ("model = \"teacher\"", "model = true"),
    ] {
        assert!(STUDENT.contains(from), "{from}");
        assert!(!is_allowed(&schema, &STUDENT.replacen(from, to, 1)), "{to}");
    }
    let campaign = "title = \"t\"\nseeds = [0]\n[[methods]]\nname = \"a\"\nrecipe = \"a.toml\"\n";
    assert!(is_allowed(&schema, campaign));
    for (from, to) in [
        ("seeds = [0]", ""),
        ("seeds = [0]", "seeds = [-1]"),
        ("recipe = \"a.toml\"", ""),
        ("name = \"a\"", "name = \"a\"\nset = 3"),
        ("title = \"t\"", "title = \"t\"\nbetter = \"larger\""),
        ("title = \"t\"", "title = \"t\"\nepochs = 3"),
    ] {
        assert!(
            !is_allowed(&schema, &campaign.replacen(from, to, 1)),
            "{to}"
        );
    }
}

#[test]
fn a_key_is_found_by_its_path_its_place_and_its_table() {
    let place = Place::new();
    let keys = |asked: &str| -> Vec<String> {
        let found = place.json(&["explain", asked, "--method", "offline", "--json"]);
        let keys = found["keys"].as_array().unwrap().iter();
        keys.map(|key| key["path"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(keys("train.lr"), ["train.lr"]);
    for asked in [
        "losses.standardise",
        "losses[].standardise",
        "losses.0.standardise",
    ] {
        assert_eq!(keys(asked), ["losses[].standardise"], "{asked}");
    }
    let below = keys("data.augment");
    assert_eq!(below[0], "data.augment");
    assert!(below.contains(&"data.augment.flip".to_owned()), "{below:?}");
}
