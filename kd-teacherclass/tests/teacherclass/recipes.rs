use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use kd_core::testing::same_run;
use kd_core::{Grade, Names, Normalisation, RunFolder, Snapshot, export};
use kd_models::{ModelConfig, Network, NetworkSpec, load_model, save_model};
use kd_recipe::{CachePlace, Check, Machine, Methods, merge_runs};
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
collapse = 1e9

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
    for part in [
        "## Students",
        "## Head",
        "NMSE",
        "students missing",
        "missing.svg",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }

    let of_class = text.replace(
        place.path().join("teacher").to_str().unwrap(),
        path.to_str().unwrap(),
    );
    run(&of_class, &place.path().join("second")).unwrap();
}

#[test]
fn caches_are_built_before_the_run_and_read_by_it() {
    let place = tempfile::tempdir().unwrap();
    let text = recipe(place.path());
    let caches = place.path().join("caches");
    let text = format!("{text}\n[cache]\ndir = \"{}\"\n", caches.display());
    let mut read = methods().read("recipe.toml", &text, &[]).unwrap();
    let (machine, stop) = (Machine::default(), AtomicBool::new(false));
    let built = read.build_caches(&machine, &CachePlace::default(), &mut (), &stop);
    assert_eq!(built.unwrap().len(), 2);
    let written = |file: std::io::Result<std::fs::DirEntry>| {
        let file = file.unwrap();
        (file.path(), file.metadata().unwrap().modified().unwrap())
    };
    let files = || {
        let mut files: Vec<_> = std::fs::read_dir(&caches).unwrap().map(written).collect();
        files.sort();
        files
    };
    let before = files();
    run(&text, &place.path().join("run")).unwrap();
    assert_eq!(files(), before);
    let both = refused(&text, &["cache.file=\"x\""]);
    assert!(
        both.starts_with("`cache.file` and `cache.dir` exclude"),
        "{both}"
    );
}

#[test]
fn the_size_of_the_class_is_known_before_the_run() {
    let place = tempfile::tempdir().unwrap();
    let text = recipe(place.path());
    let read = methods().read("recipe.toml", &text, &[]).unwrap();
    let prepared = read.prepare(&Machine::default()).unwrap();
    let costs = prepared.costs().unwrap().unwrap();
    let stages: Vec<String> = costs.by_stage().into_iter().map(|(name, _)| name).collect();
    let expected = ["student-0", "student-1", "student-2", "student-3", "head"];
    assert_eq!(stages, expected);
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
    let balanced = findings(&text, &["teacher-class.split=\"balanced\""], Grade::Note);
    assert!(
        balanced.contains("divided by `balanced`: a student learns 2"),
        "{balanced}"
    );
}

/// Trains one student alone, in the folder `name` of `place`.
fn alone(text: &str, place: &Path, student: usize, name: &str) -> PathBuf {
    let mut recipe = methods().read("recipe.toml", text, &[]).unwrap();
    recipe.set_part(Some(student)).unwrap();
    let run = recipe.prepare(&Machine::default()).unwrap();
    let path = place.join(name);
    let folder = run.begin(&path).unwrap();
    run.run(&folder, &AtomicBool::new(false), &mut ()).unwrap();
    path
}

fn merged(runs: &[PathBuf], out: &Path) -> kd_core::Result<()> {
    let (run, folder) = merge_runs(&methods(), runs, out, &Machine::default())?;
    run.run(&folder, &AtomicBool::new(false), &mut ()).map(drop)
}

#[test]
fn students_that_were_trained_alone_are_merged_into_the_run_of_all() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let text = recipe(place).replace("students = 4", "students = 3\nsplit = \"balanced\"");
    run(&text, &place.join("whole")).unwrap();
    let parts = [2, 0, 1].map(|student| alone(&text, place, student, &format!("part-{student}")));
    assert!(!parts[0].join("model").exists());
    merged(&parts, &place.join("merged")).unwrap();
    same_run(&place.join("whole"), &place.join("merged")).unwrap();
    for file in ["config.json", "model.safetensors"] {
        let of = |run: &str| std::fs::read(place.join(run).join("model").join(file)).unwrap();
        assert!(of("whole") == of("merged"), "{file}");
    }

    let refused = |runs: &[&PathBuf]| {
        let runs: Vec<PathBuf> = runs.iter().map(|&run| run.clone()).collect();
        merged(&runs, &place.join("other")).unwrap_err().to_string()
    };
    let [two, zero, one] = &parts;
    let missing = refused(&[two, zero]);
    assert!(
        missing.contains("each of 3 students, and that of 1 is missing"),
        "{missing}"
    );
    let twice = refused(&[two, zero, one, zero]);
    assert!(twice.contains("is given twice"), "{twice}");
    let again = alone(&text, place, 0, "zero-again");
    let twice = refused(&[two, zero, one, &again]);
    assert!(twice.contains("is of student 0, as"), "{twice}");
    let whole = refused(&[&place.join("whole"), zero]);
    assert!(
        whole.contains("is a run of all of its parts; give runs of one student"),
        "{whole}"
    );
    let other = alone(
        &text.replace("epochs = 1", "epochs = 2"),
        place,
        1,
        "other-recipe",
    );
    let other = refused(&[two, zero, &other]);
    assert!(
        other.contains("is of another recipe than") && other.contains("epochs = 2"),
        "{other}"
    );
    std::fs::remove_file(two.join("outcome.json")).unwrap();
    let undone = refused(&[two, zero, one]);
    assert!(undone.contains("is not done; finish it first"), "{undone}");
    let mut read = methods().read("recipe.toml", &text, &[]).unwrap();
    let many = read.set_part(Some(3)).unwrap_err().to_string();
    assert_eq!(many, "`student` must be 0 to 2, got 3: there are 3");
}

#[test]
fn a_class_of_any_number_of_students_meets_its_budget() {
    let place = tempfile::tempdir().unwrap();
    let text = recipe(place.path()).replace("lenet5-half", "chunk-cnn");
    for students in [1, 3, 4] {
        let number = format!("teacher-class.students={students}");
        let entries = [number.as_str(), "budget={ parameters = 0.4 }"];
        let found = findings(&text, &entries, Grade::Ok);
        // 0.4 of 61,706.
        assert!(
            found.contains("a budget of 24,682 parameters: students with"),
            "{found}"
        );
        let overrides: Vec<String> = entries.map(str::to_owned).to_vec();
        let read = methods().read("recipe.toml", &text, &overrides).unwrap();
        let prepared = read.prepare(&Machine::default()).unwrap();
        let costs = prepared.costs().unwrap().unwrap();
        assert!(
            costs.params().abs_diff(24_682) <= 740,
            "{students} {}",
            costs.params()
        );
    }
    let path = place.path().join("run");
    let text = format!("{text}\n[budget]\nmacs = 500000\n");
    run(&text, &path).unwrap();
    let (_, config) = load_model::<Class<Network>>(&path.join("model"), &Device::flex()).unwrap();
    assert!(
        config.network.name.starts_with("chunk-cnn-"),
        "{}",
        config.network.name
    );

    let fixed = refused(&text, &["student.name=\"lenet5\""]);
    assert!(
        fixed.starts_with("`budget` is for a network with free widths"),
        "{fixed}"
    );
    let small = refused(&text, &["budget={ parameters = 10.0 }"]);
    assert!(
        small.starts_with("`budget` of 10 parameters is met by no widths"),
        "{small}"
    );
    let own = refused(&text, &["student.budget={ macs = 1e5 }"]);
    assert!(
        own.starts_with("`student.budget` is that of one network"),
        "{own}"
    );
}

#[test]
fn students_are_of_any_structure() {
    let place = tempfile::tempdir().unwrap();
    let text = recipe(place.path());
    let structure = "student={ name = \"mine\", structure = { family = \"chunk-cnn\", pool = 4, \
                     blocks = [[3]], hidden = [] } }";
    let overrides = [structure.to_owned()];
    let read = methods().read("recipe.toml", &text, &overrides).unwrap();
    let prepared = read.prepare(&Machine::default()).unwrap();
    let costs = prepared.costs().unwrap().unwrap();
    // 28 / 4 = 7, without padding 5, pooled 2: 12 features for 21 units each.
    let student = 3 * 9 + 3 + 12 * 21 + 21;
    assert_eq!(costs.params(), 4 * student + 84 * 10 + 10);
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
            "teacher-class={ split = \"rotated\", relu = true }",
            "`teacher-class.relu` is true, and `teacher-class.split` is `rotated`: directions have no sign \
             of their own, so that a ReLU would lose half of them; leave it out",
        ),
        (
            "teacher-class={ loss = \"gan-direct\", gan = { mse_weight = 0.0 } }",
            "`teacher-class.gan.mse_weight` must be finite and above 0, got 0",
        ),
        (
            "teacher-class.gan={ student_steps = 4 }",
            "`teacher-class.gan` has no effect, as `teacher-class.loss` is `mse`; set that to `gan-direct` \
             or `gan-literal`, or leave the table out",
        ),
        (
            "teacher-class.only=4",
            "`teacher-class.only` must be 0 to 3, got 4: the class has 4 students",
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
