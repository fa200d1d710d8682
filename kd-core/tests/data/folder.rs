//! Folders of images: what Pillow makes of the same files, the layout, and what is refused.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};

use kd_core::{
    DataRoots, DataSource, Dataset, Error, ErrorKind, ImageFit, ImageFolder, ImageShape, Split,
};
use safetensors::SafeTensors;
use tempfile::TempDir;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images")
}

/// A folder with these files, each a copy of the fixture beside it; an empty name makes a folder.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let root = TempDir::new().unwrap();
    for (path, fixture) in files {
        let path = root.path().join(path);
        if fixture.is_empty() {
            fs::create_dir_all(path).unwrap();
            continue;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(fixtures().join(fixture), path).unwrap();
    }
    root
}

fn rgb(side: usize) -> ImageFit {
    ImageFit::new(ImageShape::new(3, side, side))
}

/// What is said of the folder, its path replaced.
fn refusal(root: &TempDir, outcome: Result<impl Sized, Error>) -> String {
    let error = outcome.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Input, "{error}");
    error
        .to_string()
        .replace(&root.path().display().to_string(), "ROOT")
}

fn open(root: &TempDir) -> Result<ImageFolder, Error> {
    ImageFolder::open(root.path(), rgb(8))
}

fn decoded(name: &str, fit: &ImageFit) -> Dataset {
    let root = tree(&[
        (&format!("train/a/{name}"), name),
        ("train/b/b.png", "rgb.png"),
    ]);
    let folder = ImageFolder::open(root.path(), fit.clone()).unwrap();
    folder.load(Split::Train).unwrap()
}

/// Lossless files differ from Pillow by rounding only; JPEG and lossy WebP decoders round differently
/// themselves.
#[test]
fn images_come_out_as_pillow_makes_them() {
    let bytes = fs::read(fixtures().join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let mut cases = 0;
    for (key, tensor) in expected.iter() {
        let (case, name) = key.split_once(": ").unwrap();
        let resize = case.contains("of 32").then_some(32);
        let &[channels, height, width] = tensor.shape() else {
            unreachable!("{key}");
        };
        let fit = ImageFit::new(ImageShape::new(channels, height, width)).with_resize(resize);
        let data = decoded(name, &fit);
        let lossy = name.contains("jp") || name == "lossy.webp";
        let far = data.image(0).unwrap().iter().zip(tensor.data());
        let far: Vec<u8> = far.map(|(ours, theirs)| ours.abs_diff(*theirs)).collect();
        let most = far.iter().max().copied().unwrap();
        let mean = far.iter().map(|far| f64::from(*far)).sum::<f64>() / far.len() as f64;
        assert!(
            most <= if lossy { 12 } else { 1 } && mean <= if lossy { 1.0 } else { 0.3 },
            "{key}: {most} at most, {mean} in the mean"
        );
        cases += 1;
    }
    assert_eq!(cases, 23 * 3 + 1);
}

#[test]
fn classes_files_and_ids_follow_names() {
    let root = tree(&[
        ("train/dog/b.png", "rgb.png"),
        ("train/dog/a.JPG", "photo.jpg"),
        ("train/Cat/2.webp", "lossless.webp"),
        ("train/Cat/10.jpeg", "subsampled.jpeg"),
        ("train/Cat/.hidden.png", "rgb.png"),
        ("train/Cat/notes.txt", "generate.py"),
        ("train/Cat/more/x.png", "rgb.png"),
        ("train/.cache/x.png", "rgb.png"),
        ("train/list.csv", "generate.py"),
        ("val/dog/1.png", "grey.png"),
        ("val/Cat/1.png", "rgb.png"),
    ]);
    let folder = open(&root).unwrap();
    assert_eq!(folder.class_names(), ["Cat", "dog"]);
    let relative = |path: &Path| {
        path.strip_prefix(root.path())
            .unwrap()
            .display()
            .to_string()
    };
    let files: Vec<_> = folder.files(Split::Train).map(relative).collect();
    assert_eq!(
        files,
        [
            "train/Cat/10.jpeg",
            "train/Cat/2.webp",
            "train/dog/a.JPG",
            "train/dog/b.png"
        ]
    );
    let skipped: Vec<_> = folder.skipped().into_iter().map(relative).collect();
    assert_eq!(
        skipped,
        [
            "train/.cache",
            "train/Cat/.hidden.png",
            "train/Cat/more",
            "train/Cat/notes.txt",
            "train/list.csv"
        ]
    );
    let train = folder.load(Split::Train).unwrap();
    assert_eq!(train.labels(), [0, 0, 1, 1]);
    assert_eq!(train.class_names().unwrap(), ["Cat", "dog"]);
    let test = folder.load(Split::Test).unwrap();
    assert_eq!((test.labels(), test.split()), (&[0, 1][..], Split::Test));
    // The same files give the same bytes, whatever the threads do.
    assert_eq!(
        train.hash(),
        open(&root).unwrap().load(Split::Train).unwrap().hash()
    );
    // `test` comes before `val`.
    fs::rename(root.path().join("val"), root.path().join("test")).unwrap();
    fs::create_dir(root.path().join("val")).unwrap();
    assert_eq!(open(&root).unwrap().samples(Split::Test), Some(2));
}

/// A class without images to test on is absent there; its number is that of the training folder.
#[test]
fn the_samples_to_test_on_may_lack_a_class() {
    for name in ["test", "val", "valid", "validation"] {
        for empty in [false, true] {
            let root = tree(&[
                ("train/cat/1.png", "rgb.png"),
                ("train/dog/1.png", "rgb.png"),
                ("train/fox/1.png", "rgb.png"),
                (&format!("{name}/cat/1.png"), "rgb.png"),
                (&format!("{name}/fox/1.png"), "rgb.png"),
            ]);
            if empty {
                fs::create_dir(root.path().join(name).join("dog")).unwrap();
            }
            let test = open(&root).unwrap().load(Split::Test).unwrap();
            assert_eq!((test.classes(), test.labels()), (3, &[0, 2][..]), "{name}");
        }
    }
}

#[test]
fn images_to_test_on_can_be_all_there_is() {
    let names = ["cat", "dog", "fox"].map(str::to_owned);
    for below in ["", "test/", "validation/"] {
        let root = tree(&[
            (&format!("{below}fox/1.png"), "rgb.png"),
            (&format!("{below}cat/1.png"), "rgb.png"),
        ]);
        let folder = ImageFolder::open_test(root.path(), rgb(8), &names).unwrap();
        assert_eq!(folder.samples(Split::Train), None);
        let test = folder.load(Split::Test).unwrap();
        assert_eq!((test.classes(), test.labels()), (3, &[0, 2][..]), "{below}");
        assert!(folder.load(Split::Train).is_err());
        let outcome = ImageFolder::open_test(root.path(), rgb(8), &names[..2]);
        let said = refusal(&root, outcome);
        let place = format!("`ROOT/{below}fox` is no class of the model;");
        assert!(said.starts_with(&place), "{said}");
    }
    let root = tree(&[("test/cat", "")]);
    let outcome = ImageFolder::open_test(root.path(), rgb(8), &names);
    let said = refusal(&root, outcome);
    assert!(said.starts_with("`ROOT/test` has no images;"), "{said}");
}

#[test]
fn what_is_wrong_with_a_folder_is_said() {
    let layout = "put the images of each class into a folder `train/CLASS` below it";
    let said = |files: &[(&str, &str)]| {
        let root = tree(files);
        let outcome = open(&root);
        refusal(&root, outcome)
    };
    assert_eq!(said(&[]), format!("`ROOT` has no folder `train`; {layout}"));
    assert_eq!(
        said(&[("dog/1.png", "rgb.png"), ("cat/1.png", "rgb.png")]),
        format!("`ROOT` has no folder `train`, it has `cat`, `dog`; {layout}")
    );
    assert_eq!(
        said(&[("train/1.png", "rgb.png")]),
        format!("`ROOT` has no folder in `train`; {layout}")
    );
    assert_eq!(
        said(&[("train/dog/1.png", "rgb.png")]),
        "`ROOT` has one class only, `dog`; a classifier needs two, each a folder in `train`"
    );
    assert_eq!(
        said(&[("train/dog/1.png", "rgb.png"), ("train/cat", "")]),
        "`ROOT/train/cat` has no image; put files of the kinds png, jpg, jpeg, webp, bmp, gif, tif, tiff \
         directly into it, or remove it"
    );
    assert_eq!(
        said(&[
            ("train/dog/1.png", "rgb.png"),
            ("train/cat/1.xyz", "not-read.gif")
        ]),
        "`ROOT/train/cat` has no image; put files of the kinds png, jpg, jpeg, webp, bmp, gif, tif, tiff \
         directly into it, or remove it; of the \
         1 entries in it none is one"
    );
    let both = [
        ("train/dog/1.png", "rgb.png"),
        ("train/cat/1.png", "rgb.png"),
    ];
    let with = |path| [&both[..], &[(path, "rgb.png")]].concat();
    assert_eq!(
        said(&with("test/bird/1.png")),
        "`ROOT/test/bird` is no class of `ROOT/train`; move it there as well, or remove it"
    );
    let root = tree(&both);
    let folder = open(&root).unwrap();
    assert_eq!(folder.samples(Split::Test), None);
    assert_eq!(
        refusal(&root, folder.load(Split::Test)),
        "`ROOT` has neither a `test` nor a `val` folder; add one, or hold out a part of `train` with \
         `held_out` in the recipe"
    );
    let outcome = ImageFolder::open(root.path().join("no"), rgb(8));
    assert_eq!(
        refusal(&root, outcome),
        "`ROOT/no` is not there; give the folder that has `train`"
    );
    let outcome = ImageFolder::open(root.path().join("train/dog/1.png"), rgb(8));
    assert_eq!(
        refusal(&root, outcome),
        "`ROOT/train/dog/1.png` is no folder; give the folder that has `train`"
    );
}

#[test]
fn a_file_that_is_no_good_image_is_named() {
    let both = [
        ("train/cat/1.png", "rgb.png"),
        ("train/dog/1.png", "rgb.png"),
    ];
    let said = |content: &[u8]| {
        let root = tree(&both);
        fs::write(root.path().join("train/dog/0.png"), content).unwrap();
        let folder = open(&root).unwrap();
        let text = refusal(&root, folder.load(Split::Train));
        let text = text
            .strip_prefix("`ROOT/train/dog/0.png`, byte ")
            .map(str::to_owned);
        text.unwrap()
    };
    let file = |name: &str| fs::read(fixtures().join(name)).unwrap();
    assert_eq!(
        said(b""),
        "0: the file is empty; replace the file or remove it"
    );
    assert_eq!(
        said(b"%!PS-Adobe-3.0"),
        "0: this is no PNG, JPEG, WebP, BMP, GIF or TIFF image; save it as one of them, or remove it"
    );
    assert_eq!(
        said(&file("bomb.png")),
        "0: the image is 20000x20000 pixels, more than the 100 million that are decoded; scale it down first"
    );
    for name in [
        "rgb.png",
        "photo.jpg",
        "progressive.jpg",
        "turned-6.jpg",
        "lossy.webp",
        "lossless.webp",
        "alpha.webp",
    ] {
        let whole = file(name);
        for length in [20, whole.len() / 2, whole.len() - 2] {
            assert_eq!(
                said(&whole[..length]),
                format!(
                    "{length}: the file ends before the end of the image; replace the file or remove it"
                ),
                "{name}"
            );
        }
    }
    let mut wrong = file("rgb.png");
    let at = wrong.len() - 20;
    wrong[at] ^= 1;
    let text = said(&wrong);
    assert!(
        text.contains(": the checksum of chunk `IDAT` is wrong; replace the file or remove it"),
        "{text}"
    );
}

#[test]
fn what_a_file_is_shows_in_its_bytes() {
    let root = tree(&[
        ("train/a/really-a-jpeg.png", "photo.jpg"),
        ("train/b/b.png", "rgb.png"),
    ]);
    assert_eq!(open(&root).unwrap().load(Split::Train).unwrap().len(), 2);
}

#[test]
fn more_than_eight_gibibytes_are_refused_before_anything_is_read() {
    let names: Vec<String> = (0..180)
        .map(|n| format!("train/{}/{n}.png", n % 2))
        .collect();
    let files: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), "rgb.png"))
        .collect();
    let root = tree(&files);
    let folder = ImageFolder::open(root.path(), rgb(4096)).unwrap();
    assert_eq!(
        refusal(&root, folder.load(Split::Train)),
        "`ROOT/train` has 180 images, which at 3x4096x4096 take 9.1 GB, more than the 8 GiB that are held in \
         memory; use a \
         smaller size or fewer images"
    );
}

#[test]
fn a_folder_is_a_source_like_a_named_set() {
    let root = tree(&[
        ("train/a/1.png", "rgb.png"),
        ("train/b/1.png", "large.png"),
        ("train/c/1.png", "palette.png"),
    ]);
    let source = DataSource::from(ImageFolder::open(root.path(), rgb(16)).unwrap());
    assert_eq!(
        source.name(),
        root.path().file_name().unwrap().to_str().unwrap()
    );
    assert_eq!(
        (source.classes(), source.shape()),
        (3, ImageShape::new(3, 16, 16))
    );
    assert!(source.has(Split::Train) && !source.has(Split::Test));
    let train = source.load(Split::Train, &DataRoots::default()).unwrap();
    let pixels = train.images().chunks_exact(256).step_by(3).flatten();
    let red: Vec<f64> = pixels.map(|pixel| f64::from(*pixel) / 255.0).collect();
    let mean = red.iter().sum::<f64>() / red.len() as f64;
    let found = source.normalisation(&train).unwrap();
    assert!((found.mean[0] - mean).abs() < 1e-6);
}

/// All are named at once, in the order of ids, whichever thread is faster.
#[test]
fn several_files_that_are_no_images_are_named_together() {
    let root = tree(&[
        ("train/cat/1.png", "rgb.png"),
        ("train/dog/1.png", "rgb.png"),
    ]);
    for number in 2..15 {
        fs::write(
            root.path().join(format!("train/dog/{number:02}.png")),
            "none",
        )
        .unwrap();
    }
    fs::write(root.path().join("train/cat/2.png"), "").unwrap();
    let said = refusal(&root, open(&root).unwrap().load(Split::Train));
    assert!(
        said.starts_with(
            "`ROOT` has 14 images of 16 that cannot be read: `ROOT/train/cat/2.png` (the file is empty), \
             `ROOT/train/dog/02.png` (this is no PNG"
        ),
        "{said}"
    );
    assert!(
        said.ends_with(
            "and 4 more; replace them, remove them, or leave them out with `skip_broken = true`"
        ),
        "{said}"
    );
}

#[test]
fn formats_without_loss_give_the_same_pixels() {
    let pixel = |x: u32, y: u32| {
        image::Rgb([0, 90, 255].map(|low: u8| low.wrapping_add((3 * x + 50 * y).to_le_bytes()[0])))
    };
    let picture = image::RgbImage::from_fn(12, 9, pixel);
    // A GIF has at most 256 colours; these are 108.
    let root = tempfile::tempdir().unwrap();
    let classes = ["a-png", "b-bmp", "c-tif", "d-tiff", "e-gif"];
    for class in classes {
        let folder = root.path().join("train").join(class);
        fs::create_dir_all(&folder).unwrap();
        let extension = class.rsplit('-').next().unwrap();
        picture.save(folder.join(format!("1.{extension}"))).unwrap();
        // Cut off, all but PNG may be read in part; none may panic.
        let whole = fs::read(folder.join(format!("1.{extension}"))).unwrap();
        for length in (0..whole.len()).step_by(7) {
            let cut = tempfile::tempdir().unwrap();
            for (other, bytes) in [("x", &whole[..length]), ("y", &whole[..])] {
                let folder = cut.path().join("train").join(other);
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(format!("1.{extension}")), bytes).unwrap();
            }
            drop(
                ImageFolder::open(cut.path(), rgb(8))
                    .unwrap()
                    .load(Split::Train),
            );
        }
    }
    let data = ImageFolder::open(root.path(), rgb(8))
        .unwrap()
        .load(Split::Train)
        .unwrap();
    let first = data.image(0).unwrap();
    for (id, class) in (0..).zip(classes).take(4) {
        assert_eq!(data.image(id).unwrap(), first, "{class}");
    }
    // The encoder of GIF picks its colours itself.
    let gif = data.image(4).unwrap().iter().zip(first);
    assert!(gif.map(|(one, other)| one.abs_diff(*other)).max().unwrap() < 40);
}

/// A colour profile that would fill the memory is not unpacked.
#[test]
fn a_colour_profile_that_is_a_bomb_changes_nothing() {
    let plain = fs::read(fixtures().join("rgb.png")).unwrap();
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![0_u8; 1 << 20];
    for _ in 0..300 {
        std::io::Write::write_all(&mut packed, &zeros).unwrap();
    }
    let profile = [&b"profile\0\0"[..], &packed.finish().unwrap()].concat();
    let mut bytes = plain[..33].to_vec();
    bytes.extend(u32::try_from(profile.len()).unwrap().to_be_bytes());
    let chunk = [&b"iCCP"[..], &profile].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&chunk);
    bytes.extend(chunk);
    bytes.extend(crc.sum().to_be_bytes());
    bytes.extend(&plain[33..]);
    let root = tree(&[
        ("train/cat/1.png", "rgb.png"),
        ("train/dog/1.png", "rgb.png"),
    ]);
    fs::write(root.path().join("train/dog/1.png"), bytes).unwrap();
    let data = open(&root).unwrap().load(Split::Train).unwrap();
    assert_eq!(data.image(0), data.image(1));
}

#[test]
fn a_data_set_is_resized_as_a_folder_of_its_images_is() {
    let root = tree(&[("train/a/1.png", "rgb.png"), ("train/b/2.png", "rgb.png")]);
    let at = |height, width| {
        let fit = ImageFit::new(ImageShape::new(3, height, width));
        ImageFolder::open(root.path(), fit)
            .unwrap()
            .load(Split::Train)
            .unwrap()
    };
    let whole = image::open(root.path().join("train/a/1.png"))
        .unwrap()
        .to_rgb8();
    let own = at(whole.height() as usize, whole.width() as usize);
    for [height, width] in [[8, 8], [5, 11], [64, 48]] {
        let resized = own.resized([height, width]).unwrap();
        let read = at(height, width);
        assert_eq!(resized.images(), read.images(), "{height}x{width}");
        assert_eq!(resized.hash(), read.hash());
        assert_eq!(resized.class_names(), read.class_names());
    }
    assert!(own.resized([0, 4]).is_err());
}

#[test]
fn images_that_cannot_be_read_are_left_out_where_asked() {
    let root = tree(&[
        ("train/a/1.png", "rgb.png"),
        ("train/a/2.png", "rgb.png"),
        ("train/b/1.png", "rgb.png"),
        ("test/a/1.png", "rgb.png"),
    ]);
    for broken in ["train/a/0.png", "train/b/2.png", "test/a/2.png"] {
        fs::write(root.path().join(broken), b"nothing").unwrap();
    }
    let opened = ImageFolder::open(root.path(), rgb(8)).unwrap();
    assert!(opened.load(Split::Train).is_err() && opened.broken().is_empty());
    let skipping = opened.clone().skipping_broken(true);
    let clone = skipping.clone();
    let train = skipping.load(Split::Train).unwrap();
    assert_eq!(train.labels(), [0, 0, 1]);
    skipping.load(Split::Test).unwrap();
    let names: Vec<String> = clone
        .broken()
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(
        names[0].ends_with("test/a/2.png") && names[2].ends_with("train/b/2.png"),
        "{names:?}"
    );
    // What is left is what a folder without them has.
    for broken in clone.broken() {
        fs::remove_file(broken).unwrap();
    }
    let whole = ImageFolder::open(root.path(), rgb(8)).unwrap();
    assert_eq!(whole.load(Split::Train).unwrap().hash(), train.hash());
    // A split of which nothing is left is refused.
    fs::write(root.path().join("test/a/1.png"), b"nothing").unwrap();
    let whole = ImageFolder::open(root.path(), rgb(8)).unwrap();
    let error = whole
        .skipping_broken(true)
        .load(Split::Test)
        .unwrap_err()
        .to_string();
    assert!(error.contains("has no image that can be read"), "{error}");
}
