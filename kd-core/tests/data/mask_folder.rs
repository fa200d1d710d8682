//! Images and masks of one's own: layouts, values, palettes, colours, and what is refused.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::Crc;
use flate2::write::ZlibEncoder;
use image::{GrayImage, Luma, Rgb, RgbImage};
use kd_core::{Dataset, Error, MaskClass, MaskFolder, MaskValue, Split, ValuedClass};
use tempfile::TempDir;

fn named(names: &[&str]) -> Vec<MaskClass> {
    names
        .iter()
        .map(|name| MaskClass::Name((*name).to_owned()))
        .collect()
}

fn valued(classes: &[(&str, MaskValue)]) -> Vec<MaskClass> {
    let class = |(name, value): &(&str, MaskValue)| {
        MaskClass::Valued(ValuedClass {
            name: (*name).to_owned(),
            value: value.clone(),
        })
    };
    classes.iter().map(class).collect()
}

fn colour(text: &str) -> MaskValue {
    MaskValue::Colour(text.to_owned())
}

fn image(path: &Path, [height, width]: [u32; 2]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([10, u8::try_from(x).unwrap(), u8::try_from(y).unwrap()])
    })
    .save(path)
    .unwrap();
}

/// A mask whose left half has one value and whose right half has another.
fn grey(path: &Path, [height, width]: [u32; 2], [left, right]: [u8; 2]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    GrayImage::from_fn(width, height, |x, _| {
        Luma([if 2 * x < width { left } else { right }])
    })
    .save(path)
    .unwrap();
}

/// A PNG whose pixels are numbers of `bits` in a palette, or grey values of so many bits.
fn small_bits(path: &Path, bits: u8, palette: Option<&[[u8; 3]]>, rows: &[Vec<u8>]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8], data: &[u8]| {
        let mut crc = Crc::new();
        crc.update(name);
        crc.update(data);
        file.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
        file.extend(name);
        file.extend(data);
        file.extend(crc.sum().to_be_bytes());
    };
    let side = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
    let kind = if palette.is_some() { 3 } else { 0 };
    let header = [
        &side(rows[0].len())[..],
        &side(rows.len()),
        &[bits, kind, 0, 0, 0],
    ]
    .concat();
    chunk(b"IHDR", &header);
    if let Some(palette) = palette {
        chunk(b"PLTE", &palette.concat());
    }
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    for row in rows {
        let mut line = vec![0_u8; 1 + (row.len() * usize::from(bits)).div_ceil(8)];
        for (x, value) in row.iter().enumerate() {
            let at = x * usize::from(bits);
            line[1 + at / 8] |= value << (8 - usize::from(bits) - at % 8);
        }
        packed.write_all(&line).unwrap();
    }
    chunk(b"IDAT", &packed.finish().unwrap());
    chunk(b"IEND", &[]);
    std::fs::write(path, file).unwrap();
}

/// The masks of a split, each pixel a class.
fn masks(folder: &MaskFolder, split: Split) -> Vec<Vec<u8>> {
    let dataset = folder.load(split).unwrap();
    let all = |dataset: &Dataset| -> Vec<Vec<u8>> {
        (0..u32::try_from(dataset.len()).unwrap())
            .map(|id| dataset.mask(id).unwrap().to_vec())
            .collect()
    };
    all(&dataset)
}

fn refused<T: std::fmt::Debug>(outcome: kd_core::Result<T>) -> String {
    let error = outcome.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Input { .. } | Error::Config { .. } | Error::BadFile { .. }
        ),
        "{error}"
    );
    error.to_string()
}

#[test]
fn every_layout_and_size_of_image_is_read() {
    for [images, annotations] in [
        ["SPLIT", "SPLITannot"],
        ["images/SPLIT", "masks/SPLIT"],
        ["SPLIT/images", "SPLIT/masks"],
    ] {
        for validation in ["val", "valid", "validation"] {
            let root = TempDir::new().unwrap();
            for split in ["train", validation, "test"] {
                for (name, size) in [("a", [4, 6]), ("b", [8, 2]), ("c", [3, 3])] {
                    let place = |folder: &str| root.path().join(folder.replace("SPLIT", split));
                    image(&place(images).join(format!("{name}.png")), size);
                    grey(
                        &place(annotations).join(format!("{name}.png")),
                        size,
                        [0, 255],
                    );
                }
            }
            let classes = valued(&[
                ("background", MaskValue::Number(0)),
                ("cell", MaskValue::Number(255)),
            ]);
            let folder = MaskFolder::open(root.path(), [2, 4], &classes, None).unwrap();
            assert_eq!(folder.class_names(), ["background", "cell"]);
            for split in [Split::Train, Split::Validation, Split::Test] {
                assert_eq!(folder.samples(split), Some(3), "{images} {validation}");
                let read = masks(&folder, split);
                assert_eq!(read[0], [0, 0, 1, 1, 0, 0, 1, 1]);
                assert_eq!(read[1], read[0]);
            }
        }
    }
}

#[test]
fn numbers_palettes_and_colours_give_the_same_classes() {
    let root = TempDir::new().unwrap();
    let place = |name: &str| root.path().join(name);
    image(&place("train/a.png"), [2, 4]);
    let numbers = named(&["sky", "road", "car"]);
    let rows = [vec![0, 1, 2, 1], vec![2, 2, 0, 3]];
    let expected = vec![vec![0, 1, 2, 1, 2, 2, 0, 3]];
    let mask = place("trainannot/a.png");
    let read = |classes: &[MaskClass], void: &MaskValue| {
        let folder = MaskFolder::open(root.path(), [2, 4], classes, Some(void)).unwrap();
        masks(&folder, Split::Train)
    };
    let palette = [[0, 0, 255], [90, 90, 90], [255, 0, 0], [0, 0, 0]];
    for bits in [2, 4, 8] {
        small_bits(&mask, bits, None, &rows);
        assert_eq!(
            read(&numbers, &MaskValue::Number(3)),
            expected,
            "{bits} bits"
        );
        small_bits(&mask, bits, Some(&palette), &rows);
        assert_eq!(
            read(&numbers, &MaskValue::Number(3)),
            expected,
            "palette of {bits} bits"
        );
        let colours = valued(&[
            ("sky", colour("#0000ff")),
            ("road", colour("#5a5a5a")),
            ("car", colour("#FF0000")),
        ]);
        assert_eq!(
            read(&colours, &colour("#000000")),
            expected,
            "colours of {bits} bits"
        );
    }
    // Grey values that were saved as colours are grey values.
    let grey = RgbImage::from_fn(4, 2, |x, y| Rgb([rows[y as usize][x as usize]; 3]));
    grey.save(&mask).unwrap();
    assert_eq!(read(&numbers, &MaskValue::Number(3)), expected);
    // The pixels without a class count for none.
    let folder =
        MaskFolder::open(root.path(), [2, 4], &numbers, Some(&MaskValue::Number(3))).unwrap();
    let train = folder.load(Split::Train).unwrap();
    assert_eq!(train.masks().unwrap().pixel_counts(), [2, 2, 3]);
}

#[test]
fn what_cannot_be_read_is_said() {
    let root = TempDir::new().unwrap();
    let place = |name: &str| root.path().join(name);
    let open = |classes: &[MaskClass]| MaskFolder::open(root.path(), [2, 4], classes, None);
    let two = named(&["sky", "road"]);
    assert!(refused(open(&two)).contains("has no images with masks"));
    image(&place("train/a.png"), [2, 4]);
    grey(&place("trainannot/a.png"), [2, 4], [0, 7]);
    let said = refused(open(&two).unwrap().load(Split::Train));
    assert!(
        said.contains(
            "has the value 7 in row 0, column 2 (from 0), which is none of the classes `sky`, \
             `road`"
        ),
        "{said}"
    );
    assert!(refused(open(&two).unwrap().load(Split::Test)).contains("has no test split"));
    let red = valued(&[("sky", colour("#ff0000")), ("road", colour("#00ff00"))]);
    assert!(refused(open(&red).unwrap().load(Split::Train)).contains("the colour #000000"));
    grey(&place("trainannot/a.png"), [2, 5], [0, 1]);
    assert!(
        refused(open(&two).unwrap().load(Split::Train)).contains("a mask must have the size of")
    );
    image(&place("trainannot/a.png"), [2, 4]);
    assert!(
        refused(open(&two).unwrap().load(Split::Train))
            .contains("a mask of class numbers is a grey image")
    );
    for (classes, said) in [
        (named(&["one"]), "must be 2 to 255 names"),
        (
            valued(&[("a", colour("#00")), ("b", colour("#00ff00"))]),
            "a colour as `#804080`, got `#00`",
        ),
        (
            valued(&[("a", colour("#ü0ff0")), ("b", colour("#00ff00"))]),
            "a colour as `#804080`",
        ),
        (
            valued(&[("a", MaskValue::Number(1)), ("b", colour("#00ff00"))]),
            "give all in one way",
        ),
        (
            valued(&[("a", MaskValue::Number(1)), ("b", MaskValue::Number(1))]),
            "different values",
        ),
    ] {
        let text = refused(open(&classes));
        assert!(text.contains(said), "{text}");
    }
}

/// Settings as a recipe has them.
#[test]
fn classes_are_written_as_names_or_with_values() {
    #[derive(Debug, serde::Deserialize)]
    struct Data {
        classes: Vec<MaskClass>,
        no_class: MaskValue,
    }
    let text = "classes = [\"a\", { name = \"b\", value = 255 }, { name = \"c\", value = \"#804080\" }]\n\
                no_class = 11\n";
    let data: Data = toml::from_str(text).unwrap();
    assert_eq!(data.classes[0], named(&["a"])[0]);
    assert_eq!(
        data.classes[1..],
        valued(&[("b", MaskValue::Number(255)), ("c", colour("#804080"))])
    );
    assert_eq!(data.no_class, MaskValue::Number(11));
}
