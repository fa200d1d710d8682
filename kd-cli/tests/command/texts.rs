//! Texts: every method that learns classes takes them, kept answers and resumed runs give the same bytes, and
//! the kinds of data and networks are not mixed up.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::support::Place;

/// Words that tell the classes apart, and some that do not.
const WORDS: [[&str; 3]; 2] = [["dull", "flat", "poor"], ["fine", "warm", "bright"]];
const OTHERS: [&str; 5] = ["the", "film", "we", "saw", "is"];

/// A table of so many texts.
fn table(count: usize) -> String {
    let mut table = "label\ttext\n".to_owned();
    for index in 0..count {
        let class = index % 2;
        let word = WORDS[class][index / 2 % 3];
        let (one, other) = (OTHERS[index % 5], OTHERS[index / 3 % 5]);
        writeln!(
            table,
            "{}\t{one} {word} {other} {one}",
            ["bad", "good"][class]
        )
        .unwrap();
    }
    table
}

/// A folder of texts to train on and to test.
pub(crate) fn reviews(folder: &Path) {
    fs::create_dir(folder).unwrap();
    fs::write(folder.join("train.tsv"), table(80)).unwrap();
    fs::write(folder.join("test.tsv"), table(31)).unwrap();
}

const DATA: &str =
    "[data]\nname = \"text\"\npath = \"reviews\"\ntext = { length = 8, vocabulary = 20 }\n";
const NETWORK: &str = "name = \"reader\"\nstructure = { family = \"text-cnn\", embedding = 4, \
                       blocks = [[6]], hidden = [8], padded = true, flat_dropout = 20 }\n";
const TRAIN: &str =
    "[train]\nepochs = 3\nbatch_size = 16\nlr = 0.01\noptimizer = { kind = \"adam\" }\n";

/// A place with texts, and a teacher that was trained on them.
fn place() -> Place {
    let place = Place::new();
    reviews(&place.path("reviews"));
    let recipe =
        |method: &str, parts: &str| format!("method = \"{method}\"\n{DATA}{parts}\n{TRAIN}");
    let teacher = "[[teachers]]\nmodel = \"teacher\"\n";
    let recipes = [
        ("teacher", recipe("train", &format!("[network]\n{NETWORK}"))),
        (
            "student",
            recipe(
                "offline",
                &format!(
                    "[student]\n{NETWORK}{teacher}[[losses]]\nkind = \"kd\"\n[[losses]]\nkind = \"hint\"\n\
                     student_tap = \"block0\"\n"
                ),
            ),
        ),
        (
            "stagewise",
            recipe(
                "stagewise",
                &format!("[student]\n{NETWORK}[teacher]\nmodel = \"teacher\"\n"),
            ),
        ),
        (
            "online",
            recipe(
                "online",
                &format!(
                    "[student]\n{NETWORK}[online]\nkind = \"dml\"\nbranches = 2\nshared = \"embedding\"\n"
                ),
            ),
        ),
        (
            "class",
            recipe(
                "teacher-class",
                &format!(
                    "[student]\n{NETWORK}[teacher]\nmodel = \"teacher\"\n[teacher-class]\nstudents = 3\n\
                     collapse = 100.0\nhead.epochs = 2\n"
                ),
            ),
        ),
    ];
    for (name, recipe) in recipes {
        fs::write(place.path(&format!("{name}.toml")), recipe).unwrap();
    }
    place.json(&["train", "teacher.toml", "--out", "teacher", "--json"]);
    place
}

#[test]
fn widths_of_networks_for_text_meet_a_budget() {
    let place = place();
    for (recipe, budget, found) in [
        (
            "class.toml",
            "budget",
            "a budget of 2,000 parameters: students with blocks [[",
        ),
        ("student.toml", "student.budget", "reader-"),
    ] {
        let entry = format!("{budget}={{ parameters = 2000.0 }}");
        let checked = place.run(&["check", recipe, "--set", &entry]);
        assert_eq!(
            checked.code,
            Some(0),
            "{}{}",
            checked.stdout,
            checked.stderr
        );
        assert!(checked.stdout.contains(found), "{}", checked.stdout);
    }
}

#[test]
fn every_method_that_learns_classes_takes_texts() {
    let place = place();
    let teacher = place.read("teacher/model/tokenizer.json");
    for name in ["student", "stagewise", "online", "class"] {
        let recipe = format!("{name}.toml");
        let checked = place.run(&["check", &recipe]);
        assert_eq!(
            checked.code,
            Some(0),
            "{name}: {}{}",
            checked.stdout,
            checked.stderr
        );
        place.json(&["distill", &recipe, "--out", name, "--json"]);
        assert_eq!(
            place.read(&format!("{name}/model/tokenizer.json")),
            teacher,
            "{name}"
        );
        assert!(
            place.text(&format!("{name}/report.md")).contains("reader"),
            "{name}"
        );
        let found = place.json(&[
            "eval", "--model", name, "--data", "text", "--path", "reviews", "--json",
        ]);
        assert_eq!(found["count"], 31, "{name}");
    }
    // A class is the teacher of a network, and of another class.
    let again = [
        "distill",
        "student.toml",
        "--set",
        "teachers=[{model=\"class\"}]",
        "--set",
    ];
    let losses = "losses=[{kind=\"kd\"}]";
    place.json(&[&again[..], &[losses, "--out", "of-class", "--json"]].concat());
}

#[test]
fn kept_answers_and_resumed_runs_give_the_same_bytes() {
    let place = place();
    let model = |run: &str| place.read(&format!("{run}/model/model.safetensors"));
    for (name, kept) in [
        ("student", "cache={dir=\"caches\"}"),
        ("class", "cache={dir=\"kept\"}"),
    ] {
        let recipe = format!("{name}.toml");
        place.json(&["distill", &recipe, "--out", name, "--json"]);
        let cached = format!("{name}-cached");
        place.json(&[
            "distill", &recipe, "--set", kept, "--out", &cached, "--json",
        ]);
        assert!(model(name) == model(&cached), "{name}");
        let stopped = format!("{name}-stopped");
        let args = [
            "distill",
            &recipe,
            "--out",
            &stopped,
            "--set",
            "train.checkpoint_every=1",
        ];
        let mut running = place.spawn(&args);
        running.wait_for_step(&place.path(&stopped), 4);
        running.kill();
        let resumed = place.run(&["resume", &stopped]);
        assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
        assert!(model(name) == model(&stopped), "{name}");
    }
    // Other words of the training split make another tokenizer.
    fs::write(
        place.path("reviews/train.tsv"),
        table(80).replace("film", "play"),
    )
    .unwrap();
    let other = place.run(&["distill", "student.toml", "--out", "other"]);
    assert_eq!(other.code, Some(2), "{}", other.stderr);
    assert!(
        other
            .stderr
            .contains("expected the tokenizer of data set `reviews`"),
        "{}",
        other.stderr
    );
    assert!(
        other.stderr.contains("`data.text.tokenizer`"),
        "{}",
        other.stderr
    );
    let given = "data.text={tokenizer=\"teacher/model\"}";
    place.json(&[
        "distill",
        "student.toml",
        "--set",
        given,
        "--out",
        "given",
        "--json",
    ]);
}

#[test]
fn images_and_texts_are_not_mixed_up() {
    let place = place();
    let refused = |args: &[&str], code: i32, said: &str| {
        let done = place.run(args);
        assert_eq!(done.code, Some(code), "{args:?}: {}", done.stderr);
        assert!(done.stderr.contains(said), "{args:?}: {}", done.stderr);
    };
    let set = |value: &'static str| ["train", "teacher.toml", "--set", value];
    refused(
        &set("data.views=unlimited"),
        2,
        "`data.views` is for images, and `reviews` has texts",
    );
    refused(
        &set("data.augment.flip=0.5"),
        2,
        "`data.augment` is for images",
    );
    refused(&set("data.size=32"), 2, "`data.size` is for images");
    refused(
        &set("data.normalisation=imagenet"),
        2,
        "`data.normalisation` is for images",
    );
    refused(
        &set("network.normalisation={mean=[0.5],std=[0.5]}"),
        2,
        "is for images, and `reviews` has texts",
    );
    refused(
        &set("data.name=mnist"),
        2,
        "`data.text` is for labelled texts",
    );
    let images = [
        "train",
        "teacher.toml",
        "--set",
        "network={name=\"resnet8\"}",
    ];
    refused(
        &images,
        2,
        "a network for images, where a network for texts",
    );
    let mnist = "data={name=\"fashion-mnist-mini\"}";
    let texts = ["train", "teacher.toml", "--set", mnist];
    refused(&texts, 2, "a network for texts, where a network for images");
    let eval = ["eval", "--model", "teacher", "--data", "fashion-mnist-mini"];
    refused(
        &eval,
        2,
        "a network for images, as data set `fashion-mnist-mini` has, got one for texts",
    );
    fs::write(
        place.path("cut.toml"),
        format!("method = \"compact\"\n{DATA}[network]\nmodel = \"teacher\"\n[budget]\nparameters = 0.5\n"),
    )
    .unwrap();
    refused(
        &["distill", "cut.toml"],
        2,
        "channels are cut of networks for images alone",
    );
}
