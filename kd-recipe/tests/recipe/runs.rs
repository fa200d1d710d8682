//! Runs: begun, stopped, gone on with, reported; models made of parts.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kd_core::{
    ErrorKind, Metrics, Names, Observer, RunFolder, Snapshot, StepContext, export, read_tensors,
};
use kd_models::{Network, load_model};
use kd_recipe::{Machine, Methods, Outcome, PreparedRun, write_report};

use crate::twins::{Heard, RECIPE, Twins};

fn methods() -> Methods {
    Methods::new().with::<Twins>()
}

fn prepared(overrides: &[&str], machine: &Machine) -> kd_core::Result<PreparedRun> {
    let overrides: Vec<String> = overrides.iter().map(|&entry| entry.to_owned()).collect();
    methods()
        .read("twins.toml", RECIPE, &overrides)?
        .prepare(machine)
}

/// Runs to the end in a new folder.
fn run(overrides: &[&str], folder: &Path) -> Outcome {
    let run = prepared(overrides, &Machine::default()).unwrap();
    let folder = run.begin(folder).unwrap();
    run.run(&folder, &AtomicBool::new(false), &mut ()).unwrap()
}

#[test]
fn a_recipe_is_run_reported_and_its_models_are_made_of_parts() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("run");
    let heard = Arc::new(Heard::default());
    let machine = Machine::default().with_notices(Arc::clone(&heard));
    let run = prepared(&["seed=3"], &machine).unwrap();
    assert_eq!(
        (run.title(), run.extra_parameters()),
        ("lenet5-half".into(), 7)
    );
    let folder = run.begin(&path).unwrap();
    let outcome = run.run(&folder, &AtomicBool::new(false), &mut ()).unwrap();
    assert_eq!(Outcome::read(&path).unwrap(), Some(outcome.clone()));
    assert_eq!((outcome.epochs, outcome.extra_parameters), (2, 7));
    assert_eq!(heard.all(), ["the twins are alike"]);

    // The resolved recipe has its head first, and is read again as it is.
    let text = std::fs::read_to_string(path.join("recipe.toml")).unwrap();
    assert!(
        text.starts_with("method = \"twins\"\nseed = 3\ndevice = \"cpu\"\n"),
        "{text}"
    );
    let again = methods().read("recipe.toml", &text, &[]).unwrap();
    assert_eq!(again.resolved().unwrap(), text);

    // Both models come from one result: the first as a model folder, the second as its own writer has it.
    let both = folder.result("both", Snapshot::Last).unwrap();
    let (network, config) = load_model::<Network>(&path.join("model"), run.device()).unwrap();
    assert_eq!(config.provenance.accuracy, outcome.accuracy);
    let second = read_tensors(&path.join("second/second.safetensors")).unwrap();
    assert_eq!(second.len() * 2, both.len());
    for (name, tensor) in export(&network, Names::PyTorch) {
        assert_eq!(both[&format!("first/{name}")], tensor, "{name}");
        assert_eq!(both[&format!("second/{name}")], second[&name], "{name}");
    }
    let report = std::fs::read_to_string(path.join("report.md")).unwrap();
    for expected in [
        "## Twins\n\nThe second network is there: true.",
        "| method  | twins",
        "| networks ",
        "## Classes",
    ] {
        assert!(
            report.contains(expected),
            "{report}\ndoes not contain\n{expected}"
        );
    }
}

/// Turns the stop on after so many steps.
struct StopAfter<'a>(usize, &'a AtomicBool);

impl Observer for StopAfter<'_> {
    fn step_done(&mut self, _at: StepContext, _losses: Option<&Metrics>) {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 {
            self.1.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_run_stopped_and_gone_on_with_ends_in_the_same_models() {
    let place = tempfile::tempdir().unwrap();
    let (whole, parts) = (place.path().join("whole"), place.path().join("parts"));
    let warm = ["warm_up=true"];
    run(&warm, &whole);
    let first = prepared(&warm, &Machine::default()).unwrap();
    drop(first.begin(&parts).unwrap());
    for steps in [1, 3] {
        let folder = RunFolder::open(&parts).unwrap();
        let run = PreparedRun::reopen(&methods(), &folder, &Machine::default()).unwrap();
        let stop = AtomicBool::new(false);
        let error = run
            .run(&folder, &stop, &mut StopAfter(steps, &stop))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        // A report of what there is so far.
        drop(folder);
        write_report(&methods(), &parts, &Machine::default()).unwrap();
        let report = std::fs::read_to_string(parts.join("report.md")).unwrap();
        assert!(report.contains("The run is not done: "), "{report}");
        assert!(
            report.contains("The second network is there: false."),
            "{report}"
        );
    }
    let folder = RunFolder::open(&parts).unwrap();
    let run = PreparedRun::reopen(&methods(), &folder, &Machine::default()).unwrap();
    run.run(&folder, &AtomicBool::new(false), &mut ()).unwrap();
    kd_core::testing::same_run(&whole, &parts).unwrap();
}

#[test]
fn a_run_does_not_go_on_from_something_else() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("run");
    drop(
        prepared(&[], &Machine::default())
            .unwrap()
            .begin(&path)
            .unwrap(),
    );
    let recipe = std::fs::read_to_string(path.join("recipe.toml")).unwrap();
    let other = recipe.replace("per_class = 2", "per_class = 3");
    assert_ne!(recipe, other);
    std::fs::write(path.join("recipe.toml"), other).unwrap();
    let folder = RunFolder::open(&path).unwrap();
    let error = PreparedRun::reopen(&methods(), &folder, &Machine::default()).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("`data.per_class` was 2, is 3"), "{said}");
    // A recipe that nobody noted, as runs of before have it: what it reads differs.
    let inputs = path.join("inputs.json");
    let noted: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&inputs).unwrap()).unwrap();
    let mut older = noted.as_object().unwrap().clone();
    older.remove("recipe");
    older.remove("seal");
    std::fs::write(&inputs, serde_json::to_vec(&older).unwrap()).unwrap();
    let error = PreparedRun::reopen(&methods(), &folder, &Machine::default()).unwrap_err();
    let said = error.to_string();
    assert!(said.ends_with(
        "the training data has changed since the run was begun; restore it, or start a \
                            new run"
    ));
    drop(folder);
    // Its report says so, and has what the folder and the method tell.
    write_report(&methods(), &path, &Machine::default()).unwrap();
    let report = std::fs::read_to_string(path.join("report.md")).unwrap();
    assert!(
        report.contains("The network was not looked into, because: "),
        "{report}"
    );
    assert!(report.contains("## Twins"), "{report}");
}

#[test]
fn recipes_that_cannot_be_are_refused_in_words() {
    let error = |overrides: &[&str]| {
        let run = prepared(overrides, &Machine::default());
        run.unwrap_err().to_string()
    };
    for (entry, expected) in [
        (
            "method=twin",
            "unknown method `twin`; did you mean `twins`?; known: twins",
        ),
        (
            "warmup=true",
            "unknown key `warmup`; did you mean `warm_up`?; known: `method`, `seed`, `device`, \
                         `data`",
        ),
        ("train.lr=0", "`train.lr` must be finite and above 0, got 0"),
        ("student.name=lenet4", "unknown network `lenet4`"),
        (
            "train",
            "override `train`: there is no `=`; write it as `train.epochs=3`",
        ),
        ("device=gpu", "unknown device `gpu`"),
    ] {
        let said = error(&[entry]);
        assert!(
            said.contains(expected),
            "{said}\ndoes not contain\n{expected}"
        );
    }
    let unnamed = RECIPE.replace("method = \"twins\"\n", "");
    let said = methods()
        .read("r.toml", &unnamed, &[])
        .unwrap_err()
        .to_string();
    assert_eq!(said, "r.toml: `method` is missing; known: twins");
    let usual = methods().with_usual("twins");
    assert_eq!(
        usual.read("r.toml", &unnamed, &[]).unwrap().method(),
        "twins"
    );
}
