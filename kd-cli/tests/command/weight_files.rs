//! Weight files in runs and in the command: what a run was made from is held fast, and networks trained by
//! others do here what they do elsewhere.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::support::Place;

/// A file of the transcripts.
fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cmd/weights.in")
        .join(name)
}

const RECIPE: &str = r#"
method = "offline"

[data]
name = "fashion-mnist-mini"
per_class = 10
held_out = 0.05

[student]
name = "lenet5-half"
weights = "lenet.pth"

[[teachers]]
weights = "teacher.pth"
network = "lenet5-half"

[[losses]]
kind = "kd"

[train]
epochs = 1
batch_size = 20
lr = 1e-12
optimizer = { kind = "adam" }
"#;

fn place() -> Place {
    let place = Place::new();
    std::fs::write(place.path("student.toml"), RECIPE).unwrap();
    for name in ["lenet.pth", "teacher.pth"] {
        std::fs::copy(shipped("lenet.pth"), place.path(name)).unwrap();
    }
    place
}

#[test]
fn a_student_that_learns_nothing_is_the_file_that_it_began_with() {
    let place = place();
    let done = place.run(&["distill", "student.toml", "--out", "run", "--seed", "5"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let inputs: serde_json::Value = serde_json::from_slice(&place.read("run/inputs.json")).unwrap();
    let file = &inputs["sha256"]["the file of the first weights"];
    assert_eq!(file.as_str().map(str::len), Some(64), "{inputs}");
    // A teacher that is the student's beginning agrees with a student that hardly moves.
    let outcome: serde_json::Value =
        serde_json::from_slice(&place.read("run/outcome.json")).unwrap();
    assert_eq!(outcome["metrics"]["agreement"], 1.0, "{outcome}");
    let recipe = place.text("run/recipe.toml");
    let absolute = place.path("teacher.pth").display().to_string();
    assert!(recipe.contains(&absolute), "{recipe}");
    assert!(recipe.contains("[teachers.normalisation]"), "{recipe}");

    place.json(&[
        "import",
        "lenet.pth",
        "--data",
        "fashion-mnist-mini",
        "--out",
        "imported",
        "--json",
    ]);
    let data = ["--data", "fashion-mnist-mini", "--json"];
    let measure = |model: &str| place.json(&[&["eval", "--model", model], &data[..]].concat());
    assert_eq!(measure("run"), measure("imported"));
}

#[test]
fn a_run_does_not_go_on_with_other_weights() {
    let place = place();
    let mut run = place.spawn(&[
        "distill",
        "student.toml",
        "--out",
        "run",
        "--set",
        "train.epochs=500",
    ]);
    run.wait_for_step(&place.path("run"), 1);
    run.kill();
    // One number of the first layer, in a file without a checksum.
    place.json(&[
        "import",
        "lenet.pth",
        "--data",
        "fashion-mnist-mini",
        "--out",
        "other",
        "--json",
    ]);
    let mut other = place.read("other/model.safetensors");
    let last = other.len() - 1;
    other[last] ^= 0x40;
    for (file, what) in [
        ("lenet.pth", "the file of the first weights"),
        ("teacher.pth", "teacher 0"),
    ] {
        let before = place.read(file);
        std::fs::write(place.path(file), &other).unwrap();
        let done = place.run(&["resume", "run"]);
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        assert!(
            done.stderr.contains(&format!("{what} has changed")),
            "{}",
            done.stderr
        );
        std::fs::write(place.path(file), before).unwrap();
    }
}

#[test]
fn an_onnx_graph_has_named_ends_and_an_open_batch() {
    let place = place();
    place.json(&[
        "import",
        "lenet.pth",
        "--data",
        "fashion-mnist-mini",
        "--out",
        "model",
        "--json",
    ]);
    let has = |file: &str, text: &[u8]| {
        place
            .read(file)
            .windows(text.len())
            .any(|part| part == text)
    };
    let export = [
        "export", "--model", "model", "--format", "onnx", "--json", "--out",
    ];
    place.json(&[&export[..], &["any.onnx", "--sample", "sample.safetensors"]].concat());
    place.json(&[&export[..], &["one.onnx", "--batch", "1"]].concat());
    for text in [&b"images"[..], b"logits", b"MaxPool", b"Conv"] {
        assert!(has("any.onnx", text) && has("one.onnx", text));
    }
    assert!(has("any.onnx", b"batch") && !has("one.onnx", b"batch"));
    assert!(has("sample.safetensors", b"\"images\"") && has("sample.safetensors", b"\"logits\""));
}

/// Every network can be exported; `scripts/check-onnx.py` compares what comes out.
#[test]
fn networks_of_each_kind_export_for_batches_of_any_size() {
    let place = Place::new();
    let models = kd_models::known_networks().map(|known| known.name);
    let small = [
        "lenet5",
        "resnet8",
        "resnet20",
        "resnet8x4",
        "skd-small-resnet10",
        "skd-small-resnet10-cifar",
    ];
    for name in models.filter(|name| small.contains(name)) {
        let spec = kd_models::NetworkSpec::new(name, 10, [3, 32, 32]);
        let device = kd_core::DeviceName::Cpu.open().unwrap();
        let network = kd_models::Network::build(&spec, 0, &device).unwrap();
        let config = kd_models::ModelConfig::new(spec, kd_core::Normalisation::identity(3));
        kd_models::save_model(&place.path(name), &network, &config).unwrap();
        let file = format!("{name}.onnx");
        place.json(&[
            "export", "--model", name, "--format", "onnx", "--json", "--out", &file,
        ]);
    }
}

/// A folder that holds what was trained elsewhere; without it a test is skipped, or fails where
/// `KD_REQUIRE_DATA` is set.
fn trained_elsewhere(test: &str) -> Option<(PathBuf, PathBuf)> {
    let folder = |name: &str| std::env::var_os(name).filter(|folder| !folder.is_empty());
    let found = folder("KD_WEIGHTS").zip(folder("KD_DATA"));
    if found.is_none() {
        assert!(
            folder("KD_REQUIRE_DATA").is_none(),
            "{test} needs KD_DATA and KD_WEIGHTS, and KD_REQUIRE_DATA is set"
        );
        // Said even where the output of passing tests is kept back.
        let line = format!("SKIPPED: {test} needs KD_DATA and KD_WEIGHTS\n");
        drop(std::io::stderr().write_all(line.as_bytes()));
    }
    found.map(|(weights, data)| (weights.into(), data.into()))
}

/// Idelbayev's ResNet-20 has 91.73 % on the test images of CIFAR-10.
#[test]
fn a_resnet20_trained_by_someone_else_reaches_its_accuracy() {
    let Some((weights, data)) = trained_elsewhere("resnet20") else {
        return;
    };
    let place = Place::new();
    let file = weights.join("resnet20.safetensors");
    let args = [
        "eval",
        "--data",
        "cifar10",
        "--mean",
        "0.485,0.456,0.406",
        "--std",
        "0.229,0.224,0.225",
        "--json",
        "--model",
        file.to_str().unwrap(),
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let found = place.json(&args);
    let accuracy = found["accuracy"].as_f64().unwrap();
    assert!((accuracy - 0.9173).abs() < 0.001, "{found}");
    assert_eq!(found["weights"]["missing"], serde_json::json!([]));
}
