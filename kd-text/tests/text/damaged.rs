//! Damaged tables, texts and tokenizers: data or an error in words, never a panic; a bomb is not unpacked.
//!
//! Each file gets a few hundred mutations, which are functions of their number; `KD_MUTATIONS` says another
//! count.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use kd_core::{DataFiles, Draws, ErrorKind, Split};
use kd_text::{Encoder, TextFiles, TextSettings};
use tempfile::TempDir;

fn mutations() -> u64 {
    let asked = std::env::var("KD_MUTATIONS").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(300)
}

/// The bytes with one to four changes, a function of `number`.
fn damaged(whole: &[u8], number: u64) -> Vec<u8> {
    let mut draws = Draws::new(number, "damage", 0, 0);
    let mut below = |limit: usize| usize::try_from(draws.below(limit.max(1) as u64)).unwrap();
    let mut bytes = whole.to_vec();
    for _ in 0..=below(4) {
        let at = below(bytes.len());
        let end = bytes.len().min(at + 1 + below(16));
        match below(6) {
            0 if at < end => bytes[at] ^= 1 << below(8),
            // What tables, quotes and JSON are made of.
            1 if at < end => bytes[at] = b"\t\n\r\",:{}[]\\\0\xff"[below(13)],
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let again = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
            _ => bytes[at..end].fill([b'9', b'-', 0x80, 0][below(4)]),
        }
    }
    bytes
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn settings() -> TextSettings {
    toml::from_str("length = 6").unwrap()
}

/// Tries all mutations of a file; some are read and some refused.
fn try_all(whole: &[u8], path: &Path, read: impl Fn() -> kd_core::Result<()>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, whole).unwrap();
    read().unwrap();
    let mut refused = 0;
    for number in 0..mutations() {
        fs::write(path, damaged(whole, number)).unwrap();
        if let Err(error) = read() {
            refused += 1;
            let name = path.display();
            let in_words = matches!(error.kind(), ErrorKind::Input | ErrorKind::Usage);
            assert!(in_words, "{name}, mutation {number}: {error}");
        }
    }
    fs::write(path, whole).unwrap();
    assert!(refused > 0 && refused < mutations(), "{refused}");
}

#[test]
fn tables_and_texts() {
    let rows: String = (0..12).fold("label\ttext\n".to_owned(), |all, row| {
        let label = ["good", "bad"][row % 2];
        format!("{all}{label}\ta text with \u{e9} and number {row}\n")
    });
    let commas = rows
        .replace('\t', ",")
        .replace("a text", "\"a, \"\"text\"\"\"");
    for (name, whole) in [
        ("train.tsv", rows.clone().into_bytes()),
        ("train.csv", commas.into_bytes()),
        ("train.tsv.gz", gzipped(rows.as_bytes())),
    ] {
        let folder = TempDir::new().unwrap();
        try_all(&whole, &folder.path().join(name), || {
            let opened = TextFiles::open(folder.path(), &settings(), None)?;
            opened.load(Split::Train).map(drop)
        });
    }
    // As the archive of IMDB has them: a folder a class, a file a text.
    let folder = TempDir::new().unwrap();
    for (class, text) in [
        ("neg", "a dull one"),
        ("neg", "no \u{e9}"),
        ("pos", "a fine one"),
    ] {
        let place = folder.path().join("train").join(class);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join(format!("{}_1.txt", text.len())), text).unwrap();
    }
    try_all(
        "words and \u{e9}".as_bytes(),
        &folder.path().join("train/pos/0_9.txt"),
        || {
            let opened = TextFiles::open(folder.path(), &settings(), None)?;
            opened.load(Split::Train).map(drop)
        },
    );
}

#[test]
fn tokenizers() {
    let folder = TempDir::new().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer.json");
    let path = folder.path().join("tokenizer.json");
    let whole = fs::read(fixture).unwrap();
    try_all(&whole, &path, || {
        Encoder::open(&path)?.ids(&["a text"]).map(drop)
    });
}

/// A table of one line that is a thousand times its file.
#[test]
fn a_table_that_is_a_bomb_is_not_unpacked() {
    let folder = TempDir::new().unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(b"label\ttext\ngood\t").unwrap();
    let many = vec![b'a'; 1 << 20];
    for _ in 0..200 {
        encoder.write_all(&many).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 2 << 20, "{}", bomb.len());
    fs::write(folder.path().join("train.tsv.gz"), bomb).unwrap();
    let error = TextFiles::open(folder.path(), &settings(), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(
        error.to_string().contains("bytes of text; use a part"),
        "{error}"
    );
}
