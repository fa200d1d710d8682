//! The reader of SVHN's `.mat` files: files that scipy wrote, files of either byte order, and what is
//! refused.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use kd_core::{Dataset, DatasetInfo, Error, ErrorKind, Split, read_svhn};
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/svhn")
        .join(name)
}

fn read(name: &str) -> Dataset {
    read_svhn("svhn", Split::Train, [fixture(name)]).unwrap()
}

/// The text of the error, without the folder.
fn refusal(path: &Path) -> String {
    let error = read_svhn("svhn", Split::Train, [path]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    let folder = format!("{}/", path.parent().unwrap().display());
    error.to_string().replace(&folder, "")
}

/// Pixel (row, column) of channel `c` of image `i`, as `generate.py` makes them.
fn pixel(image: usize, channel: usize, row: usize, column: usize) -> u8 {
    u8::try_from((7 * image + 50 * channel + 2 * row + 3 * column) % 256).unwrap()
}

fn assert_pixels(data: &Dataset, samples: usize) {
    let mut wanted = Vec::new();
    for image in 0..samples {
        for channel in 0..3 {
            for row in 0..32 {
                wanted.extend((0..32).map(|column| pixel(image, channel, row, column)));
            }
        }
    }
    assert_eq!(data.images(), wanted);
}

#[test]
fn files_of_scipy_are_read_whatever_the_labels_are_stored_as() {
    let kinds = [
        "float64", "float32", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
    ];
    let of_kinds = kinds.map(|kind| format!("labels-{kind}.mat"));
    let others = ["compressed.mat", "row.mat", "others.mat"].map(str::to_owned);
    for name in others.into_iter().chain(of_kinds) {
        let data = read(&name);
        // Label 10 means the digit 0.
        assert_eq!(data.labels(), [1, 0, 5], "{name}");
        assert_eq!(
            (data.classes(), data.shape().to_string()),
            (10, "3x32x32".to_owned())
        );
        assert_pixels(&data, 3);
    }
    assert_pixels(&read("plain.mat"), 2);
    assert_eq!(read("plain.mat").labels(), [1, 0]);
    // One image has no fourth axis.
    assert_pixels(&read("single.mat"), 1);
}

#[test]
fn files_are_read_one_after_the_other() {
    let both = [fixture("plain.mat"), fixture("compressed.mat")];
    let data = read_svhn("svhn", Split::Train, both).unwrap();
    assert_eq!(data.labels(), [1, 0, 1, 0, 5]);
    assert_eq!(data.image(4), read("compressed.mat").image(2));
}

#[test]
fn what_is_wrong_with_the_variables_is_said() {
    let published = "give the file as it was published";
    let digits = "give the cropped digits (format 2) of SVHN, such as `train_32x32.mat`";
    let cases = [
        (
            "bad-dims.mat",
            format!(
                "byte 128: variable `X` is a uint8 array of 3x32x32x2, images are a uint8 array of \
                 32x32x3xSAMPLES; {digits}"
            ),
        ),
        (
            "bad-class.mat",
            format!(
                "byte 128: variable `X` is a double array of 32x32x3x3, images are a uint8 array of \
                 32x32x3xSAMPLES; {digits}"
            ),
        ),
        (
            "bad-counts.mat",
            format!("byte 0: `X` has 3 images, but `y` has 2 labels; {published}"),
        ),
        (
            "bad-label.mat",
            format!("label 11 of sample 1 in `y`, labels are 1 to 10, where 10 is the digit 0; {digits}"),
        ),
        (
            "bad-fraction.mat",
            format!("label 0.5 of sample 0 in `y`, labels are 1 to 10, where 10 is the digit 0; {digits}"),
        ),
        (
            "bad-complex.mat",
            format!("variable `y` is complex, where real numbers should be; {published}"),
        ),
        (
            "bad-text.mat",
            format!("variable `y` is a text of 1x3, labels are an array of numbers of SAMPLESx1; {digits}"),
        ),
        (
            "no-labels.mat",
            format!("byte 0: there is no variable `y` in the file, which also has `labels`; {digits}"),
        ),
        ("empty.mat", format!("byte 128: variable `X` is empty; {digits}")),
        (
            "level-4.mat",
            "byte 0: this is a MAT file of level 4 or no MAT file, only level 5 is read; load it where it \
             was made and \
             save it with `save(..., '-v7')` in MATLAB or `scipy.io.savemat`"
                .to_owned(),
        ),
    ];
    for (name, text) in cases {
        let said = refusal(&fixture(name));
        assert!(
            said.starts_with(&format!("`{name}`, byte ")) && said.ends_with(&text),
            "{name}: {said}"
        );
    }
}

/// A file written by hand, of either byte order.
struct Mat {
    big_endian: bool,
    bytes: Vec<u8>,
}

const UINT8: u32 = 2;

impl Mat {
    fn new(big_endian: bool) -> Self {
        let mut mat = Self {
            big_endian,
            bytes: b"MATLAB 5.0 MAT-file, made by a test".to_vec(),
        };
        mat.bytes.resize(124, b' ');
        let version: u16 = 0x0100;
        mat.bytes.extend(if big_endian {
            version.to_be_bytes()
        } else {
            version.to_le_bytes()
        });
        mat.bytes.extend(if big_endian { b"MI" } else { b"IM" });
        mat
    }

    fn word(&self, number: usize) -> [u8; 4] {
        let number = u32::try_from(number).unwrap();
        if self.big_endian {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    }

    fn element(&self, kind: u32, data: &[u8]) -> Vec<u8> {
        let mut out = [self.word(kind as usize), self.word(data.len())].concat();
        out.extend(data);
        out.resize(out.len().next_multiple_of(8), 0);
        out
    }

    /// An array of class uint8.
    fn array(&self, name: &str, dims: &[usize], data: &[u8]) -> Vec<u8> {
        let flags = [self.word(9), self.word(0)].concat();
        let dims: Vec<u8> = dims.iter().flat_map(|dim| self.word(*dim)).collect();
        let parts = [
            self.element(6, &flags),
            self.element(5, &dims),
            self.element(1, name.as_bytes()),
            self.element(UINT8, data),
        ];
        self.element(14, &parts.concat())
    }

    fn with(mut self, variables: &[Vec<u8>]) -> Self {
        self.bytes.extend(variables.concat());
        self
    }

    /// An array that is compressed.
    fn compressed(&self, array: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(array).unwrap();
        let data = encoder.finish().unwrap();
        [&self.word(15)[..], &self.word(data.len()), &data].concat()
    }

    fn images(&self, samples: usize) -> Vec<u8> {
        let mut pixels = Vec::new();
        for image in 0..samples {
            for channel in 0..3 {
                for column in 0..32 {
                    pixels.extend((0..32).map(|row| pixel(image, channel, row, column)));
                }
            }
        }
        self.array("X", &[32, 32, 3, samples], &pixels)
    }

    fn labels(&self) -> Vec<u8> {
        self.array("y", &[2, 1], &[10, 3])
    }

    fn read(&self) -> Result<Dataset, String> {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("file.mat");
        fs::write(&path, &self.bytes).unwrap();
        let text = |error: Error| {
            error
                .to_string()
                .replace(&format!("{}/", folder.path().display()), "")
        };
        read_svhn("svhn", Split::Test, [path]).map_err(text)
    }
}

#[test]
fn both_byte_orders_and_both_kinds_of_storage_are_read() {
    for big_endian in [false, true] {
        let mat = Mat::new(big_endian);
        let (images, labels) = (mat.images(2), mat.labels());
        let files = [
            vec![images.clone(), labels.clone()],
            vec![labels.clone(), mat.compressed(&images)],
            vec![mat.compressed(&labels), images.clone()],
        ];
        for variables in files {
            let data = Mat::new(big_endian).with(&variables).read().unwrap();
            assert_eq!(data.labels(), [0, 3]);
            assert_pixels(&data, 2);
        }
    }
}

#[test]
fn a_file_that_promises_more_than_it_has_allocates_nothing() {
    let mat = Mat::new(false);
    let huge = mat.array("X", &[32, 32, 3, 1_300_000], &[0; 64]);
    let said = Mat::new(false)
        .with(&[huge, mat.labels()])
        .read()
        .unwrap_err();
    assert_eq!(
        said,
        "`file.mat`, byte 128: variable `X` is 32x32x3x1300000, which 64 bytes of numbers do not fit; the \
         file is damaged: \
         download it again"
    );
    // A compressed variable of which the tag inside tells 4 GB.
    let mut huge = mat.images(2);
    huge[4..8].copy_from_slice(&[0xf8, 0xff, 0xff, 0xff]);
    let said = Mat::new(false)
        .with(&[mat.compressed(&huge)])
        .read()
        .unwrap_err();
    assert!(
        said.contains("the variable should have 4294967288 bytes, which ")
            && said.contains("compressed bytes cannot hold"),
        "{said}"
    );
    let beyond = mat.array("X", &[32, 32, 3, 2_000_000], &[0; 64]);
    let said = Mat::new(false).with(&[beyond]).read().unwrap_err();
    assert!(
        said.contains("variable `X` is a uint8 array of 32x32x3x2000000"),
        "{said}"
    );
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("cut.mat");
    for name in ["compressed.mat", "plain.mat"] {
        let whole = fs::read(fixture(name)).unwrap();
        for length in (0..whole.len()).step_by(3) {
            fs::write(&path, &whole[..length]).unwrap();
            let said = refusal(&path);
            let words = ["the file ends", "there is no variable", "is truncated"];
            assert!(
                words.iter().any(|word| said.contains(word)),
                "{name} {length}: {said}"
            );
        }
    }
}

#[test]
fn structure_that_makes_no_sense_is_said() {
    let mat = Mat::new(false);
    let images = mat.images(2);
    let twice = Mat::new(false).with(&[images.clone(), images.clone(), mat.labels()]);
    assert!(
        twice
            .read()
            .unwrap_err()
            .contains("variable `X` is in the file twice")
    );

    let mut other = Mat::new(false).with(std::slice::from_ref(&images));
    other.bytes[124] = 2;
    assert!(
        other
            .read()
            .unwrap_err()
            .contains("the header says version 0x0102, level 5 has 0x0100")
    );
    other.bytes[126] = b'?';
    assert!(
        other
            .read()
            .unwrap_err()
            .contains("the header has no byte-order mark")
    );
    other.bytes[..19].copy_from_slice(b"MATLAB 7.3 MAT-file");
    let said = other.read().unwrap_err();
    assert_eq!(
        said,
        "`file.mat`, byte 0: this is a MAT file of version 7.3 (HDF5), only level 5 is read; load it where \
         it was made and \
         save it with `save(..., '-v7')` in MATLAB or `scipy.io.savemat`"
    );
    other.bytes[..8].copy_from_slice(b"\x89HDF\r\n\x1a\n");
    assert_eq!(other.read().unwrap_err(), said);

    let mut kind = images.clone();
    kind[0] = 5;
    let said = Mat::new(false).with(&[kind]).read().unwrap_err();
    assert!(
        said.contains("byte 128: an element of type 5, where a variable should begin"),
        "{said}"
    );

    // The checksum of a compressed variable is the last four bytes of it.
    let mut compressed = mat.compressed(&images);
    let last = compressed.len() - 1;
    compressed[last] ^= 1;
    let said = Mat::new(false)
        .with(&[compressed, mat.labels()])
        .read()
        .unwrap_err();
    assert!(
        said.contains("byte 128: the compressed variable is damaged"),
        "{said}"
    );

    let missing = read_svhn("svhn", Split::Train, [fixture("no-such.mat")]).unwrap_err();
    assert!(matches!(missing, Error::DataMissing { .. }), "{missing}");
}

#[test]
fn the_named_set_has_the_counts_of_the_published_one() {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("svhn");
    fs::create_dir(&folder).unwrap();
    for name in ["train_32x32.mat", "test_32x32.mat", "extra_32x32.mat"] {
        fs::copy(fixture("compressed.mat"), folder.join(name)).unwrap();
    }
    let roots = kd_core::DataRoots {
        explicit: Some(root.path().to_owned()),
        ..kd_core::DataRoots::default()
    };
    let text = |name: &str, split| {
        let error = DatasetInfo::find(name)
            .unwrap()
            .load(split, &roots)
            .unwrap_err();
        error
            .to_string()
            .replace(&folder.display().to_string(), "FOLDER")
    };
    assert_eq!(
        text("svhn", Split::Train),
        "`FOLDER/train_32x32.mat`, byte 0: the file has 3 samples, as it was published it has 73257; it was \
         cut off or \
         changed, or belongs to another data set: download it again"
    );
    assert!(text("svhn", Split::Test).contains("as it was published it has 26032"));
    let extra = DatasetInfo::find("SVHN extra").unwrap();
    assert_eq!(extra.train, 604_388);
    assert_eq!(
        extra.files(Split::Train),
        ["svhn/train_32x32.mat", "svhn/extra_32x32.mat"]
    );
    assert_eq!(extra.locate(Split::Train, &roots).unwrap().len(), 2);
}
