//! Runs that are found below a folder, and two of them side by side.

use std::path::{Path, PathBuf};

use kd_core::RunFolder;
use kd_recipe::{FoundRun, FoundState, compare_runs, find_runs};

use crate::campaigns::{CAMPAIGN, Lines, made, options};

/// A campaign of four runs that are done, in `place/out`.
fn campaign(place: &Path) -> PathBuf {
    let options = options(place, CAMPAIGN);
    made(&options, &mut Lines::default()).unwrap();
    options.out
}

fn states(found: &[FoundRun]) -> Vec<FoundState> {
    found.iter().map(|run| run.state).collect()
}

#[test]
fn a_campaign_is_one_entry_unless_its_runs_are_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let out = campaign(place.path());
    let found = find_runs(place.path(), false).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].runs, found[0].state),
        (Some((4, 4)), FoundState::Done)
    );
    let found = find_runs(place.path(), true).unwrap();
    assert_eq!(states(&found), [FoundState::Done; 5]);
    let run = found
        .iter()
        .find(|run| run.path == out.join("cells/long/seed1"));
    let run = run.unwrap();
    assert_eq!(run.method.as_deref(), Some("twins"));
    assert_eq!(run.metric, Some("accuracy"));
    assert!(run.value.is_some() && run.seconds.is_some() && run.changed.is_some());
    assert!(run.epochs > 1, "{run:?}");
}

#[test]
fn a_run_that_is_not_done_is_running_as_long_as_a_process_works_in_it() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("deep/er/run");
    let run = RunFolder::create(&folder).unwrap();
    run.write("recipe.toml", b"method = \"twins\"\n").unwrap();
    assert_eq!(
        states(&find_runs(place.path(), false).unwrap()),
        [FoundState::Running]
    );
    drop(run);
    assert_eq!(
        states(&find_runs(place.path(), false).unwrap()),
        [FoundState::Stopped]
    );
    std::fs::write(folder.join("outcome.json"), "{").unwrap();
    assert_eq!(
        states(&find_runs(place.path(), false).unwrap()),
        [FoundState::Damaged]
    );
}

#[test]
fn folders_that_hold_no_run_are_passed_over() {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(place.path().join(".hidden")).unwrap();
    for name in ["recipe.toml", "run.lock"] {
        std::fs::write(place.path().join(".hidden").join(name), "").unwrap();
    }
    std::fs::write(place.path().join("recipe.toml"), "method = \"twins\"\n").unwrap();
    assert_eq!(find_runs(place.path(), true).unwrap(), []);
    assert!(find_runs(&place.path().join("nothing"), true).is_err());
}

#[test]
fn two_runs_are_put_side_by_side() {
    let place = tempfile::tempdir().unwrap();
    let out = campaign(place.path());
    let [short, long] = ["short", "long"].map(|name| out.join("cells").join(name).join("seed0"));
    let compared = compare_runs(&short, &long).unwrap();
    let paths: Vec<&str> = compared
        .settings
        .iter()
        .map(|(path, ..)| path.as_str())
        .collect();
    assert_eq!(paths, ["train.epochs"]);
    assert_eq!(compared.settings[0].1.as_deref(), Some("1"));
    assert_eq!(compared.metric, Some("accuracy"));
    let (one, other) = compared.values[&1];
    assert!(one.is_some() && other.is_some(), "{:?}", compared.values);
    assert!(compared.values[&2].0.is_none(), "{:?}", compared.values);
    assert!(compare_runs(&short, &short).unwrap().settings.is_empty());
    assert!(compare_runs(&short, place.path()).is_err());
}
