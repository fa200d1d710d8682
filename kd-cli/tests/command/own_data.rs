//! Images and masks of one's own, from nothing to an exported student; parts of data and weights that need
//! help.

use std::fs;
use std::io::Cursor;

use burn::tensor::Device;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use kd_core::{Names, export, write_tensors};
use kd_models::{Network, NetworkSpec};

use crate::support::Place;

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn write(place: &Place, name: &str, bytes: impl AsRef<[u8]>) {
    let path = place.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn refused(place: &Place, args: &[&str], expected: &str) {
    let done = place.run(args);
    assert!(matches!(done.code, Some(2 | 3)), "{args:?}: {done:?}");
    assert!(done.stderr.contains(expected), "{args:?}: {}", done.stderr);
}

/// Bright and dark images of `side` pixels in two classes.
fn photos(place: &Place, side: u32) {
    for (split, count) in [("train", 8), ("test", 4)] {
        for (class, level) in [("dark", 40), ("light", 200)] {
            for at in 0..count {
                let image = RgbImage::from_fn(side, side, |x, y| {
                    Rgb([level + u8::try_from((3 * x + 7 * y + at) % 50).unwrap(); 3])
                });
                write(
                    place,
                    &format!("photos/{split}/{class}/{at}.png"),
                    png(image),
                );
            }
        }
    }
}

const TRAIN: &str = r#"
method = "train"
device = "cpu"

[data]
name = "folder"
path = "photos"
size = 32

[network]
name = "lenet5-half"

[train]
epochs = 2
batch_size = 8
"#;

#[test]
fn images_that_cannot_be_read_are_left_out_where_that_is_asked_for() {
    let place = Place::new();
    photos(&place, 32);
    write(&place, "photos/train/dark/3.png", b"no image");
    write(&place, "photos/train/light/broken.jpg", b"neither");
    write(&place, "train.toml", TRAIN);
    refused(
        &place,
        &["train", "train.toml"],
        "leave them out with `skip_broken = true`",
    );
    let set = ["--set", "data.skip_broken=true"];
    let said = "2 images that cannot be read were left out (`skip_broken`): ";
    let (_, stderr) = place.done(&["train", "train.toml", "--out", "run", set[0], set[1]]);
    assert!(
        stderr.contains(&format!(
            "note: {said}train/dark/3.png, train/light/broken.jpg"
        )),
        "{stderr}"
    );
    assert!(place.text("run/report.md").contains(said));
    let listed = place.text("run/left-out.txt");
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains("photos/train/light/broken.jpg"), "{listed}");
    let report = place.text("run/report.md");
    assert!(report.contains("15 samples to learn from"), "{report}");
    let check = place.json(&["check", "train.toml", "--json", set[0], set[1]]);
    assert!(check["findings"].to_string().contains(said), "{check}");
    // It is of folders of images alone.
    let mini = [
        "--set",
        "data={name=\"fashion-mnist-mini\",skip_broken=true}",
    ];
    refused(
        &place,
        &["train", "train.toml", mini[0], mini[1]],
        "data.skip_broken",
    );
}

#[test]
fn classes_are_named_at_import_and_by_predict() {
    let place = Place::new();
    photos(&place, 32);
    let spec = NetworkSpec::new("lenet5-half", 2, [3, 32, 32]);
    let network = Network::build(&spec, 1, &Device::flex()).unwrap();
    write_tensors(
        &place.path("w.safetensors"),
        &export(&network, Names::PyTorch),
    )
    .unwrap();
    let import = |names: &'static str, out: &'static str| {
        [
            "import",
            "w.safetensors",
            "--network",
            "lenet5-half",
            "--input",
            "3,32,32",
            "--mean",
            "0,0,0",
            "--std",
            "1,1,1",
            "--class-names",
            names,
            "--out",
            out,
        ]
    };
    place.done(&import("dark, light", "typed"));
    write(&place, "names.txt", "dark\nlight\n");
    place.done(&import("@names.txt", "listed"));
    for model in ["typed", "listed"] {
        let (csv, _) = place.done(&["predict", model, "photos/test", "--format", "csv"]);
        let head = csv.lines().next().unwrap();
        assert!(head.contains("dark") && head.contains("light"), "{head}");
        let eval = [
            "eval", "--model", model, "--data", "folder", "--path", "photos",
        ];
        place.done(&eval);
    }
    refused(
        &place,
        &import("dark", "few"),
        "must name every class: 1 for 2",
    );
    refused(&place, &import("dark,dark", "twice"), "names `dark` twice");
    refused(&place, &import("dark,", "empty"), "has an empty name");
    refused(&place, &import("@none.txt", "none"), "none.txt");
}

#[test]
fn a_data_set_of_another_size_is_scaled_for_an_evaluation_if_asked() {
    let place = Place::new();
    let spec = NetworkSpec::new("resnet8", 10, [1, 40, 40]);
    let network = Network::build(&spec, 1, &Device::flex()).unwrap();
    write_tensors(
        &place.path("w.safetensors"),
        &export(&network, Names::PyTorch),
    )
    .unwrap();
    place.done(&[
        "import",
        "w.safetensors",
        "--network",
        "resnet8",
        "--input",
        "1,40,40",
        "--mean",
        "0.5",
        "--std",
        "0.5",
        "--out",
        "larger",
    ]);
    let eval = ["eval", "--model", "larger", "--data", "fashion-mnist-mini"];
    refused(&place, &eval, "images of 1x28x28");
    let found = place.json(&[&eval[..], &["--scale", "--json"]].concat());
    assert!(found["accuracy"].as_f64().is_some(), "{found}");
    let folder = [
        "eval", "--model", "larger", "--data", "folder", "--path", "photos", "--scale",
    ];
    photos(&place, 32);
    refused(&place, &folder, "--scale");
}

#[test]
fn a_teacher_may_see_each_view_in_its_own_size() {
    let place = Place::new();
    photos(&place, 48);
    write(
        &place,
        "teacher.toml",
        TRAIN
            .replace("size = 32", "size = 48")
            .replace("lenet5-half", "resnet8"),
    );
    place.done(&["train", "teacher.toml", "--out", "teacher"]);
    let student = format!(
        "{}\n[[teachers]]\nmodel = \"teacher\"\n\n[[losses]]\nkind = \"cross-entropy\"\n\n[[losses]]\n\
         kind = \"kd\"\n\
         temperature = {{ kind = \"linear\", from = 8, to = 2, epochs = 2 }}\n",
        TRAIN
            .replace("\"train\"", "\"offline\"")
            .replace("[network]", "[student]")
            .replace(
                "size = 32",
                "size = 32\nviews = \"unlimited\"\naugment = { flip = 0.5, crop_padding = 2 }"
            )
    );
    write(&place, "student.toml", &student);
    refused(
        &place,
        &["distill", "student.toml"],
        "bring them to its size with `resize = true`",
    );
    let resized = student.replace("model = \"teacher\"", "model = \"teacher\"\nresize = true");
    write(&place, "student.toml", resized);
    let check = place.json(&["check", "student.toml", "--json"]);
    assert!(
        !check["findings"].to_string().contains("\"error\""),
        "{check}"
    );
    place.done(&["distill", "student.toml", "--out", "run"]);
    assert!(place.text("run/metrics.jsonl").contains("agreement"));
    let recipe = place.text("run/recipe.toml");
    assert!(
        recipe.contains("resize = true") && recipe.contains("kind = \"linear\""),
        "{recipe}"
    );
    // Where the sizes are equal it would have no effect.
    let same = ["distill", "student.toml", "--set", "data.size=48"];
    refused(
        &place,
        &same,
        "has no effect, as the teacher's images are as large",
    );
}

#[test]
fn taps_of_different_size_name_those_that_fit() {
    let place = Place::new();
    photos(&place, 32);
    write(
        &place,
        "teacher.toml",
        TRAIN.replace("lenet5-half", "resnet8"),
    );
    place.done(&["train", "teacher.toml", "--out", "teacher"]);
    let student = format!(
        "{}\n[[teachers]]\nmodel = \"teacher\"\n\n[[losses]]\nkind = \"attention-transfer\"\n\
         student_tap = \"layer1\"\n\
         teacher_tap = \"layer3\"\n",
        TRAIN.replace("\"train\"", "\"offline\"").replace(
            "[network]\nname = \"lenet5-half\"",
            "[student]\nname = \"resnet8\""
        )
    );
    write(&place, "student.toml", &student);
    let expected = "maps of one size are `layer1` with `layer1` (32x32), `layer2` with `layer2` (16x16), \
                    `layer3` with `layer3` (8x8)";
    refused(
        &place,
        &["distill", "student.toml"],
        &expected[expected.find("`layer2`").unwrap()..],
    );
    let done = place.run(&["check", "student.toml"]);
    assert!(done.stdout.contains("maps of one size are"), "{done:?}");
}

#[test]
fn a_byte_that_was_changed_in_a_run_is_named() {
    let place = Place::new();
    photos(&place, 32);
    write(&place, "train.toml", TRAIN);
    place.done(&["train", "train.toml", "--out", "run"]);
    for name in [
        "outcome.json",
        "inputs.json",
        "checkpoint.json",
        "phases/distill/best.safetensors",
    ] {
        let file = format!("run/{name}");
        let good = place.read(&file);
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        write(&place, &file, &bad);
        let base = name.rsplit('/').next().unwrap();
        refused(&place, &["resume", "run"], base);
        write(&place, &file, &good);
    }
    place.done(&["resume", "run"]);
}

/// Bright squares on a dark ground, a border without class.
fn masks(place: &Place) {
    for (split, count) in [("train", 8), ("val", 3), ("test", 4)] {
        for at in 0..count {
            let lit = |x: u32, y: u32| x > 8 + at && y > 10 && x < 30;
            let image = RgbImage::from_fn(40, 36, |x, y| {
                Rgb([if lit(x, y) {
                    220
                } else {
                    30 + u8::try_from((x * y) % 20).unwrap()
                }; 3])
            });
            let mask = GrayImage::from_fn(40, 36, |x, y| {
                Luma([if x == 0 { 255 } else { u8::from(lit(x, y)) }])
            });
            write(place, &format!("cells/{split}/{at}.png"), png(image));
            write(place, &format!("cells/{split}annot/{at}.png"), png(mask));
        }
    }
}

#[test]
fn images_and_masks_that_cannot_be_read_are_left_out_if_asked() {
    let place = Place::new();
    masks(&place);
    let recipe = format!("method = \"train\"\n{OF_MASKS}{TEACHER_OF_MASKS}");
    fs::write(place.path("train.toml"), recipe).unwrap();
    let cut = |name: &str| {
        let whole = place.read(name);
        fs::write(place.path(name), &whole[..whole.len() / 2]).unwrap();
    };
    cut("cells/train/2.png");
    cut("cells/trainannot/5.png");
    let train = ["train", "train.toml", "--out", "run"];
    refused(&place, &train, "has 2 images of 8 that cannot be read");
    assert!(!place.path("run").exists());
    let set = ["--set", "data.skip_broken=true"];
    let said = "2 images that cannot be read were left out (`skip_broken`): ";
    let (_, stderr) = place.done(&[&train[..], &set].concat());
    assert!(
        stderr.contains(&format!(
            "note: {said}cells/train/2.png, cells/trainannot/5.png"
        )),
        "{stderr}"
    );
    assert!(place.text("run/report.md").contains(said));
    assert_eq!(place.text("run/left-out.txt").lines().count(), 2);
    let check = place.json(&["check", "train.toml", "--json", set[0], set[1]]);
    assert!(check["findings"].to_string().contains(said), "{check}");
    assert_eq!(
        check["diagnosis"]["data"]["train_per_class"],
        serde_json::json!([6])
    );
    // A value that is no class is no damage.
    let strange = png(GrayImage::from_pixel(40, 36, Luma([7])));
    write(&place, "cells/trainannot/1.png", strange);
    refused(
        &place,
        &["train", "train.toml", "--out", "other", set[0], set[1]],
        "the value 7",
    );
}

const OF_MASKS: &str = r#"
device = "cpu"

[data]
name = "masks"
path = "cells"
size = 32
classes = ["ground", "cell"]
no_class = 255
"#;

const TEACHER_OF_MASKS: &str = r#"
[network]
name = "skd-unet-small-resnet14"

[train]
epochs = 1
batch_size = 4
lr = 0.01
"#;

const STUDENT_OF_MASKS: &str = r#"
[student]
name = "skd-unet-small-resnet10"

[[teachers]]
model = "teacher"

[[losses]]
kind = "cross-entropy"

[[losses]]
kind = "pixel-wise"
student_tap = "logits"

[[losses]]
kind = "cwd"
student_tap = "logits"

[[losses]]
kind = "pair-wise-affinity"
student_tap = "dense"

[[losses]]
kind = "hint"
student_tap = "layer1"

[train]
epochs = 1
batch_size = 4
lr = 0.01
"#;

/// The model `run` makes a mask of each image, in its size.
fn masks_are_written(place: &Place) {
    let predict = ["predict", "run", "cells/test", "--masks", "made"];
    let (csv, _) = place.done(&[&predict[..], &["--format", "csv"]].concat());
    assert_eq!(csv.lines().next(), Some("image,mask,ground,cell"), "{csv}");
    for (at, line) in csv.lines().skip(1).enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields[1], format!("made/{at}.png"));
        let mask = image::open(place.path(fields[1])).unwrap().to_luma8();
        assert_eq!(mask.dimensions(), (40, 36));
        assert!(mask.pixels().all(|pixel| pixel.0[0] < 2), "{line}");
        let shares: f64 = fields[2..]
            .iter()
            .map(|share| share.parse::<f64>().unwrap())
            .sum();
        assert!((shares - 1.0).abs() < 1e-9, "{line}");
    }
    assert_eq!(csv.lines().count(), 5);
    refused(place, &predict, "is there already");
    refused(place, &["predict", "run", "cells/test"], "--masks");
    refused(place, &[&predict[..], &["--top", "2"]].concat(), "--top");
}

#[test]
fn masks_of_ones_own_are_learnt_from_a_teacher_up_to_an_exported_student() {
    let place = Place::new();
    masks(&place);
    write(
        &place,
        "teacher.toml",
        format!("method = \"train\"{OF_MASKS}{TEACHER_OF_MASKS}"),
    );
    write(
        &place,
        "student.toml",
        format!("method = \"offline\"{OF_MASKS}{STUDENT_OF_MASKS}"),
    );
    let check = place.json(&["check", "teacher.toml", "--json"]);
    assert!(
        !check["findings"].to_string().contains("\"error\""),
        "{check}"
    );
    place.done(&["train", "teacher.toml", "--out", "teacher"]);
    let stages = place.json(&["check", "student.toml", "--json"]);
    assert!(
        !stages["findings"].to_string().contains("\"error\""),
        "{stages}"
    );
    place.done(&["distill", "student.toml", "--out", "run"]);
    let log = place.text("run/metrics.jsonl");
    for term in [
        "cross_entropy",
        "pixel_wise",
        "cwd",
        "pair_wise_affinity",
        "hint_",
        "mean_iou",
    ] {
        assert!(log.contains(term), "{term}: {log}");
    }
    assert!(
        place.path("run/report/segmentation.png").exists()
            || place.text("run/report.md").contains("IoU")
    );
    let eval = [
        "eval",
        "--model",
        "run",
        "--data",
        "masks",
        "--path",
        "cells",
        "--no-class",
        "255",
    ];
    for (split, more) in [("test", &[][..]), ("val", &["--split", "val"])] {
        let found = place.json(&[&eval[..], more, &["--json"]].concat());
        assert!(found["mean_iou"].as_f64().is_some(), "{split}: {found}");
    }
    for (format, file) in [
        ("safetensors", "student.safetensors"),
        ("onnx", "student.onnx"),
    ] {
        let export = [
            "export", "--model", "run", "--format", format, "--out", file,
        ];
        place.done(&export);
    }
    masks_are_written(&place);
    // What needs a class of each image says so.
    let kd = STUDENT_OF_MASKS.replace(
        "kind = \"pixel-wise\"\nstudent_tap = \"logits\"",
        "kind = \"kd\"",
    );
    write(
        &place,
        "kd.toml",
        format!("method = \"offline\"{OF_MASKS}{kd}"),
    );
    refused(
        &place,
        &["distill", "kd.toml"],
        "`kd` needs a label or an output for each image",
    );
}

/// The recipes of the repository on the data set as it was published, a few steps of each.
#[test]
fn the_recipes_of_camvid_distil_a_u_net() {
    let test = "the_recipes_of_camvid_distil_a_u_net";
    let data = std::env::var_os("KD_DATA").filter(|folder| !folder.is_empty());
    let Some(data) = data.filter(|data| std::path::Path::new(data).join("camvid").is_dir()) else {
        assert!(
            std::env::var_os("KD_REQUIRE_DATA").is_none(),
            "{test} needs KD_DATA with `camvid`, and KD_REQUIRE_DATA is set"
        );
        let line = format!("SKIPPED: {test} needs KD_DATA with `camvid`\n");
        drop(std::io::Write::write_all(
            &mut std::io::stderr(),
            line.as_bytes(),
        ));
        return;
    };
    let place = Place::new();
    let recipes = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/camvid");
    let run = |args: &[&str]| {
        let mut command = place.command(args);
        let done = command.env("KD_DATA", &data).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(0), "{args:?}: {said}");
        String::from_utf8(done.stdout).unwrap()
    };
    let short = [
        "--set",
        "data.size=[32,64]",
        "--set",
        "data.fraction=0.05",
        "--set",
        "train.epochs=1",
    ];
    for (recipe, out) in [
        ("teacher.toml", "runs/camvid-teacher"),
        ("offline.toml", "student"),
    ] {
        let recipe = recipes.join(recipe);
        let args = ["distill", recipe.to_str().unwrap(), "--out", out];
        run(&[&args[..], &short].concat());
    }
    let log = place.text("student/metrics.jsonl");
    for term in [
        "cross_entropy",
        "cwd",
        "pixel_wise",
        "pair_wise_affinity",
        "mean_iou",
    ] {
        assert!(log.contains(term), "{term}: {log}");
    }
    let eval = [
        "eval", "--model", "student", "--data", "camvid", "--split", "val", "--json",
    ];
    let found: serde_json::Value = serde_json::from_str(&run(&eval)).unwrap();
    assert_eq!(found["images"], 101);
}
