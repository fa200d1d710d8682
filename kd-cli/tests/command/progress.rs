//! Progress where there is no terminal: a line an epoch, objects, nothing.

use crate::pictures::{photos, scans};
use crate::support::Place;
use crate::texts::reviews;

#[test]
fn a_piped_demo_prints_a_line_an_epoch_and_a_quiet_one_nothing() {
    let place = Place::new();
    let done = place.run(&["demo", "--epochs", "2", "--out", "demo"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for title in ["teacher", "student alone", "student distilled"] {
        for (epoch, left) in [(1, true), (2, false)] {
            let begin = format!("{title}: phase 1 of 1, epoch {epoch} of 2, loss ");
            let mut lines = done.stderr.lines();
            let line = lines.find(|line| line.starts_with(&begin));
            let line = line.unwrap_or_else(|| panic!("{begin}: {}", done.stderr));
            assert!(line.contains(" steps/s"), "{line}");
            // They are not measured after every epoch.
            assert!(epoch == 1 || line.contains(", accuracy "), "{line}");
            assert_eq!(line.ends_with(" left"), left, "{line}");
        }
    }
    let quiet = place.run(&["demo", "--epochs", "1", "--out", "quiet", "--quiet"]);
    assert_eq!(
        (quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()),
        (Some(0), "", "")
    );
}

#[test]
fn objects_of_progress_are_one_a_line() {
    let place = Place::new();
    let done = place.run(&[
        "train",
        "teacher.toml",
        "--out",
        "run",
        "--json",
        "--progress",
        "json",
    ]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let events: Vec<serde_json::Value> = done
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let epochs: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "epoch")
        .collect();
    assert_eq!(epochs.len(), 2);
    assert!(epochs[0]["seconds_left"].as_f64().unwrap() > 0.0);
    assert_eq!(epochs[1]["seconds_left"], 0.0);
    let result: serde_json::Value = serde_json::from_str(done.stdout.trim()).unwrap();
    assert_eq!(result["epochs"], 2);
}

#[test]
fn colours_are_for_terminals() {
    let place = Place::new();
    let mut command = place.command(&["train", "nothing.toml"]);
    let done = command.env("TERM", "xterm").output().unwrap();
    assert!(!done.stderr.contains(&0x1b));
}

/// What was counted, each with whether the time left is said in all of its objects.
fn counted(place: &Place, args: &[&str]) -> Vec<String> {
    let done = place.run(&[args, &["--progress", "json"]].concat());
    assert_eq!(done.code, Some(0), "{args:?}: {}", done.stderr);
    let events = done.stderr.lines().map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event
    });
    let mut found = Vec::new();
    for event in events.filter(|event| event["event"] == "counted") {
        // Nothing is known of the pace before something is done.
        let left = event["seconds_left"].as_f64();
        let is_known = left.is_some_and(|left| left >= 0.0);
        assert!(is_known || event["done"] == 0, "{event}");
        assert!(event["done"].as_u64() <= event["of"].as_u64(), "{event}");
        let what = event["what"].as_str().unwrap().to_owned();
        if !found.contains(&what) {
            found.push(what);
        }
    }
    found
}

#[test]
fn every_long_command_has_a_time_left() {
    let place = Place::new();
    photos(&place.path("photos"));
    let lenet = ["--student", "lenet5", "--minutes", "0.02"];
    let new = [
        &["new", "--data", "photos", "--out", "new.toml"],
        &lenet[..],
    ]
    .concat();
    assert_eq!(
        counted(&place, &new),
        ["reading images", "trying the recipe"]
    );
    let checked = counted(&place, &["check", "new.toml"]);
    assert_eq!(checked, ["reading images", "trying the recipe"]);
    let trained = counted(&place, &["train", "new.toml", "--out", "run"]);
    assert_eq!(trained, ["reading images", "answers for the report"]);
    let reported = counted(&place, &["report", "run"]);
    assert_eq!(reported, ["reading images", "answers for the report"]);
    let measured = counted(&place, &["eval", "--model", "run", "--data", "photos"]);
    assert_eq!(measured, ["reading images", "evaluating"]);
    let said = counted(&place, &["predict", "run", "photos/test"]);
    assert_eq!(said, ["predicting"]);
    assert_eq!(counted(&place, &["doctor"]), ["looking at the data sets"]);
}

#[test]
fn masks_have_a_time_left_too() {
    let place = Place::new();
    scans(&place.path("scans"));
    let drafted = ["--student", "skd-unet-small-resnet10", "--minutes", "0.02"];
    let args = [
        &["distill", "--data", "scans", "--out", "run"],
        &drafted[..],
    ]
    .concat();
    let trained = counted(&place, &args);
    let all = [
        "reading images",
        "measuring an epoch",
        "masks for the report",
    ];
    assert!(
        all.iter().all(|what| trained.contains(&(*what).to_owned())),
        "{trained:?}"
    );
    let made = counted(
        &place,
        &["predict", "run", "scans/images/test", "--masks", "masks"],
    );
    assert_eq!(made, ["writing masks"]);
}

#[test]
fn texts_have_a_time_left_too() {
    let place = Place::new();
    reviews(&place.path("reviews"));
    let read = ["learning the words", "making token ids"];
    let new = [
        "new",
        "--data",
        "reviews",
        "--minutes",
        "0.02",
        "--out",
        "new.toml",
    ];
    let drafted = counted(&place, &new);
    assert!(
        read.iter()
            .all(|what| drafted.contains(&(*what).to_owned())),
        "{drafted:?}"
    );
    for class in ["good", "bad"] {
        for split in ["train", "test"] {
            let folder = place.path("films").join(split).join(class);
            std::fs::create_dir_all(&folder).unwrap();
            for text in 0..9 {
                let path = folder.join(format!("{text}.txt"));
                std::fs::write(path, format!("a {class} film of {text}")).unwrap();
            }
        }
    }
    let args = ["train", "--data", "films", "--minutes", "0.02", "--dry-run"];
    let trained = counted(&place, &args);
    assert_eq!(trained[..3], ["reading texts", read[0], read[1]]);
}

#[test]
fn checks_of_every_method_have_a_time_left() {
    let place = Place::new();
    photos(&place.path("photos"));
    let data = "[data]\nname = \"folder\"\npath = \"photos\"\nsize = 32\n";
    let network = "[student]\nname = \"resnet8\"\n";
    let teacher = "[teacher]\nmodel = \"teacher\"\n";
    let train = "[train]\nepochs = 1\nbatch_size = 8\n";
    let recipe = format!("method = \"train\"\n{data}[network]\nname = \"resnet8\"\n{train}");
    std::fs::write(place.path("own.toml"), recipe).unwrap();
    place.done(&["train", "own.toml", "--out", "teacher"]);
    for (method, parts) in [
        ("stagewise", format!("{network}{teacher}")),
        ("online", format!("{network}[online]\nkind = \"dml\"\n")),
        (
            "teacher-class",
            format!("{network}{teacher}[teacher-class]\nstudents = 2\n"),
        ),
        (
            "compact",
            "[network]\nmodel = \"teacher\"\n[budget]\nmacs = 0.8\n".to_owned(),
        ),
    ] {
        let recipe = format!("method = \"{method}\"\n{data}{parts}{train}");
        std::fs::write(place.path("recipe.toml"), recipe).unwrap();
        assert_eq!(
            counted(&place, &["check", "recipe.toml"]),
            ["reading images"],
            "{method}"
        );
    }
}
