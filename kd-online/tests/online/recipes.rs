//! Recipes: run, reported and gone on with; model folders a student; checks with their tables and findings.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use kd_core::{Grade, Names, RunFolder, Snapshot, StagedNetwork, export, read_tensors};
use kd_models::{Network, load_model};
use kd_online::{Branches, OnlineRecipe, RESULT_PHASE};
use kd_recipe::{Check, Machine, Methods, Outcome, PreparedRun};

const RECIPE: &str = r#"
method = "online"
device = "cpu"

[data]
name = "fashion-mnist-mini"
per_class = 2
held_out = 0.02

[student]
name = "lenet5-half"

[online]
kind = "okdmde"
shared = "conv1"
diversification = "working"

[train]
epochs = 2
batch_size = 10
"#;

fn methods() -> Methods {
    Methods::new().with::<OnlineRecipe>()
}

/// The recipe with lines in place of `[online]`'s, and whole tables at its end.
fn recipe(online: &str, tables: &str) -> String {
    let start = RECIPE.find("kind =").unwrap();
    let end = RECIPE.find("[train]").unwrap();
    format!("{}{online}\n\n{}{tables}", &RECIPE[..start], &RECIPE[end..])
}

fn run(text: &str, folder: &Path) -> Outcome {
    let recipe = methods().read("recipe.toml", text, &[]).unwrap();
    let run = recipe.prepare(&Machine::default()).unwrap();
    let folder = run.begin(folder).unwrap();
    run.run(&folder, &AtomicBool::new(false), &mut ()).unwrap()
}

/// The multiply-accumulates of a training step.
fn step_macs(text: &str) -> u64 {
    let recipe = methods().read("recipe.toml", text, &[]).unwrap();
    let run = recipe.prepare(&Machine::default()).unwrap();
    run.step_macs().unwrap()
}

#[test]
fn what_branches_share_is_run_once_or_for_each_view() {
    let views = "augment = { flip = 0.5 }\nviews = \"unlimited\"\nheld_out";
    let macs = |online: &str| {
        let text = recipe(&format!("branches = 2\n{online}"), "");
        step_macs(&text.replace("held_out", views))
    };
    let network = 133_740;
    assert_eq!(macs("kind = \"independent\""), 3 * 2 * network);
    let same = macs("kind = \"independent\"\nshared = \"conv1\"");
    assert!(same < 3 * 2 * network, "{same}");
    let own = macs("kind = \"independent\"\nshared = \"conv1\"\nviews = \"own\"");
    assert_eq!(own, 3 * 2 * network);
    // PCL's averaged peers answer once, its joined classifier learns.
    let features = 42;
    let pcl = macs("kind = \"pcl\"\nshared = \"conv1\"");
    assert_eq!(pcl, 3 * (2 * network + 2 * features * 10) + 2 * network);
}

fn check(text: &str) -> Check {
    let mut recipe = methods().read("recipe.toml", text, &[]).unwrap();
    recipe.check(&Machine::default()).unwrap()
}

fn errors(text: &str) -> Vec<String> {
    let findings = check(text).findings.into_iter();
    let errors = findings.filter(|finding| finding.grade == Grade::Error);
    errors.map(|finding| finding.text).collect()
}

/// The error of reading or preparing a recipe.
fn refused(text: &str) -> String {
    let recipe = match methods().read("recipe.toml", text, &[]) {
        Ok(recipe) => recipe,
        Err(error) => return error.to_string(),
    };
    match recipe.prepare(&Machine::default()) {
        Ok(_) => "nothing".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_run_leaves_a_model_folder_a_student_and_what_combines_them() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("run");
    let outcome = run(RECIPE, &path);
    assert_eq!(outcome.epochs, 2);
    let folder = RunFolder::open(&path).unwrap();
    let result = folder.result(RESULT_PHASE, Snapshot::Last).unwrap();
    let epochs = kd_core::EpochLog::read_all(&path).unwrap();
    let last = epochs.last().unwrap().evaluation.as_ref().unwrap();
    let device = burn::tensor::Device::flex();
    let (student, config) = load_model::<Network>(&path.join("model"), &device).unwrap();
    assert_eq!(config.provenance.accuracy, outcome.accuracy);
    let blank = |_| Ok(student.clone());
    let branches = Branches::drawn(3, Some("conv1"), 0, blank).unwrap();
    let branches = branches.with_result(&result).unwrap();
    let image = burn::tensor::Tensor::ones([2, 1, 28, 28], &device);
    for index in 0..3 {
        let folder = path.join(format!("branch-{index}"));
        let (network, config) = load_model::<Network>(&folder, &device).unwrap();
        let branch = branches.clone().into_student(index).unwrap();
        assert_eq!(
            network.forward(&image).into_data(),
            branch.forward(&image).into_data()
        );
        let measured = last[&format!("branch_{index}_accuracy")];
        assert_eq!(config.provenance.accuracy, Some(measured));
    }
    let first = load_model::<Network>(&path.join("branch-0"), &device)
        .unwrap()
        .0;
    assert_eq!(
        export(&student, Names::PyTorch),
        export(&first, Names::PyTorch)
    );
    let gate = read_tensors(&path.join("ensemble/weights.safetensors")).unwrap();
    assert_eq!(
        gate["fusion.norm.weight"],
        result["ensemble/fusion.norm.weight"]
    );
    let described = std::fs::read_to_string(path.join("ensemble/config.json")).unwrap();
    assert!(described.contains("\"kind\": \"okdmde\"") && described.contains("\"peers\": 3"));
    for folder in ["model-best", "branch-0-best", "ensemble-best"] {
        assert!(path.join(folder).is_dir(), "{folder}");
    }
    let report = std::fs::read_to_string(path.join("report.md")).unwrap();
    for expected in [
        "## Students",
        "mean of the peers",
        "ensemble of mean logits",
        "ensemble as it was trained",
        "The gate has ",
        "disagreement.svg",
        "diversity.svg",
    ] {
        assert!(
            report.contains(expected),
            "{report}\ndoes not contain {expected}"
        );
    }
}

#[test]
fn a_run_goes_on_with_its_own_recipe() {
    struct StopAfter<'a>(&'a AtomicBool);
    impl kd_core::Observer for StopAfter<'_> {
        fn step_done(&mut self, _at: kd_core::StepContext, _losses: Option<&kd_core::Metrics>) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let text = recipe(
        "kind = \"single\"\naverage_decay = 0.5",
        "\n[compute_of]\nbranches = 3\n",
    );
    let place = tempfile::tempdir().unwrap();
    let (whole, parts) = (place.path().join("whole"), place.path().join("parts"));
    let outcome = run(&text, &whole);
    // Three whole networks cost three times one: two epochs become six.
    assert_eq!(outcome.epochs, 6);
    let first = methods().read("recipe.toml", &text, &[]).unwrap();
    drop(
        first
            .prepare(&Machine::default())
            .unwrap()
            .begin(&parts)
            .unwrap(),
    );
    let folder = RunFolder::open(&parts).unwrap();
    for last in [false, true] {
        let run = PreparedRun::reopen(&methods(), &folder, &Machine::default()).unwrap();
        let stop = AtomicBool::new(false);
        let ended = if last {
            run.run(&folder, &stop, &mut ())
        } else {
            run.run(&folder, &stop, &mut StopAfter(&stop))
        };
        assert_eq!(ended.is_ok(), last);
    }
    kd_core::testing::same_run(&whole, &parts).unwrap();
}

#[test]
fn a_check_counts_trunk_branches_and_whole_networks() {
    let found = check(RECIPE);
    assert!(
        found.title.ends_with("3 students, kind okdmde"),
        "{}",
        found.title
    );
    assert_eq!(found.count(Grade::Error), 0, "{:?}", found.findings);
    let table = found.sections[0].parts();
    let text = format!("{table:?}");
    for row in [
        "shared by all branches",
        "one branch",
        "\"all\"",
        "3 networks",
        "what combines them",
    ] {
        assert!(text.contains(row), "{text}");
    }
    let literal = recipe("kind = \"okdmde\"\ndiversification = \"literal\"", "");
    let notes = check(&literal).findings;
    assert!(
        notes
            .iter()
            .any(|note| note.text.contains("changes nothing that can be measured"))
    );
    let same = |text: &str| {
        let mut notes = check(text).findings.into_iter();
        notes.any(|note| {
            note.text
                .contains("every view of a sample is the same image")
        })
    };
    let own = recipe("kind = \"dml\"\nviews = \"own\"", "");
    let own = own.replace("held_out", "views = \"unlimited\"\nheld_out");
    assert!(same(&own));
    assert!(!same(
        &own.replace("held_out", "augment = { flip = 0.5 }\nheld_out")
    ));
    let longer = recipe(
        "kind = \"single\"",
        "\n[compute_of]\nbranches = 4\nshared = \"conv1\"\n",
    );
    let notes = check(&longer).findings;
    assert!(
        notes
            .iter()
            .any(|note| note.text.contains("times as long as `train` says")),
        "{notes:?}"
    );
}

#[test]
fn different_networks_are_named_one_by_one() {
    let place = tempfile::tempdir().unwrap();
    let text = recipe("kind = \"dml\"", "\n[[others]]\nname = \"lenet5\"\n");
    let path = place.path().join("run");
    run(&text, &path);
    let device = burn::tensor::Device::flex();
    let names = ["branch-0", "branch-1"].map(|folder| {
        let (_, config) = load_model::<Network>(&path.join(folder), &device).unwrap();
        config.network.name
    });
    assert_eq!(names, ["lenet5-half", "lenet5"]);
    assert!(!path.join("ensemble").exists());
    let text = recipe(
        "kind = \"dml\"\nbranches = 3",
        "\n[[others]]\nname = \"lenet5\"\n",
    );
    let found = refused(&text);
    assert!(
        found.contains("`online.branches` is 3, and `student` and `others` name 2 networks"),
        "{found}"
    );
    let text = recipe(
        "kind = \"okdmde\"\nbranches = 2",
        "\n[[others]]\nname = \"lenet5\"\n",
    );
    let found = errors(&text);
    assert!(
        found[0].contains("`online.attention` cannot be used here"),
        "{found:?}"
    );
}

#[test]
fn the_recipe_of_the_readme_is_one() {
    let readme = include_str!("../../README.md");
    let start = readme.find("```toml").unwrap() + "```toml".len();
    let text = &readme[start..];
    let text = &text[..text.find("```").unwrap()];
    let recipe = methods().read("README.md", text, &[]).unwrap();
    assert_eq!(recipe.method(), "online");
    assert!(recipe.resolved().unwrap().contains("shared = \"layer2\""));
}

#[test]
fn what_cannot_work_is_refused_by_its_key() {
    for (online, tables, said) in [
        (
            "kind = \"okdmde\"\nbranches = 1",
            "",
            "`online.branches` must be at least 2",
        ),
        (
            "kind = \"okdmde\"\nshared = \"conv9\"",
            "",
            "`online.shared` must be a stage of the network, and it has no `conv9`; use one of conv1, conv2",
        ),
        (
            "kind = \"okdmde\"\nshared = \"conv3\"",
            "",
            "`online.shared` must leave the branches a stage",
        ),
        ("kind = \"one\"", "", "`online.shared` is missing"),
        (
            "kind = \"okdmde\"\nleader = true",
            "",
            "`online.leader` needs attention",
        ),
        (
            "kind = \"okdmde\"\nensemble_loss = false",
            "",
            "`online.ensemble_loss` is off",
        ),
        (
            "kind = \"pcl\"",
            "",
            "`online.views` is `own`, which needs 3 views",
        ),
        (
            "kind = \"one\"\nleader = true",
            "",
            "unknown key of `online` `leader`",
        ),
        (
            "kind = \"dml\"",
            "\n[compute_of]\nbranches = 3\n",
            "`compute_of` is for one network alone",
        ),
        (
            "kind = \"single\"",
            "\n[compute_of]\nbranches = 1\n",
            "`compute_of.branches` must be at least 2",
        ),
        (
            "kind = \"single\"",
            "\n[[others]]\nname = \"lenet5\"\n",
            "`others` are further students, and kind `single` has one",
        ),
        (
            "kind = \"dml\"\nbranches = -1",
            "",
            "`branches` cannot be -1: ",
        ),
        (
            "kind = \"okdmde\"\nattention = \"gat\"",
            "",
            "`attention` cannot be \"gat\": unknown variant `gat`",
        ),
        (
            "kind = \"dml\"\nbranches = 1000000",
            "",
            "`online.branches` must be at most 256, got 1000000",
        ),
        (
            "kind = \"dml\"\nteacher = {}",
            "",
            "`online.teacher` is a term, and there is no teacher",
        ),
    ] {
        let found = refused(&recipe(online, tables));
        assert!(found.contains(said), "{online}: {found}");
    }
    let unknown = refused(&recipe(
        "kind = \"single\"",
        "\n[compute_of]\nbranches = 3\nshared = \"conv9\"\n",
    ));
    assert!(
        unknown.starts_with("`compute_of.shared` must be a stage of the network"),
        "{unknown}"
    );
    let found = errors(&recipe("kind = \"pcl\"", ""));
    assert!(found[0].contains("`online.views` is `own`"), "{found:?}");
}
