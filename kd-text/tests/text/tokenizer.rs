//! The tokenizer: what is learnt, its file, and the same ids as in Python.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};

use kd_core::TokenizerFile;
use kd_text::{Encoder, TextSettings};
use serde_json::Value;

fn settings(text: &str) -> TextSettings {
    toml::from_str(text).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn texts(of: &str) -> Vec<String> {
    let all: Value =
        serde_json::from_str(&fs::read_to_string(fixture("texts.json")).unwrap()).unwrap();
    let texts = all[of].as_array().unwrap().iter();
    texts
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn ids_are_those_of_python() {
    let learnt =
        Encoder::learn(texts("learnt"), &settings("length = 12\nvocabulary = 16")).unwrap();
    let path = fixture("tokenizer.json");
    if std::env::var_os("KD_UPDATE").is_some() {
        fs::write(&path, learnt.file().json().unwrap()).unwrap();
    }
    let read = Encoder::open(&path).unwrap();
    // The file is a function of texts and settings alone.
    assert_eq!(read.file(), learnt.file());
    assert_eq!(read.file().json(), learnt.file().json());
    let python: Vec<Vec<u16>> =
        serde_json::from_str(&fs::read_to_string(fixture("ids.json")).unwrap()).unwrap();
    let shown = texts("shown");
    assert_eq!(shown.len(), python.len());
    assert_eq!(read.ids(&shown).unwrap(), python.concat());
}

#[test]
fn the_most_frequent_words_are_known_and_others_are_not() {
    let few = Encoder::learn(["b b a a c"], &settings("length = 6\nvocabulary = 5")).unwrap();
    assert_eq!((few.vocabulary(), few.length()), (5, 6));
    // Of one frequency those that come first in the alphabet: a 3, b 4, c unknown.
    assert_eq!(few.ids(&["a b c"]).unwrap(), [0, 0, 1, 3, 4, 2]);
    // A vocabulary is no larger than there are words.
    let all = Encoder::learn(["b b a a c"], &settings("length = 6")).unwrap();
    assert_eq!(all.vocabulary(), 6);
}

#[test]
fn ends_and_case_are_as_set() {
    let ids = |set: &str, text: &str| {
        let encoder = Encoder::learn(["a B c d B"], &settings(set)).unwrap();
        encoder.ids(&[text]).unwrap()
    };
    // b 3, a 4, c 5, d 6
    assert_eq!(ids("length = 4", "a b c d"), [1, 3, 5, 6]);
    assert_eq!(ids("length = 4\ncut = \"back\"", "a b c d"), [1, 4, 3, 5]);
    assert_eq!(ids("length = 4\npadding = \"back\"", "A b"), [1, 4, 3, 0]);
    // B 3, a 4, c 5, d 6
    assert_eq!(ids("length = 4\nlower_case = false", "A b B"), [1, 2, 2, 3]);
    assert_eq!(ids("length = 2", "a b c d"), [1, 6]);
}

#[test]
fn settings_that_cannot_be_are_refused_in_words() {
    let error = |set: &str| {
        let learnt = Encoder::learn(["a b"], &settings(set));
        learnt.unwrap_err().to_string()
    };
    assert_eq!(
        error("length = 1"),
        "`text.length` must be 2 to 65536, got 1"
    );
    assert_eq!(
        error("length = 65537"),
        "`text.length` must be 2 to 65536, got 65537"
    );
    assert_eq!(
        error("vocabulary = 3"),
        "`text.vocabulary` must be 4 to 65536, got 3"
    );
    assert_eq!(
        error("vocabulary = 100000"),
        "`text.vocabulary` must be 4 to 65536, got 100000"
    );
    let both = error("length = 5\ntokenizer = \"model\"");
    assert!(
        both.starts_with("`text.length` is for a tokenizer that is learnt"),
        "{both}"
    );
    let same = error("label_column = \"text\"");
    assert!(same.contains("both are `text`"), "{same}");
    let none = Encoder::learn(["?!", "--"], &settings("length = 5")).unwrap_err();
    assert!(none.to_string().contains("there is no word"), "{none}");
    assert!(toml::from_str::<TextSettings>("lenght = 3").is_err());
}

#[test]
fn files_that_are_no_tokenizer_are_refused_in_words() {
    let error = |json: &str| {
        Encoder::new(&TokenizerFile::new(json))
            .unwrap_err()
            .to_string()
    };
    assert!(error("{").contains("is no tokenizer that can be read"));
    let file = fs::read_to_string(fixture("tokenizer.json")).unwrap();
    let mut free: Value = serde_json::from_str(&file).unwrap();
    free["padding"] = Value::Null;
    assert!(error(&free.to_string()).contains("gives texts of different lengths"));
    let hash: TokenizerFile = serde_json::from_str(r#"{"tokenizer_sha256":"00"}"#).unwrap();
    let unknown = Encoder::new(&hash).unwrap_err().to_string();
    assert!(unknown.contains("only its hash is"), "{unknown}");
    let folder = tempfile::tempdir().unwrap();
    let missing = Encoder::open(folder.path()).unwrap_err().to_string();
    assert!(
        missing.contains("tokenizer.json") && missing.contains("cannot be read"),
        "{missing}"
    );
}
