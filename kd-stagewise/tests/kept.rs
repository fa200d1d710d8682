//! What is computed once and kept gives the bytes of what is computed in every step.

mod support;

use kd_core::{Augment, Subset, ViewPolicy};
use kd_stagewise::{StageCache, StagewiseConfig, StagewiseData};
use support::{data, files, method, procedures, run};

fn uncached() -> StageCache {
    let mut cache = StageCache::default();
    cache.enabled = false;
    cache
}

fn bank(data: StagewiseData) -> StagewiseData {
    let augment = Augment {
        crop_padding: 2,
        flip: 0.5,
        ..Augment::none()
    };
    data.with_views(ViewPolicy::Bank(2), augment)
}

/// M7, for every procedure, with one view and with a bank of two.
#[test]
fn a_run_with_kept_maps_is_the_run_without_byte_for_byte() {
    for data in [data(), bank(data())] {
        for procedure in procedures() {
            let mut config = StagewiseConfig::default();
            config.procedure = procedure;
            let made = || method(data.clone()).with_config(config.clone());
            let (kept, outcomes) = run(&made());
            let (live, others) = run(&made().with_cache(uncached()));
            let same = files(kept.path()) == files(live.path());
            assert!(same, "{:?}", config.procedure);
            for (one, other) in outcomes.iter().zip(&others) {
                assert_eq!(one.last, other.last, "{:?}", config.procedure);
                assert_eq!(one.best, other.best, "{:?}", config.procedure);
            }
        }
    }
}

#[test]
fn maps_that_do_not_fit_into_memory_are_read_from_files_that_go_with_the_run() {
    let (memory, _) = run(&method(bank(data())));
    let mut cache = StageCache::default();
    cache.memory_mib = 0;
    let small = method(bank(data())).with_cache(cache);
    let (file, _) = run(&small);
    assert_eq!(files(memory.path()), files(file.path()));
    let maps = file.path().join("maps");
    assert!(maps.exists(), "the maps were in files");
    drop(small);
    assert_eq!(std::fs::read_dir(maps).unwrap().count(), 0);
}

#[test]
fn one_file_of_the_whole_split_serves_all_fractions_seeds_and_procedures() {
    let place = tempfile::tempdir().unwrap();
    let mut cache = StageCache::default();
    cache.dir = Some(place.path().to_owned());
    cache.whole_split = true;
    let files_there = || {
        let mut names: Vec<_> = std::fs::read_dir(place.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let whole = data();
    // The mini set has 5,000 images; a part of it stands for the split here, so that the test is quick.
    let (plain, _) = run(&method(whole.clone()));
    let (shared, _) = run(&method(whole.clone()).with_cache(cache.clone()));
    assert_eq!(files(plain.path()), files(shared.path()));
    let first = files_there();
    assert_eq!(
        first.len(),
        2,
        "one of the split and one of the validation samples"
    );

    let mut half = whole.clone();
    half.train = half.train.fraction(0.5, 0).unwrap();
    let (plain, _) = run(&method(half.clone()).with_seed(9));
    let (shared, _) = run(&method(half).with_seed(9).with_cache(cache.clone()));
    assert_eq!(files(plain.path()), files(shared.path()));
    assert_eq!(files_there(), first, "nothing was computed again");
}

#[test]
fn options_that_are_not_the_papers_are_cached_alike() {
    let mut unlabelled = data();
    let more = Subset::all(unlabelled.train.dataset())
        .per_class(5, 3)
        .unwrap();
    unlabelled = unlabelled.with_unlabelled(more);
    let mut teacher_input = StagewiseConfig::default();
    teacher_input.teacher_input = true;
    let mut fine_tuned = StagewiseConfig::default();
    fine_tuned.fine_tune_epochs = Some(1);
    fine_tuned.copy_identical = true;
    let plain = StagewiseConfig::default();
    let (reference, _) = run(&method(data()));
    let reference = files(reference.path());
    for (data, config) in [
        (data(), teacher_input),
        (data(), fine_tuned),
        (unlabelled, plain),
    ] {
        let made = || method(data.clone()).with_config(config.clone());
        let (kept, _) = run(&made());
        let (live, _) = run(&made().with_cache(uncached()));
        assert_eq!(files(kept.path()), files(live.path()), "{config:?}");
        assert_ne!(files(kept.path()), reference, "{config:?}");
    }
}

/// Views that never come again cannot be kept; those that are measured can.
#[test]
fn views_without_limit_are_computed_in_every_step() {
    let augment = Augment {
        crop_padding: 2,
        flip: 0.5,
        ..Augment::none()
    };
    let fresh = data().with_views(ViewPolicy::Unlimited, augment);
    let (kept, _) = run(&method(fresh.clone()));
    let (live, _) = run(&method(fresh).with_cache(uncached()));
    assert_eq!(files(kept.path()), files(live.path()));
}
