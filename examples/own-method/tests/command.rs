//! The command knows the added method: it lists, trains, resumes and refuses as it does for its own.

use std::path::Path;
use std::process::{Command, Output};

fn own(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_own-method"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_added_method_runs_from_a_recipe() {
    let place = tempfile::tempdir().unwrap();
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let run = |args: &[&str]| {
        let output = own(place.path(), args);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(run(&["methods"]).contains("logit-regression"));
    let short = [
        "--set",
        "train.epochs=2",
        "--set",
        "data.per_class=50",
        "--json",
    ];
    let recipe = |name: &str| recipes.join(name).display().to_string();
    let (teacher, student) = (recipe("teacher.toml"), recipe("logit-regression.toml"));
    run(&[&["train", &teacher, "--out", "runs/teacher"][..], &short].concat());
    let first = run(&[&["distill", &student, "--out", "runs/a"][..], &short].concat());
    assert!(first.contains("\"accuracy\":"), "{first}");
    // What is done is not done again, and the same recipe gives the same bytes.
    let done = run(&["resume", "runs/a", "--json"]);
    assert_eq!(done, first);
    run(&[&["distill", &student, "--out", "runs/b"][..], &short].concat());
    let model = |run: &str| {
        let file = format!("runs/{run}/model/model.safetensors");
        std::fs::read(place.path().join(file)).unwrap()
    };
    assert_eq!(model("a"), model("b"));
}

#[test]
fn a_mistake_in_its_recipe_is_said_in_words() {
    let place = tempfile::tempdir().unwrap();
    let recipe = "method = \"logit-regression\"\ntemperature = 4.0\n";
    std::fs::write(place.path().join("own.toml"), recipe).unwrap();
    let output = own(place.path(), &["distill", "own.toml"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("unknown key `temperature`"), "{said}");
}
