//! A data set with masks: what `kd data` says of it, what a recipe makes of it, and that methods that know classes of images
//! alone do not take it. The images are made here.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use kd_cli::{DataFacts, DataRecipe};
use kd_core::{DataRoots, Normalisation, Task};
use support::{Place, TEACHER};

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A place with a folder `camvid` of as many images as the published set has, of 3 by 4 pixels each.
fn place() -> Place {
    let place = Place::new();
    let image = png(RgbImage::from_fn(4, 3, |x, y| {
        Rgb([if x > y { 200 } else { 50 }; 3])
    }));
    // Six pixels of road, three of sky, three without class.
    let mask = GrayImage::from_fn(4, 3, |x, _| Luma([[3, 3, 0, 11][x as usize]]));
    let mask = png(mask);
    for (split, count) in [("train", 367), ("val", 101), ("test", 233)] {
        let folders = [split.to_owned(), format!("{split}annot")];
        let [images, masks] = folders.map(|name| place.path("camvid").join(name));
        fs::create_dir_all(&images).unwrap();
        fs::create_dir_all(&masks).unwrap();
        for at in 0..count {
            let name = format!("{at:03}.png");
            fs::write(images.join(&name), &image).unwrap();
            fs::write(masks.join(&name), &mask).unwrap();
        }
    }
    place
}

fn roots(place: &Place) -> DataRoots {
    DataRoots {
        explicit: Some(place.path("")),
        ..DataRoots::default()
    }
}

fn recipe(text: &str) -> DataRecipe {
    toml::from_str(text).unwrap()
}

#[test]
fn data_info_counts_pixels() {
    let place = place();
    let args = ["data", "info", "camvid", "--size", "3x4", "--data-dir", "."];
    let json = place.json(&[&args[..], &["--json"]].concat());
    for (split, count) in [("train", 367), ("validation", 101), ("test", 233)] {
        assert_eq!(json[split]["count"], count);
        let mut pixels = vec![0; 11];
        (pixels[0], pixels[3]) = (3 * count, 6 * count);
        assert_eq!(json[split]["pixels_per_class"], serde_json::json!(pixels));
    }
    assert_eq!(json["info"]["task"], "segmentation");
    assert_eq!(json["info"]["shape"]["width"], 4);
    let said = place.run(&args).stdout;
    assert!(
        said.starts_with("camvid: images of 3x3x4, 11 classes of pixels\n"),
        "{said}"
    );
    assert!(
        said.contains("  validation    101, pixels per class 303 0 0 606 0 0 0 0 0 0 0\n"),
        "{said}"
    );
    let list = place.run(&["data", "list", "--data-dir", "."]).stdout;
    let line = list.lines().find(|line| line.contains("camvid")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let expected = [
        "camvid",
        "11",
        "3x480x640",
        "and",
        "masks",
        "367",
        "101",
        "233",
        "yes",
    ];
    assert_eq!(words, expected);
}

#[test]
fn a_recipe_reads_it_for_methods_that_know_masks() {
    let place = place();
    let data = recipe("name = \"camvid\"\nsize = [6, 8]\nfraction = 0.1\n");
    let facts = data.facts_of_any_task().unwrap();
    assert_eq!((facts.task, facts.input()), (Task::Segmentation, [3, 6, 8]));
    let loaded = data.load_of_any_task(&roots(&place)).unwrap();
    assert_eq!((loaded.train.len(), loaded.held_out.len()), (37, 233));
    assert_eq!(loaded.validation.as_ref().unwrap().len(), 101);
    assert_eq!(loaded.facts, facts);
    let constants = loaded.normalisation().unwrap();
    assert_eq!(constants.mean, [0.412_130, 0.425_355, 0.432_837]);
    assert_eq!(loaded.train.dataset().mask(0).unwrap().len(), 48);
    let usual = recipe("name = \"camvid\"").facts_of_any_task().unwrap();
    assert_eq!(usual.input(), [3, 480, 640]);
    let held_out = recipe("name = \"camvid\"\nsize = 4\nper_class = 36\nheld_out = 0.2\n");
    let loaded = held_out.load_of_any_task(&roots(&place)).unwrap();
    assert_eq!((loaded.train.len(), loaded.held_out.len()), (36, 73));
    assert!(Normalisation::camvid_stagewise().std < constants.std);
}

#[test]
fn what_a_recipe_cannot_say_of_it_is_refused_in_words() {
    let text = |more: &str| {
        let facts: Result<DataFacts, _> =
            recipe(&format!("name = \"camvid\"\n{more}")).facts_of_any_task();
        facts.unwrap_err().to_string()
    };
    assert_eq!(
        text("size = [0, 8]"),
        "`data.size` must be 1 to 4096 pixels a side, got 0x8"
    );
    assert_eq!(
        text("resize = 9"),
        "`data.resize` is for a folder of images (`folder`), of `camvid` only the `size` can be chosen; remove it"
    );
    assert_eq!(
        text("views = 2\naugment = { flip = 0.5 }"),
        "`data.augment` cannot be used with masks, which would have to be moved with the images, and `camvid` has masks; \
         remove it"
    );
    let data = recipe("name = \"camvid\"");
    let refusal =
        "`camvid` has a mask for each image, not a class; `method = \"stagewise\"` trains on it";
    assert_eq!(data.facts().unwrap_err().to_string(), refusal);
    // Nothing is read for that.
    let error = data.load(&DataRoots::default()).unwrap_err();
    assert_eq!(error.to_string(), refusal);
}

#[test]
fn methods_that_know_classes_of_images_alone_do_not_take_it() {
    let place = Place::new();
    fs::write(place.path("teacher.toml"), TEACHER).unwrap();
    for args in [
        &["train", "teacher.toml"][..],
        &["check", "teacher.toml"],
        &["distill", "student.toml"],
        &["check", "student.toml"],
    ] {
        let data = ["--set", "data.name=camvid", "--set", "data.augment={}"];
        let done = place.run(&[args, &data].concat());
        assert_eq!(done.code, Some(2), "{args:?}: {}", done.stderr);
        assert!(
            done.stderr.contains("`camvid` has a mask for each image"),
            "{args:?}: {}",
            done.stderr
        );
    }
}
