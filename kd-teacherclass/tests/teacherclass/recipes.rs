use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use kd_core::{Grade, Names, Normalisation, RunFolder, Snapshot, export};
use kd_models::{ModelConfig, Network, NetworkSpec, load_model, save_model};
use kd_recipe::{Check, Machine, Methods};
use kd_teacherclass::{Class, HEAD_PHASE, TeacherClassRecipe};

const RECIPE: &str = r#"
method = "teacher-class"
device = "cpu"

[data]
name = "fashion-mnist-mini"
per_class = 2
held_out = 0.02

[teacher]
model = "TEACHER"

[student]
name = "lenet5-half"

[teacher-class]
students = 4
collapse = 100.0

[teacher-class.head]
epochs = 1

[train]
epochs = 1
batch_size = 10
"#;

fn methods() -> Methods {
    Methods::new()
        .with::<TeacherClassRecipe>()
        .with_networks::<Class<Network>>()
}

/// Writes a teacher into a folder of `place`, and gives the recipe for it.
fn recipe(place: &Path) -> String {
    let folder = place.join("teacher");
    let spec = NetworkSpec::new("lenet5", 10, [1, 28, 28]);
    let network = Network::build(&spec, 1, &Device::flex()).unwrap();
    let config = ModelConfig::new(spec, Normalisation::identity(1));
    save_model(&folder, &network, &config).unwrap();
    RECIPE.replace("TEACHER", folder.to_str().unwrap())
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
fn a_run_leaves_a_class_in_a_model_folder_which_is_a_teacher_in_turn() {
    let place = tempfile::tempdir().unwrap();
    let (text, path) = (recipe(place.path()), place.path().join("run"));
    run(&text, &path).unwrap();
    let (class, config) =
        load_model::<Class<Network>>(&path.join("model"), &Device::flex()).unwrap();
    let folder = RunFolder::open(&path).unwrap();
    let result = folder.result(HEAD_PHASE, Snapshot::Last).unwrap();
    assert_eq!(export(&class, Names::PyTorch), result);
    assert_eq!(config.network.name, "lenet5-half-class-4");
    drop(folder);
    let report = std::fs::read_to_string(path.join("report.md")).unwrap();
    for part in ["## Students", "## Head", "NMSE", "students missing"] {
        assert!(report.contains(part), "{part}: {report}");
    }

    let of_class = text.replace(
        place.path().join("teacher").to_str().unwrap(),
        path.to_str().unwrap(),
    );
    run(&of_class, &place.path().join("second")).unwrap();
}

#[test]
fn a_check_shows_costs_by_student_and_chunks() {
    let place = tempfile::tempdir().unwrap();
    let text = recipe(place.path());
    let found = check(&text, &[]);
    let rows = format!("{:?}", found.sections);
    for part in ["student-3", "the class", "head"] {
        assert!(rows.contains(part), "{part}: {rows}");
    }
    let notes = findings(&text, &[], Grade::Note);
    assert!(notes.contains("pass through a ReLU"), "{notes}");
    let uneven = findings(&text, &["teacher-class.students=5"], Grade::Note);
    assert!(
        uneven.contains("5 students do not divide the 84 units"),
        "{uneven}"
    );
    assert!(uneven.contains("17 or 16 of them"), "{uneven}");
}

#[test]
fn what_cannot_work_is_said_before_training() {
    let place = tempfile::tempdir().unwrap();
    let text = recipe(place.path());
    let many = "must be 1 to 42, got 43: the teacher's dense vector has 84 units";
    let error = refused(&text, &["teacher-class.students=43"]);
    assert!(error.contains(many), "{error}");
    let found = findings(&text, &["teacher-class.students=43"], Grade::Error);
    assert!(found.contains(many), "{found}");

    let cases = [
        (
            "teacher-class.students=0",
            "`teacher-class.students` must be at least 1, got 0",
        ),
        (
            "teacher-class.collapse=-1.0",
            "`teacher-class.collapse` must be finite and above 0, got -1",
        ),
        (
            "teacher-class.head.dropout=1.0",
            "`teacher-class.head.dropout` must be at least 0 and below 1, got 1",
        ),
        (
            "train.batch_size=0",
            "`train.batch_size` must be at least 1, got 0",
        ),
        (
            "teacher-class.head.lr=0.0",
            "`teacher-class.head.lr` must be finite and above 0, got 0",
        ),
    ];
    for (entry, expected) in cases {
        assert_eq!(refused(&text, &[entry]), expected);
    }
    let weights = refused(&text, &["student.weights=\"other\""]);
    assert!(
        weights.starts_with("`student.weights` is for a network of all classes"),
        "{weights}"
    );
    let views = refused(&text, &["data.views=\"unlimited\""]);
    assert!(
        views.starts_with("`data.views` is \"unlimited\""),
        "{views}"
    );
    let missing = refused(&text, &["teacher.model=\"nowhere\""]);
    assert!(missing.contains("nowhere"), "{missing}");
}
