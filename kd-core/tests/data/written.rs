//! Data sets written as files and read back: the same pixels and labels, and nothing half written.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use kd_core::{
    Dataset, Error, ImageFit, ImageFolder, ImageShape, Split, class_folders, read_idx,
    write_folder, write_idx, write_image_folder,
};
use tempfile::TempDir;

/// Ten images, of classes 2, 0, 1, 2, 0, 1, ...
fn data(channels: usize, classes: usize) -> Dataset {
    let shape = ImageShape::new(channels, 3, 5);
    let pixels = (0..10 * shape.bytes())
        .map(|place| u8::try_from(place * 37 % 256).unwrap())
        .collect();
    let labels = (0..10).map(|sample| (sample + 2) % 3).collect();
    Dataset::new("toy", Split::Train, shape, classes, pixels, labels).unwrap()
}

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
fn a_folder_of_images_is_read_back_to_the_same_pixels() {
    for channels in [1, 3] {
        let place = TempDir::new().unwrap();
        let written = data(channels, 3);
        let folders = class_folders(&["zebra", "a/b", "cat"]);
        write_image_folder(&written, place.path(), &folders).unwrap();
        let fit = ImageFit::new(written.shape());
        let folder = ImageFolder::open(place.path(), fit).unwrap();
        assert_eq!(folder.class_names(), ["0-zebra", "1-a-b", "2-cat"]);
        let read = folder.load(Split::Train).unwrap();
        assert_eq!(by_class(&read), by_class(&written));
    }
}

#[test]
fn a_class_without_images_has_no_folder() {
    let place = TempDir::new().unwrap();
    let folders = ["a", "b", "c", "d"].map(str::to_owned);
    write_image_folder(&data(1, 4), place.path(), &folders).unwrap();
    assert!(place.path().join("train/c").is_dir() && !place.path().join("train/d").exists());
    let said = write_image_folder(&data(2, 3), place.path(), &folders).unwrap_err();
    assert_eq!(
        said.to_string(),
        "`images` must have 1 or 3 channels to be written as PNG, got 2"
    );
    let said = write_image_folder(&data(1, 3), place.path(), &folders).unwrap_err();
    assert_eq!(
        said.to_string(),
        "`folders` must be one for each of 3 classes, got 4"
    );
}

#[test]
fn idx_files_are_read_back_to_the_same_bytes() {
    let place = TempDir::new().unwrap();
    let (images, labels) = (place.path().join("images"), place.path().join("labels"));
    let written = data(1, 3);
    write_idx(&written, &images, &labels).unwrap();
    let read = read_idx("toy", Split::Train, 3, &images, &labels).unwrap();
    assert_eq!(read.shape(), written.shape());
    assert_eq!(
        (read.images(), read.labels()),
        (written.images(), written.labels())
    );
    let refused = |data: &Dataset| write_idx(data, &images, &labels).unwrap_err().to_string();
    assert_eq!(
        refused(&data(3, 3)),
        "`images` must be grey, not of 3 channels, in IDX files; write a folder of images instead"
    );
    let many = Dataset::new(
        "many",
        Split::Train,
        ImageShape::new(1, 1, 1),
        300,
        vec![0],
        vec![256],
    );
    assert_eq!(
        refused(&many.unwrap()),
        "`classes` must be at most 256, not 300, in IDX files; write a folder of images instead"
    );
}

#[test]
fn a_folder_appears_whole_or_not_at_all() {
    let place = TempDir::new().unwrap();
    let entries = || std::fs::read_dir(place.path()).unwrap().count();
    let path = place.path().join("deep/out");
    let one = |folder: &Path| {
        assert!(!path.join("one").exists());
        std::fs::write(folder.join("one"), "1").map_err(Error::io("write", folder))
    };
    write_folder(&path, one).unwrap();
    assert_eq!(std::fs::read(path.join("one")).unwrap(), b"1");
    let said = write_folder(&path, |_| Ok(())).unwrap_err().to_string();
    assert!(
        said.ends_with("out` is not empty; name a new folder, or empty this one"),
        "{said}"
    );
    // An empty one is taken; what fails leaves nothing.
    let empty = place.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    write_folder(&empty, |folder| {
        std::fs::write(folder.join("a"), "").map_err(Error::io("write", folder))
    })
    .unwrap();
    assert!(empty.join("a").is_file());
    let before = entries();
    write_folder(&place.path().join("never"), |_| {
        Err(Error::config("x", "is wrong"))
    })
    .unwrap_err();
    assert_eq!(entries(), before);
    let said = write_folder(&empty.join("a"), |_| Ok(()))
        .unwrap_err()
        .to_string();
    assert!(
        said.ends_with("a` is there and no folder; name a new one"),
        "{said}"
    );
}
