//! Work that a run does once: queries of teachers, counted; and no more of them than the losses need.

use std::sync::atomic::AtomicBool;

use kd_core::{CacheConfig, Requested, testing};
use kd_offline::{LossConfig, Offline};

use crate::caches::{bank, cached, method};
use crate::support::{
    Counting, Queries, Small, kd, losses, normalisation, offline, real_data, result_file, steps,
};

const HINT: &str =
    "[[losses]]\nkind = \"cross-entropy\"\n[[losses]]\nkind = \"hint\"\nstudent_tap = \"stem\"\n";

/// One teacher that notes its queries; 7 steps of 16 of 80 samples, 40 to measure on in batches of 15.
fn with_teacher(losses: Vec<LossConfig>) -> (Offline<Small>, Queries) {
    let queries = Queries::default();
    let network = Small::with_norms([5, 6], 10, 2);
    let teacher = Counting::boxed(&network, normalisation(0.3, 0.4), &queries);
    let mut training = steps(7);
    training.eval_batch_size = 15;
    let student = Small::with_norms([3, 4], 10, 1);
    let method = offline(&student, real_data(), training, vec![teacher], losses);
    (method, queries)
}

/// All that a command does with a method.
fn check_and_run(method: &Offline<Small>) {
    method.check().unwrap();
    method.extra_parameters().unwrap();
    method.requested().unwrap();
    let path = tempfile::tempdir().unwrap();
    testing::run(method, path.path()).unwrap();
}

/// The request of the one query with which shapes are learnt.
fn everything() -> Requested {
    Requested::at_taps(["stem", "body", "dense"]).with_output()
}

#[test]
fn a_run_queries_a_teacher_once_for_shapes_once_a_step_and_once_for_the_held_out_data() {
    for (losses, requested) in [
        (vec![kd(4.0)], Requested::output()),
        (losses(HINT), Requested::at_taps(["stem"])),
        (vec![LossConfig::cross_entropy(1.0)], Requested::nothing()),
    ] {
        let (method, queries) = with_teacher(losses);
        check_and_run(&method);
        assert_eq!(
            method.requested().unwrap(),
            std::slice::from_ref(&requested)
        );
        // A teacher that no loss reads is not queried in steps.
        let steps = |steps: usize| {
            let steps = if requested.is_nothing() { 0 } else { steps };
            std::iter::repeat_n((16, requested.clone()), steps)
        };
        // The first of two evaluations queries for the held-out data.
        let held_out = [15, 15, 10].map(|samples| (samples, Requested::output()));
        let expected = std::iter::once((1, everything()))
            .chain(steps(5))
            .chain(held_out)
            .chain(steps(2));
        assert_eq!(*queries.lock().unwrap(), expected.collect::<Vec<_>>());
    }
}

#[test]
fn a_run_with_a_cache_queries_a_teacher_once_for_each_view() {
    let caches = tempfile::tempdir().unwrap();
    let (method, queries) = with_teacher(losses(HINT));
    let method = method.with_cache(CacheConfig::dir(caches.path()));
    check_and_run(&method);
    check_and_run(&method);
    // The output is kept with the maps, for recipes with other losses.
    let kept = Requested::at_taps(["stem"]).with_output();
    let mut expected = vec![(1, everything())];
    expected.extend((0..5).map(|_| (16, kept.clone())));
    expected.extend([16, 16, 8].map(|samples| (samples, Requested::output())));
    assert_eq!(*queries.lock().unwrap(), expected);
}

#[test]
fn caches_that_were_opened_before_a_check_are_opened_once() {
    let caches = tempfile::tempdir().unwrap();
    let (method, queries) = method(bank(), 0);
    let method = cached(method, &CacheConfig::dir(caches.path())).unwrap();
    let built = queries.lock().unwrap().len();
    check_and_run(&method);
    method
        .open_caches(&mut (), &AtomicBool::new(false))
        .unwrap();
    assert_eq!(queries.lock().unwrap().len(), built);
    assert_eq!(method.caches().count(), 4);
}

/// The things that are made once must not outlive a change of the settings.
#[test]
fn settings_that_change_after_a_check_count() {
    let fresh = |change: &dyn Fn(Offline<Small>) -> Offline<Small>| {
        let (method, _) = with_teacher(losses(HINT));
        change(method)
    };
    let checked = |change: &dyn Fn(Offline<Small>) -> Offline<Small>| {
        let (method, _) = with_teacher(losses(HINT));
        method.check().unwrap();
        change(method)
    };
    let unchanged = result_file(&fresh(&|method| method));
    let changes: [&dyn Fn(Offline<Small>) -> Offline<Small>; 3] = [
        &|method| method.with_seed(1),
        &|method| method.with_losses(vec![kd(2.0)]),
        &|method| {
            let teacher = Small::with_norms([4, 6], 10, 3);
            let teacher = Counting::boxed(&teacher, normalisation(0.5, 0.5), &Queries::default());
            method.with_teachers(vec![teacher], kd_offline::Ensemble::Logits)
        },
    ];
    for change in changes {
        let expected = result_file(&fresh(change));
        assert_ne!(expected, unchanged);
        assert_eq!(result_file(&checked(change)), expected);
    }
    let banked = |method: Offline<Small>| result_file(&method.with_bank_seed(7));
    let (one, other) = (method(bank(), 0).0, method(bank(), 0).0);
    assert_ne!(result_file(&one), banked(other));
    assert_eq!(banked(one), banked(method(bank(), 0).0));
}
