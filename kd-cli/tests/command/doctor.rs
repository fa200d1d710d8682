//! `kd doctor --read`: data sets that are whole by their counts are told from those with the published bytes.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::Place;

/// MNIST's files in `folder`, every pixel and every label 0.
fn blank_mnist(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (split, samples) in [("train", 60_000_u32), ("t10k", 10_000)] {
        for (what, head, size) in [
            ("images-idx3", [0x0803, samples, 28, 28].as_slice(), 784),
            ("labels-idx1", &[0x0801, samples], 1),
        ] {
            let mut file: Vec<u8> = head
                .iter()
                .flat_map(|number| number.to_be_bytes())
                .collect();
            file.resize(file.len() + samples as usize * size, 0);
            fs::write(folder.join(format!("{split}-{what}-ubyte")), file).unwrap();
        }
    }
}

/// What is said of a data set.
fn said_of(place: &Place, name: &str) -> Value {
    let said = place.json(&[
        "doctor",
        "--read",
        "--data-dir",
        "data",
        "--json",
        "--quiet",
    ]);
    let sets = said["data"].as_array().unwrap();
    sets.iter().find(|set| set["name"] == name).unwrap().clone()
}

#[test]
fn counts_say_what_is_whole_and_checksums_what_is_as_published() {
    let place = Place::new();
    let folder = place.path("data/mnist");
    blank_mnist(&folder);
    let mnist = said_of(&place, "mnist");
    assert_eq!(
        (&mnist["state"], &mnist["contents"]),
        (&"whole".into(), &"other".into())
    );
    let problem = mnist["problem"].as_str().unwrap();
    assert!(
        problem.contains("train-images-idx3-ubyte` has other bytes"),
        "{problem}"
    );
    fs::write(folder.join("t10k-labels-idx1-ubyte"), [0; 20]).unwrap();
    let mnist = said_of(&place, "mnist");
    assert_eq!(
        (&mnist["state"], &mnist["contents"]),
        (&"not whole".into(), &Value::Null)
    );
    let mini = said_of(&place, "fashion-mnist-mini");
    assert_eq!(
        (&mini["state"], &mini["problem"]),
        (&"built in".into(), &Value::Null)
    );
}
