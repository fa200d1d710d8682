//! Tables and folders of texts: what they hold, and what is refused.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::Write;
use std::path::Path;

use kd_core::{DataFiles, DataRoots, DataSource, ErrorKind, Preprocessing, SampleKind, Split};
use kd_text::{KnownText, TextFiles, TextSettings};
use tempfile::TempDir;

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn settings(text: &str) -> TextSettings {
    toml::from_str(text).unwrap()
}

fn opened(folder: &Path) -> TextFiles {
    TextFiles::open(folder, &settings("length = 4"), None).unwrap()
}

fn refused(files: &[(&str, &[u8])], set: &str) -> String {
    let folder = folder(files);
    let error = TextFiles::open(folder.path(), &settings(set), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input, "{error}");
    error.to_string()
}

/// Texts with the names of their classes.
fn shown(texts: &TextFiles, split: Split) -> Vec<(String, String)> {
    let data = texts.load(split).unwrap();
    let all = texts.texts(split).unwrap().iter().zip(data.labels());
    all.map(|(text, label)| {
        (
            texts.class_names()[usize::from(*label)].clone(),
            text.clone(),
        )
    })
    .collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter()
        .map(|(class, text)| ((*class).into(), (*text).into()))
        .collect()
}

#[test]
fn tables_and_folders_are_one_data_set() {
    let expected = pairs(&[
        ("bad", "dull, \"very\""),
        ("good", "fine film"),
        ("good", "fine"),
    ]);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(b"id\ttext\tlabel\r\n1\tdull, \"very\"\tbad\r\n2\tfine film\tgood\n3\tfine\tgood")
        .unwrap();
    let gz = gz.finish().unwrap();
    let csv = b"\xef\xbb\xbflabel,text\nbad,\"dull, \"\"very\"\"\"\ngood,fine film\ngood,fine\n";
    let tables = [
        folder(&[("train.tsv.gz", &gz)]),
        folder(&[("train.csv", csv)]),
        folder(&[
            ("train/bad/0.txt", b"dull, \"very\""),
            ("train/good/0.txt", b"fine film"),
            ("train/good/1.txt", b"fine"),
            ("train/good/.hidden.txt", b"\xff"),
            ("train/good/notes.md", b"\xff"),
        ]),
    ];
    let mut hashes = Vec::new();
    for folder in &tables {
        let texts = opened(folder.path());
        assert_eq!(shown(&texts, Split::Train), expected);
        assert_eq!(texts.samples(Split::Test), None);
        hashes.push(texts.load(Split::Train).unwrap().hash().to_owned());
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]));
}

#[test]
fn a_source_says_what_it_has_before_it_is_read() {
    let folder = folder(&[
        ("train.tsv", b"label\ttext\n10\ta b\n9\tb c\n"),
        ("test.tsv", b"text\tlabel\nb\t10\n"),
        ("val.tsv", b"text\tlabel\nz\t9\n"),
    ]);
    let texts = opened(folder.path());
    let source = DataSource::from(texts.clone());
    assert_eq!((source.kind(), source.classes()), (SampleKind::Texts, 2));
    // Numbers in their own order.
    assert_eq!(source.class_names().unwrap(), ["9", "10"]);
    // Three reserved ids and three words of the training split alone: `z` is unknown.
    assert_eq!(source.shape().to_string(), "6x1x4");
    let test = source.load(Split::Test, &DataRoots::default()).unwrap();
    assert_eq!(
        (test.label(0), test.text(0)),
        (Some(1), Some(&[0, 0, 1, 3][..]))
    );
    let validation = texts.load(Split::Validation).unwrap();
    assert_eq!(validation.text(0), Some(&[0, 0, 1, 2][..]));
    let preprocessing = source.preprocessing(&test).unwrap();
    assert_eq!(
        preprocessing,
        Preprocessing::Text(texts.encoder().file().clone())
    );
    let error = source.normalisation(&test).unwrap_err().to_string();
    assert!(
        error.starts_with("`normalisation` is for images"),
        "{error}"
    );
}

#[test]
fn images_with_lists_and_notes_beside_them_are_no_texts() {
    let table: (&str, &[u8]) = ("train.csv", b"label,text\ngood,yes\n");
    let note: (&str, &[u8]) = ("train/good/notes.txt", b"taken in May");
    let are_at = |files: &[(&str, &[u8])]| TextFiles::are_at(folder(files).path());
    assert!(are_at(&[table]) && are_at(&[note]));
    for image in ["train/good/1.png", "train/bad/1.JPG", "good/1.jpeg"] {
        let image: (&str, &[u8]) = (image, b"");
        assert!(
            !are_at(&[table, image]) && !are_at(&[note, image]),
            "{image:?}"
        );
    }
}

#[test]
fn one_table_has_no_test_split() {
    let folder = folder(&[("mine.csv", b"stars,review\n1,bad\n2,good\n")]);
    let set = settings("label_column = \"stars\"\ntext_column = \"review\"");
    let texts = TextFiles::open(folder.path().join("mine.csv"), &set, None).unwrap();
    assert_eq!((texts.name(), texts.samples(Split::Test)), ("mine", None));
    let error = texts.load(Split::Test).unwrap_err().to_string();
    assert!(error.contains("has no test split"), "{error}");
}

#[test]
fn the_tokenizer_of_another_model_is_used() {
    let one = folder(&[("train.tsv", b"label\ttext\na\tx x y\nb\tz\n")]);
    let other = folder(&[("train.tsv", b"label\ttext\na\tz z z\nb\tx\n")]);
    let one = opened(one.path());
    let file = one.encoder().file();
    let given = TextFiles::open(other.path(), &settings(""), Some(file)).unwrap();
    assert_eq!(given.encoder().file(), file);
    assert_eq!(
        given.load(Split::Train).unwrap().text(1),
        Some(&[0, 0, 1, 3][..])
    );
    let model = TempDir::new().unwrap();
    fs::write(model.path().join("tokenizer.json"), file.json().unwrap()).unwrap();
    let mut set = settings("");
    set.tokenizer = Some(model.path().to_owned());
    let read = TextFiles::open(other.path(), &set, None).unwrap();
    assert_eq!(read.encoder().file(), file);
}

#[test]
fn tables_that_are_none_are_refused_in_words() {
    let table = |text: &[u8]| refused(&[("train.tsv", text)], "");
    let error = table(b"label\ttext\na\tb\xff\nb\tc\n");
    assert!(
        error.contains("train.tsv` is not UTF-8: byte 14, in line 2"),
        "{error}"
    );
    let error = table(b"label\ttext\na\tb\n\nb\tc\n");
    assert!(
        error.contains("has an empty line, line 3; remove it"),
        "{error}"
    );
    let error = table(b"label\ttext\na\t  \nb\tc\n");
    assert!(
        error.contains("has no text in line 2 (column `text`)"),
        "{error}"
    );
    let error = table(b"label\ttext\n\tx\nb\tc\n");
    assert!(
        error.contains("has no label in line 2 (column `label`)"),
        "{error}"
    );
    let error = table(b"label\ttext\na\tx\na\tc\n");
    assert!(error.contains("has one class only, `a`"), "{error}");
    let error = table(b"a\tx\nb\tc\n");
    assert!(
        error.contains("has no column `label` in its first line, which is `a`, `x`")
            && error.contains("`data.text.label_column`"),
        "{error}"
    );
    let error = table(b"label\tbody\na\tx\n");
    assert!(
        error.contains("has no column `text`") && error.contains("`data.text.text_column`"),
        "{error}"
    );
    let error = table(b"label\ttext\na\tx\ty\n");
    assert!(
        error.contains("has 3 columns in line 2 and 2 in its first line"),
        "{error}"
    );
    let error = table(b"label\ttext\n");
    assert!(
        error.contains("has no line below the column names"),
        "{error}"
    );
    let error = table(b"");
    assert!(error.contains("has no column `label`"), "{error}");
    let error = refused(&[("train.csv", b"label,text\na,x\n\"b,y\nc,d")], "");
    assert!(error.contains("in line 3"), "{error}");
    let error = refused(&[("train.csv", b"label,text\na,\nb,y\n")], "");
    assert!(error.contains("has no text in line 2"), "{error}");
    let cut = refused(&[("train.tsv.gz", b"\x1f\x8b\x08\x00")], "");
    assert!(cut.contains("cannot be unpacked"), "{cut}");
}

#[test]
fn folders_that_are_none_are_refused_in_words() {
    let error = refused(&[("other.md", b"")], "");
    assert!(
        error.contains("has no training split; put `train.tsv`"),
        "{error}"
    );
    let error = refused(&[("train/a/0.txt", b"x"), ("train/b/0.txt", b" \n")], "");
    assert!(error.contains("0.txt` is empty"), "{error}");
    let error = refused(&[("train/a/0.txt", b"x"), ("train/b/0.md", b"y")], "");
    assert!(
        error.contains("b` has no file that ends in `.txt`"),
        "{error}"
    );
    let error = refused(&[("train/a/0.txt", b"x")], "");
    assert!(error.contains("has one class only, `a`"), "{error}");
    let error = refused(&[("train/notes.txt", b"x")], "");
    assert!(error.contains("has no folders"), "{error}");
    let train: &[(&str, &[u8])] = &[("train.tsv", b"label\ttext\na\tx\nb\ty\n")];
    let test = [train, &[("test.tsv", b"label\ttext\na\tx\nc\ty\n")]].concat();
    let error = refused(&test, "");
    assert!(
        error.contains("test.tsv` has the class `c` in line 3, which the training"),
        "{error}"
    );
    assert!(error.ends_with("its classes are `a`, `b`"), "{error}");
    let gone = TextFiles::open("no/such/folder", &settings(""), None).unwrap_err();
    assert!(gone.to_string().contains("is not there"), "{gone}");
}

#[test]
fn known_data_sets_are_looked_for_and_counted() {
    let imdb = KnownText::find("IMDB").unwrap();
    let roots = DataRoots::default();
    let error = TextFiles::known(imdb, &roots, &settings(""), None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`aclImdb/train/pos` not found in any folder; get them from"),
        "{error}"
    );
    let archive = folder(&[
        ("aclImdb/train/pos/0_9.txt", b"fine"),
        ("aclImdb/train/neg/0_1.txt", b"dull"),
        ("aclImdb/train/unsup/0_0.txt", b"so"),
        ("aclImdb/test/pos/0_9.txt", b"fine"),
        ("aclImdb/test/neg/0_1.txt", b"dull"),
    ]);
    let roots = roots.with_explicit(Some(archive.path().to_owned()));
    let error = TextFiles::known(imdb, &roots, &settings(""), None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("wrong number of train texts, 2 in place of the 25000"),
        "{error}"
    );
}

#[test]
fn the_subset_of_imdb_is_as_published() {
    let subset = KnownText::find("imdb-subset").unwrap();
    let roots = DataRoots::from_env();
    if subset.locate(&roots).is_err() {
        assert!(
            std::env::var_os("KD_REQUIRE_DATA").is_none(),
            "imdb-subset is needed"
        );
        println!("SKIPPED: imdb-subset is not in KD_DATA");
        return;
    }
    let texts = TextFiles::known(subset, &roots, &settings(""), None).unwrap();
    let (train, test) = (
        texts.load(Split::Train).unwrap(),
        texts.load(Split::Test).unwrap(),
    );
    assert_eq!((train.len(), test.len()), (10_000, 4_000));
    let positive = train.labels().iter().filter(|label| **label == 1).count();
    assert_eq!((positive, texts.encoder().vocabulary()), (5_000, 1_000));
    assert_eq!(texts.class_names(), ["negative", "positive"]);
    // Half of the reviews have at most 175 words, so that most are filled up.
    let filled = |id: &u32| train.text(*id).is_some_and(|ids| ids[0] == 0);
    assert!((0..10_000).filter(filled).count() > 8_000);
}
