//! Campaigns whose runs are made in this process.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use kd_recipe::{
    CampaignObserver, CampaignOptions, EndedRun, InProcess, Machine, Methods, PlannedRun, Results,
    Verdict, compare, list,
};

use crate::twins::{RECIPE, Twins};

pub(crate) const CAMPAIGN: &str = r#"
title = "twins"
seeds = [0, 1]
baseline = "short"

[[methods]]
name = "short"
recipe = "twins.toml"
set = { "train.epochs" = 1 }

[[methods]]
name = "long"
recipe = "twins.toml"
"#;

pub(crate) fn options(place: &Path, campaign: &str) -> CampaignOptions {
    std::fs::write(place.join("twins.toml"), RECIPE).unwrap();
    std::fs::write(place.join("campaign.toml"), campaign).unwrap();
    CampaignOptions::new(place.join("campaign.toml"), place.join("out")).unwrap()
}

/// The lines that a user would see.
#[derive(Default)]
pub(crate) struct Lines(Vec<String>);

impl CampaignObserver for Lines {
    fn runs_are_there(&mut self, there: usize, all: usize) {
        self.0.push(format!("{there} of {all}"));
    }

    fn run_begun(&mut self, run: &PlannedRun, number: usize, all: usize) {
        self.0.push(format!("{number}/{all} {}", run.title));
    }

    fn run_ended(&mut self, run: &PlannedRun, ended: &EndedRun) {
        let left = ended.seconds_left.is_some_and(|left| left > 0.0);
        self.0.push(format!("{} ended, more: {left}", run.title));
    }
}

pub(crate) fn made(options: &CampaignOptions, lines: &mut Lines) -> kd_core::Result<Results> {
    let methods = Methods::new().with::<Twins>();
    let way = InProcess::new(&methods, &Machine::default());
    compare(&methods, options, &way, lines, &AtomicBool::new(false))
}

#[test]
fn a_campaign_is_run_in_this_process_and_not_run_again() {
    let place = tempfile::tempdir().unwrap();
    let options = options(place.path(), CAMPAIGN);
    let mut lines = Lines::default();
    let results = made(&options, &mut lines).unwrap();
    results.verdict().unwrap();
    assert_eq!(
        lines.0,
        [
            "1/4 short, seed 0",
            "short, seed 0 ended, more: true",
            "2/4 long, seed 0",
            "long, seed 0 ended, more: true",
            "3/4 short, seed 1",
            "short, seed 1 ended, more: true",
            "4/4 long, seed 1",
            "long, seed 1 ended, more: false",
        ]
    );
    assert!(results.complete);
    assert_eq!(
        (results.methods[1].done, results.methods[1].extra_parameters),
        (2, Some(7))
    );
    assert!(results.methods[1].difference.is_some());
    assert_eq!(results.table().unwrap().rows().len(), 2);
    let text = std::fs::read_to_string(place.path().join("out/results.md")).unwrap();
    assert!(text.contains("| long "), "{text}");
    let page = || std::fs::read_to_string(place.path().join("out/results.html")).unwrap();
    let first = page();
    // Two methods with two seeds each.
    assert_eq!(first.matches("class=\"pale s0\"").count(), 4);
    for text in [
        "<dd>4 of 4</dd>",
        "difference to short [95 %]",
        "cells/long/seed1",
        "<th scope=\"row\">long</th>",
    ] {
        assert!(first.contains(text), "`{text}` is missing in\n{first}");
    }

    let methods = Methods::new().with::<Twins>();
    let way = InProcess::new(&methods, &Machine::default());
    let (_, runs) = list(&methods, &options, &way, &AtomicBool::new(false)).unwrap();
    assert!(runs.iter().all(|run| run.state == "done"), "{runs:?}");
    let mut lines = Lines::default();
    made(
        &CampaignOptions::of_folder(&options.out).unwrap(),
        &mut lines,
    )
    .unwrap();
    assert!(lines.0.is_empty(), "{:?}", lines.0);
    assert_eq!(page(), first);
}

#[test]
fn hostile_titles_are_text_in_the_page_of_a_campaign() {
    let place = tempfile::tempdir().unwrap();
    let title = "<script>alert(1)</script>\\u001b\\u202e\\\"><img src=x>";
    let hostile = CAMPAIGN
        .replace("\"twins\"", &format!("\"{title}\""))
        .replace(
            "name = \"long\"",
            &format!("name = \"long\"\ntitle = \"{title}\""),
        );
    made(&options(place.path(), &hostile), &mut Lines::default()).unwrap();
    let page = std::fs::read_to_string(place.path().join("out/results.html")).unwrap();
    assert!(page.contains("<h1>&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!page.contains("<script>alert") && !page.contains("<img src=x"));
    assert!(!page.contains(['\u{1b}', '\u{202e}']));
}

#[test]
fn claims_are_judged_beside_the_table() {
    let place = tempfile::tempdir().unwrap();
    let claims = r#"
[[claims]]
name = "C1"
says = "a method is like itself"
same = [["long.accuracy", "long.accuracy"]]
margin = 0.01

[[claims]]
name = "C2"
says = "more than everything is right"
above = [["long.accuracy", 1.5], ["short.accuracy", 0]]

[[claims]]
name = "C3"
says = "its colour is warm"
above = [["long.colour", "short.colour"]]
"#;
    let campaign = CAMPAIGN.replace("baseline =", "plot_metrics = [\"loss\"]\nbaseline =");
    let options = options(place.path(), &format!("{campaign}{claims}"));
    let results = made(&options, &mut Lines::default()).unwrap();
    let verdicts = results.claims.iter().map(|claim| claim.verdict);
    assert_eq!(
        verdicts.collect::<Vec<_>>(),
        [Verdict::Held, Verdict::NotHeld, Verdict::NotMeasured]
    );
    let text = std::fs::read_to_string(place.path().join("out/results.md")).unwrap();
    for part in [
        "## Claims",
        "| a method is like itself ",
        "long − long, accuracy (%): +0.00 [+0.00, +0.00]",
        "long, accuracy (%) − 150.00: -",
        "**not held**",
        "long − short, colour: - ",
        " MACs |",
        "| MACs of the largest part |",
        "1,234",
        "| MACs of a step |",
        "MACs of a step are those",
        "![Accuracy over epochs](accuracy-over-epochs.svg)",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    // What is not measured is not drawn.
    assert!(!text.contains("loss-over-epochs.svg"), "{text}");
}

#[test]
fn what_differs_is_named_and_made_again_when_asked_to() {
    let place = tempfile::tempdir().unwrap();
    let mut options = options(place.path(), CAMPAIGN);
    made(&options, &mut Lines::default()).unwrap();
    let recipe = RECIPE.replace("batch_size = 10", "batch_size = 5");
    std::fs::write(place.path().join("twins.toml"), recipe).unwrap();
    let error = made(&options, &mut Lines::default())
        .unwrap_err()
        .to_string();
    let expected = "holds runs that were made from something else (short, seed 0: `train.batch_size` was 10, \
                    is 5, and 3 \
                    other runs)";
    assert!(error.contains(expected), "{error}");
    options.rerun = true;
    options.only = vec!["long".into()];
    let results = made(&options, &mut Lines::default()).unwrap();
    let states: Vec<&str> = results.runs.iter().map(|run| run.state).collect();
    assert_eq!(states, ["stale", "done", "stale", "done"]);
    results.verdict().unwrap();
}

#[test]
fn runs_that_diverge_are_results_and_the_verdict_names_them() {
    let place = tempfile::tempdir().unwrap();
    let campaign = CAMPAIGN.replace("\"train.epochs\" = 1", "\"train.lr\" = 1e30");
    let options = options(place.path(), &campaign);
    let results = made(&options, &mut Lines::default()).unwrap();
    let states: Vec<&str> = results.runs.iter().map(|run| run.state).collect();
    assert_eq!(states, ["diverged", "done", "diverged", "done"]);
    let verdict = results.verdict().unwrap_err().to_string();
    let expected = "2 of 4 runs have no result: short, seed 0 diverged; short, seed 1 diverged";
    assert!(verdict.ends_with(expected), "{verdict}");
}

#[test]
fn a_campaign_that_is_stopped_before_it_begins_is_interrupted() {
    let place = tempfile::tempdir().unwrap();
    let options = options(place.path(), CAMPAIGN);
    let methods = Methods::new().with::<Twins>();
    let way = InProcess::new(&methods, &Machine::default());
    let stopped = compare(&methods, &options, &way, &mut (), &AtomicBool::new(true));
    let error = stopped.unwrap_err();
    assert_eq!(error.kind(), kd_core::ErrorKind::Interrupted, "{error}");
}
