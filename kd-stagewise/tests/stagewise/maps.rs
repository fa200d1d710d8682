//! Maps that are computed once and kept give the bytes of maps that are computed in every step.

use burn::tensor::Device;
use kd_core::{Augment, FrozenTeacher, Normalisation, StagedNetwork, Subset, ViewPolicy, testing};
use kd_models::{Network, NetworkSpec};
use kd_stagewise::{PrefixMode, Procedure, StageCache, Stagewise, StagewiseConfig};

use crate::scenes::segmentation;
use crate::support::{
    Last, bank, data, method, method_of, net, procedures, run, same_tensors, training, uncached,
    with_last,
};

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
            let same = same_tensors(&kept, &live);
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
    assert!(same_tensors(&memory, &file));
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
    assert!(same_tensors(&plain, &shared));
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
    assert!(same_tensors(&plain, &shared));
    assert_eq!(files_there(), first, "nothing was computed again");
}

#[test]
fn options_that_are_not_the_papers_are_cached_alike() {
    let mut unlabelled = data();
    let more = Subset::all(unlabelled.train.dataset())
        .per_class(5, 3)
        .unwrap();
    let kept_back = unlabelled.validation.clone().unwrap();
    let free = |id: &u32| !kept_back.ids().contains(id);
    let ids = more.ids().iter().copied().filter(free).collect();
    let more = Subset::from_ids(more.dataset(), ids).unwrap();
    unlabelled = unlabelled.with_unlabelled(more);
    let mut teacher_input = StagewiseConfig::default();
    teacher_input.teacher_input = true;
    let mut fine_tuned = StagewiseConfig::default();
    fine_tuned.fine_tune_epochs = Some(1);
    fine_tuned.copy_identical = true;
    let plain = StagewiseConfig::default();
    let (reference, _) = run(&method(data()));
    for (data, config) in [
        (data(), teacher_input),
        (data(), fine_tuned),
        (unlabelled, plain),
    ] {
        let made = || method(data.clone()).with_config(config.clone());
        let (kept, _) = run(&made());
        let (live, _) = run(&made().with_cache(uncached()));
        assert!(same_tensors(&kept, &live), "{config:?}");
        assert!(!same_tensors(&kept, &reference), "{config:?}");
    }
}

/// With the statistics of each batch nothing of the student can be kept, and the teacher's maps are.
#[test]
fn batch_statistics_are_cached_alike() {
    let mut config = StagewiseConfig::default();
    config.prefix = PrefixMode::BatchStatistics;
    let made = || method(bank(data())).with_config(config.clone());
    let (kept, _) = run(&made());
    let (live, _) = run(&made().with_cache(uncached()));
    assert!(same_tensors(&kept, &live));
}

/// A map that a stage uses without a gradient is kept for it as well.
#[test]
fn what_is_read_on_other_ways_than_by_gradients_is_kept() {
    let gated = with_last(&net(3, 1, 1), Last::Gated);
    let made = || method_of(&gated, data());
    let (kept, _) = run(&made());
    let (live, _) = run(&made().with_cache(uncached()));
    assert!(same_tensors(&kept, &live));
    let (plain, _) = run(&method(data()));
    assert!(!same_tensors(&kept, &plain), "the gate does something");
}

/// A dense representation with layers of its own is part of the head and is trained with it.
#[test]
fn a_dense_representation_that_learns_is_trained_with_the_head() {
    let device = Device::flex();
    for name in ["lenet5-half", "wrn-16-1"] {
        let build = |seed| {
            let spec = NetworkSpec::new(name, 10, [1, 28, 28]);
            Network::build(&spec, seed, &device).unwrap()
        };
        let student = build(1);
        let stages = student.stage_names();
        let last = stages.last().unwrap();
        let procedures = [
            "\"skd\"".to_owned(),
            "\"random-trunk\"".to_owned(),
            format!("{{ kind = \"fitnets-code\", guided = [\"{last}\"] }}"),
        ];
        for procedure in procedures {
            let config: StagewiseConfig =
                toml::from_str(&format!("procedure = {procedure}")).unwrap();
            let made = |cache: StageCache| {
                let plain = Normalisation::identity(1);
                let teacher = FrozenTeacher::new(&build(2), plain.clone(), &device);
                Stagewise::new(&student, plain, data(), training(), &device)
                    .with_teacher(Box::new(teacher))
                    .with_config(config.clone())
                    .with_cache(cache)
            };
            let (kept, _) = run(&made(StageCache::default()));
            let (live, _) = run(&made(uncached()));
            assert!(same_tensors(&kept, &live), "{name}, {procedure}");
        }
    }
}

/// Maps as dense representation, masks as labels, skips over many stages.
#[test]
fn a_network_for_segmentation_is_cached_alike() {
    let mut small = StageCache::default();
    small.memory_mib = 0;
    for procedure in ["skd", "simultaneous", "fitnets-code", "hinton"] {
        let mut config = StagewiseConfig::default();
        config.procedure = Procedure::of(procedure).unwrap();
        let places = [uncached(), StageCache::default(), small.clone()].map(|cache| {
            let method = segmentation().with_config(config.clone()).with_cache(cache);
            let (place, outcomes) = run(&method);
            let last = &outcomes.last().unwrap().last;
            assert!((0.0..=1.0).contains(&last["mean_iou"]), "{last:?}");
            assert!(last.contains_key("validation_miou_compat"), "{last:?}");
            place
        });
        let [live, memory, files] = &places;
        assert!(same_tensors(live, memory), "{procedure}, in memory");
        assert!(same_tensors(live, files), "{procedure}, in files");
    }
}

/// Files that a killed process has left are used, made again, or removed.
#[test]
fn files_that_a_killed_process_left_do_no_harm() {
    let mut cache = StageCache::default();
    cache.memory_mib = 0;
    let (expected, _) = run(&method(data()));
    let place = tempfile::tempdir().unwrap();
    let maps = place.path().join("maps");
    drop(testing::run_folder(place.path()).unwrap());
    std::fs::create_dir(&maps).unwrap();
    for name in [
        "stage-body-training.kdcache",
        "stage-gone-training.kdcache",
        "teacher-training.kdcache",
    ] {
        std::fs::write(maps.join(name), b"half a file").unwrap();
    }
    let made = method(data()).with_cache(cache);
    testing::run(&made, place.path()).unwrap();
    assert!(same_tensors(&expected, &place));
    drop(made);
    assert_eq!(std::fs::read_dir(maps).unwrap().count(), 0);
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
    assert!(same_tensors(&kept, &live));
}
