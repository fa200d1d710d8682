//! Readers of IDX and CIFAR files, and the words in which they refuse what is not one.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use kd_core::{
    CifarLabels, Dataset, Error, ErrorKind, Split, read_cifar10, read_cifar100, read_idx,
};
use tempfile::TempDir;

/// An IDX file of `magic`, these header numbers and `body`.
fn idx(magic: u32, numbers: &[u32], body: &[u8]) -> Vec<u8> {
    let header = [&[magic], numbers].concat();
    header
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .chain(body.iter().copied())
        .collect()
}

/// Three images of 2 rows and 3 columns.
fn images() -> Vec<u8> {
    idx(2051, &[3, 2, 3], &(0..18).collect::<Vec<_>>())
}

fn labels() -> Vec<u8> {
    idx(2049, &[3], &[1, 0, 1])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read(images: &[u8], labels: &[u8]) -> (Result<Dataset, Error>, TempDir) {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        fs::write(folder.path().join(name), bytes).unwrap();
        folder.path().join(name)
    };
    let (images, labels) = (write("images", images), write("labels", labels));
    (read_idx("toy", Split::Test, 2, &images, &labels), folder)
}

/// The text of the error, without the folder.
fn refusal(images: &[u8], labels: &[u8]) -> String {
    let (outcome, folder) = read(images, labels);
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    error
        .to_string()
        .replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn idx_files_are_read_plain_and_gzipped_alike() {
    let (plain, _) = read(&images(), &labels());
    let plain = plain.unwrap();
    assert_eq!(
        (plain.len(), plain.classes(), plain.split()),
        (3, 2, Split::Test)
    );
    assert_eq!(plain.shape().to_string(), "1x2x3");
    assert_eq!(plain.labels(), [1, 0, 1]);
    assert_eq!(plain.image(1), Some(&[6, 7, 8, 9, 10, 11][..]));
    assert_eq!((plain.image(3), plain.label(3)), (None, None));
    let (gzipped, _) = read(&gzip(&images()), &gzip(&labels()));
    assert_eq!(gzipped.unwrap().hash(), plain.hash());
}

#[test]
fn what_is_wrong_with_an_idx_file_is_said_with_file_and_byte() {
    let cases: &[(Vec<u8>, Vec<u8>, &str)] = &[
        (
            labels(),
            labels(),
            "`images`, byte 0: the magic number is 2049 (this is a label file), images (idx3-ubyte) have \
             2051; \
             give an IDX file as the original archive has it, plain or gzipped",
        ),
        (
            images(),
            idx(7, &[3], &[1, 0, 1]),
            "`labels`, byte 0: the magic number is 7, labels (idx1-ubyte) have 2049; \
             give an IDX file as the original archive has it, plain or gzipped",
        ),
        (
            images(),
            idx(2049, &[2], &[1, 0]),
            "`labels`, byte 4: 2 labels, but the image file has 3 images; use images and labels of the same \
             split",
        ),
        (
            images()[..30].to_vec(),
            labels(),
            "`images`, byte 30: the file ends 14 bytes into the pixels, which should have 18; \
             the file is truncated: download it again",
        ),
        (
            images()[..9].to_vec(),
            labels(),
            "`images`, byte 9: the file ends 1 bytes into the number of rows, which should have 4; \
             the file is truncated: download it again",
        ),
        (
            Vec::new(),
            labels(),
            "`images`, byte 0: the file ends 0 bytes into the magic number, which should have 4; \
             the file is truncated: download it again",
        ),
        (
            images(),
            labels()[..10].to_vec(),
            "`labels`, byte 10: the file ends 2 bytes into the labels, which should have 3; \
             the file is truncated: download it again",
        ),
        (
            [images(), vec![0]].concat(),
            labels(),
            "`images`, byte 34: more bytes follow where the file should end; \
             the header's count does not fit the file: download it again",
        ),
        (
            images(),
            [labels(), vec![0]].concat(),
            "`labels`, byte 11: more bytes follow where the file should end; \
             the header's count does not fit the file: download it again",
        ),
        (
            images(),
            idx(2049, &[3], &[1, 2, 0]),
            "`labels`, byte 9: label 2 of sample 1 is not below 2, the number of classes; \
             use the label file that belongs to this data set",
        ),
        (
            idx(2051, &[3, 0, 3], &[]),
            labels(),
            "`images`, byte 8: the number of rows must be 1 to 65535, got 0; \
             give an IDX file as the original archive has it, plain or gzipped",
        ),
        (
            idx(2051, &[0, 2, 3], &[]),
            idx(2049, &[0], &[]),
            "`images`, byte 4: the header says that there are 0 images; give a file with samples",
        ),
    ];
    for (images, labels, text) in cases {
        assert_eq!(refusal(images, labels), *text);
    }
}

#[test]
fn a_huge_count_in_a_header_allocates_nothing() {
    let count = u32::MAX;
    let images = idx(2051, &[count, 65535, 65535], &[0; 8]);
    let text = refusal(&images, &idx(2049, &[count], &[0; 8]));
    assert!(
        text.starts_with(
            "`labels`, byte 16: the file ends 8 bytes into the labels, which should have 4294967295"
        ),
        "{text}"
    );
    // The labels fit, and the pixels are promised 17 GB.
    let images = idx(2051, &[4, 65535, 65535], &[0; 8]);
    let text = refusal(&images, &idx(2049, &[4], &[0; 4]));
    assert!(
        text.starts_with("`images`, byte 24: the file ends 8 bytes into the pixels"),
        "{text}"
    );
}

#[test]
fn a_damaged_gzip_file_is_an_error_at_a_byte_of_its_content() {
    let whole = gzip(&images());
    let cut = refusal(&whole[..whole.len() - 12], &labels());
    assert!(
        cut.starts_with("`images`, byte ") && cut.contains("the gzip stream ends early"),
        "{cut}"
    );
    let mut wrong_sum = whole.clone();
    let at = wrong_sum.len() - 8;
    wrong_sum[at] ^= 1;
    let text = refusal(&wrong_sum, &labels());
    assert!(
        text.starts_with("`images`, byte 34: the gzip stream is damaged"),
        "{text}"
    );
    let text = refusal(&[0x1f, 0x8b, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9], &labels());
    assert!(
        text.starts_with("`images`, byte 0: the gzip stream is damaged"),
        "{text}"
    );
    let text = refusal(&[whole.as_slice(), b"more"].concat(), &labels());
    assert!(
        text.starts_with("`images`, byte 34: the gzip stream"),
        "{text}"
    );
}

#[test]
fn a_missing_file_is_named_with_its_folder() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("images"), images()).unwrap();
    let outcome = read_idx(
        "toy",
        Split::Train,
        2,
        &folder.path().join("images"),
        &folder.path().join("labels"),
    );
    let error = outcome.unwrap_err();
    assert!(
        matches!(&error, Error::DataMissing { missing, .. } if missing == "`labels`"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains(&folder.path().display().to_string()),
        "{error}"
    );
    let unreadable = read_cifar10("toy", Split::Train, [folder.path()]).unwrap_err();
    assert_eq!(unreadable.kind(), ErrorKind::Input);
}

/// A CIFAR record with these labels; every pixel of channel `c` is `first + c`.
fn record(labels: &[u8], first: u8) -> Vec<u8> {
    let pixels = (0..3).flat_map(|channel| [first + channel; 1024]);
    labels.iter().copied().chain(pixels).collect()
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    fs::write(folder.join(name), bytes).unwrap();
    folder.join(name)
}

#[test]
fn cifar_files_are_read_one_after_the_other() {
    let folder = TempDir::new().unwrap();
    let first = write(
        folder.path(),
        "1.bin",
        &[record(&[3], 10), record(&[9], 20)].concat(),
    );
    let second = write(folder.path(), "2.bin", &record(&[0], 30));
    let data = read_cifar10("cifar10", Split::Train, [&first, &second]).unwrap();
    assert_eq!(
        (data.labels(), data.shape().to_string()),
        (&[3, 9, 0][..], "3x32x32".to_owned())
    );
    let image = data.image(1).unwrap();
    assert_eq!((image[0], image[1024], image[3071]), (20, 21, 22));

    let both = write(
        folder.path(),
        "train.bin",
        &[record(&[4, 99], 1), record(&[19, 0], 2)].concat(),
    );
    let fine = read_cifar100("cifar100", Split::Train, CifarLabels::Fine, [&both]).unwrap();
    let coarse = read_cifar100("cifar100", Split::Train, CifarLabels::Coarse, [&both]).unwrap();
    assert_eq!((fine.labels(), fine.classes()), (&[99, 0][..], 100));
    assert_eq!((coarse.labels(), coarse.classes()), (&[4, 19][..], 20));
    assert_eq!(fine.images(), coarse.images());
}

#[test]
fn what_is_wrong_with_a_cifar_file_is_said_with_file_and_byte() {
    let folder = TempDir::new().unwrap();
    let text = |outcome: Result<Dataset, Error>| {
        outcome
            .unwrap_err()
            .to_string()
            .replace(&format!("{}/", folder.path().display()), "")
    };
    let ten = |bytes: &[u8]| {
        text(read_cifar10(
            "c",
            Split::Train,
            [write(folder.path(), "10.bin", bytes)],
        ))
    };
    let hundred = |bytes: &[u8]| {
        let file = write(folder.path(), "100.bin", bytes);
        text(read_cifar100(
            "c",
            Split::Train,
            CifarLabels::Coarse,
            [file],
        ))
    };
    let binary =
        "give the binary or the Python version of the data set as its archive has it, not Matlab's";
    assert_eq!(
        ten(&[]),
        format!("`10.bin`, byte 0: the file is empty; {binary}")
    );
    assert_eq!(
        ten(&[record(&[1], 0), record(&[2], 0)[..100].to_vec()].concat()),
        "`10.bin`, byte 3173: the file ends 100 bytes into a record of 3073; \
         the file is truncated or of another kind: download it again"
    );
    assert_eq!(
        ten(&[record(&[1], 0), record(&[10], 0)].concat()),
        format!("`10.bin`, byte 3073: label 10 is not below 10, the number of classes; {binary}")
    );
    assert_eq!(
        hundred(&[record(&[1, 1], 0), record(&[20, 1], 0)].concat()),
        format!("`100.bin`, byte 3074: label 20 is not below 20, the number of classes; {binary}")
    );
    assert_eq!(
        hundred(&record(&[1, 100], 0)),
        format!("`100.bin`, byte 1: label 100 is not below 100, the number of classes; {binary}")
    );
}
