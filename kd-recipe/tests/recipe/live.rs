//! Pages of runs as they are now.

use std::path::Path;

use kd_recipe::{LiveRun, live_claims, live_overview, live_page, runs_below, stamp_of};

use kd_report::{Section, WebPage};

use crate::campaigns::{CAMPAIGN, Lines, made, options};

/// What lies in a folder and below it.
fn names(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        found.push(entry.path().display().to_string());
        if entry.path().is_dir() {
            names(&entry.path(), found);
        }
    }
    found.sort();
}

#[test]
fn runs_of_a_campaign_are_shown_and_left_as_they_are() {
    let place = tempfile::tempdir().unwrap();
    made(&options(place.path(), CAMPAIGN), &mut Lines::default()).unwrap();
    let out = place.path().join("out");
    let list = || {
        let mut found = Vec::new();
        names(&out, &mut found);
        found
    };
    let (before, stamp) = (list(), stamp_of(&out));
    let folders = runs_below(&out);
    assert_eq!(folders.len(), 4);
    let page = live_page(&folders[0]).unwrap().html();
    assert!(page.contains("<dt>state</dt><dd>done</dd>"), "{page}");
    let runs = folders.iter().enumerate().map(|(number, folder)| LiveRun {
        name: format!("run <{number}>"),
        folder,
        path: format!("/{number}"),
    });
    let runs: Vec<LiveRun<'_>> = runs.collect();
    let page = live_overview("all", &runs, Vec::new()).unwrap().html();
    assert!(page.contains("<a href=\"/3\">run &lt;3&gt;</a>"), "{page}");
    assert!(page.contains("<dt>done</dt><dd>4</dd>"), "{page}");
    assert_eq!((list(), stamp_of(&out)), (before, stamp));
}

#[test]
fn a_folder_without_a_run_is_refused_or_empty() {
    let place = tempfile::tempdir().unwrap();
    assert!(live_page(place.path()).is_err());
    assert!(runs_below(place.path()).is_empty() && runs_below(&place.path().join("no")).is_empty());
    let nowhere = place.path().join("no");
    let run = LiveRun {
        name: "late".into(),
        folder: &nowhere,
        path: "/0".into(),
    };
    let page = live_overview("all", &[run], Vec::new()).unwrap().html();
    assert!(page.contains("not begun"), "{page}");
}

#[test]
fn claims_are_shown_with_their_intervals_as_they_are_judged_so_far() {
    let place = tempfile::tempdir().unwrap();
    assert_eq!(live_claims(place.path(), "Claims").unwrap(), None);
    let claim = r#"
[[claims]]
name = "C1"
says = "longer is <better>"
above = [["long.accuracy", "short.accuracy"]]
"#;
    let results = made(
        &options(place.path(), &format!("{CAMPAIGN}\n{claim}")),
        &mut Lines::default(),
    );
    let table = results.unwrap().claims_table().unwrap().unwrap();
    let section = live_claims(&place.path().join("out"), "Claims").unwrap();
    let section = section.unwrap();
    let page = WebPage::new("t").with_section(&section).html();
    let expected = Section::new("Claims").with_table(table);
    let rows = WebPage::new("t").with_section(&expected).html();
    let table_of = |page: &str| {
        let (_, rest) = page.split_once("<table").unwrap();
        rest.split_once("</table>").unwrap().0.to_owned()
    };
    assert_eq!(table_of(&page), table_of(&rows));
    assert!(
        page.contains("longer is &lt;better&gt;") && page.contains('['),
        "{page}"
    );
    // One that is being written is read at the next look.
    std::fs::write(place.path().join("out/results.json"), "{\"claims\": [").unwrap();
    assert_eq!(
        live_claims(&place.path().join("out"), "Claims").unwrap(),
        None
    );
}
