//! A folder of images as a data set: training, measuring, resuming, and networks that know other classes.

use std::path::{Path, PathBuf};

use crate::support::Place;

const TRAIN: &str = r#"
method = "train"

[data]
name = "folder"
path = "shapes"
size = 28

[network]
name = "lenet5-half"

[train]
epochs = 2
batch_size = 8
"#;

const STUDENT: &str = r#"
[data]
name = "folder"
path = "shapes"
size = 28

[student]
name = "lenet5-half"

[[teachers]]
model = "teacher"

[[losses]]
kind = "kd"

[train]
epochs = 1
batch_size = 8
"#;

/// A place with the folder of circles and squares of the transcripts.
fn place() -> Place {
    let place = Place::new();
    let shapes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd/data-folder.in/shapes");
    for split in ["train", "test"] {
        for class in ["circle", "square"] {
            let part = PathBuf::from(split).join(class);
            let to = place.path("shapes").join(&part);
            std::fs::create_dir_all(&to).unwrap();
            for entry in std::fs::read_dir(shapes.join(&part)).unwrap() {
                let entry = entry.unwrap();
                // What is no image would be said of each run.
                if entry.path().extension().is_none_or(|kind| kind != "txt") {
                    std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
                }
            }
        }
    }
    std::fs::write(place.path("train.toml"), TRAIN).unwrap();
    std::fs::write(place.path("student.toml"), STUDENT).unwrap();
    place
}

fn train(place: &Place, more: &[&str], out: &str) -> serde_json::Value {
    place.json(&[&["train", "train.toml", "--out", out, "--json"], more].concat())
}

#[test]
fn a_run_on_a_folder_is_measured_like_any_other() {
    let place = place();
    let run = train(&place, &[], "run");
    let args = [
        "eval", "--model", "run", "--data", "folder", "--path", "shapes", "--json",
    ];
    let eval = place.json(&args);
    assert_eq!(
        (&eval["accuracy"], &eval["count"]),
        (&run["accuracy"], &6.into())
    );
    assert_eq!(eval["loss"], run["metrics"]["loss"]);

    let info = [
        "data", "info", "folder", "--path", "shapes", "--size", "28", "--json",
    ];
    let info = place.json(&info);
    assert_eq!(info["train"]["count"], 16);
    assert_eq!(info["folder"]["class_names"][1], "square");
    // What the run has computed is what `kd data info` says, and stands in its recipe, as does the whole
    // path.
    let recipe: toml::Table = place.text("run/recipe.toml").parse().unwrap();
    let mean = recipe["network"]["normalisation"]["mean"]
        .as_array()
        .unwrap();
    let mean: Vec<f64> = mean.iter().filter_map(toml::Value::as_float).collect();
    assert_eq!(serde_json::json!(mean), info["folder"]["mean"]);
    let path = recipe["data"]["path"].as_str().unwrap();
    assert!(Path::new(path).is_absolute() && Path::new(path).ends_with("shapes"));
    let model: serde_json::Value =
        serde_json::from_slice(&place.read("run/model/config.json")).unwrap();
    assert_eq!(
        model["class_names"],
        serde_json::json!(["circle", "square"])
    );
    assert_eq!(model["provenance"]["data"], "shapes");
}

#[test]
fn settings_of_a_folder_are_followed() {
    let place = place();
    let more = [
        "--set",
        "data.normalisation=imagenet",
        "--set",
        "data.size=[28, 32]",
        "--set",
        "data.resize=40",
    ];
    train(&place, &more, "run");
    let recipe: toml::Table = place.text("run/recipe.toml").parse().unwrap();
    assert_eq!(
        recipe["network"]["normalisation"]["mean"][0].as_float(),
        Some(0.485)
    );
    let eval = [
        "eval", "--model", "run", "--data", "folder", "--path", "shapes", "--resize", "40",
        "--json",
    ];
    assert_eq!(place.json(&eval)["count"], 6);

    train(&place, &["--set", "data.grey=true"], "grey");
    let eval = [
        "eval", "--model", "grey", "--data", "folder", "--path", "shapes", "--json",
    ];
    assert_eq!(place.json(&eval)["count"], 6);
    let both = [
        "train",
        "train.toml",
        "--set",
        "data.grey=true",
        "--set",
        "data.normalisation=imagenet",
    ];
    assert_eq!(
        place.run(&both).stderr,
        "error: `data.normalisation` has three channels with \"imagenet\", grey images have one; remove it\n"
    );
}

#[test]
fn a_folder_without_test_images_needs_a_part_held_out() {
    let place = place();
    std::fs::remove_dir_all(place.path("shapes/test")).unwrap();
    let done = place.run(&["train", "train.toml"]);
    assert_eq!(done.code, Some(2));
    assert!(
        done.stderr
            .starts_with("error: `data.held_out` is needed: `"),
        "{}",
        done.stderr
    );
    train(&place, &["--set", "data.held_out=0.25"], "run");
    let info = [
        "data", "info", "folder", "--path", "shapes", "--size", "28", "--json",
    ];
    assert!(place.json(&info)["test"].is_null());
}

#[test]
fn a_run_does_not_go_on_with_other_images() {
    let place = place();
    train(&place, &[], "run");
    std::fs::remove_file(place.path("run/outcome.json")).unwrap();
    // With the same images it does.
    place.json(&["resume", "run", "--json"]);
    std::fs::remove_file(place.path("run/outcome.json")).unwrap();
    let (first, second) = (
        place.path("shapes/train/circle/0.png"),
        place.path("shapes/train/circle/3.png"),
    );
    std::fs::copy(second, first).unwrap();
    let done = place.run(&["resume", "run"]);
    assert_eq!(done.code, Some(1));
    assert!(
        done.stderr
            .contains("the training data has changed since the run was begun"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_network_that_knows_other_classes_is_refused() {
    let place = place();
    place.json(&["train", "teacher.toml", "--out", "teacher", "--json"]);
    let distill = ["distill", "student.toml"];
    let done = place.run(&distill);
    assert_eq!(
        (done.code, done.stderr.as_str()),
        (
            Some(2),
            "error: teacher `teacher`: expected 2 classes, as data set `shapes` has, got 10; use a data set \
             of its classes; losses of features alone take any teacher\n"
        )
    );
    std::fs::remove_dir_all(place.path("teacher")).unwrap();
    train(&place, &[], "teacher");
    // A run on the same data works, so that the refusals are for the teacher alone.
    place.json(&["distill", "student.toml", "--out", "student", "--json"]);
    for split in ["train", "test"] {
        let folder = place.path("shapes").join(split);
        std::fs::rename(folder.join("square"), folder.join("box")).unwrap();
    }
    let done = place.run(&distill);
    assert_eq!(
        (done.code, done.stderr.as_str()),
        (
            Some(2),
            "error: teacher `teacher`: expected class 0 to be `box`, as data set `shapes` has it, got \
             `circle`; use the \
             classes that it was trained on, by the same names\n"
        )
    );
}

#[test]
fn the_recipe_of_a_class_for_imagenet_finds_nothing_wrong_with_a_folder() {
    let place = place();
    std::fs::write(place.path("teacher.toml"), TRAIN).unwrap();
    let teacher = ["train", "teacher.toml", "--out", "run"];
    let large = [
        "--set",
        "network.name=resnet18",
        "--set",
        "data.size=32",
        "--set",
        "train.epochs=1",
    ];
    place.done(&[&teacher[..], &large].concat());
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/class-imagenet.toml");
    let small = [
        "data.path=shapes",
        "data.size=64",
        "data.resize=72",
        "teacher.weights=run/model/model.safetensors",
        "teacher.network=resnet18",
        "train.batch_size=8",
    ];
    let mut args = vec!["check", recipe.to_str().unwrap()];
    args.extend(small.iter().flat_map(|set| ["--set", *set]));
    let (said, _) = place.done(&args);
    assert!(said.contains("no errors"), "{said}");
    assert!(said.contains("mobilenetv2-imagenet"), "{said}");
}
