//! Interrupted and resumed is as undisturbed, byte for byte.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use kd_core::{ErrorKind, Runner};
use kd_stagewise::{StageCache, Stagewise, StagewiseConfig, UnequalMaps};
use support::{Net, StopAfter, data, files, method, open, run, run_in};

/// Runs so many steps and stops, leaving a checkpoint.
fn interrupt(method: &Stagewise<Net>, path: &Path, steps: usize) {
    let flag = AtomicBool::new(false);
    let error = Runner::new(&open(path), &flag)
        .run(method, &mut StopAfter { steps, flag: &flag })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
}

/// In the middle of the third stage, and again at other places; each time with a method made afresh, as after a kill.
#[test]
fn a_run_that_was_interrupted_in_a_stage_ends_as_an_undisturbed_one() {
    let mut small = StageCache::default();
    small.memory_mib = 0;
    for cache in [StageCache::default(), small] {
        let made = || method(data()).with_cache(cache.clone());
        let (whole, expected) = run(&made());
        let parts = tempfile::tempdir().unwrap();
        // Six steps a stage, and the step under way is finished: after 14 in the middle of the third, 19, 22, and 26 in the head.
        for steps in [13, 4, 2, 3] {
            interrupt(&made(), parts.path(), steps);
        }
        let got = run_in(&made(), parts.path()).unwrap();
        assert!(files(whole.path()) == files(parts.path()));
        for (one, other) in expected.iter().zip(&got) {
            assert_eq!(one.last, other.last);
            assert_eq!(one.best, other.best);
        }
    }
}

/// What stands between maps of different shapes is part of the state.
#[test]
fn regressors_are_resumed() {
    let mut config = StagewiseConfig::default();
    config.unequal_maps = UnequalMaps::Regressor;
    let made = || {
        let teacher = support::Shared::new(&support::net(5, 1, 2));
        method(data())
            .with_teacher(Box::new(teacher))
            .with_config(config.clone())
    };
    let (whole, _) = run(&made());
    let parts = tempfile::tempdir().unwrap();
    for steps in [2, 5, 8] {
        interrupt(&made(), parts.path(), steps);
    }
    run_in(&made(), parts.path()).unwrap();
    assert!(files(whole.path()) == files(parts.path()));
    assert!(made().extra_parameters().unwrap() > 0);
}
