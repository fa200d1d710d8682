//! Interrupted and resumed is as undisturbed, byte for byte; the seed decides all.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use kd_core::{Augment, ErrorKind, Normalisation, OptimizerConfig, Runner, Training, ViewPolicy};
use kd_offline::Offline;
use support::{Shared, Small, StopAfter, losses, open, real_data, run, steps};

const LOSSES: &str = r#"
    [[losses]]
    kind = "cross-entropy"

    [[losses]]
    kind = "kd"

    [[losses]]
    kind = "hint"
    student_tap = "stem"

    [[losses]]
    kind = "hint"
    student_tap = "body"
    regressor = "always"
"#;

/// Two and a half epochs of five steps, with views, regressors and batch norms.
fn method(optimizer: OptimizerConfig, seed: u64) -> Offline<Small> {
    let mut data = real_data();
    data.views = ViewPolicy::Unlimited;
    data.augment = Augment {
        crop_padding: 2,
        flip: 0.5,
        ..Augment::none()
    };
    let training = {
        let mut training = Training::default();
        training.steps = Some(13);
        training.batch_size = 16;
        training.lr = 0.01;
        training.optimizer = optimizer;
        training
    };
    let teacher = Shared::new(
        &Small::with_norms([5, 6], 10, 2),
        Normalisation::identity(1),
    );
    let student = Small::with_norms([3, 4], 10, 1);
    support::offline(
        &student,
        data,
        training,
        vec![teacher.boxed()],
        losses(LOSSES),
    )
    .with_seed(seed)
}

/// Runs so many steps and stops, leaving a checkpoint.
fn interrupt(method: &Offline<Small>, path: &Path, steps: usize) {
    let flag = AtomicBool::new(false);
    let error = Runner::new(&open(path), &flag)
        .run(method, &mut StopAfter { steps, flag: &flag })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
}

/// Every tensor file below the folder.
fn tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in [path.to_owned(), path.join("phases/distill")] {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".safetensors") {
                files.insert(name.clone(), std::fs::read(folder.join(name)).unwrap());
            }
        }
    }
    files
}

fn optimizers() -> [OptimizerConfig; 2] {
    [OptimizerConfig::adam(), OptimizerConfig::default()]
}

#[test]
fn an_interrupted_run_ends_in_the_same_bytes_as_an_undisturbed_one() {
    for optimizer in optimizers() {
        let method = method(optimizer, 0);
        let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let expected = run(&method, whole.path()).unwrap();
        for steps in [1, 3, 1, 2] {
            interrupt(&method, parts.path(), steps);
        }
        let got = run(&method, parts.path()).unwrap();
        assert_eq!(tensors(whole.path()), tensors(parts.path()));
        assert_eq!(tensors(whole.path()).len(), 2);
        assert_eq!(expected[0].last, got[0].last);
        assert_eq!(expected[0].best, got[0].best);
    }
}

/// Regressors and moments are in checkpoints and in no result, so they are compared there.
#[test]
fn an_interrupted_run_has_the_regressors_and_moments_of_an_undisturbed_one() {
    for (optimizer, moments) in optimizers().into_iter().zip(["second", "first"]) {
        let method = method(optimizer, 0);
        let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        interrupt(&method, whole.path(), 11);
        for steps in [2, 5, 2] {
            interrupt(&method, parts.path(), steps);
        }
        let (whole, parts) = (tensors(whole.path()), tensors(parts.path()));
        assert_eq!(whole, parts);
        let checkpoint = "checkpoint-0-12.safetensors";
        let path = tempfile::tempdir().unwrap().path().join(checkpoint);
        kd_core::write_atomically(&path, &whole[checkpoint]).unwrap();
        let names = kd_core::read_tensors(&path).unwrap();
        for name in [
            "loss3/0/conv.weight".to_owned(),
            format!("optimizer/loss2.conv.weight#{moments}"),
            "student/body_norm.running_var".to_owned(),
        ] {
            assert!(
                names.contains_key(&name),
                "{name} is not in {:?}",
                names.keys()
            );
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_other_bytes() {
    let result = |seed| {
        let path = tempfile::tempdir().unwrap();
        run(&method(OptimizerConfig::adam(), seed), path.path()).unwrap();
        tensors(path.path())
    };
    assert_eq!(result(3), result(3));
    assert_ne!(result(3), result(4));
}

/// With a fixed student and one batch, all that the seed is left to decide are the regressors.
#[test]
fn the_seed_decides_the_initial_regressors_and_each_has_its_own() {
    let regressors = |seed| {
        let path = tempfile::tempdir().unwrap();
        interrupt(&method(OptimizerConfig::adam(), seed), path.path(), 1);
        let name = "checkpoint-0-2.safetensors";
        kd_core::read_tensors(&path.path().join(name)).unwrap()
    };
    let (a, b) = (regressors(0), regressors(1));
    for name in ["loss2/0/conv.weight", "loss3/0/conv.weight"] {
        // Two steps of Adam move a weight by at most 0.02.
        let far = a[name]
            .iter::<f64>()
            .zip(b[name].iter::<f64>())
            .any(|(a, b)| (a - b).abs() > 0.1);
        assert!(far, "{name}");
    }
}

#[test]
fn ordinary_training_needs_no_teacher() {
    let student = Small::with_norms([3, 4], 10, 1);
    let method = support::offline(
        &student,
        real_data(),
        steps(40),
        Vec::new(),
        losses("[[losses]]\nkind = \"cross-entropy\"\n"),
    );
    let path = tempfile::tempdir().unwrap();
    let outcome = run(&method, path.path()).unwrap().remove(0);
    assert!(!outcome.last.contains_key("agreement"));
    assert!(outcome.last["accuracy"] > 0.15, "{outcome:?}");
}
