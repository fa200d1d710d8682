//! Whole processes: killed, interrupted, resumed, on one thread or two.

use std::sync::OnceLock;

use crate::support::Place;

const MODEL: &str = "model/model.safetensors";
const BEST: &str = "model-best/model.safetensors";

/// A few seconds of work: 50 steps an epoch, a checkpoint every 4th.
const LONGER: [&str; 6] = [
    "--set",
    "data.per_class=160",
    "--set",
    "train.epochs=3",
    "--set",
    "train.checkpoint_every=4",
];

/// What must be the same however a run came to its end.
#[derive(Debug, PartialEq)]
struct Ending {
    model: Vec<u8>,
    best: Vec<u8>,
    log: Vec<String>,
}

impl Ending {
    fn of(place: &Place, run: &str) -> Self {
        // The log without its clock.
        let log = place.text(&format!("{run}/metrics.jsonl"));
        let log = log
            .lines()
            .map(|line| line.split(",\"seconds\"").next().unwrap().to_owned());
        Self {
            model: place.read(&format!("{run}/{MODEL}")),
            best: place.read(&format!("{run}/{BEST}")),
            log: log.collect(),
        }
    }
}

fn train<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["train", "teacher.toml", "--out", out, "--json"];
    args.extend(LONGER);
    args.extend(more);
    args
}

/// The run that nobody disturbed.
fn undisturbed() -> &'static Ending {
    static ENDING: OnceLock<Ending> = OnceLock::new();
    ENDING.get_or_init(|| {
        let place = Place::new();
        let outcome = place.json(&train("run", &["--threads", "2"]));
        assert_eq!(outcome["epochs"], 3);
        let ending = Ending::of(&place, "run");
        assert_eq!(ending.log.len(), 3);
        ending
    })
}

#[test]
fn a_run_killed_at_three_moments_ends_in_the_same_bytes() {
    let place = Place::new();
    let mut args = train("run", &[]);
    // In the first epoch, around the end of the second, and near the end of all.
    for (step, milliseconds) in [(8, 3), (96, 11), (124, 7)] {
        let mut running = place.spawn(&args);
        running.wait_for_step(&place.path("run"), step);
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        let killed = running.kill();
        assert_eq!(killed.code, None, "it was done before it could be killed");
        args = vec!["resume", "run", "--json"];
    }
    let outcome = place.json(&args);
    assert_eq!(outcome["epochs"], 3);
    assert!(Ending::of(&place, "run") == *undisturbed());
}

#[test]
#[cfg(unix)]
fn an_interrupted_run_says_how_to_go_on_and_ends_in_the_same_bytes() {
    let place = Place::new();
    let mut running = place.spawn(&train("run", &[]));
    running.wait_for_step(&place.path("run"), 56);
    let said = running.interrupt();
    assert_eq!(said.code, Some(130), "{said:?}");
    assert_eq!(said.stdout, "");
    let lines: Vec<&str> = said.stderr.lines().collect();
    let [first, second] = lines[..] else {
        panic!("{}", said.stderr)
    };
    assert_eq!(
        first,
        "finishing the step and writing a checkpoint; press Ctrl-C again to stop at once"
    );
    // What ends in an object has its error as one.
    assert!(
        second.starts_with("{\"error\":\"interrupted at step ")
            && second.contains(" of phase `distill`; go on with `kd resume run`\"")
            && second.ends_with("\"kind\":\"interrupted\",\"exit_code\":130}"),
        "{second}"
    );
    place.json(&["resume", "run", "--json"]);
    assert!(Ending::of(&place, "run") == *undisturbed());
}

#[test]
fn one_thread_gives_the_bytes_of_two() {
    let place = Place::new();
    place.json(&train("run", &["--threads", "1"]));
    assert!(Ending::of(&place, "run") == *undisturbed());
}

#[test]
fn one_thread_gives_the_bytes_of_two_for_a_residual_network() {
    let place = Place::new();
    let recipe = r#"
        method = "train"
        [data]
        name = "fashion-mnist-mini"
        per_class = 8
        held_out = 0.02
        views = "unlimited"
        augment = { crop_padding = 2, flip = 0.5, rotate_degrees = 10.0 }
        [network]
        name = "resnet8"
        [train]
        epochs = 1
        batch_size = 16
    "#;
    std::fs::write(place.path("resnet.toml"), recipe).unwrap();
    let ending = |out: &str, threads: &str| {
        place.json(&[
            "train",
            "resnet.toml",
            "--out",
            out,
            "--threads",
            threads,
            "--json",
        ]);
        Ending::of(&place, out)
    };
    assert!(ending("one", "1") == ending("two", "2"));
}

#[test]
fn the_seed_decides_the_bytes() {
    let place = Place::new();
    place.json(&["train", "teacher.toml", "--out", "teacher", "--json"]);
    let ending = |out: &str, seed: &str| {
        place.json(&[
            "distill",
            "student.toml",
            "--out",
            out,
            "--seed",
            seed,
            "--json",
        ]);
        Ending::of(&place, out)
    };
    let first = ending("a", "5");
    assert!(first == ending("b", "5"));
    assert!(first.model != ending("c", "6").model);
}

#[test]
#[cfg(unix)]
fn a_run_does_not_go_on_with_another_teacher() {
    let place = Place::new();
    place.json(&["train", "teacher.toml", "--out", "teacher", "--json"]);
    place.json(&[
        "train",
        "teacher.toml",
        "--out",
        "other",
        "--seed",
        "1",
        "--json",
    ]);
    let longer = [
        "--set",
        "train.epochs=40",
        "--set",
        "train.checkpoint_every=1",
    ];
    let distill = [&["distill", "student.toml", "--out", "run"][..], &longer].concat();
    let mut running = place.spawn(&distill);
    running.wait_for_step(&place.path("run"), 3);
    assert_eq!(running.interrupt().code, Some(130));

    let weights = "teacher/model/model.safetensors";
    let own = place.read(weights);
    std::fs::write(place.path(weights), place.read(&format!("other/{MODEL}"))).unwrap();
    let said = place.run(&["resume", "run"]);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (
            Some(1),
            "error: run folder `run`: teacher 0 has changed since the run was begun; restore it, or start a \
             new run\n"
        )
    );
    // Restored, it goes on.
    std::fs::write(place.path(weights), own).unwrap();
    place.json(&["resume", "run", "--json"]);
}

#[test]
fn a_run_folder_is_one_process_s_at_a_time() {
    let place = Place::new();
    let mut running = place.spawn(&train("run", &[]));
    running.wait_for_step(&place.path("run"), 4);
    for args in [&["resume", "run"][..], &train("run", &[])] {
        let said = place.run(args);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(
            said.stderr.contains("run folder `run`: is in use")
                || said.stderr.contains("run folder `run`: is not empty"),
            "{}",
            said.stderr
        );
    }
    // It was not disturbed by that.
    assert_eq!(running.end().code, Some(0));
    assert!(Ending::of(&place, "run") == *undisturbed());
}

#[test]
#[cfg(unix)]
fn an_interrupted_demo_goes_on_as_a_whole() {
    let place = Place::new();
    let mut running = place.spawn(&["demo", "--epochs", "1", "--out", "demo", "--json"]);
    // Into the second part.
    running.wait_for_step(&place.path("demo/teacher"), u64::MAX);
    let said = running.interrupt();
    assert_eq!(said.code, Some(130), "{said:?}");
    assert!(
        said.stderr.contains("go on with `kd resume demo`\""),
        "{}",
        said.stderr
    );
    let object = place.json(&["resume", "demo", "--json"]);
    assert_eq!(object["run"], "demo");
}
