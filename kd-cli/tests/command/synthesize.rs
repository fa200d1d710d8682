//! Synthetic images: in the report of a run, and written for other programs and other runs.

use crate::support::Place;
use kd_core::{
    DataRoots, Dataset, DatasetInfo, ImageFit, ImageFolder, Normalisation, Split, read_idx,
};
use kd_datafree::{BANK_FILE, Bank};

/// A student whose images are those of `[synthesis]`.
fn student(synthesis: &str) -> String {
    format!(
        r#"
method = "data-free"

[teacher]
model = "teacher"

[student]
name = "lenet5-half"

[synthesis]
{synthesis}

[train]
steps = 2
batch_size = 64
"#
    )
}

const OTHER: &str = r#"
[data]
name = "folder"
path = "images"
size = 28
grey = true
held_out = 0.2

[student]
name = "lenet5-half"

[[teachers]]
model = "teacher"

[[losses]]
kind = "kd"

[train]
epochs = 1
batch_size = 64
"#;

/// A place with a teacher that knows its ten classes a little.
fn place() -> Place {
    let place = Place::new();
    let more = ["--set", "data.per_class=150", "--set", "train.epochs=3"];
    let args = ["train", "teacher.toml", "--out", "teacher", "--json"];
    place.json(&[&args[..], &more].concat());
    place
}

/// Runs a student; what is wrong with its images is on standard error.
fn distill(place: &Place, synthesis: &str, out: &str) -> String {
    std::fs::write(place.path("recipe.toml"), student(synthesis)).unwrap();
    let done = place.run(&["distill", "recipe.toml", "--out", out]);
    assert_eq!(done.code, Some(0), "{done:?}");
    done.stderr
}

const REAL: &str =
    "kind = \"images\"\nbank = { images = 1280 }\n\n[images]\nname = \"fashion-mnist-mini\"";

/// The images of each class in their order.
fn by_class(data: &Dataset) -> Vec<Vec<&[u8]>> {
    let of = |class: usize| {
        let ids = (0_u32..).zip(data.labels());
        let ids = ids.filter(|(_, label)| usize::from(**label) == class);
        ids.map(|(id, _)| data.image(id).unwrap()).collect()
    };
    (0..data.classes()).map(of).collect()
}

#[test]
fn what_is_written_is_read_back_and_learnt_from() {
    let place = place();
    distill(&place, REAL, "run");
    let config: serde_json::Value =
        serde_json::from_str(&place.text("run/model/config.json")).unwrap();
    let normalisation: Normalisation =
        serde_json::from_value(config["normalisation"].clone()).unwrap();
    let bank = Bank::read(&place.path("run").join(BANK_FILE)).unwrap();
    let expected = bank.pixels(&normalisation).unwrap();
    // Real images come back to the last bit.
    let real = DatasetInfo::find("fashion-mnist-mini").unwrap();
    let real = real.load(Split::Train, &DataRoots::default()).unwrap();
    let known: std::collections::BTreeSet<&[u8]> = (0..).map_while(|id| real.image(id)).collect();
    assert!((0..1280).all(|id| known.contains(expected.image(id).unwrap())));

    let write = |format: &str, out: &str| {
        place.json(&[
            "synthesize",
            "--run",
            "run",
            "--format",
            format,
            "--out",
            out,
            "--json",
        ])
    };
    let said = write("folder", "images");
    assert_eq!(
        (&said["images"], &said["format"]),
        (&1280.into(), &"folder".into())
    );
    let fit = ImageFit::new(expected.shape());
    let folder = ImageFolder::open(place.path("images"), fit).unwrap();
    let read = folder.load(Split::Train).unwrap();
    assert_eq!(by_class(&read), by_class(&expected));
    // Fashion-MNIST's names are neither sorted nor all such as folders can have.
    assert_eq!(folder.class_names()[1], "1-trouser");
    for (class, said) in said["classes"].as_array().unwrap().iter().enumerate() {
        assert_eq!(said["images"], by_class(&expected)[class].len());
    }

    write("idx", "idx");
    let file = |name: &str| place.path("idx").join(name);
    let (images, labels) = (
        file("train-images-idx3-ubyte"),
        file("train-labels-idx1-ubyte"),
    );
    let read = read_idx("synthetic", Split::Train, 10, &images, &labels).unwrap();
    assert_eq!(
        (read.images(), read.labels()),
        (expected.images(), expected.labels())
    );

    write("bank", "bank");
    assert_eq!(
        place.read("bank/bank.safetensors"),
        place.read("run/bank.safetensors")
    );

    // The folder is data for another method, with the teacher that knows its classes by their whole names.
    std::fs::write(place.path("student.toml"), OTHER).unwrap();
    let outcome = place.json(&["distill", "student.toml", "--out", "other", "--json"]);
    assert!(outcome["metrics"]["agreement"].is_number(), "{outcome}");

    // A part, for a person.
    let args = ["synthesize", "--run", "run", "--images", "3", "--format"];
    let done = place.run(&[&args[..], &["idx", "--out", "few"]].concat());
    assert_eq!(done.stdout.lines().count(), 1);
    assert!(
        done.stdout.starts_with("3 images of 1x28x28 in "),
        "{done:?}"
    );
    let done = place.run(&[&args[..], &["folder", "--out", "few-too"]].concat());
    assert!(
        done.stderr
            .contains("so that the folder has fewer classes than the teacher"),
        "{done:?}"
    );
    assert!(
        done.stdout.contains(
            "in a recipe: data = { name = \"folder\", path = \"few-too\", size = 28, grey = true"
        ),
        "{done:?}"
    );

    let refused = |more: &[&str]| {
        let done = place.run(&[&["synthesize", "--run", "run", "--format"], more].concat());
        assert_eq!(done.stdout, "");
        (done.code, done.stderr)
    };
    let (code, said) = refused(&["idx", "--out", "idx"]);
    assert_eq!(
        (code, said.as_str()),
        (
            Some(3),
            "error: `idx` is not empty; name a new folder, or empty this one\n"
        )
    );
    let (code, said) = refused(&["idx", "--out", "more", "--images", "2000"]);
    assert_eq!(
        (code, said.as_str()),
        (
            Some(2),
            "error: `--images` must be from 1 to 1280, as many as the bank has, got 2000\n"
        )
    );
    assert!(!place.path("more").exists());
}

#[test]
fn a_run_shows_its_images_and_says_what_is_wrong_with_them() {
    let place = place();
    let said = distill(&place, "kind = \"noise\"\nbank = { images = 256 }", "run");
    assert!(
        said.contains("\nwarning: the teacher sees next to nothing of class"),
        "{said}"
    );
    // What to do about it is for generators.
    assert!(!said.contains("batch_entropy"), "{said}");
    let mut warnings = said
        .lines()
        .filter_map(|line| line.strip_prefix("warning: "));
    let first = warnings.next().unwrap();
    let report = place.text("run/report.md");
    for text in [
        "## Synthetic images\n\n256 images",
        &format!("**Warning:** {first}.\n"),
        "(report/synthetic.png)",
        "(report/synthetic-classes.svg)",
        "| confidence",
    ] {
        assert!(report.contains(text), "`{text}` is missing in\n{report}");
    }
    let picture = place.read("run/report/synthetic.png");
    assert!(image::load_from_memory(&picture).unwrap().height() > 10 * 56);
    // Again without the teacher, which is not asked.
    std::fs::rename(place.path("teacher"), place.path("elsewhere")).unwrap();
    place.json(&["report", "run", "--json"]);
    assert_eq!(place.read("run/report/synthetic.png"), picture);
    assert!(place.text("run/report.md").contains(first));
    // A bank that cannot be read costs no report.
    std::fs::write(place.path("run/bank.safetensors"), "no tensors").unwrap();
    place.json(&["report", "run", "--json"]);
    let report = place.text("run/report.md");
    assert!(
        report.contains("The synthetic images were not looked at, because: "),
        "{report}"
    );
    assert!(!place.path("run/report/synthetic.png").exists());
}

#[test]
fn a_generator_that_learns_beside_its_student_leaves_images() {
    let place = place();
    let small = "generator = { noise = 5, widths = [6, 4] }\nrounds_per_epoch = 2";
    let said = distill(&place, &format!("kind = \"dafl\"\n{small}"), "dafl");
    let mut more = said
        .lines()
        .filter(|line| !line.starts_with("lenet5-half: phase "));
    assert!(more.all(|line| line.starts_with("warning: ")), "{said}");
    assert!(
        place
            .text("dafl/report.md")
            .contains("1,280 images that were made")
    );
    let done = place.run(&[
        "synthesize",
        "--run",
        "dafl",
        "--format",
        "bank",
        "--out",
        "bank",
    ]);
    assert!(
        done.stdout.starts_with("1,280 images of 1x28x28 in "),
        "{done:?}"
    );
}

#[test]
fn what_has_no_images_is_said() {
    let place = place();
    let refused = |run: &str| {
        let args = [
            "synthesize",
            "--run",
            run,
            "--format",
            "bank",
            "--out",
            "out",
        ];
        let done = place.run(&args);
        assert_eq!((done.code, place.path("out").exists()), (Some(3), false));
        done.stderr
    };
    assert_eq!(
        refused("teacher"),
        "error: `teacher` is a run of method `train`; give one of `data-free`\n"
    );
    assert!(refused("nowhere").starts_with("error: `nowhere` is no run folder"));
    distill(&place, "kind = \"noise\"\nbank = { images = 128 }", "run");
    std::fs::remove_file(place.path("run/bank.safetensors")).unwrap();
    assert!(refused("run").contains("has no images: an older kd has made it"));
    std::fs::remove_file(place.path("run/outcome.json")).unwrap();
    assert!(
        refused("run").contains("has no images yet, which are made when the generator is done")
    );
}
