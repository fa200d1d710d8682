//! Whole processes with teacher caches: the same bytes as with the teachers themselves; killed and
//! interrupted while building.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::Place;

/// A residual network with batch norms, hints and attention, on a few real images.
const STUDENT: &str = r#"
method = "offline"

[data]
name = "fashion-mnist-mini"
per_class = 5
held_out = 0.02

[student]
name = "resnet8"

[[teachers]]
model = "teacher"

[[losses]]
kind = "cross-entropy"

[[losses]]
kind = "kd"

[[losses]]
kind = "hint"
student_tap = "layer2"

[[losses]]
kind = "attention-transfer"
student_taps = ["layer1", "layer3"]
weight = 50.0

[train]
epochs = 2
batch_size = 13
lr = 0.01
"#;

/// What a run leaves: the networks, and its log without its clock.
fn ending(place: &Place, run: &str) -> (Vec<u8>, Vec<u8>, Vec<String>) {
    let log = place.text(&format!("{run}/metrics.jsonl"));
    let log = log
        .lines()
        .map(|line| line.split(",\"seconds\"").next().unwrap().to_owned());
    let model = |folder: &str| place.read(&format!("{run}/{folder}/model.safetensors"));
    (model("model"), model("model-best"), log.collect())
}

/// A folder with a teacher of two epochs.
fn place() -> Place {
    let place = Place::new();
    std::fs::write(place.path("resnet.toml"), STUDENT).unwrap();
    let teacher = STUDENT
        .split("[student]")
        .next()
        .unwrap()
        .replace("offline", "train");
    let train = "[network]\nname = \"resnet8\"\n[train]\nepochs = 2\nbatch_size = 13\n";
    std::fs::write(
        place.path("resnet-teacher.toml"),
        format!("{teacher}{train}"),
    )
    .unwrap();
    place.json(&["train", "resnet-teacher.toml", "--out", "teacher", "--json"]);
    place
}

fn caches(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_cached_run_is_the_live_run_byte_for_byte() {
    let place = place();
    for (name, views) in [
        ("one", vec![]),
        (
            "bank",
            vec![
                "--set",
                "data.views=2",
                "--set",
                "data.augment={ crop_padding = 2, flip = 0.5 }",
            ],
        ),
    ] {
        let run = |out: &str, cache: &[&str], seed: &str| {
            let mut args = vec![
                "distill",
                "resnet.toml",
                "--out",
                out,
                "--json",
                "--seed",
                seed,
            ];
            args.extend(&views);
            args.extend(cache);
            place.json(&args);
            ending(&place, out)
        };
        let live = run(&format!("{name}-live"), &[], "3");
        let cache = ["--set", "cache.dir=caches"];
        let first = run(&format!("{name}-first"), &cache, "3");
        assert!(live == first, "{name}: {:?}, {:?}", live.2, first.2);
        let there = caches(&place.path("caches")).len();
        let again = run(&format!("{name}-again"), &cache, "3");
        assert!(live == again, "{name}");
        // Another seed reads the same files, and is another run.
        let other = run(&format!("{name}-other"), &cache, "4");
        assert!(other != live, "{name}");
        assert!(
            other == run(&format!("{name}-other-live"), &[], "4"),
            "{name}"
        );
        assert_eq!(caches(&place.path("caches")).len(), there, "{name}");
    }
    // Two of the training data, one of what is held out.
    assert_eq!(caches(&place.path("caches")).len(), 3);
}

#[test]
fn building_that_was_killed_goes_on_and_gives_the_same_file() {
    let place = place();
    // Some seconds of work: 1,000 samples.
    let build = |out: &'static str| {
        vec![
            "cache",
            "build",
            "resnet.toml",
            "--out",
            out,
            "--json",
            "--set",
            "data.per_class=100",
        ]
    };
    let whole = place.json(&build("whole"));
    let partial = place.path("parts.partial");
    let header = 2_000;
    for share in [5, 2] {
        let mut running = place.spawn(&build("parts"));
        let enough = whole["caches"][0]["bytes"].as_u64().unwrap() / share;
        let began = Instant::now();
        while std::fs::metadata(&partial).map_or(0, |file| file.len()) < enough.max(header) {
            assert!(
                running.is_running(),
                "it was done before it could be killed"
            );
            assert!(began.elapsed() < Duration::from_mins(2), "nothing is built");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(running.kill().code, None);
        assert!(!place.path("parts").exists());
    }
    let done = place.json(&["cache", "info", "parts.partial", "--json"]);
    assert!(done["rows_there"].as_u64().unwrap() >= 400, "{done}");
    place.json(&build("parts"));
    assert!(place.read("parts") == place.read("whole"));
    assert!(!partial.exists());
}

#[test]
fn a_run_that_was_interrupted_while_building_goes_on_with_resume() {
    let place = place();
    let run = |out: &'static str, verb: &'static str| {
        let mut args = vec![verb];
        if verb == "distill" {
            args.extend([
                "resnet.toml",
                "--out",
                out,
                "--set",
                "data.per_class=60",
                "--set",
                "cache.dir=caches",
                "--set",
                "train.epochs=1",
                "--set",
                "train.batch_size=12",
            ]);
        } else {
            args.push(out);
        }
        args.push("--json");
        args
    };
    let mut running = place.spawn(&run("run", "distill"));
    let began = Instant::now();
    let length = || {
        let partial = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "partial");
        let path = caches(&place.path("caches")).into_iter().find(partial);
        path.and_then(|path| Some(std::fs::metadata(path).ok()?.len()))
            .unwrap_or(0)
    };
    while length() < 1_000_000 {
        assert!(running.is_running() && began.elapsed() < Duration::from_mins(2));
        std::thread::sleep(Duration::from_millis(1));
    }
    let stopped = running.interrupt();
    assert_eq!(stopped.code, Some(130), "{}", stopped.stderr);
    assert!(
        stopped
            .stderr
            .contains("\"interrupted at step 0 of phase `distill`; go on with `kd resume run`\""),
        "{}",
        stopped.stderr
    );
    place.json(&run("run", "resume"));
    place.json(&run("other", "distill"));
    assert!(ending(&place, "run") == ending(&place, "other"));
}
