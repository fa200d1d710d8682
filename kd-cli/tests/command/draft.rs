//! Recipes drafted from data: the schema knows all of them, and `kd check` finds nothing against them.

use crate::json_schema::allows;
use crate::pictures::{flat_photos, photos, scans};
use crate::support::Place;
use crate::texts::reviews;

/// Drafts a recipe, and checks it by the schema and by `kd check`; gives its text.
fn drafted(place: &Place, args: &[&str]) -> String {
    let all = [&["new", "--minutes", "0.02", "--out", "drafted.toml"], args].concat();
    let done = place.run(&all);
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (Some(0), "recipe in drafted.toml\n"),
        "{}",
        done.stderr
    );
    let text = place.text("drafted.toml");
    assert!(text.starts_with("#:schema https://"), "{text}");
    let schema = place.run(&["explain", "--schema"]).stdout;
    let schema = serde_json::from_str(&schema).unwrap();
    let table: toml::Table = text
        .parse()
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(
        allows(&schema, &schema, &serde_json::to_value(table).unwrap()),
        "{text}"
    );
    let check = place.run(&["check", "drafted.toml", "--strict", "--brief"]);
    assert_eq!(
        check.code,
        Some(0),
        "{}{}\n{text}",
        check.stdout,
        check.stderr
    );
    // A teacher of other data is always worth a note.
    let is_of_other_data = text.contains("kind = \"sp\"");
    let is_clean = check.stdout.ends_with("no errors, no warnings, no notes\n");
    assert!(is_clean || is_of_other_data, "{}", check.stdout);
    std::fs::remove_file(place.path("drafted.toml")).unwrap();
    text
}

fn run(place: &Place, args: &[&str]) {
    let done = place.run(args);
    assert_eq!(done.code, Some(0), "{args:?}: {}", done.stderr);
}

#[test]
fn nothing_is_found_against_recipes_for_images() {
    let place = Place::new();
    photos(&place.path("my photos"));
    flat_photos(&place.path("flat"));
    let text = drafted(&place, &["--data", "my photos"]);
    assert!(text.contains("disc 26, square 14, stripes 9"), "{text}");
    assert!(text.contains("class_weights = \"balanced\""), "{text}");
    let text = drafted(
        &place,
        &[
            "--data",
            "flat",
            "--student",
            "lenet5-half",
            "--size",
            "48x40",
        ],
    );
    assert!(
        text.contains("held_out = 0.2") && text.contains("size = [48, 40]"),
        "{text}"
    );
    let text = drafted(&place, &["--data", "fashion-mnist-mini"]);
    assert!(text.contains("name = \"lenet5\""), "{text}");

    let train = [
        "train",
        "--data",
        "my photos",
        "--student",
        "lenet5",
        "--minutes",
        "0.02",
        // However long a step takes while it is measured.
        "--set",
        "train.epochs=20",
    ];
    run(&place, &[&train[..], &["--out", "teacher"]].concat());
    let text = drafted(&place, &["--data", "my photos", "--teacher", "teacher"]);
    assert!(
        text.contains("name = \"lenet5-half\"") && text.contains("kind = \"kd\""),
        "{text}"
    );
    // One class fewer: the teacher knows others, and its features are learnt from.
    std::fs::remove_dir_all(place.path("flat/stripes")).unwrap();
    let text = drafted(&place, &["--data", "flat", "--teacher", "teacher"]);
    assert!(
        text.contains("kind = \"sp\"") && !text.contains("kind = \"kd\""),
        "{text}"
    );
}

#[test]
fn nothing_is_found_against_recipes_for_masks() {
    let place = Place::new();
    scans(&place.path("scans"));
    let student = ["--data", "scans", "--student", "skd-unet-small-resnet10"];
    let text = drafted(&place, &student);
    assert!(
        text.contains("{ name = \"class-1\", value = 255 }"),
        "{text}"
    );
    let named = drafted(
        &place,
        &[&student[..], &["--classes", "ground=0,cell=255"]].concat(),
    );
    assert!(
        named.contains("{ name = \"cell\", value = 255 }"),
        "{named}"
    );
    let out = [
        "--classes",
        "ground=0,cell=255",
        "--minutes",
        "0.02",
        "--out",
        "teacher",
    ];
    run(&place, &[&["distill"], &student[..], &out].concat());
    let text = drafted(&place, &[&student[..], &["--teacher", "teacher"]].concat());
    // The names of the classes are the teacher's.
    assert!(
        text.contains("procedure = \"skd\"") && text.contains("name = \"cell\""),
        "{text}"
    );
}

#[test]
fn nothing_is_found_against_recipes_for_texts() {
    let place = Place::new();
    reviews(&place.path("reviews"));
    let text = drafted(&place, &["--data", "reviews"]);
    assert!(
        text.contains("name = \"text\"") && text.contains("bad 40, good 40"),
        "{text}"
    );
    assert!(text.contains("name = \"tcn-imdb-teacher\""), "{text}");
    assert!(
        !text.contains("augment") && !text.contains("held_out"),
        "{text}"
    );
    // One table alone, and folders.
    let one = place.path("reviews/train.tsv");
    std::fs::copy(&one, place.path("all.tsv")).unwrap();
    let text = drafted(&place, &["--data", "all.tsv"]);
    assert!(text.contains("held_out = 0.2"), "{text}");
    for (class, words) in [("bad", "a dull film"), ("good", "a fine film")] {
        for number in 0..12 {
            let folder = place.path(&format!("letters/train/{class}"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("{number}.txt")), words).unwrap();
        }
    }
    let text = drafted(&place, &["--data", "letters"]);
    assert!(text.contains("bad 12, good 12"), "{text}");

    let train = [
        "train",
        "--data",
        "reviews",
        "--minutes",
        "0.02",
        "--set",
        "train.epochs=20",
        "--out",
        "teacher",
    ];
    run(&place, &train);
    let text = drafted(&place, &["--data", "reviews", "--teacher", "teacher"]);
    assert!(
        text.contains("tokenizer = \"teacher/model\"") && text.contains("kind = \"kd\""),
        "{text}"
    );
    assert!(text.contains("name = \"tcn-imdb-1\""), "{text}");
    let one_line = [
        "--data",
        "reviews",
        "--teacher",
        "teacher",
        "--minutes",
        "0.02",
    ];
    run(
        &place,
        &[&["distill"], &one_line[..], &["--out", "student"]].concat(),
    );
    let found = place.json(&["eval", "--model", "student", "--data", "reviews", "--json"]);
    assert_eq!(found["count"], 31);
    let refused = place.run(&[
        "new", "--data", "reviews", "--size", "32", "--out", "no.toml",
    ]);
    assert!(
        refused.stderr.contains("`--size` is for images"),
        "{}",
        refused.stderr
    );
    let other = place.path("notes.txt");
    std::fs::write(&other, "a text").unwrap();
    let refused = place.run(&["new", "--data", "notes.txt", "--out", "no.toml"]);
    assert!(
        refused.stderr.contains("is no table of texts"),
        "{}",
        refused.stderr
    );
}

#[test]
fn what_is_known_of_a_drafted_recipe_is_said_once() {
    let place = Place::new();
    photos(&place.path("photos"));
    std::fs::write(place.path("photos/train/disc/notes.txt"), "of the camera").unwrap();
    let drafted = ["--student", "lenet5", "--minutes", "0.02"];
    let args = [&["train", "--data", "photos", "--out", "run"], &drafted[..]].concat();
    let done = place.run(&args);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(
        done.stderr.matches("was left out").count(),
        1,
        "{}",
        done.stderr
    );
}
