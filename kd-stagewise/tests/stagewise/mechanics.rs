//! The changes that a stage makes, and those that it does not make: M1 to M8 of the method, on real images.

use std::collections::BTreeSet;
use std::sync::Arc;

use burn::tensor::Device;
use kd_core::{Method, Names, Normalisation, RunFolder, Snapshot, Tensors, export};
use kd_stagewise::{PrefixMode, Select, Stagewise, StagewiseConfig};

use crate::support::{
    data, method, method_of, net, relabelled, result, run, same_tensors, teacher, training,
};

const STAGES: [&str; 4] = ["stem", "body", "deep", "join"];

/// The names of the tensors that differ.
fn changed(before: &Tensors, after: &Tensors) -> BTreeSet<String> {
    assert_eq!(before.len(), after.len());
    let differ = before.iter().filter(|(name, data)| after[*name] != **data);
    differ.map(|(name, _)| name.clone()).collect()
}

/// The names of all tensors of a stage, or of those that `of` names.
fn tensors_of(all: &Tensors, stage: &str) -> BTreeSet<String> {
    let inside = |name: &&String| name.starts_with(&format!("{stage}."));
    all.keys().filter(inside).cloned().collect()
}

fn is_statistic(name: &str) -> bool {
    name.contains("running_")
}

/// M1 and M2: the weights and statistics of the stage under way change, and nothing else in any bit.
#[test]
fn a_stage_changes_itself_alone() {
    let (place, _) = run(&method(data()));
    let mut before = export(&net(3, 1, 1), Names::PyTorch);
    for stage in STAGES {
        let phase = format!("stage-{stage}");
        let after = result(&place, &phase, Snapshot::Last);
        assert_eq!(
            changed(&before, &after),
            tensors_of(&before, stage),
            "{phase}"
        );
        before = result(&place, &phase, Snapshot::Best);
    }
    let after = result(&place, "head", Snapshot::Last);
    assert_eq!(changed(&before, &after), tensors_of(&before, "fc"));
}

/// M2, the other half: with the statistics of each batch, frozen stages keep their weights and their norms go
/// on counting.
#[test]
fn batch_statistics_move_the_norms_of_frozen_stages_and_no_weight() {
    let mut config = StagewiseConfig::default();
    config.prefix = PrefixMode::BatchStatistics;
    config.select = Select::Last;
    let (place, _) = run(&method(data()).with_config(config));
    let mut before = result(&place, "stage-stem", Snapshot::Last);
    for (index, stage) in STAGES.iter().enumerate().skip(1) {
        let after = result(&place, &format!("stage-{stage}"), Snapshot::Last);
        let mut expected = tensors_of(&before, stage);
        for frozen in &STAGES[..index] {
            let statistics = tensors_of(&before, frozen);
            expected.extend(statistics.into_iter().filter(|name| is_statistic(name)));
        }
        assert_eq!(changed(&before, &after), expected, "{stage}");
        before = after;
    }
}

/// M1 for the teacher: nothing of it changes, running statistics included.
#[test]
fn the_teacher_never_changes() {
    let teacher = teacher(&net(3, 2, 2));
    let tensors = || export(teacher.network(), Names::PyTorch);
    let before = tensors();
    run(&method(data()).with_teacher(Box::new(Arc::clone(&teacher))));
    assert!(changed(&before, &tensors()).is_empty());
}

/// M3: a student that is the teacher has nothing to learn in any stage.
#[test]
fn a_student_that_is_its_teacher_has_no_loss() {
    let network = net(3, 2, 2);
    let plain = Normalisation::identity(1);
    let mut config = StagewiseConfig::default();
    config.select = Select::Last;
    let mut training = training();
    training.lr = 1e-30;
    let method = Stagewise::new(&network, plain, data(), training, &Device::flex())
        .with_teacher(Box::new(teacher(&network)))
        .with_config(config);
    let place = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(place.path()).unwrap();
    // The first stage before its first step; the teacher's norms are folded, which rounds.
    let metrics = method.start(0, &folder).unwrap().evaluate().unwrap();
    assert!(metrics["relative_error"] < 1e-12, "{metrics:?}");
    assert!(metrics["map_loss"] < 1e-12, "{metrics:?}");
    for seed in [1, 5] {
        let other = method_of(&net(3, 2, seed), data()).with_teacher(Box::new(teacher(&network)));
        let metrics = other.start(0, &folder).unwrap().evaluate().unwrap();
        assert!(metrics["relative_error"] > 0.1, "{metrics:?}");
    }
}

/// M3 in later stages: with the teacher's stages copied and a rate of nearly 0, every stage is where the
/// teacher is.
#[test]
fn copied_stages_have_no_loss() {
    let network = net(3, 2, 2);
    let mut config = StagewiseConfig::default();
    config.copy_identical = true;
    // Norms that have not moved, so that the statistics are the teacher's, too.
    config.prefix = PrefixMode::Inference;
    let mut training = training();
    training.lr = 1e-30;
    training.epochs = Some(1);
    let method = Stagewise::new(
        &net(3, 2, 1),
        Normalisation::identity(1),
        data(),
        training,
        &Device::flex(),
    )
    .with_teacher(Box::new(teacher(&network)))
    .with_config(config);
    let place = tempfile::tempdir().unwrap();
    let mut student = export(&net(3, 2, 1), Names::PyTorch);
    let folder = RunFolder::create(place.path()).unwrap();
    for (index, stage) in STAGES.iter().enumerate() {
        let metrics = method.start(index, &folder).unwrap().evaluate().unwrap();
        assert!(metrics["relative_error"] < 1e-12, "{stage}: {metrics:?}");
        // The phase ends with the stage as it was copied.
        let teacher = export(&network, Names::PyTorch);
        for name in tensors_of(&student, stage) {
            student.insert(name.clone(), teacher[&name].clone());
        }
        let path = place
            .path()
            .join(format!("phases/stage-{stage}/best.safetensors"));
        kd_core::write_tensors(&path, &student).unwrap();
    }
}

/// M4: what the feature stages learn does not depend on the labels, in any bit.
#[test]
fn feature_stages_do_not_read_labels() {
    let (one, _) = run(&method(data()));
    let (other, _) = run(&method(relabelled(&data())));
    let last = |place: &tempfile::TempDir| result(place, "stage-join", Snapshot::Best);
    assert!(changed(&last(&one), &last(&other)).is_empty());
    let head = |place: &tempfile::TempDir| result(place, "head", Snapshot::Last);
    assert!(!changed(&head(&one), &head(&other)).is_empty());
}

/// M6: the result that is selected is not worse than that of the first epoch.
#[test]
fn the_selected_epoch_is_the_best_on_the_validation_samples() {
    let (place, outcomes) = run(&method(data()));
    let log = std::fs::read_to_string(place.path().join("metrics.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for outcome in &outcomes[..4] {
        let losses: Vec<f64> = lines
            .iter()
            .filter(|line| line["phase"] == outcome.phase.as_str())
            .map(|line| line["evaluation"]["map_loss"].as_f64().unwrap())
            .collect();
        assert_eq!(losses.len(), 2, "{}", outcome.phase);
        let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(outcome.best.as_ref().unwrap().value, best);
    }
    let head = outcomes[4].best.as_ref().unwrap();
    assert_eq!(head.value, head.metrics["validation_accuracy"]);
    assert!(head.metrics.contains_key("accuracy"));
}

/// M8: so many steps in all as there are full batches in the epochs of all stages and of the head.
#[test]
fn the_steps_are_those_of_full_batches() {
    let method = method(data());
    let (_place, outcomes) = run(&method);
    // 60 samples make 3 full batches of 16.
    let steps: usize = outcomes.iter().map(|outcome| outcome.steps).sum();
    assert_eq!(steps, (4 * 2 + 2) * (60 / 16));
    let planned = method.steps().unwrap();
    let names: Vec<&str> = planned.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "stage-stem",
            "stage-body",
            "stage-deep",
            "stage-join",
            "head"
        ]
    );
    assert_eq!(planned.iter().map(|(_, steps)| steps).sum::<usize>(), steps);
}

/// The next phase begins with the best epoch where the last one is another.
#[test]
fn a_stage_begins_with_the_best_epoch_of_the_one_before() {
    let mut training = training();
    training.epochs = Some(4);
    training.lr = 0.1;
    let method = Stagewise::new(
        &net(3, 1, 1),
        Normalisation::identity(1),
        data(),
        training,
        &Device::flex(),
    )
    .with_teacher(Box::new(teacher(&net(3, 2, 2))));
    let (place, outcomes) = run(&method);
    let mut others = 0;
    for (outcome, next) in outcomes.iter().zip(STAGES.iter().skip(1)) {
        let best = result(&place, &outcome.phase, Snapshot::Best);
        let last = result(&place, &outcome.phase, Snapshot::Last);
        let epoch = outcome.best.as_ref().unwrap().epoch;
        assert_eq!(
            epoch == 3,
            changed(&best, &last).is_empty(),
            "{}",
            outcome.phase
        );
        others += usize::from(epoch != 3);
        let after = result(&place, &format!("stage-{next}"), Snapshot::Last);
        assert_eq!(changed(&best, &after), tensors_of(&best, next), "{next}");
    }
    assert!(others > 0, "the best epoch was the last one in every stage");
}

#[test]
fn seeds_give_other_runs_and_the_same_seed_the_same() {
    let (one, _) = run(&method(data()).with_seed(3));
    let (same, _) = run(&method(data()).with_seed(3));
    let (other, _) = run(&method(data()).with_seed(4));
    assert!(same_tensors(&one, &same));
    assert!(!same_tensors(&one, &other));
}
