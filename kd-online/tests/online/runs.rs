//! Whole runs of two steps of every kind against `fixtures/runs.py`: terms, weights, statistics, averages.

use burn::module::Module;
use burn::tensor::Device;
use kd_core::testing::{run, run_folder};
use kd_core::{
    Augment, Dataset, EpochLog, ImageShape, Names, OptimizerConfig, Snapshot, Split, Tensors,
    ViewPolicy, export,
};
use kd_online::{Branches, Online, OnlineData, Peers, RESULT_PHASE};
use serde_json::Value;

use crate::support::{
    CLASSES, Fixture, SIZE, Tiny, branches_of, case_of, close, combiner_of, normalisation, numbers,
    training,
};

#[test]
fn two_steps_of_every_kind_are_those_of_the_formulas() {
    let fixture = Fixture::read("runs");
    assert!(fixture.cases.len() >= 12, "{} cases", fixture.cases.len());
    for case in &fixture.cases {
        check(&fixture, case);
    }
}

fn check(fixture: &Fixture, case: &Value) {
    let (name, config) = case_of(case);
    let before = fixture.part(&format!("{name}.before"));
    let branches = branches_of(&config, &before);
    let template = branches.clone();
    let sample = fixture.tensor::<4>(&format!("{name}.images"));
    let combiner = combiner_of(&config, &branches, sample, &before);

    let mut data = OnlineData::new(dataset(fixture, &name), dataset(fixture, &name));
    if case["mirrored"] == true {
        data.views = ViewPolicy::Bank(3);
        data.augment = Augment {
            flip: 1.0,
            ..Augment::none()
        };
    }
    let mut training = training(2, 6);
    training.lr = 0.2;
    training.optimizer = OptimizerConfig::Sgd {
        momentum: 0.9,
        weight_decay: 0.01,
        nesterov: false,
    };
    let peers = Peers::of(branches, normalisation());
    let mut online = Online::new(peers, config, data, training, &Device::flex());
    if let Some(combiner) = combiner {
        online = online.with_combiner(combiner.valid());
    }
    let folder = tempfile::tempdir().unwrap();
    run(&online, folder.path()).unwrap();

    for (step, epoch) in EpochLog::read_all(folder.path())
        .unwrap()
        .iter()
        .enumerate()
    {
        let expected = fixture.part(&format!("{name}.term-{step}"));
        assert_eq!(
            epoch.train.len(),
            expected.len(),
            "{name}: {:?}",
            epoch.train
        );
        for (term, expected) in &expected {
            let what = format!("{name}: {term} of step {step}");
            close(&what, &[epoch.train[term]], &numbers(expected), 2e-4);
        }
    }
    let result = run_folder(folder.path()).unwrap();
    let result = result.result(RESULT_PHASE, Snapshot::Last).unwrap();
    let after = fixture.part(&format!("{name}.after"));
    compare(
        &name,
        "branch",
        &template.with_result(&result).unwrap(),
        &after,
    );
    if case["config"].get("average_decay").is_some() {
        compare(
            &name,
            "average",
            &template.with_averages(&result).unwrap(),
            &after,
        );
    }
    let Some(combiner) = online.combiner_of(&result).unwrap() else {
        return;
    };
    let found = export(&combiner, Names::Burn);
    for (path, expected) in &after {
        if let Some(path) = path.strip_prefix("ensemble.") {
            let what = format!("{name}: {path} of the combiner");
            close(&what, &numbers(&found[path]), &numbers(expected), 2e-4);
        }
    }
}

/// Compares all tensors of all branches, the shared ones in each of them.
fn compare(name: &str, part: &str, branches: &Branches<Tiny>, after: &Tensors) {
    for (index, network) in branches.networks().iter().enumerate() {
        for (path, data) in export(network, Names::Burn) {
            let own = after.get(&format!("{part}-{index}.{path}"));
            let shared = after.get(&format!("{part}-0.{path}"));
            let expected = own.or(shared).unwrap();
            let what = format!("{name}: {path} of {part} {index}");
            close(&what, &numbers(&data), &numbers(expected), 2e-4);
        }
    }
}

fn dataset(fixture: &Fixture, name: &str) -> Dataset {
    let images = fixture.get(&format!("{name}.images")).unwrap();
    let images = images.iter::<u8>().collect();
    let labels = fixture.get(&format!("{name}.targets")).unwrap();
    let labels = labels.iter::<u16>().collect();
    let shape = ImageShape::new(1, SIZE, SIZE);
    Dataset::new("fixture", Split::Train, shape, CLASSES, images, labels).unwrap()
}
