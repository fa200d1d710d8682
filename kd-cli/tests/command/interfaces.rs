//! The interfaces that scripts and other programs rely on: the JSON objects, the streams, the exit codes.

use std::io::Write;
use std::path::Path;

use crate::support::Place;
use serde_json::Value;

fn keys(object: &Value) -> Vec<&str> {
    let object = object.as_object().unwrap();
    object.keys().map(String::as_str).collect()
}

fn has(object: &Value, names: &[&str]) {
    for name in names {
        assert!(
            object.get(name).is_some_and(|value| !value.is_null()),
            "`{name}` is not in {object}"
        );
    }
}

fn is_share(value: &Value) {
    let share = value.as_f64().unwrap();
    assert!((0.0..=1.0).contains(&share), "{value}");
}

#[test]
fn train_distill_and_eval_end_with_the_promised_object() {
    let place = Place::new();
    let promised = ["run", "accuracy", "best_accuracy", "epochs", "seconds"];
    for (verb, recipe, out) in [
        ("train", "teacher.toml", "teacher"),
        ("distill", "student.toml", "student"),
    ] {
        let object = place.json(&[verb, recipe, "--out", out, "--json"]);
        has(&object, &promised);
        assert_eq!(object["run"], out);
        assert_eq!(object["epochs"], 2);
        is_share(&object["accuracy"]);
        assert!(object["best_accuracy"].as_f64() >= object["accuracy"].as_f64());
        assert!(object["seconds"].as_f64().unwrap() > 0.0);

        // A second look gives the same.
        assert_eq!(place.json(&["resume", out, "--json"]), object);
    }
    let data = "fashion-mnist-mini";
    let args = [
        "eval", "--model", "student", "--data", data, "--split", "test", "--json",
    ];
    let object = place.json(&args);
    has(&object, &["accuracy", "loss", "ece", "count"]);
    is_share(&object["accuracy"]);
    is_share(&object["ece"]);
    assert_eq!(object["count"], 2000);
    assert_eq!(object["non_finite"], 0);

    let outcome: Value = serde_json::from_slice(&place.read("student/outcome.json")).unwrap();
    has(
        &outcome["metrics"],
        &["accuracy", "loss", "agreement", "teacher_kl"],
    );
}

#[test]
fn eval_measures_what_the_run_measured() {
    let place = Place::new();
    // Without `held_out` a run measures on the test split.
    let recipe = crate::support::TEACHER.replace("held_out = 0.1\n", "");
    std::fs::write(place.path("whole.toml"), recipe).unwrap();
    let run = place.json(&["train", "whole.toml", "--out", "run", "--json"]);
    for (folder, accuracy) in [
        ("run", "accuracy"),
        ("run/model", "accuracy"),
        ("run/model-best", "best_accuracy"),
    ] {
        let args = [
            "eval",
            "--model",
            folder,
            "--data",
            "fashion-mnist-mini",
            "--json",
        ];
        let eval = place.json(&args);
        assert_eq!(eval["accuracy"], run[accuracy], "{folder}");
        if folder == "run" {
            assert_eq!(eval["loss"], run["metrics"]["loss"]);
            assert_eq!(eval["ece"], run["metrics"]["ece"]);
        }
    }
}

#[test]
fn models_of_a_run_have_the_costs_of_their_network_and_a_latency() {
    let place = Place::new();
    place.done(&[
        "train",
        "teacher.toml",
        "--out",
        "run",
        "--set",
        "train.epochs=1",
    ]);
    let args = [
        "models",
        "lenet5-half",
        "--data",
        "fashion-mnist-mini",
        "--json",
    ];
    let by_name = place.json(&args);
    for folder in ["run", "run/model"] {
        let object = place.json(&["models", folder, "--latency", "--threads", "1", "--json"]);
        for key in ["name", "params", "macs", "layers"] {
            assert_eq!(object[key], by_name[key], "{folder} {key}");
        }
        let latency = object["latency"].as_array().unwrap();
        let batches: Vec<&Value> = latency.iter().map(|of| &of["batch"]).collect();
        assert_eq!(batches, [1, 64]);
        for of in latency {
            let at = |name: &str| of[name].as_f64().unwrap();
            assert!(
                0.0 < at("tenth_seconds") && at("tenth_seconds") <= at("median_seconds"),
                "{of}"
            );
            assert!(
                at("median_seconds") <= at("ninetieth_seconds") && at("passes") >= 10.0,
                "{of}"
            );
        }
    }
}

#[test]
fn the_demo_ends_with_the_promised_object_and_leaves_its_student() {
    let place = Place::new();
    let args = ["demo", "--epochs", "1", "--out", "demo", "--json"];
    let object = place.json(&args);
    assert_eq!(
        keys(&object),
        ["teacher", "student_alone", "student_distilled", "run"]
    );
    for part in ["teacher", "student_alone", "student_distilled"] {
        has(&object[part], &["accuracy", "params", "macs", "seconds"]);
        is_share(&object[part]["accuracy"]);
    }
    let (alone, distilled) = (&object["student_alone"], &object["student_distilled"]);
    assert_eq!(alone["params"], distilled["params"]);
    assert!(object["teacher"]["params"].as_u64() > alone["params"].as_u64());
    assert_eq!(object["run"], "demo");
    assert!(
        place
            .path("demo/student-distilled/model/model.safetensors")
            .is_file()
    );
    assert_eq!(place.json(&["resume", "demo", "--json"]), object);
}

#[test]
fn data_and_models_end_with_one_object() {
    let place = Place::new();
    let object = place.json(&["data", "list", "--json"]);
    let all = object["data"].as_array().unwrap();
    let here: Vec<&Value> = all.iter().filter(|set| set["here"] == true).collect();
    assert_eq!(here.len(), 1);
    assert_eq!(here[0]["name"], "fashion-mnist-mini");
    has(
        &here[0]["info"],
        &["classes", "shape", "train", "test", "licence"],
    );

    let object = place.json(&["data", "info", "fashion-mnist-mini", "--json"]);
    assert_eq!(object["train"]["count"], 5000);
    assert_eq!(object["test"]["count"], 2000);
    has(&object["train"], &["per_class", "sha256"]);

    let object = place.json(&["models", "resnet8", "--layers", "--json"]);
    let layers = object["layers"].as_array().unwrap();
    assert_eq!(layers[0]["outputs"], 16 * 32 * 32);
    assert_eq!(layers.last().unwrap()["outputs"], 10);

    let object = place.json(&["models", "--json"]);
    for network in object["networks"].as_array().unwrap() {
        has(network, &["name", "params", "macs"]);
    }
}

#[test]
fn standard_output_is_for_results_only() {
    let place = Place::new();
    let done = place.run(&["train", "teacher.toml", "--out", "teacher"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let is_of_epoch = |line: &str| line.starts_with("lenet5-half: phase 1 of 1, epoch ");
    assert!(done.stderr.lines().all(is_of_epoch), "{}", done.stderr);
    assert_eq!(
        (done.stderr.lines().count(), done.stdout.lines().count()),
        (2, 2)
    );
    let done = place.run(&["train", "teacher.toml", "--out", "teacher", "--json"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""));
    assert!(
        done.stderr
            .starts_with("{\"error\":\"run folder `teacher`: is not empty")
    );
    let done = place.run(&["--version"]);
    let version = format!("kd {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((done.code, done.stdout), (Some(0), version));
}

/// `kd models | head -1` is no failure.
#[test]
fn a_reader_that_has_heard_enough_is_no_failure() {
    let place = Place::new();
    for args in [&["models"][..], &["data", "list"], &["models", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = place.command(args).stdout(writer).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), said.as_str()),
            (Some(0), ""),
            "{args:?}"
        );
    }
}

#[test]
fn a_run_keeps_the_recipe_that_it_was_given() {
    let place = Place::new();
    let set = ["--set", "train.lr=0.001", "--seed", "7", "--device", "cpu"];
    let run = ["train", "teacher.toml", "--out", "run", "--json"];
    place.json(&[&run[..], &set].concat());
    let kept = place.text("run/recipe.toml");
    for line in [
        "seed = 7",
        "lr = 0.001",
        "device = \"cpu\"",
        "name = \"lenet5-half\"",
    ] {
        assert!(kept.lines().any(|known| known == line), "{line}\n{kept}");
    }
    // It is a whole recipe, and what `--dry-run` shows.
    let shown = place.run(&[&["train", "teacher.toml", "--dry-run"][..], &set].concat());
    assert_eq!(shown.stdout.trim(), kept.trim());
    let again = ["train", "run/recipe.toml", "--out", "again", "--json"];
    place.json(&again);
    assert_eq!(
        place.read("run/model/model.safetensors"),
        place.read("again/model/model.safetensors")
    );
}

/// As many training images as MNIST has, black and of digit 0: files with holes, which take no room.
fn black_mnist(root: &Path) {
    let folder = root.join("mnist");
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, header: &[u32], bytes: u64| {
        let mut file = std::fs::File::create(folder.join(name)).unwrap();
        let header: Vec<u8> = header.iter().flat_map(|n| n.to_be_bytes()).collect();
        file.write_all(&header).unwrap();
        file.set_len(header.len() as u64 + bytes).unwrap();
    };
    write(
        "train-images-idx3-ubyte",
        &[2051, 60_000, 28, 28],
        60_000 * 784,
    );
    write("train-labels-idx1-ubyte", &[2049, 60_000], 60_000);
}

#[test]
fn the_data_folder_of_a_run_is_remembered() {
    let place = Place::new();
    black_mnist(&place.path("data"));
    let train = r#"
        method = "train"
        [data]
        name = "mnist"
        fraction = 0.001
        held_out = 0.001
        [network]
        name = "lenet5-half"
        [train]
        epochs = 1
    "#;
    std::fs::write(place.path("train.toml"), train).unwrap();
    let args = [
        "train",
        "train.toml",
        "--data-dir",
        "data",
        "--out",
        "run",
        "--json",
    ];
    // Nine of the classes have no sample, which is said.
    let ended = |args: &[&str]| {
        let done = place.run(args);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(
            done.stderr
                .starts_with("note: 9 of the 10 classes have no training sample")
        );
    };
    ended(&args);
    std::fs::remove_file(place.path("run/outcome.json")).unwrap();
    ended(&["resume", "run", "--json"]);
}

/// Says `line` even where the output of passing tests is kept back.
fn say(line: &str) {
    drop(std::io::stderr().write_all(line.as_bytes()));
}

#[test]
fn the_full_data_is_found_by_the_environment() {
    let test = "the_full_data_is_found_by_the_environment";
    let data = std::env::var_os("KD_DATA").filter(|folder| !folder.is_empty());
    let Some(data) = data else {
        assert!(
            std::env::var_os("KD_REQUIRE_DATA").is_none(),
            "{test} needs KD_DATA, and KD_REQUIRE_DATA is set"
        );
        say(&format!("SKIPPED: {test} needs KD_DATA\n"));
        return;
    };
    let place = Place::new();
    for (name, count) in [("fashion-mnist", 60_000), ("cifar10", 50_000)] {
        let output = place
            .command(&["data", "info", name, "--json"])
            .env("KD_DATA", &data)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        let object: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(object["train"]["count"], count);
    }
}
