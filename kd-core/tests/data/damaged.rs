//! Damaged files of every format: an error or data, never a panic; and the right data where the format has a
//! checksum.
//!
//! Each format gets a few hundred mutations, which are functions of their number; `KD_MUTATIONS` says another
//! count.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use image::ImageFormat;
use kd_core::{
    CifarLabels, Dataset, Draws, ErrorKind, ImageFit, ImageFolder, ImageShape, MaskClass,
    MaskFolder, Result, Split, read_camvid, read_cifar10, read_cifar100, read_idx, read_svhn,
};
use tempfile::TempDir;

/// Mutations of each file.
fn mutations() -> u64 {
    let asked = std::env::var("KD_MUTATIONS").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(300)
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::read(folder.join(name)).unwrap()
}

/// The bytes with something done to them.
fn damaged(whole: &[u8], number: u64) -> Vec<u8> {
    let mut draws = Draws::new(number, "damage", 0, 0);
    let mut bytes = whole.to_vec();
    let mut below = |limit: usize| usize::try_from(draws.below(limit as u64)).unwrap();
    let at = below(bytes.len());
    let length = 1 + below(16.min(bytes.len() - at));
    match below(7) {
        0 => bytes[at] ^= 1 << below(8),
        1 => bytes[at..at + length].fill_with(|| u8::try_from(below(256)).unwrap()),
        2 => bytes[at..at + length].fill([0, 0x7f, 0x80, 0xff][below(4)]),
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..at + length)),
        5 => {
            let again = bytes[at..at + length].to_vec();
            drop(bytes.splice(at..at, again));
        }
        _ => {
            for _ in 0..8 {
                let at = below(bytes.len());
                bytes[at] ^= 1 << below(8);
            }
        }
    }
    bytes
}

/// What is expected of data that were read from a damaged file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Checked {
    /// The format has a checksum: they are those of the whole file.
    BySum,
    /// It has none: they may be anything.
    NotAtAll,
    /// It has none, and most bytes are pixels as they are.
    Raw,
}

fn try_all(
    name: &str,
    checked: Checked,
    whole: &[u8],
    path: &Path,
    read: impl Fn() -> Result<Dataset>,
) {
    fs::write(path, whole).unwrap();
    let right = read().unwrap();
    let mut refused = 0;
    let count = mutations();
    for number in 0..count {
        fs::write(path, damaged(whole, number)).unwrap();
        match read() {
            Ok(data) if checked == Checked::BySum => {
                assert_eq!(data.hash(), right.hash(), "{name}, mutation {number}");
            }
            Ok(_) => {}
            Err(error) => {
                refused += 1;
                assert_eq!(
                    error.kind(),
                    ErrorKind::Input,
                    "{name}, mutation {number}: {error}"
                );
                // Of a pair of files that do not fit, either may be named.
                let folder = path.parent().unwrap().display().to_string();
                assert!(error.to_string().contains(&folder), "{name}: {error}");
            }
        }
    }
    let least = match checked {
        Checked::BySum => count / 2,
        Checked::NotAtAll => count / 10,
        Checked::Raw => count / 30,
    };
    assert!(refused >= least, "{name}: {refused} of {count} refused");
}

fn file() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    (folder, path)
}

#[test]
fn matlab_files() {
    let (_folder, path) = file();
    for (name, checked) in [
        ("compressed", Checked::BySum),
        ("others", Checked::BySum),
        ("labels-float64", Checked::BySum),
        ("plain", Checked::NotAtAll),
    ] {
        let whole = fixture(&format!("svhn/{name}.mat"));
        let read = || read_svhn("svhn", Split::Train, [&path]);
        try_all(name, checked, &whole, &path, read);
    }
}

#[test]
fn images() {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in [
        ("a/image.png", "images/rgb.png"),
        ("b/b.png", "images/rgb.png"),
    ] {
        let path = folder.path().join("train").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, fixture(bytes)).unwrap();
    }
    let path = folder.path().join("train/a/image.png");
    let fit = ImageFit::new(ImageShape::new(3, 16, 16));
    let opened = ImageFolder::open(folder.path(), fit).unwrap();
    for (name, checked) in [
        ("rgb.png", Checked::BySum),
        ("palette.png", Checked::BySum),
        ("turned.png", Checked::BySum),
        ("photo.jpg", Checked::NotAtAll),
        ("progressive.jpg", Checked::NotAtAll),
        ("turned-6.jpg", Checked::NotAtAll),
        ("lossy.webp", Checked::NotAtAll),
        ("lossless.webp", Checked::NotAtAll),
        ("turned.webp", Checked::NotAtAll),
    ] {
        let whole = fixture(&format!("images/{name}"));
        try_all(name, checked, &whole, &path, || opened.load(Split::Train));
    }
    // The same picture in the formats without a fixture of their own.
    let picture = image::load_from_memory(&fixture("images/rgb.png"))
        .unwrap()
        .to_rgb8();
    for (format, checked) in [
        (ImageFormat::Bmp, Checked::Raw),
        (ImageFormat::Gif, Checked::Raw),
        (ImageFormat::Tiff, Checked::Raw),
    ] {
        let mut whole = Cursor::new(Vec::new());
        picture.write_to(&mut whole, format).unwrap();
        let name = format!("{format:?}");
        try_all(&name, checked, whole.get_ref(), &path, || {
            opened.load(Split::Train)
        });
    }
}

/// A PNG of one byte a pixel: grey values, or numbers of a palette of four colours.
fn png(
    width: u32,
    height: u32,
    palette: bool,
    bit: u8,
    rows: impl Iterator<Item = Vec<u8>>,
) -> Vec<u8> {
    let chunk = |bytes: &mut Vec<u8>, name: &[u8], body: &[u8]| {
        bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        let whole = [name, body].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&whole);
        bytes.extend(whole);
        bytes.extend(crc.sum().to_be_bytes());
    };
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let kind = if palette { 3 } else { 0 };
    let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
    chunk(
        &mut bytes,
        b"IHDR",
        &[&sides[..], &[bit, kind, 0, 0, 0]].concat(),
    );
    if palette {
        chunk(
            &mut bytes,
            b"PLTE",
            &[0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255],
        );
    }
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
    for row in rows {
        packed.write_all(&[&[0], row.as_slice()].concat()).unwrap();
    }
    chunk(&mut bytes, b"IDAT", &packed.finish().unwrap());
    chunk(&mut bytes, b"IEND", &[]);
    bytes
}

/// Two folders with an image and its mask.
fn image_and_mask(image: &[u8], mask: &[u8]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in [("train/1.png", image), ("trainannot/1.png", mask)] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn classes(values: [&str; 2]) -> Vec<MaskClass> {
    let [ground, cell] = values;
    let text = format!("all = [{{name = \"ground\"{ground}}}, {{name = \"cell\"{cell}}}]");
    let mut table: std::collections::HashMap<String, Vec<MaskClass>> =
        toml::from_str(&text).unwrap();
    table.remove("all").unwrap()
}

/// A damaged mask of each kind, or the image beside it, of two folders.
#[test]
fn masks() {
    let picture = image::RgbImage::from_fn(20, 16, |x, y| {
        image::Rgb([u8::try_from(x * y % 256).unwrap(), u8::from(x > 9) * 255, 0])
    });
    let colours =
        image::RgbImage::from_fn(20, 16, |x, _| image::Rgb([0, u8::from(x > 9) * 255, 0]));
    let bytes_of = |picture: image::RgbImage| {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    let (image, colours) = (bytes_of(picture), bytes_of(colours));
    let rows = || (0..16_u8).map(|_| (0..20_u8).map(|x| u8::from(x > 9)).collect());
    let numbers = [", value = 0", ", value = 1"];
    let named = [", value = \"#000000\"", ", value = \"#00ff00\""];
    for (kind, mask, values) in [
        ("grey", png(20, 16, false, 8, rows()), numbers),
        ("palette", png(20, 16, true, 8, rows()), numbers),
        ("colours", colours, named),
    ] {
        let folder = image_and_mask(&image, &mask);
        let opened = MaskFolder::open(folder.path(), [16, 20], &classes(values), None).unwrap();
        for (name, whole) in [("train/1.png", &image), ("trainannot/1.png", &mask)] {
            let path = folder.path().join(name);
            let read = || opened.load(Split::Train);
            // Damage to a palette alone changes no number.
            try_all(
                &format!("{kind} {name}"),
                Checked::BySum,
                whole,
                &path,
                read,
            );
            fs::write(path, whole).unwrap();
        }
    }
    // As `CamVid` has them: classes of its own, in numbers.
    let mask = png(20, 16, false, 8, rows());
    let folder = image_and_mask(&image, &mask);
    for (name, whole) in [("train/1.png", &image), ("trainannot/1.png", &mask)] {
        let path = folder.path().join(name);
        let read = || read_camvid(folder.path(), Split::Train, [16, 20]);
        try_all(
            &format!("camvid {name}"),
            Checked::BySum,
            whole,
            &path,
            read,
        );
        fs::write(path, whole).unwrap();
    }
}

/// 30000x30000 pixels of one bit each, in a file of some kilobytes, are not unpacked.
#[test]
fn a_palette_that_is_a_bomb_is_refused() {
    let bomb = png(30_000, 30_000, true, 1, (0..30_000).map(|_| vec![0; 3750]));
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    let small = png(4, 4, false, 8, (0..4).map(|_| vec![1; 4]));
    for (image, mask) in [(&bomb, &small), (&small, &bomb)] {
        let folder = image_and_mask(image, mask);
        let classes = classes([", value = 0", ", value = 1"]);
        let opened = MaskFolder::open(folder.path(), [16, 20], &classes, None).unwrap();
        let error = opened.load(Split::Train).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains("30000x30000 pixels"), "{error}");
        let left = opened.skipping_broken(true).load(Split::Train).unwrap_err();
        assert!(
            left.to_string().contains("no image that can be read"),
            "{left}"
        );
    }
    let folder = TempDir::new().unwrap();
    for (name, bytes) in [("a/1.png", &bomb), ("b/2.png", &small)] {
        let path = folder.path().join("train").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let fit = ImageFit::new(ImageShape::new(3, 16, 16));
    let opened = ImageFolder::open(folder.path(), fit).unwrap();
    let error = opened.load(Split::Train).unwrap_err();
    assert!(error.to_string().contains("30000x30000 pixels"), "{error}");
}

/// Folders whose names, files and nesting are drawn: listed and read, or refused in words.
#[test]
fn folders_of_any_shape() {
    let names = [
        "train",
        "test",
        "val",
        "a",
        "b",
        ".hidden",
        "a b",
        "1.png",
        "2.PNG",
        "x.txt",
        "trainannot",
    ];
    let whole = fixture("images/grey.png");
    let classes = classes([", value = 0", ", value = 1"]);
    let (mut read, mut refused) = (0, 0);
    for number in 0..mutations() {
        let folder = TempDir::new().unwrap();
        let mut draws = Draws::new(number, "folders", 0, 0);
        for _ in 0..2 + draws.below(14) {
            let mut path = folder.path().to_owned();
            for depth in 0..=draws.below(4) {
                let known = usize::try_from(draws.below(names.len() as u64)).unwrap();
                // Most lie in classes of a split.
                let name = if depth == 0 && draws.chance(0.7) {
                    "train"
                } else {
                    names[known]
                };
                path.push(name);
            }
            if draws.chance(0.7) {
                let class = ["a", "b"][usize::from(draws.chance(0.5))];
                path = folder.path().join("train").join(class);
                path.push(format!("{}.png", draws.below(3)));
            }
            let bytes = match draws.below(6) {
                0 => &whole[..9],
                _ => &whole[..],
            };
            // What cannot be made, such as a file where a folder is, is left out.
            drop(fs::create_dir_all(path.parent().unwrap()));
            match draws.below(8) {
                0 => drop(fs::create_dir(&path)),
                #[cfg(unix)]
                1 => drop(std::os::unix::fs::symlink(&path, &path)),
                _ => drop(fs::write(&path, bytes)),
            }
        }
        let fit = ImageFit::new(ImageShape::new(3, 16, 16));
        let skip = number % 2 == 0;
        let images = ImageFolder::open(folder.path(), fit)
            .and_then(|opened| opened.skipping_broken(skip).load(Split::Train));
        let masks = MaskFolder::open(folder.path(), [16, 16], &classes, None)
            .and_then(|opened| opened.skipping_broken(skip).load(Split::Train));
        for outcome in [images, masks] {
            match outcome {
                Ok(_) => read += 1,
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.kind(), ErrorKind::Input, "folders {number}: {error}");
                }
            }
        }
    }
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
}

#[test]
fn idx_files() {
    let header =
        |numbers: &[u32]| -> Vec<u8> { numbers.iter().flat_map(|n| n.to_be_bytes()).collect() };
    let pixels: Vec<u8> = (0..=254).cycle().take(20 * 64).collect();
    let images = [header(&[2051, 20, 8, 8]), pixels].concat();
    let labels = [header(&[2049, 20]), [0, 1, 2, 3].repeat(5)].concat();
    let (folder, path) = file();
    let others = folder.path().join("whole");
    let gzipped = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    for (name, checked, images, labels) in [
        ("plain", Checked::NotAtAll, images.clone(), labels.clone()),
        (
            "gzipped",
            Checked::BySum,
            gzipped(&images),
            gzipped(&labels),
        ),
    ] {
        fs::write(&others, &labels).unwrap();
        let read = || read_idx("toy", Split::Train, 4, &path, &others);
        try_all(&format!("{name} images"), checked, &images, &path, read);
        fs::write(&others, &images).unwrap();
        let read = || read_idx("toy", Split::Train, 4, &others, &path);
        try_all(&format!("{name} labels"), checked, &labels, &path, read);
    }
}

/// A batch of the Python version of CIFAR: the opcodes that Python 2 wrote for its dictionary, lists of
/// labels and array of bytes.
fn python_batch(labels: &[(&str, [u8; 3])], pixels: &[u8]) -> Vec<u8> {
    let short = |text: &str| {
        [
            b"U",
            &[u8::try_from(text.len()).unwrap()][..],
            text.as_bytes(),
        ]
        .concat()
    };
    let mut bytes = b"\x80\x02}q\x01(".to_vec();
    bytes.extend(short("batch_label"));
    bytes.extend(short("training batch 1 of 5"));
    for (at, (name, labels)) in labels.iter().enumerate() {
        bytes.extend(short(name));
        bytes.extend([b"]q", &[u8::try_from(at + 2).unwrap()][..], b"("].concat());
        bytes.extend(labels.iter().flat_map(|&label| [b'K', label]));
        bytes.push(b'e');
    }
    bytes.extend(short("data"));
    bytes.extend(
        b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87R",
    );
    bytes.extend(
        b"q\x09(K\x01M\x03\x00M\x00\x0c\x86cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b",
    );
    bytes.extend(b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
    bytes.extend(u32::try_from(pixels.len()).unwrap().to_le_bytes());
    bytes.extend(pixels);
    bytes.extend(b"tbu.");
    bytes
}

#[test]
fn cifar_files() {
    let record = |label: &[u8]| [label, &[7; 3072]].concat();
    let (_folder, path) = file();
    let ten = [record(&[3]), record(&[9]), record(&[0])].concat();
    let read = || read_cifar10("toy", Split::Train, [&path]);
    try_all("ten", Checked::NotAtAll, &ten, &path, read);
    let hundred = [record(&[3, 99]), record(&[19, 0])].concat();
    let read = || read_cifar100("toy", Split::Train, CifarLabels::Fine, [&path]);
    try_all("hundred", Checked::NotAtAll, &hundred, &path, read);
    // The same images as Python writes them.
    for (name, lists, binary) in [
        ("ten of Python", &[("labels", [3, 9, 0])][..], &ten),
        (
            "hundred of Python",
            &[("coarse_labels", [3, 19, 7]), ("fine_labels", [99, 0, 5])][..],
            &[record(&[3, 99]), record(&[19, 0]), record(&[7, 5])].concat(),
        ),
    ] {
        let fine = CifarLabels::Fine;
        let read = || match lists.len() {
            1 => read_cifar10("toy", Split::Train, [&path]),
            _ => read_cifar100("toy", Split::Train, fine, [&path]),
        };
        fs::write(&path, binary).unwrap();
        let expected = read().unwrap();
        let whole = python_batch(lists, &[7; 3 * 3072]);
        fs::write(&path, &whole).unwrap();
        assert_eq!(read().unwrap().hash(), expected.hash(), "{name}");
        try_all(name, Checked::NotAtAll, &whole, &path, read);
    }
}
