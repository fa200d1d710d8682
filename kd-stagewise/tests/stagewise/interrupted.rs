//! Interrupted and resumed is as undisturbed, byte for byte.

use std::path::Path;

use kd_core::testing::{run_steps, same_run, stopped_at_every_step};
use kd_stagewise::{StageCache, Stagewise, StagewiseConfig, UnequalMaps};

use crate::support::{Net, data, method, net, run, same_tensors, teacher};

/// Runs so many steps and stops, leaving a checkpoint.
fn interrupt(method: &Stagewise<Net>, path: &Path, steps: usize) {
    assert!(!run_steps(method, path, steps).unwrap(), "it was stopped");
}

#[test]
fn a_run_that_is_stopped_at_every_step_ends_as_an_undisturbed_one() {
    stopped_at_every_step(|| method(data())).unwrap();
}

/// In the middle of the third stage, and again at other places; each time with a method made afresh, as after
/// a kill.
#[test]
fn a_run_that_was_interrupted_in_a_stage_ends_as_an_undisturbed_one() {
    let mut small = StageCache::default();
    small.memory_mib = 0;
    for cache in [StageCache::default(), small] {
        let made = || method(data()).with_cache(cache.clone());
        let (whole, expected) = run(&made());
        let parts = tempfile::tempdir().unwrap();
        // Six steps a stage, and the step under way is finished: after 14 in the middle of the third, 19, 22,
        // and 26 in the head.
        for steps in [13, 4, 2, 3] {
            interrupt(&made(), parts.path(), steps);
        }
        let got = kd_core::testing::run(&made(), parts.path()).unwrap();
        assert!(same_tensors(&whole, &parts));
        same_run(whole.path(), parts.path()).unwrap();
        for (one, other) in expected.iter().zip(&got) {
            assert_eq!(one.last, other.last);
            assert_eq!(one.best, other.best);
        }
    }
}

/// Regressors between maps of different shapes are part of the state.
#[test]
fn regressors_are_resumed() {
    let mut config = StagewiseConfig::default();
    config.unequal_maps = UnequalMaps::Regressor;
    let made = || {
        method(data())
            .with_teacher(Box::new(teacher(&net(5, 1, 2))))
            .with_config(config.clone())
    };
    let (whole, _) = run(&made());
    let parts = tempfile::tempdir().unwrap();
    for steps in [2, 5, 8] {
        interrupt(&made(), parts.path(), steps);
    }
    kd_core::testing::run(&made(), parts.path()).unwrap();
    assert!(same_tensors(&whole, &parts));
    assert!(made().extra_parameters().unwrap() > 0);
}
