//! CINIC-10: generated folders of its layout, and what is refused.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use kd_core::{DataRoots, DataSource, DatasetInfo, Error, ErrorKind, Split, read_cinic10};
use tempfile::TempDir;

const CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

fn byte(number: u32) -> u8 {
    u8::try_from(number % 256).unwrap()
}

/// Writes an image whose pixels tell `n`, row and column.
fn save(path: &Path, n: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_fn(32, 32, |x, y| Rgb([n, byte(3 * x), byte(5 * y)]))
        .save(path)
        .unwrap();
}

/// All splits below `folder`: one image a class, and two of the first to train on.
fn fill(folder: &Path) {
    for (split, of) in [("train", 0), ("valid", 100), ("test", 200)] {
        for (label, class) in (0..).zip(CLASSES) {
            save(&folder.join(format!("{split}/{class}/b.png")), of + label);
        }
    }
    save(&folder.join("train/airplane/a.png"), 50);
}

fn tiny() -> TempDir {
    let root = TempDir::new().unwrap();
    fill(root.path());
    root
}

/// What is said of the folder, its path replaced.
fn refusal(root: &TempDir, split: Split) -> String {
    let error = read_cinic10(root.path(), split).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input, "{error}");
    error
        .to_string()
        .replace(&root.path().display().to_string(), "ROOT")
}

#[test]
fn each_split_is_read_in_the_order_of_classes_and_files() {
    let root = tiny();
    let train = read_cinic10(root.path(), Split::Train).unwrap();
    assert_eq!(train.labels(), [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(train.class_names().unwrap(), CLASSES);
    assert_eq!(
        (train.name(), train.shape().to_string()),
        ("cinic10", "3x32x32".into())
    );
    // `a.png` comes before `b.png`; channels come one after the other.
    let image = |at: usize| &train.images()[at * 3072..][..3072];
    assert!(image(0)[..1024].iter().all(|&value| value == 50));
    assert!(image(1)[..1024].iter().all(|&value| value == 0));
    let (row, column) = (7_u32, 20_u32);
    let place = (row * 32 + column) as usize;
    assert_eq!(image(4)[1024 + place], byte(3 * column));
    assert_eq!(image(4)[2048 + place], byte(5 * row));
    for (split, first) in [(Split::Validation, 100), (Split::Test, 200)] {
        let read = read_cinic10(root.path(), split).unwrap();
        assert_eq!(
            (read.len(), read.images()[0], read.split()),
            (10, first, split)
        );
    }
}

#[test]
fn a_grey_image_gets_three_channels() {
    let root = tiny();
    let grey = GrayImage::from_fn(32, 32, |x, _| Luma([byte(7 * x)]));
    grey.save(root.path().join("test/bird/b.png")).unwrap();
    let test = read_cinic10(root.path(), Split::Test).unwrap();
    let image = &test.images()[2 * 3072..][..3072];
    assert_eq!(image[..1024], image[1024..2048]);
    assert_eq!((image[0], image[31]), (0, 217));
}

#[test]
fn what_is_not_the_published_layout_is_refused_in_words() {
    let root = tiny();
    fs::rename(root.path().join("valid"), root.path().join("val")).unwrap();
    assert_eq!(
        refusal(&root, Split::Validation),
        "data set `cinic10`: folder `valid` not found in `ROOT`; give the folder that has `train`, \
         `valid` and `test`"
    );
    fs::remove_dir_all(root.path().join("train/frog")).unwrap();
    assert_eq!(
        refusal(&root, Split::Train),
        "`ROOT/train` has no folder `frog`; unpack the archive again"
    );
    save(&root.path().join("test/zebra/a.png"), 1);
    let text = refusal(&root, Split::Test);
    assert!(
        text.starts_with("`ROOT/test/zebra` is no class of CINIC-10, which are airplane,"),
        "{text}"
    );
    fs::remove_dir_all(root.path().join("test/zebra")).unwrap();
    RgbImage::new(32, 31)
        .save(root.path().join("test/ship/c.png"))
        .unwrap();
    let text = refusal(&root, Split::Test);
    assert!(
        text.starts_with("`ROOT/test/ship/c.png` has 31x32 pixels (height, width)"),
        "{text}"
    );
    fs::write(root.path().join("test/ship/c.png"), b"no image").unwrap();
    let error = read_cinic10(root.path(), Split::Test).unwrap_err();
    assert!(matches!(error, Error::BadFile { .. }), "{error}");
    fs::remove_file(root.path().join("test/ship/c.png")).unwrap();
    fs::remove_file(root.path().join("test/ship/b.png")).unwrap();
    assert!(refusal(&root, Split::Test).contains("`ROOT/test/ship` has no image"));
}

#[test]
fn by_name_all_three_splits_are_found_and_counted() {
    let info = DatasetInfo::find("cinic10").unwrap();
    for split in [Split::Train, Split::Validation, Split::Test] {
        assert_eq!(info.samples(split), 90_000);
        assert!(DataSource::from(info).has(split));
    }
    let root = TempDir::new().unwrap();
    let roots = DataRoots {
        explicit: Some(root.path().to_owned()),
        ..DataRoots::default()
    };
    for folder in ["CINIC-10", "cinic10"] {
        fill(&root.path().join(folder));
        let located = info.locate(Split::Validation, &roots).unwrap();
        assert!(located[0].ends_with(format!("{folder}/valid")));
        let error = info.load(Split::Validation, &roots).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        let text = "has the wrong number of images, 10 in place of the 90000 that were published";
        assert!(error.to_string().contains(text), "{error}");
        fs::remove_dir_all(root.path().join(folder)).unwrap();
    }
    let error = info.load(Split::Test, &roots).unwrap_err().to_string();
    assert!(error.contains("`CINIC-10/test` not found in"), "{error}");
    assert!(error.contains("datashare.ed.ac.uk"), "{error}");
    let error = info.with_size([16, 16]).unwrap_err().to_string();
    assert!(error.contains("cannot be chosen"), "{error}");
}
