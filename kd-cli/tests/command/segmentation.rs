//! `method = "stagewise"` on a data set with masks: from a recipe to models, a report with a picture, and
//! what is refused. The images are made here.

use std::fs;
use std::io::Cursor;

use crate::support::Place;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use serde_json::Value;

const TEACHER: &str = r#"
method = "stagewise"
device = "cpu"

[data]
name = "camvid"
size = 32
fraction = 0.05

[student]
name = "skd-unet-small-resnet10"

[stagewise]
procedure = "no-teacher"

[train]
epochs = 1
"#;

const STUDENT: &str = r#"
method = "stagewise"
device = "cpu"

[data]
name = "camvid"
size = 32
fraction = 0.05

[student]
name = "skd-unet-small-resnet10"

[teacher]
model = "teacher"

[train]
epochs = 1
"#;

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A bright sky above a road that begins at another height in each of four kinds of images, and a strip
/// without class.
fn pair(kind: u32) -> [Vec<u8>; 2] {
    let road = |y: u32| y > 5 + 3 * kind;
    let image = RgbImage::from_fn(24, 20, |_, y| {
        Rgb(if road(y) {
            [70, 60, 80]
        } else {
            [210, 220, 250]
        })
    });
    let mask = GrayImage::from_fn(24, 20, |x, y| {
        Luma([if x == 0 { 11 } else { 3 * u8::from(road(y)) }])
    });
    [png(image), png(mask)]
}

/// A place with a folder `camvid` of as many images as the published set has, and both recipes.
fn place() -> Place {
    let place = Place::new();
    let pairs = [0, 1, 2, 3].map(pair);
    for (split, count) in [("train", 367), ("val", 101), ("test", 233)] {
        let folders = [split.to_owned(), format!("{split}annot")];
        let folders = folders.map(|name| place.path("camvid").join(name));
        for folder in &folders {
            fs::create_dir_all(folder).unwrap();
        }
        for at in 0..count {
            for (folder, bytes) in folders.iter().zip(&pairs[at % 4]) {
                fs::write(folder.join(format!("{at:03}.png")), bytes).unwrap();
            }
        }
    }
    fs::write(place.path("teacher.toml"), TEACHER).unwrap();
    fs::write(place.path("student.toml"), STUDENT).unwrap();
    place
}

/// The object that `kd` ends with, whatever is noted beside it.
fn json_of(place: &Place, args: &[&str]) -> Value {
    let (said, _) = place.done(args);
    serde_json::from_str(said.lines().last().unwrap()).unwrap()
}

/// The same with the data of the place.
fn json(place: &Place, args: &[&str]) -> Value {
    json_of(place, &[args, &["--data-dir", ".", "--json"]].concat())
}

/// What `kd` says when it refuses a recipe.
fn refusal(place: &Place, args: &[&str]) -> String {
    let done = place.run(&[args, &["--data-dir", "."]].concat());
    assert!(matches!(done.code, Some(2 | 3)), "{args:?}: {done:?}");
    done.stderr
}

fn config(place: &Place, model: &str) -> Value {
    serde_json::from_str(&place.text(&format!("{model}/config.json"))).unwrap()
}

/// The texts of all findings of `kd check`.
fn findings(place: &Place, args: &[&str]) -> Vec<String> {
    let found = json(place, &[&["check"], args].concat());
    let findings = found["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| finding["text"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_student_learns_to_segment_stage_by_stage() {
    let place = place();
    let outcome = json(&place, &["distill", "teacher.toml", "--out", "teacher"]);
    assert!(outcome["accuracy"].is_null(), "{outcome}");
    for metric in ["mean_iou", "best_mean_iou"] {
        let value = outcome[metric].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&value), "{outcome}");
    }
    for metric in ["mean_iou", "miou_compat", "pixel_accuracy"] {
        for metric in [metric.to_owned(), format!("validation_{metric}")] {
            assert!(outcome["metrics"][&metric].is_f64(), "{metric}: {outcome}");
        }
    }
    // Input, truth, student: three columns of 320, twice 8 between them, 16 around.
    let picture =
        |run: &str| image::image_dimensions(place.path(run).join("report/segmentation.png"));
    assert_eq!(picture("teacher").unwrap().0, 3 * 320 + 2 * 8 + 2 * 16);

    let done = place.run(&[
        "distill",
        "student.toml",
        "--out",
        "student",
        "--data-dir",
        ".",
    ]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let first = done.stdout.lines().next().unwrap();
    assert!(
        first.starts_with("mean IoU ") && first.contains(" % after epoch 1 (best "),
        "{first}"
    );
    for model in ["student/model", "student/model-best"] {
        let config = config(&place, model);
        assert_eq!(config["network"]["name"], "skd-unet-small-resnet10");
        assert_eq!(config["network"]["classes"], 11);
        assert_eq!(config["class_names"][3], "road");
        assert!(config["provenance"]["mean_iou"].is_f64(), "{config}");
    }
    let outcome: Value = serde_json::from_str(&place.text("student/outcome.json")).unwrap();

    // A teacher's column more.
    let size = picture("student").unwrap();
    assert_eq!(size.0, 4 * 320 + 3 * 8 + 2 * 16);
    assert!(size.1 > 4 * 320, "{size:?}");
    let report = place.text("student/report.md");
    for text in [
        "![held-out images and masks](report/segmentation.png)",
        "| teacher | skd-unet-small-resnet10, ",
        "mean IoU",
        "| pixel accuracy ",
        "| sign_symbol ",
    ] {
        assert!(report.contains(text), "`{text}` is missing in\n{report}");
    }
    let picture = place.read("student/report/segmentation.png");
    fs::remove_dir_all(place.path("student/report")).unwrap();
    json(&place, &["report", "student"]);
    assert_eq!(place.read("student/report/segmentation.png"), picture);

    // Measured again, the last student is as good as it was.
    let measured = json(&place, &["eval", "--model", "student", "--data", "camvid"]);
    assert_eq!(measured["mean_iou"], outcome["metrics"]["mean_iou"]);
    assert_eq!(measured["images"], 233);
    assert_eq!(measured["class_iou"].as_array().unwrap().len(), 11);
    assert_eq!(measured["class_names"][8], "car");
    let said = place.run(&[
        "eval",
        "--model",
        "student",
        "--data",
        "camvid",
        "--data-dir",
        ".",
    ]);
    assert!(
        said.stdout
            .starts_with("skd-unet-small-resnet10 on camvid\n  mean IoU  ")
            && said.stdout.contains("\n  bicyclist  "),
        "{}",
        said.stdout
    );

    // The same run, killed after its first phase, goes on to the same student.
    let args = [
        "distill",
        "student.toml",
        "--out",
        "again",
        "--data-dir",
        ".",
    ];
    let mut running = place.spawn(&args);
    running.wait_for_step(&place.path("again"), u64::MAX);
    running.kill();
    json_of(&place, &["resume", "again", "--json"]);
    let weights = "model-best/model.safetensors";
    assert!(place.read(&format!("again/{weights}")) == place.read(&format!("student/{weights}")));

    // A U-Net is no teacher of a classifier.
    let recipe = "method = \"stagewise\"\n[data]\nname = \"fashion-mnist-mini\"\n\
                  [student]\nname = \"lenet5-half\"\n[teacher]\nmodel = \"teacher\"\n";
    fs::write(place.path("classifier.toml"), recipe).unwrap();
    let said = refusal(&place, &["distill", "classifier.toml"]);
    let expected = "describes `skd-unet-small-resnet10`, a segmentation network, where a classification \
                    network is to be read";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn networks_and_teachers_of_another_task_are_refused() {
    let place = place();
    let classifier = [
        "distill",
        "teacher.toml",
        "--set",
        "student.name=skd-small-resnet10",
    ];
    assert_eq!(
        refusal(&place, &classifier),
        "error: `name` is `skd-small-resnet10`, a classification network, where a segmentation network is \
         wanted; name another\n"
    );
    let recipe = "method = \"stagewise\"\n[data]\nname = \"cifar10\"\n[student]\nname = \
                  \"skd-unet-small-resnet10\"\n";
    fs::write(place.path("unet.toml"), recipe).unwrap();
    assert_eq!(
        refusal(&place, &["distill", "unet.toml"]),
        "error: `name` is `skd-unet-small-resnet10`, a segmentation network, where a classification network \
         is wanted; name another\n"
    );
    // What the teacher is, is known before its weights are read.
    let config = r#"{
        "network": { "name": "lenet5", "classes": 11, "input": [3, 32, 32] },
        "normalisation": { "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0] }
    }"#;
    fs::create_dir_all(place.path("teacher")).unwrap();
    fs::write(place.path("teacher/config.json"), config).unwrap();
    let expected = "error: `teacher/config.json` describes `lenet5`, a classification network, where a \
                    segmentation network is to be \
                    read; give another folder\n";
    assert_eq!(refusal(&place, &["distill", "student.toml"]), expected);
    let eval = ["eval", "--model", "teacher", "--data", "camvid"];
    assert_eq!(refusal(&place, &eval), expected);
    let eval = ["eval", "--model", "teacher/config.json", "--data", "camvid"];
    assert!(refusal(&place, &eval).contains("is measured from its model folder"));
}

#[test]
fn samples_for_validation_are_the_published_ones_unless_the_recipe_says_otherwise() {
    let place = place();
    let labels = |texts: &[String]| {
        let phase = texts.iter().find(|text| text.starts_with("phase "));
        phase.unwrap().clone()
    };
    // 18 images, two batches of 8.
    let usual = findings(&place, &["teacher.toml"]);
    assert_eq!(labels(&usual), "phase labels: 2 steps");
    let taken = findings(&place, &["teacher.toml", "--set", "split.validation=0.4"]);
    assert_eq!(labels(&taken), "phase labels: 1 step");
    let none = ["check", "teacher.toml", "--set", "split.validation=0.0"];
    let said = refusal(&place, &none);
    assert!(said.contains("there are no samples for it"), "{said}");

    let resolved = |args: &[&str]| {
        let said = json(&place, &[&["distill"], args, &["--dry-run"]].concat());
        said["recipe"].as_str().unwrap().to_owned()
    };
    let text = resolved(&["teacher.toml"]);
    assert!(!text.contains("validation ="), "{text}");
    for line in [
        "lr = 0.01",
        "batch_size = 8",
        "kind = \"one-cycle\"",
        "epochs = 1",
    ] {
        assert!(text.contains(line), "`{line}` is missing in\n{text}");
    }
    let recipe = "method = \"stagewise\"\n[data]\nname = \"fashion-mnist-mini\"\nper_class = 20\n\
                  [student]\nname = \"lenet5-half\"\n[stagewise]\nprocedure = \"no-teacher\"\n";
    fs::write(place.path("classifier.toml"), recipe).unwrap();
    let text = resolved(&["classifier.toml"]);
    assert!(text.contains("[split]\nvalidation = 0.1\n"), "{text}");
    assert!(text.contains("epochs = 100\n"), "{text}");

    let unlabelled = ["teacher.toml", "--set", "split.unlabelled=1.0"];
    assert!(labels(&findings(&place, &unlabelled)).starts_with("phase labels: 2"));
}

#[test]
fn a_campaign_compares_by_mean_iou() {
    let place = place();
    let campaign = "title = \"masks\"\nseeds = [0]\nmetric = \"mean_iou\"\n\
                    more_metrics = [\"miou_compat\", \"pixel_accuracy\"]\n\
                    teachers = [{ name = \"big\", recipe = \"teacher.toml\" }]\n\
                    methods = [\n\
                    { name = \"alone\", recipe = \"teacher.toml\" },\n\
                    { name = \"skd\", recipe = \"student.toml\", teachers = [\"big\"] },\n]\n";
    fs::write(place.path("campaign.toml"), campaign).unwrap();
    let args = [
        "bench",
        "campaign.toml",
        "--out",
        "bench",
        "--data-dir",
        ".",
    ];
    let done = place.run(&args);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let page = place.text("bench/results.md");
    for column in ["mean IoU (%)", "mIoU compat (%)", "pixel accuracy (%)"] {
        assert!(page.contains(column), "`{column}` is missing in\n{page}");
    }
}

/// A teacher with 6 channels before its head, and a class of two with 3 each.
const WIDE: &str = r#"
method = "train"
device = "cpu"

[data]
name = "camvid"
size = 32
fraction = 0.05

[network]
name = "wide"

[network.structure]
family = "skd-unet"
encoder = { blocks = [1, 1, 1, 1], widths = [4, 6, 8, 8], stem = "large" }
decoder = [8, 6, 6, 4, 6]
head = 1

[train]
epochs = 1
batch_size = 8
eval_batch_size = 64
lr = 0.01
optimizer = { kind = "adam" }
"#;

const CLASS: &str = r#"
method = "teacher-class"
device = "cpu"

[data]
name = "camvid"
size = 32
fraction = 0.05

[teacher]
model = "wide"

[student]
name = "thin"

[student.structure]
family = "skd-unet"
encoder = { blocks = [1, 1, 1, 1], widths = [2, 3, 4, 4], stem = "large" }
decoder = [4, 3, 3, 2, 3]
head = 1

[teacher-class]
students = 2
collapse = 1e9

[teacher-class.head]
epochs = 1

[train]
epochs = 1
eval_batch_size = 64
"#;

const OF_THE_CLASS: &str = r#"
method = "offline"
device = "cpu"

[data]
name = "camvid"
size = 32
fraction = 0.05

[student]
name = "skd-unet-small-resnet10"

[[teachers]]
model = "class"

[[losses]]
kind = "pixel-wise"
student_tap = "logits"

[train]
epochs = 1
batch_size = 8
eval_batch_size = 64
"#;

#[test]
fn a_class_of_unets_is_a_model_like_any_other() {
    let place = place();
    for (name, text) in [
        ("wide", WIDE),
        ("class", CLASS),
        ("of-the-class", OF_THE_CLASS),
    ] {
        fs::write(place.path(&format!("{name}.toml")), text).unwrap();
    }
    json(&place, &["train", "wide.toml", "--out", "wide"]);
    let found = findings(&place, &["class.toml"]);
    assert!(
        found.iter().any(|text| text.contains("through a ReLU")),
        "{found:?}"
    );
    let outcome = json(&place, &["distill", "class.toml", "--out", "class"]);
    for metric in [
        "mean_iou",
        "pixel_accuracy",
        "agreement",
        "teacher_mean_iou",
        "copied_head_mean_iou",
        "zero_without_1_mean_iou",
        "head_without_1_worst_mean_iou",
        "student_1_nmse",
    ] {
        assert!(outcome["metrics"][metric].is_f64(), "{metric}: {outcome}");
    }
    let measured = json(&place, &["eval", "--model", "class", "--data", "camvid"]);
    assert_eq!(measured["mean_iou"], outcome["metrics"]["mean_iou"]);

    let structure = &config(&place, "class/model")["network"]["structure"];
    assert_eq!(structure["family"], "teacher-class-pixels");
    assert_eq!(structure["students"][1]["length"], 3);
    let report = place.text("class/report.md");
    for text in [
        "segmentation.png",
        "the class has a mean IoU of",
        "Missing students",
        "NMSE",
    ] {
        assert!(report.contains(text), "`{text}` is missing in\n{report}");
    }
    let picture = image::image_dimensions(place.path("class/report/segmentation.png")).unwrap();
    assert_eq!(picture.0, 4 * 320 + 3 * 8 + 2 * 16);

    let (said, _) = place.done(&["models", "class"]);
    for part in ["student-0", "student-1", "head"] {
        assert!(said.contains(part), "{said}");
    }
    for (format, file) in [("onnx", "class.onnx"), ("safetensors", "class.safetensors")] {
        place.done(&[
            "export", "--model", "class", "--format", format, "--out", file,
        ]);
        assert!(!place.read(file).is_empty());
    }
    let outcome = json(
        &place,
        &["distill", "of-the-class.toml", "--out", "of-the-class"],
    );
    assert!(outcome["mean_iou"].is_f64(), "{outcome}");

    // One student alone, and the class of such runs.
    for student in ["0", "1"] {
        let out = format!("part-{student}");
        json(
            &place,
            &["distill", "class.toml", "--student", student, "--out", &out],
        );
    }
    let merge = [
        "merge",
        "part-1",
        "part-0",
        "--out",
        "merged",
        "--data-dir",
        ".",
    ];
    place.done(&merge);
    let weights = "model/model.safetensors";
    assert!(place.read(&format!("merged/{weights}")) == place.read(&format!("class/{weights}")));
}

#[test]
fn a_class_of_pixels_says_what_it_cannot_take() {
    let place = place();
    fs::write(place.path("wide.toml"), WIDE.replace("head = 1\n", "")).unwrap();
    fs::write(place.path("class.toml"), CLASS).unwrap();
    json(&place, &["train", "wide.toml", "--out", "wide"]);
    let said = refusal(&place, &["distill", "class.toml", "--out", "class"]);
    assert!(said.contains("a head that is no 1x1 convolution"), "{said}");
    assert!(said.contains("`skd-unet` with `head = 1`"), "{said}");
    let classifier = [
        "distill",
        "class.toml",
        "--set",
        "student={ name = \"lenet5\" }",
    ];
    let said = refusal(&place, &classifier);
    assert!(
        said.contains("where a segmentation network is wanted"),
        "{said}"
    );
    let kind = [
        "distill",
        "class.toml",
        "--set",
        "teacher-class.loss=gan-direct",
    ];
    let said = refusal(&place, &kind);
    assert!(
        said.contains("`teacher-class.loss` is an adversarial one"),
        "{said}"
    );
}
