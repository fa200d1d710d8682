//! The measures of an evaluation against plain loops over the outputs of the trained networks.

use burn::tensor::{Device, Tensor};
use kd_core::testing::{run, run_folder};
use kd_core::{Grade, Metrics, Snapshot};
use kd_online::{Branches, Online, OnlineConfig, RESULT_PHASE, findings};

use crate::support::{
    CLASSES, SIZE, Tiny, config, data, normalisation, numbers, online_data, peers, training,
};

/// A run's last evaluation, and the logits of all branches and of the combination on the held-out data.
struct Measured {
    last: Metrics,
    branches: Vec<Vec<Vec<f64>>>,
    combined: Option<Vec<Vec<f64>>>,
    labels: Vec<usize>,
}

fn measured(config: &OnlineConfig) -> Measured {
    let count = config.branches;
    let online = Online::new(
        peers(config, 3),
        config.clone(),
        online_data(15),
        training(3, 5),
        &Device::flex(),
    );
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(&online, folder.path()).unwrap();
    let folder = run_folder(folder.path()).unwrap();
    let result = folder.result(RESULT_PHASE, Snapshot::Last).unwrap();
    let held_out = data(7, 2);
    let values: Vec<f32> = held_out
        .images()
        .iter()
        .map(|&byte| f32::from(byte) / 255.0)
        .collect();
    let images = Tensor::<1>::from_floats(values.as_slice(), &Device::flex());
    let images = normalisation()
        .apply(images.reshape([7, 1, SIZE, SIZE]))
        .unwrap();
    let blank = Branches::drawn(count, config.shared.as_deref(), 0, Tiny::drawn).unwrap();
    let combiner = online.combiner_of(&result).unwrap();
    let ensemble = blank
        .with_result(&result)
        .unwrap()
        .into_ensemble(config, combiner);
    let output = ensemble.forward(&images).unwrap();
    let rows = |logits: Tensor<2>| -> Vec<Vec<f64>> {
        numbers(&logits.into_data())
            .chunks(CLASSES)
            .map(<[f64]>::to_vec)
            .collect()
    };
    Measured {
        last: outcome[0].last.clone(),
        branches: output.branches.into_iter().map(rows).collect(),
        combined: output.combined.map(rows),
        labels: held_out
            .labels()
            .iter()
            .map(|&label| usize::from(label))
            .collect(),
    }
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let exponentials: Vec<f64> = logits.iter().map(|z| z.exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|value| value / sum).collect()
}

fn class(logits: &[f64]) -> usize {
    let mut best = 0;
    for (index, value) in logits.iter().enumerate() {
        if *value > logits[best] {
            best = index;
        }
    }
    best
}

fn accuracy(rows: &[Vec<f64>], labels: &[usize]) -> f64 {
    let right = rows
        .iter()
        .zip(labels)
        .filter(|(row, label)| class(row) == **label);
    right.count() as f64 / labels.len() as f64
}

fn loss(rows: &[Vec<f64>], labels: &[usize]) -> f64 {
    let each = rows
        .iter()
        .zip(labels)
        .map(|(row, &label)| -softmax(row)[label].ln());
    each.sum::<f64>() / labels.len() as f64
}

fn near(last: &Metrics, name: &str, expected: f64) {
    let found = last
        .get(name)
        .unwrap_or_else(|| panic!("no {name} in {last:?}"));
    assert!(
        (found - expected).abs() < 1e-5,
        "{name}: {found}, expected {expected}"
    );
}

/// The mean of a value of each peer's row, row by row.
fn mean_rows(peers: &[Vec<Vec<f64>>], of: impl Fn(&[f64]) -> Vec<f64>) -> Vec<Vec<f64>> {
    let samples = peers[0].len();
    let row = |sample: usize| {
        let all: Vec<Vec<f64>> = peers.iter().map(|rows| of(&rows[sample])).collect();
        (0..CLASSES)
            .map(|k| all.iter().map(|row| row[k]).sum::<f64>() / peers.len() as f64)
            .collect()
    };
    (0..samples).map(row).collect()
}

#[test]
fn all_measures_are_those_of_plain_loops() {
    for (toml, peers) in [
        ("kind = \"okdmde\"\nshared = \"stem\"", 3),
        ("kind = \"okddip\"\nshared = \"stem\"", 3),
        ("kind = \"independent\"\nbranches = 2", 2),
        ("kind = \"pcl\"\nshared = \"stem\"\nviews = \"same\"", 3),
    ] {
        let config = config(toml);
        let Measured {
            last,
            branches,
            combined,
            labels,
        } = measured(&config);
        if !toml.contains("pcl") {
            let student = &branches[config.student()];
            near(&last, "accuracy", accuracy(student, &labels));
            near(&last, "loss", loss(student, &labels));
        }
        for (index, rows) in branches.iter().enumerate() {
            near(
                &last,
                &format!("branch_{index}_accuracy"),
                accuracy(rows, &labels),
            );
            near(&last, &format!("branch_{index}_loss"), loss(rows, &labels));
        }
        let of_peers = &branches[..peers];
        let mean = of_peers
            .iter()
            .map(|rows| accuracy(rows, &labels))
            .sum::<f64>();
        near(&last, "mean_accuracy", mean / peers as f64);
        let ensemble = mean_rows(of_peers, <[f64]>::to_vec);
        near(&last, "ensemble_accuracy", accuracy(&ensemble, &labels));
        near(&last, "ensemble_loss", loss(&ensemble, &labels));
        let probabilities = mean_rows(of_peers, softmax);
        near(
            &last,
            "probability_ensemble_accuracy",
            accuracy(&probabilities, &labels),
        );
        match &combined {
            Some(rows) => {
                near(&last, "combined_accuracy", accuracy(rows, &labels));
                near(&last, "combined_loss", loss(rows, &labels));
            }
            None => assert!(!last.contains_key("combined_loss"), "{toml}"),
        }
        if !toml.contains("pcl") {
            let student = &branches[config.student()];
            let right = |rows: &[Vec<f64>]| -> Vec<bool> {
                let each = rows.iter().zip(&labels);
                each.map(|(row, label)| class(row) == *label).collect()
            };
            let both = right(&ensemble).into_iter().zip(right(student));
            let count = |wanted: (bool, bool)| {
                both.clone().filter(|pair| *pair == wanted).count() as f64 / 7.0
            };
            near(&last, "only_ensemble_right", count((true, false)));
            near(&last, "only_student_right", count((false, true)));
        }
        check_diversity(&last, of_peers);
    }
}

fn check_diversity(last: &Metrics, peers: &[Vec<Vec<f64>>]) {
    let (mut dist, mut different, mut pairs) = (0.0, 0.0, 0.0);
    for one in 0..peers.len() {
        for other in one + 1..peers.len() {
            let mut here = 0.0;
            for (a, b) in peers[one].iter().zip(&peers[other]) {
                let square = |(p, q): (f64, f64)| (p - q) * (p - q);
                let both = softmax(a).into_iter().zip(softmax(b));
                dist += both.map(square).sum::<f64>().sqrt();
                here += f64::from(u8::from(class(a) != class(b)));
            }
            near(last, &format!("disagreement_{one}_{other}"), here / 7.0);
            different += here;
            pairs += 1.0;
        }
    }
    near(last, "dist", dist / pairs / 7.0);
    near(last, "disagreement", different / pairs / 7.0);
}

#[test]
fn each_kind_says_what_it_has() {
    let last = |toml: &str| measured(&config(toml)).last;
    let gated = last("kind = \"okdmde\"\nshared = \"stem\"");
    assert!((0.0..=1.0).contains(&gated["gate_entropy"]), "{gated:?}");
    assert!(gated["kd_0"] >= 0.0 && gated.contains_key("kd_2"));
    assert!(gated["overlap_class_cosine"] > 0.0 && gated["overlap_normalised_frobenius"] > 0.0);
    assert!(gated["only_ensemble_right"] >= 0.0 && gated["only_student_right"] >= 0.0);
    assert!(!gated.contains_key("diversification_to_weight_decay"));
    let attended = last("kind = \"okddip\"\nshared = \"stem\"");
    assert!((0.0..=1.0).contains(&attended["attention_diagonal"]));
    assert!(attended.contains_key("kd_3"), "the leader's, too");
    let alone = last("kind = \"single\"");
    let names: Vec<&String> = alone.keys().collect();
    assert_eq!(names, ["accuracy", "ece", "loss", "top3_accuracy"]);
    assert!(
        last("kind = \"independent\"")
            .keys()
            .all(|name| !name.starts_with("kd_"))
    );
}

#[test]
fn the_literal_penalty_is_said_to_be_inert() {
    let toml = "kind = \"okdmde\"\nshared = \"stem\"\ndiversification = \"literal\"";
    let literal = measured(&config(toml)).last;
    let ratio = literal["diversification_to_weight_decay"];
    assert!(ratio > 0.0 && ratio < 1e-3, "{ratio}");
    let notes = findings(&literal);
    assert!(
        notes.iter().any(|note| note.text.contains("is inert")),
        "{notes:?}"
    );
    let working = measured(&config(&toml.replace("literal", "working"))).last;
    // The term is a thousand times as strong, and more.
    assert!(working["diversification_to_weight_decay"] > 1e3 * ratio);
}

#[test]
fn branches_that_are_alike_are_said_to_be_and_others_not() {
    let metrics = |values: &[(&str, f64)]| -> Metrics {
        values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect()
    };
    assert_eq!(
        findings(&metrics(&[("dist", 0.2), ("disagreement", 0.1)])),
        []
    );
    assert_eq!(findings(&metrics(&[("accuracy", 0.5)])), []);
    for (values, word) in [
        (
            metrics(&[("dist", 1e-4), ("disagreement", 0.0)]),
            "have become alike",
        ),
        (metrics(&[("gate_entropy", 0.1)]), "the gate has collapsed"),
        (
            metrics(&[("attention_diagonal", 0.99)]),
            "has become the identity",
        ),
    ] {
        let found = findings(&values);
        assert_eq!((found.len(), found[0].grade), (1, Grade::Warning));
        assert!(found[0].text.contains(word), "{}", found[0].text);
    }
}
