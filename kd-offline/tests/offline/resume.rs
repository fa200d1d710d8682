//! Interrupted and resumed is as undisturbed, byte for byte; the seed decides all.

use std::path::Path;

use kd_core::testing::{run, run_steps, stopped_at_every_step, tensor_files};
use kd_core::{
    Augment, CacheConfig, Normalisation, OptimizerConfig, Schedule, Training, ViewPolicy,
};
use kd_offline::Offline;

use crate::support::{Small, boxed, losses, offline, real_data, shared, steps};

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
    let teacher = shared(
        &Small::with_norms([5, 6], 10, 2),
        Normalisation::identity(1),
    );
    let student = Small::with_norms([3, 4], 10, 1);
    offline(
        &student,
        data,
        training,
        vec![boxed(&teacher)],
        losses(LOSSES),
    )
    .with_seed(seed)
}

/// Runs so many steps and stops, leaving a checkpoint.
fn interrupt(method: &Offline<Small>, path: &Path, steps: usize) {
    assert!(!run_steps(method, path, steps).unwrap());
}

fn optimizers() -> [OptimizerConfig; 2] {
    [OptimizerConfig::adam(), OptimizerConfig::default()]
}

#[test]
fn stopped_at_every_step_is_not_stopped() {
    for optimizer in optimizers() {
        stopped_at_every_step(|| method(optimizer.clone(), 0)).unwrap();
    }
}

/// With a momentum of the schedule, a memory, and teachers that are read from caches.
#[test]
fn stopped_at_every_step_is_not_stopped_with_one_cycle_a_memory_and_caches() {
    let caches = tempfile::tempdir().unwrap();
    let make = || {
        let mut data = real_data();
        data.views = ViewPolicy::Bank(2);
        data.augment.flip = 0.5;
        let mut training = steps(8);
        training.schedule = Schedule::one_cycle_with_momentum();
        let teacher = shared(
            &Small::with_norms([5, 6], 10, 2),
            Normalisation::identity(1),
        );
        let student = Small::with_norms([3, 4], 10, 1);
        let memory =
            "[[losses]]\nkind = \"crd\"\nstudent_tap = \"dense\"\nnum_negatives = 8\ndim = 5\n";
        let losses = losses(&format!("{LOSSES}{memory}"));
        offline(&student, data, training, vec![boxed(&teacher)], losses)
            .with_cache(CacheConfig::dir(caches.path()))
    };
    stopped_at_every_step(make).unwrap();
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
        assert_eq!(
            tensor_files(whole.path()).unwrap(),
            tensor_files(parts.path()).unwrap()
        );
        // The last result, the best one, and the state that a longer training goes on from.
        assert_eq!(tensor_files(whole.path()).unwrap().len(), 3);
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
        let (whole, parts) = (
            tensor_files(whole.path()).unwrap(),
            tensor_files(parts.path()).unwrap(),
        );
        assert_eq!(whole, parts);
        let checkpoint = "checkpoint-0-12.safetensors";
        let path = tempfile::tempdir().unwrap().path().join(checkpoint);
        kd_core::write_atomically(&path, &whole[checkpoint]).unwrap();
        let names = kd_core::read_tensors(&path).unwrap();
        for name in [
            "loss3/0/conv.weight".to_owned(),
            format!("student-optimizer/loss2.conv.weight#{moments}"),
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
        tensor_files(path.path()).unwrap()
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
    let method = offline(
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
