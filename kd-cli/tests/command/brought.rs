//! Things that people bring: uneven folders, odd batches, other classes, damaged weights, edited recipes.

use std::path::Path;

use burn::tensor::{Device, TensorData};
use kd_core::{Names, export, write_tensors};
use kd_models::{Network, NetworkSpec};
use serde_json::Value;

use crate::support::Place;

const TRAIN: &str = r#"
method = "train"

[data]
name = "folder"
path = "photos"
size = 32

[network]
name = "lenet5-half"

[train]
epochs = 1
batch_size = 8
"#;

/// A place with a folder `photos`: so many images of each class to train on and to test on.
fn place(classes: &[(&str, usize, usize)]) -> Place {
    let place = Place::new();
    let shapes =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd/data-folder.in/shapes/train");
    for (index, &(class, train, test)) in classes.iter().enumerate() {
        let from = shapes.join(["circle", "square"][index % 2]);
        for (split, count) in [("train", train), ("test", test)] {
            let to = place.path("photos").join(split).join(class);
            if count > 0 {
                std::fs::create_dir_all(&to).unwrap();
            }
            for number in 0..count {
                let (file, source) = (format!("{number:03}.png"), [0, 3, 4, 5][number % 4]);
                std::fs::copy(from.join(format!("{source}.png")), to.join(file)).unwrap();
            }
        }
    }
    std::fs::write(place.path("train.toml"), TRAIN).unwrap();
    place
}

fn warnings(place: &Place, more: &[&str]) -> Vec<String> {
    let found = place.json(&[&["check", "train.toml", "--json"], more].concat());
    let all = found["findings"].as_array().unwrap().iter();
    let text = |one: &Value| one["text"].as_str().unwrap().to_owned();
    all.filter(|one| one["grade"] == "warning")
        .map(text)
        .collect()
}

#[test]
fn what_is_left_out_of_a_folder_is_said_everywhere() {
    let place = place(&[("cat", 8, 2), ("dog", 8, 2)]);
    let dog = place.path("photos/train/dog");
    for number in 1..8 {
        std::fs::rename(
            dog.join(format!("00{number}.png")),
            dog.join(format!("00{number}.xyz")),
        )
        .unwrap();
    }
    std::fs::create_dir(dog.join("more")).unwrap();
    let said = "8 entries of the folder were left out";
    let warned = warnings(&place, &[]);
    assert!(
        warned.iter().any(|text| text.starts_with(said)),
        "{warned:?}"
    );
    let (_, stderr) = place.done(&["train", "train.toml", "--out", "run"]);
    assert!(stderr.contains(&format!("note: {said}")), "{stderr}");
    assert!(stderr.contains("train/dog/001.xyz"), "{stderr}");
    assert!(place.text("run/report.md").contains(said));
}

#[test]
fn a_last_batch_of_one_is_spread_and_said() {
    let place = place(&[("cat", 17, 2), ("dog", 16, 2)]);
    let said = "33 samples in batches of 8 would leave a last batch of 1";
    let warned = warnings(&place, &[]);
    assert!(
        warned.iter().any(|text| text.starts_with(said)),
        "{warned:?}"
    );
    let (_, stderr) = place.done(&["train", "train.toml", "--out", "spread"]);
    assert!(stderr.contains(&format!("note: {said}")), "{stderr}");
    let drop = ["--set", "train.drop_last=true"];
    assert_eq!(warnings(&place, &drop), Vec::<String>::new());
    let (_, stderr) = place.done(&[
        "train",
        "train.toml",
        "--out",
        "dropped",
        "--progress",
        "none",
        drop[0],
        drop[1],
    ]);
    assert_eq!(stderr, "");
    let steps = |run: &str| -> Value {
        serde_json::from_str(
            place
                .text(&format!("{run}/metrics.jsonl"))
                .lines()
                .next()
                .unwrap(),
        )
        .unwrap()
    };
    assert_eq!(
        (&steps("spread")["step"], &steps("dropped")["step"]),
        (&5.into(), &4.into())
    );
}

#[test]
fn images_to_test_on_may_lack_a_class_or_be_all_there_is() {
    let place = place(&[("cat", 6, 3), ("dog", 6, 2), ("fox", 6, 3)]);
    place.done(&["train", "train.toml", "--out", "run"]);
    let eval = |more: &[&str]| {
        let args = [
            "eval", "--model", "run", "--data", "folder", "--path", "photos",
        ];
        place.run(&[&args, more].concat())
    };
    std::fs::remove_dir_all(place.path("photos/test/dog")).unwrap();
    let lacks = eval(&["--json"]);
    let said = "1 of the 3 classes have no image here, nothing is measured on them: `dog`";
    assert!(lacks.stderr.contains(said), "{}", lacks.stderr);
    let found: Value = serde_json::from_str(lacks.stdout.trim()).unwrap();
    assert_eq!(
        (&found["count"], &found["class_accuracy"][1]),
        (&6.into(), &Value::Null)
    );
    let held_out = [
        "train",
        "train.toml",
        "--out",
        "held-out",
        "--set",
        "data.held_out=0.25",
    ];
    place.done(&held_out);

    // New data alone, below `test` or directly in the folder, and of no class of the model.
    std::fs::remove_dir_all(place.path("photos/train")).unwrap();
    assert_eq!(eval(&["--json"]).stdout, lacks.stdout);
    std::fs::rename(place.path("photos/test"), place.path("new")).unwrap();
    std::fs::remove_dir_all(place.path("photos")).unwrap();
    std::fs::rename(place.path("new"), place.path("photos")).unwrap();
    assert_eq!(eval(&["--json"]).stdout, lacks.stdout);
    std::fs::rename(place.path("photos/cat"), place.path("photos/bird")).unwrap();
    let refused = eval(&[]);
    assert_eq!(refused.code, Some(3));
    assert!(
        refused
            .stderr
            .contains("`photos/bird` is no class of the model"),
        "{}",
        refused.stderr
    );
}

#[test]
fn uneven_classes_are_weighed_or_drawn_equally_and_told_apart() {
    let place = place(&[("common", 44, 9), ("rare", 4, 2)]);
    let check = place.run(&["check", "train.toml", "--brief"]);
    for remedy in [
        "train.class_weights = \"balanced\"",
        "train.balanced = true",
    ] {
        assert!(check.stdout.contains(remedy), "{}", check.stdout);
    }
    let mut logs = Vec::new();
    for (out, set) in [
        ("plain", "seed=0"),
        ("weighed", "train.class_weights=balanced"),
        ("given", "train.class_weights=[1,11]"),
        ("drawn", "train.balanced=true"),
    ] {
        place.done(&["train", "train.toml", "--out", out, "--set", set]);
        let log = place.text(&format!("{out}/metrics.jsonl"));
        logs.push(log.split("\"seconds\"").next().unwrap().to_owned());
    }
    // Balanced weights of 44 and 4 samples are as 1 to 11.
    let loss = |log: &str| {
        let log: Value = serde_json::from_str(&format!("{log}\"x\":0}}")).unwrap();
        log["train"]["cross_entropy"].as_f64().unwrap()
    };
    assert!((loss(&logs[1]) - loss(&logs[2])).abs() < 1e-5, "{logs:?}");
    for other in [1, 3] {
        assert!(
            (loss(&logs[0]) - loss(&logs[other])).abs() > 1e-5,
            "{logs:?}"
        );
    }
    let eval = [
        "eval", "--model", "plain", "--data", "folder", "--path", "photos",
    ];
    let (stdout, _) = place.done(&eval);
    assert!(stdout.contains("balanced accuracy"), "{stdout}");
    assert!(stdout.contains("\n  rare "), "{stdout}");
    assert!(!stdout.contains("top-k"), "{stdout}");
    assert!(place.text("plain/report.md").contains("Balanced accuracy"));

    let wrong = place.run(&["train", "train.toml", "--set", "train.class_weights=[1]"]);
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong
            .stderr
            .contains("`train.class_weights` must be one number a class, 2, got 1"),
        "{}",
        wrong.stderr
    );
}

/// A weight file of a network for `classes`, changed by `change`.
fn weights(place: &Place, name: &str, classes: usize, change: impl Fn(&mut [f32])) {
    let spec = NetworkSpec::new("lenet5-half", classes, [3, 32, 32]);
    let network = Network::build(&spec, 1, &Device::flex()).unwrap();
    let mut tensors = export(&network, Names::PyTorch);
    let bias = tensors.get_mut("conv1.bias").unwrap();
    let mut values = bias.try_to_vec::<f32>().unwrap();
    change(&mut values);
    *bias = TensorData::new(values, bias.shape());
    write_tensors(&place.path(name), &tensors).unwrap();
}

const DISTIL: &str = r#"
method = "offline"

[data]
name = "folder"
path = "photos"
size = 32

[student]
name = "lenet5-half"

[[teachers]]
weights = "teacher.safetensors"
network = "lenet5-half"
normalisation = { mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5] }

[[losses]]
kind = "cross-entropy"

[[losses]]
kind = "attention-transfer"
student_taps = ["conv1", "conv2"]

[train]
epochs = 1
batch_size = 8
"#;

#[test]
fn a_teacher_of_other_classes_serves_losses_that_read_no_logits() {
    let place = place(&[("cat", 8, 2), ("dog", 8, 2)]);
    weights(&place, "teacher.safetensors", 7, |_| {});
    std::fs::write(place.path("distil.toml"), DISTIL).unwrap();
    let found = place.json(&["check", "distil.toml", "--json"]);
    let texts = found["findings"].to_string();
    assert!(
        texts.contains("tells 7 other classes apart, and no loss reads its logits"),
        "{texts}"
    );
    assert!(!texts.contains("\"error\""), "{texts}");
    place.done(&["distill", "distil.toml", "--out", "run"]);
    assert!(!place.text("run/metrics.jsonl").contains("agreement"));
    // The same teacher in a folder of its own.
    let import = [
        "import",
        "teacher.safetensors",
        "--input",
        "3,32,32",
        "--mean",
        "0,0,0",
        "--std",
        "1,1,1",
        "--out",
        "teacher",
        "--network",
        "lenet5-half",
    ];
    place.done(&import);
    let text = DISTIL.split("[[teachers]]").collect::<Vec<_>>();
    let rest = text[1]
        .split("[[losses]]")
        .skip(1)
        .collect::<Vec<_>>()
        .join("[[losses]]");
    let in_folder = format!(
        "{}[[teachers]]\nmodel = \"teacher\"\n\n[[losses]]{rest}",
        text[0]
    );
    std::fs::write(place.path("folder.toml"), &in_folder).unwrap();
    place.done(&["distill", "folder.toml", "--out", "folder"]);
    // With a loss of logits it is refused.
    let logits = format!("{in_folder}\n[[losses]]\nkind = \"kd\"\n");
    std::fs::write(place.path("logits.toml"), logits).unwrap();
    let refused = place.run(&["distill", "logits.toml"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("expected 2 classes")
            && refused.stderr.contains("losses of features alone"),
        "{}",
        refused.stderr
    );
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let place = place(&[("cat", 8, 2), ("dog", 8, 2)]);
    for (name, bad) in [("nan", f32::NAN), ("infinite", f32::INFINITY)] {
        let file = format!("{name}.safetensors");
        weights(&place, &file, 2, |values| values[0] = bad);
        let import = [
            "import",
            &file,
            "--input",
            "3,32,32",
            "--mean",
            "0,0,0",
            "--std",
            "1,1,1",
            "--out",
            name,
            "--network",
            "lenet5-half",
        ];
        let (_, stderr) = place.done(&import);
        assert!(
            stderr.starts_with("warning: 1 of 10 tensors have numbers that are not finite"),
            "{stderr}"
        );
        let eval = place.run(&[
            "eval", "--model", name, "--data", "folder", "--path", "photos",
        ]);
        assert_eq!(eval.code, Some(4), "{}", eval.stderr);
        assert!(
            eval.stderr
                .contains("has weights that are not finite, in `conv1.bias`"),
            "{}",
            eval.stderr
        );
        std::fs::copy(place.path(&file), place.path("teacher.safetensors")).unwrap();
        std::fs::write(place.path("distil.toml"), DISTIL).unwrap();
        let distil = place.run(&["distill", "distil.toml"]);
        assert_eq!(distil.code, Some(4), "{}", distil.stderr);
        assert!(
            distil.stderr.starts_with(
                "error: teacher `teacher.safetensors` has weights that are not finite"
            ),
            "{}",
            distil.stderr
        );
    }
}

#[test]
fn an_edited_recipe_is_noticed_and_a_run_can_be_made_longer() {
    let place = Place::new();
    let train = |out: &'static str, epochs: &'static str| {
        [
            "train",
            "teacher.toml",
            "--out",
            out,
            "--set",
            epochs,
            "--set",
            "train.schedule={kind=\"constant\"}",
        ]
    };
    place.done(&train("whole", "train.epochs=3"));
    place.done(&train("run", "train.epochs=2"));
    // Edited, done or not: refused with the setting by name.
    let recipe = place.text("run/recipe.toml");
    let edited = recipe.replace("lr = 0.003", "lr = 0.3");
    assert_ne!(edited, recipe);
    std::fs::write(place.path("run/recipe.toml"), edited).unwrap();
    let refused = place.run(&["resume", "run"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(
        refused.stderr.contains("`train.lr` was 0.003, is 0.3"),
        "{}",
        refused.stderr
    );
    // What can be changed under way is offered, what cannot is not.
    assert!(!refused.stderr.contains("--set"), "{}", refused.stderr);
    let longer = recipe.replace("epochs = 2", "epochs = 3");
    assert_ne!(longer, recipe);
    std::fs::write(place.path("run/recipe.toml"), longer).unwrap();
    let refused = place.run(&["resume", "run"]);
    assert!(
        refused.stderr.contains("kd resume RUN --set"),
        "{}",
        refused.stderr
    );
    std::fs::write(place.path("run/recipe.toml"), &recipe).unwrap();
    // What makes no sense under way is refused; longer training goes on as if it had been asked for at first.
    for (set, said) in [
        (
            "train.lr=0.5",
            "`train.lr` cannot be changed in a run that was begun",
        ),
        ("train.epochs=1", "`train.epochs` is 1, and 2 are done"),
    ] {
        let refused = place.run(&["resume", "run", "--set", set]);
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    place.done(&["resume", "run", "--set", "train.epochs=3"]);
    assert_eq!(
        place.read("run/model/model.safetensors"),
        place.read("whole/model/model.safetensors")
    );
    assert_eq!(
        place.text("run/recipe.toml"),
        place.text("whole/recipe.toml")
    );
    assert!(
        place
            .text("run/report.md")
            .contains("`train.epochs=3` from epoch 3")
    );
    // It is done, and its report is written again where it is missing.
    std::fs::remove_file(place.path("run/report.md")).unwrap();
    std::fs::write(place.path("run/.writing-abc"), "left").unwrap();
    std::fs::write(place.path("run/checkpoint-0-7.safetensors"), "left").unwrap();
    place.done(&["resume", "run"]);
    assert!(
        place
            .text("run/report.md")
            .contains("`train.epochs=3` from epoch 3")
    );
    assert!(!place.path("run/.writing-abc").exists());
    assert!(!place.path("run/checkpoint-0-7.safetensors").exists());
}

#[test]
fn each_image_has_its_answer_in_three_forms() {
    let place = place(&[("cat", 6, 3), ("dog", 6, 2), ("fox", 6, 3)]);
    place.done(&["train", "train.toml", "--out", "run"]);
    std::fs::copy(
        place.path("photos/test/cat/000.png"),
        place.path("alone,1.png"),
    )
    .unwrap();
    let predict = |more: &[&str]| place.done(&[&["predict", "run"], more].concat()).0;
    let both = ["photos/test", "alone,1.png", "--teacher", "run"];
    let table = predict(&both);
    assert_eq!(table.lines().count(), 2 + 9 + 1, "{table}");
    assert!(
        table.contains("photos/test/dog/001.png") && table.contains("teacher"),
        "{table}"
    );
    assert!(
        table
            .lines()
            .last()
            .unwrap()
            .contains("of 8 with a label are right"),
        "{table}"
    );

    let lines = predict(&[&both[..], &["--format", "jsonl", "--top", "2"]].concat());
    let objects: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects.len(), 9);
    for object in &objects {
        let shares: Vec<f64> = object["probabilities"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p.as_f64().unwrap())
            .collect();
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let answer = usize::try_from(object["answer"].as_u64().unwrap()).unwrap();
        assert!(shares.iter().all(|share| *share <= shares[answer]));
        assert_eq!(object["top"].as_array().unwrap().len(), 2);
        assert_eq!(object["teacher"]["probabilities"], object["probabilities"]);
    }
    assert_eq!(
        (&objects[3]["label"], &objects[3]["label_name"]),
        (&1.into(), &"dog".into())
    );
    assert_eq!(objects[8].get("label"), None);
    assert_eq!(objects[8]["probabilities"], objects[0]["probabilities"]);

    let csv = predict(&[&both[..2], &["--format", "csv"]].concat());
    let mut rows = csv.lines();
    assert_eq!(
        rows.next(),
        Some("image,label,answer,probability,p cat,p dog,p fox")
    );
    assert!(
        rows.next_back().unwrap().starts_with("\"alone,1.png\",,"),
        "{csv}"
    );
    // The answers are those that an evaluation counts.
    let eval = [
        "eval", "--model", "run", "--data", "folder", "--path", "photos", "--json",
    ];
    let right = objects
        .iter()
        .filter(|object| object.get("label") == Some(&object["answer"]))
        .count();
    let accuracy = place.json(&eval)["accuracy"].as_f64().unwrap();
    assert!((accuracy * 8.0 - right as f64).abs() < 1e-9);
    for (images, said) in [
        ("nowhere", "`nowhere` is not there"),
        ("train.toml", "this is no PNG"),
    ] {
        let refused = place.run(&["predict", "run", images]);
        assert_eq!(refused.code, Some(3), "{}", refused.stderr);
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
}

/// Names of others never steer a terminal; a full standard output is an error, a closed one is none.
#[cfg(target_os = "linux")]
#[test]
fn names_are_shown_safely_and_a_full_output_is_an_error() {
    let place = place(&[("cat", 6, 3), ("dog\u{1b}[31m", 6, 2)]);
    let info = ["data", "info", "folder", "--path", "photos", "--size", "32"];
    let (stdout, _) = place.done(&info);
    assert!(
        stdout.contains("dog\\u{1b}[31m") && !stdout.contains('\u{1b}'),
        "{stdout}"
    );
    place.done(&["train", "train.toml", "--out", "run"]);
    assert!(!place.text("run/report.md").contains('\u{1b}'));
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = place.command(&info).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("error: cannot write `standard output`: No space left"),
        "{said}"
    );
    let mut child = place.command(&info).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
