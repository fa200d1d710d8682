//! `CamVid`: generated folders of both layouts, what the published set holds, and what is refused.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use kd_core::{
    DataRoots, DataSource, Dataset, DatasetInfo, Error, ErrorKind, Normalisation, Split, Task,
    read_camvid,
};
use tempfile::TempDir;

/// The colour of a pixel of image `n`.
fn colour(n: u8, x: u32, y: u32) -> [u8; 3] {
    let [x, y] = [x, y].map(|at| u8::try_from(at).unwrap());
    [40 * n, 10 * x, 20 * y]
}

/// The class of a pixel of image `n`; some have none.
fn class(n: u8, x: u32, y: u32) -> u8 {
    u8::try_from((u32::from(n) + x + 4 * y) % 12).unwrap()
}

/// An image of 4 by 3 and its mask.
fn pair(root: &Path, split: &str, name: &str, n: u8, kind: &str) {
    let (images, masks) = (root.join(split), root.join(format!("{split}annot")));
    fs::create_dir_all(&images).unwrap();
    fs::create_dir_all(&masks).unwrap();
    let image = RgbImage::from_fn(4, 3, |x, y| Rgb(colour(n, x, y)));
    image.save(images.join(format!("{name}.{kind}"))).unwrap();
    let mask = GrayImage::from_fn(4, 3, |x, y| Luma([class(n, x, y)]));
    mask.save(masks.join(format!("{name}.png"))).unwrap();
}

/// Two images to train on, one to validate on and one to test on.
fn tiny() -> TempDir {
    let root = TempDir::new().unwrap();
    pair(root.path(), "train", "seq_02", 2, "png");
    pair(root.path(), "train", "seq_01", 1, "png");
    pair(root.path(), "val", "seq_03", 3, "png");
    pair(root.path(), "test", "seq_04", 4, "png");
    root
}

fn read(root: &TempDir, split: Split) -> Result<Dataset, Error> {
    read_camvid(root.path(), split, [3, 4])
}

/// What is said of the folder, its path replaced.
fn refusal(root: &TempDir) -> String {
    let error = read(root, Split::Train).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input, "{error}");
    error
        .to_string()
        .replace(&root.path().display().to_string(), "ROOT")
}

#[test]
fn images_and_masks_are_read_in_the_order_of_their_names() {
    let root = tiny();
    let train = read(&root, Split::Train).unwrap();
    assert_eq!((train.name(), train.split()), ("camvid", Split::Train));
    assert_eq!((train.len(), train.classes()), (2, 11));
    assert_eq!(train.task(), Task::Segmentation);
    assert_eq!(train.class_names().unwrap()[8], "car");
    assert_eq!(train.masks().unwrap().void(), Some(11));
    for (id, n) in [(0, 1), (1, 2)] {
        let pixels = (0..3).flat_map(|y| (0..4).map(move |x| (x, y)));
        let mask: Vec<u8> = pixels.clone().map(|(x, y)| class(n, x, y)).collect();
        assert_eq!(train.mask(id).unwrap(), mask);
        let image: Vec<u8> = (0..3)
            .flat_map(|channel| pixels.clone().map(move |(x, y)| colour(n, x, y)[channel]))
            .collect();
        assert_eq!(train.image(id).unwrap(), image);
    }
    for (split, n) in [(Split::Validation, 3), (Split::Test, 4)] {
        let one = read(&root, split).unwrap();
        assert_eq!((one.len(), one.split()), (1, split));
        assert_eq!(one.image(0).unwrap()[0], 40 * n);
    }
}

#[test]
fn masks_take_the_nearest_pixel_and_images_do_not() {
    let root = TempDir::new().unwrap();
    pair(root.path(), "train", "a", 1, "png");
    let train = read_camvid(root.path(), Split::Train, [6, 8]).unwrap();
    let mask: Vec<u8> = (0..6)
        .flat_map(|y| (0..8).map(move |x| class(1, x / 2, y / 2)))
        .collect();
    assert_eq!(train.mask(0).unwrap(), mask);
    // Green of the first row: 0, 10, 20, 30, in between by quarters.
    assert_eq!(
        train.image(0).unwrap()[48..56],
        [0, 3, 8, 13, 18, 23, 28, 30]
    );
    // Another ratio: nothing is cut off.
    let train = read_camvid(root.path(), Split::Train, [3, 2]).unwrap();
    let mask: Vec<u8> = (0..3)
        .flat_map(|y| [1, 3].map(|x| class(1, x, y)))
        .collect();
    assert_eq!(train.mask(0).unwrap(), mask);
}

#[test]
fn jpeg_and_hidden_files_are_handled() {
    let root = tiny();
    let image = RgbImage::from_pixel(4, 3, Rgb([90, 90, 90]));
    image.save(root.path().join("train/seq_00.JPG")).unwrap();
    let mask = root.path().join("trainannot/seq_00.png");
    GrayImage::from_pixel(4, 3, Luma([7])).save(mask).unwrap();
    fs::write(root.path().join("train/.hidden.png"), "no image").unwrap();
    fs::write(root.path().join("train/notes.txt"), "no image").unwrap();
    let train = read(&root, Split::Train).unwrap();
    assert_eq!(train.len(), 3);
    assert_eq!(train.mask(0).unwrap(), [7; 12]);
    let red = &train.image(0).unwrap()[..12];
    assert!(red.iter().all(|pixel| pixel.abs_diff(90) < 3), "{red:?}");
}

#[test]
fn folders_that_do_not_fit_are_refused_in_words() {
    let root = TempDir::new().unwrap();
    let remedy =
        "give the folder that has `train`, `trainannot`, `val`, `valannot`, `test` and `testannot`";
    assert_eq!(
        refusal(&root),
        format!("data set `camvid`: folder `train` not found in `ROOT`; {remedy}")
    );
    fs::create_dir(root.path().join("train")).unwrap();
    assert_eq!(
        refusal(&root),
        format!("data set `camvid`: folder `trainannot` not found in `ROOT`; {remedy}")
    );
    fs::create_dir(root.path().join("trainannot")).unwrap();
    assert_eq!(
        refusal(&root),
        "`ROOT/train` has no images; put the files ID.jpg or ID.png of the data set there"
    );
    let root = tiny();
    fs::remove_file(root.path().join("trainannot/seq_02.png")).unwrap();
    assert_eq!(
        refusal(&root),
        "`ROOT/train/seq_02.png` has no mask, `ROOT/trainannot/seq_02.png` is not there"
    );
    let root = tiny();
    fs::remove_file(root.path().join("train/seq_02.png")).unwrap();
    assert_eq!(
        refusal(&root),
        "`ROOT/trainannot/seq_02.png` is a mask without image in `ROOT/train`"
    );
    let root = tiny();
    let twice = root.path().join("train/seq_02.jpg");
    RgbImage::new(4, 3).save(twice).unwrap();
    assert_eq!(
        refusal(&root),
        "`ROOT/train/seq_02.png` and `ROOT/train/seq_02.jpg` have one name; remove one of them"
    );
}

#[test]
fn masks_that_do_not_fit_are_refused_in_words() {
    let with = |mask: &dyn Fn(&Path)| {
        let root = tiny();
        mask(&root.path().join("trainannot/seq_02.png"));
        refusal(&root)
    };
    assert_eq!(
        with(&|path| GrayImage::new(3, 4).save(path).unwrap()),
        "`ROOT/trainannot/seq_02.png` has 4x3 pixels (height, width), its image `ROOT/train/seq_02.png` has \
         3x4; a mask must \
         have the size of its image"
    );
    assert_eq!(
        with(&|path| {
            let value = |x, y| if (x, y) == (1, 2) { 12 } else { 11 };
            let mask = GrayImage::from_fn(4, 3, |x, y| Luma([value(x, y)]));
            mask.save(path).unwrap();
        }),
        "`ROOT/trainannot/seq_02.png` has the value 12 in row 2, column 1 (from 0); classes are 0 to 10, and \
         11 is for pixels \
         without one"
    );
    assert_eq!(
        with(&|path| RgbImage::new(4, 3).save(path).unwrap()),
        "`ROOT/trainannot/seq_02.png`, byte 0: a mask is a grey image of 8 bits, this one is Rgb8; save the \
         number of each \
         pixel's class as its grey value"
    );
    let cut = with(&|path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    });
    assert!(
        cut.ends_with("the file ends before the end of the image; replace the file or remove it"),
        "{cut}"
    );
    let error = read_camvid(tiny().path(), Split::Train, [0, 4]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`size` must be 1 to 4096 pixels a side, got 0x4"
    );
}

#[test]
fn a_list_of_other_classes_is_refused() {
    let names = [
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "Sign/Symbol",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
        "unlabelled",
    ];
    let root = tiny();
    let list = |names: &[&str]| {
        let lines = names.iter().enumerate();
        let lines: Vec<String> = lines.map(|(at, name)| format!("{at}\t{name}")).collect();
        fs::write(root.path().join("classes.txt"), lines.join("\n")).unwrap();
    };
    list(&names);
    read(&root, Split::Train).unwrap();
    let mut other = names;
    other.swap(2, 3);
    list(&other);
    assert_eq!(
        refusal(&root),
        "`ROOT/classes.txt`, byte 0: line 3 is `2\troad`, expected `2` and `pole`; give the version of \
         eleven classes that came \
         with SegNet; remove this file if the masks are of it"
    );
    list(&names[..9]);
    assert!(refusal(&root).contains("line 10 is ``, expected `9` and `pedestrian`"));
}

#[test]
fn it_is_known_by_name_in_any_size() {
    let info = DatasetInfo::find("CamVid").unwrap();
    assert_eq!(info.task, Task::Segmentation);
    let splits = [Split::Train, Split::Validation, Split::Test];
    assert_eq!(splits.map(|split| info.samples(split)), [367, 101, 233]);
    assert_eq!(info.shape.to_string(), "3x480x640");
    assert_eq!(
        info.files(Split::Validation),
        ["camvid/val", "camvid/valannot"]
    );
    let small = info.with_size([96, 128]).unwrap();
    let source = DataSource::from(small);
    assert_eq!(source.shape().to_string(), "3x96x128");
    assert!(source.has(Split::Validation) && source.task() == Task::Segmentation);
    assert!(info.with_size([0, 1]).is_err());
    let mnist = DatasetInfo::find("mnist").unwrap();
    assert_eq!(
        mnist.with_size([8, 8]).unwrap_err().to_string(),
        "`size` cannot be chosen: `mnist` has images of 1x28x28 as they are"
    );
    assert!(!DataSource::from(mnist).has(Split::Validation));
    let error = mnist.load(Split::Validation, &DataRoots::default());
    assert_eq!(
        error.unwrap_err().to_string(),
        "`split` `validation` is none of `mnist`, which was published without it"
    );
    Normalisation::camvid_stagewise().check().unwrap();
}

#[test]
fn the_published_number_of_images_is_checked() {
    let root = TempDir::new().unwrap();
    pair(&root.path().join("CamVid"), "train", "a", 1, "png");
    let roots = DataRoots {
        explicit: Some(root.path().to_owned()),
        ..DataRoots::default()
    };
    let info = DatasetInfo::find("camvid").unwrap();
    let error = info.load(Split::Train, &roots).unwrap_err();
    let text = error.to_string();
    assert_eq!(
        text.replace(&root.path().display().to_string(), "ROOT"),
        "`ROOT/CamVid/train` has the wrong number of images, 1 in place of the 367 that were published; \
         download the data set again, or read a part of it as data of your own: `name = \"masks\"` with its \
         `path` and `classes`"
    );
    let error = info.load(Split::Test, &roots).unwrap_err();
    assert!(matches!(error, Error::DataMissing { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("`camvid/test`, `camvid/testannot` not found in"),
        "{error}"
    );
}
