//! Recipes: run, checked, reported, refused.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use kd_compact::{CompactRecipe, TRAIN_PHASE};
use kd_core::{Grade, Names, Normalisation, RunFolder, Snapshot, export};
use kd_models::{CONFIG_FILE, ModelConfig, Network, NetworkSpec, load_model, save_model};
use kd_recipe::{Check, Machine, Methods};

const RECIPE: &str = r#"
method = "compact"
device = "cpu"

[data]
name = "fashion-mnist-mini"
per_class = 2
held_out = 0.02

[network]
model = "NETWORK"

[budget]
macs = 0.5

[compact]
recalibrate = 2

[sparsify]
epochs = 1
batch_size = 10

[train]
epochs = 1
batch_size = 10
"#;

fn methods() -> Methods {
    Methods::new().with::<CompactRecipe>()
}

/// Writes a network into a folder of `place`, and gives the recipe for it.
fn recipe(place: &Path, name: &str) -> String {
    let folder = place.join(name);
    let spec = NetworkSpec::new(name, 10, [1, 28, 28]);
    let network = Network::build(&spec, 1, &Device::flex()).unwrap();
    let config = ModelConfig::new(spec, Normalisation::identity(1));
    save_model(&folder, &network, &config).unwrap();
    RECIPE.replace("NETWORK", folder.to_str().unwrap())
}

fn run(text: &str, path: &Path) -> kd_core::Result<()> {
    let recipe = methods().read("recipe.toml", text, &[])?;
    let run = recipe.prepare(&Machine::default())?;
    let folder = run.begin(path)?;
    run.run(&folder, &AtomicBool::new(false), &mut ()).map(drop)
}

fn check(text: &str, overrides: &[&str]) -> Check {
    let overrides: Vec<String> = overrides.iter().map(|&entry| entry.to_owned()).collect();
    let mut recipe = methods().read("recipe.toml", text, &overrides).unwrap();
    recipe.check(&Machine::default()).unwrap()
}

fn findings(text: &str, overrides: &[&str], grade: Grade) -> String {
    let found = check(text, overrides).findings.into_iter();
    let found = found.filter(|finding| finding.grade == grade);
    found
        .map(|finding| finding.text)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The error of reading or preparing the recipe with something put over it.
fn refused(text: &str, overrides: &[&str]) -> String {
    let overrides: Vec<String> = overrides.iter().map(|&entry| entry.to_owned()).collect();
    let prepared = methods()
        .read("recipe.toml", text, &overrides)
        .and_then(|recipe| recipe.prepare(&Machine::default()));
    prepared.map(drop).unwrap_err().to_string()
}

#[test]
fn a_run_leaves_an_ordinary_network_whose_structure_is_in_its_folder() {
    let place = tempfile::tempdir().unwrap();
    let text = recipe(place.path(), "mobilenetv2-mini-strided");
    let path = place.path().join("run");
    run(&text, &path).unwrap();
    let model = path.join("model");
    let (network, config) = load_model::<Network>(&model, &Device::flex()).unwrap();
    let folder = RunFolder::open(&path).unwrap();
    let result = folder.result(TRAIN_PHASE, Snapshot::Last).unwrap();
    assert_eq!(export(&network, Names::PyTorch), result);
    drop(folder);
    assert_eq!(config.network.name, "mobilenetv2-mini-strided-compact");
    let written = std::fs::read_to_string(model.join(CONFIG_FILE)).unwrap();
    assert!(
        written.contains("\"family\": \"mobilenet-v2-paper\""),
        "{written}"
    );
    let costs = |spec: &NetworkSpec| spec.costs(&Device::flex()).unwrap().macs();
    let whole = NetworkSpec::new("mobilenetv2-mini-strided", 10, [1, 28, 28]);
    let share = costs(&config.network) as f64 / costs(&whole) as f64;
    assert!(share <= 0.5 && share > 0.48, "{share}");
    let report = std::fs::read_to_string(path.join("report.md")).unwrap();
    for part in [
        "## The cut",
        "## Channels",
        "## Scores",
        "features.1.conv.0.0",
        "masked",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }

    // What was cut is cut again, by another criterion, and learns from itself as it was.
    let of_cut = text.replace(
        place
            .path()
            .join("mobilenetv2-mini-strided")
            .to_str()
            .unwrap(),
        path.to_str().unwrap(),
    );
    let of_cut = of_cut.replace("[compact]", "[compact]\ncriterion = \"l1\"");
    let second = place.path().join("second");
    run(&of_cut, &second).unwrap();
    let (_, config) = load_model::<Network>(&second.join("model"), &Device::flex()).unwrap();
    assert_eq!(config.network.name, "mobilenetv2-mini-strided-compact");
}

#[test]
fn a_check_shows_the_floor_of_each_block_and_what_is_fixed() {
    let place = tempfile::tempdir().unwrap();
    let text = recipe(place.path(), "resnet8");
    let found = check(&text, &[]);
    let rows = format!("{:?}", found.sections);
    for part in ["no less than", "layer3", "head", "all"] {
        assert!(rows.contains(part), "{part}: {rows}");
    }
    let notes = findings(&text, &[], Grade::Note);
    assert!(
        notes.contains("10 channels of `linear` stay as they are: the classes"),
        "{notes}"
    );
    assert!(
        notes.contains("sparse training has a strength of"),
        "{notes}"
    );
    let errors = findings(&text, &["budget.macs=0.0001"], Grade::Error);
    assert!(errors.contains("no less than"), "{errors}");
    let errors = findings(&text, &["network.model=\"nowhere\""], Grade::Error);
    assert!(errors.contains("nowhere"), "{errors}");
    // Milliseconds are measured on the spot.
    let slow = ["budget.milliseconds=1000000", "budget.batch=2"];
    let notes = findings(&text, &slow, Grade::Note);
    assert!(
        notes.contains("an answer for a batch of 2 takes"),
        "{notes}"
    );
    let errors = findings(&text, &slow, Grade::Error);
    assert!(errors.contains("nothing is to be cut"), "{errors}");
}

#[test]
fn what_cannot_work_is_said_before_training() {
    let place = tempfile::tempdir().unwrap();
    let text = recipe(place.path(), "resnet8");
    for (entry, expected) in [
        ("budget.macs=1.0", "nothing is to be cut"),
        ("budget.macs=\"20X\"", "must be a share above 0 and up to 1"),
        ("budget.macs=-3", "must be a share above 0 and up to 1"),
        ("budget.flops=0.5", "flops"),
        ("budget.milliseconds=0", "must be finite and above 0, got 0"),
        ("budget.batch=4", "which is not given"),
        ("blocks.layer9.macs=0.5", "unknown block `layer9`"),
        (
            "sparsify.lr=-1.0",
            "`sparsify.lr` must be finite and above 0, got -1",
        ),
        (
            "train.batch_size=0",
            "`train.batch_size` must be at least 1, got 0",
        ),
        ("compact.criterion=\"best\"", "best"),
        ("network.model=\"nowhere\"", "nowhere"),
    ] {
        let error = refused(&text, &[entry]);
        assert!(error.contains(expected), "{entry}: {error}");
    }
    let other = recipe(place.path(), "lenet5");
    let error = refused(&other, &[]);
    assert!(
        error.contains("is of family `lenet`, whose structure has no place for the widths"),
        "{error}"
    );
}

#[test]
fn another_teacher_is_learnt_from_and_hashed_with_the_run() {
    let place = tempfile::tempdir().unwrap();
    let text = recipe(place.path(), "mobilenetv2-mini-strided");
    let other = place.path().join("other");
    let spec = NetworkSpec::new("resnet8", 10, [1, 28, 28]);
    let network = Network::build(&spec, 2, &Device::flex()).unwrap();
    let config = ModelConfig::new(spec, Normalisation::identity(1));
    save_model(&other, &network, &config).unwrap();
    let with_teacher = format!("{text}\n[teacher]\nmodel = {:?}\n", other.to_str().unwrap());
    let mut results = Vec::new();
    for (name, text) in [("alone", &text), ("taught", &with_teacher)] {
        let path = place.path().join(name);
        run(text, &path).unwrap();
        let folder = RunFolder::open(&path).unwrap();
        results.push(folder.result(TRAIN_PHASE, Snapshot::Last).unwrap());
        let recipe = std::fs::read_to_string(path.join("recipe.toml")).unwrap();
        assert_eq!(recipe.contains("[teacher]"), name == "taught");
    }
    assert_ne!(results[0], results[1]);
    let ok = findings(&with_teacher, &[], Grade::Ok);
    assert!(ok.contains("the teacher"), "{ok}");
    let text = refused(&with_teacher, &["distill.weight=0"]);
    assert!(text.starts_with("`teacher` has no effect"), "{text}");
    let gone = with_teacher.replace("other", "gone");
    let errors = findings(&gone, &[], Grade::Error);
    assert!(errors.contains("the teacher"), "{errors}");
}
