//! A data set with masks: `kd data` counts its pixels, and methods that know classes of images alone do not
//! take it. The images are made here.

use std::fs;
use std::io::Cursor;

use crate::support::{Place, TEACHER};
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};

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
        "./camvid",
    ];
    assert_eq!(words, expected);
}

#[test]
fn networks_that_know_classes_of_images_alone_do_not_take_it() {
    let place = Place::new();
    fs::write(place.path("teacher.toml"), TEACHER).unwrap();
    for (args, expected) in [
        (&["train", "teacher.toml"][..], "segmentation"),
        (&["check", "teacher.toml"], "segmentation"),
        (&["distill", "student.toml"], "segmentation"),
        (&["check", "student.toml"], "segmentation"),
    ] {
        let data = ["--set", "data.name=camvid", "--set", "data.augment={}"];
        let done = place.run(&[args, &data].concat());
        assert_eq!(done.code, Some(2), "{args:?}: {}", done.stderr);
        assert!(done.stderr.contains(expected), "{args:?}: {}", done.stderr);
    }
}
