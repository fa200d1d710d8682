//! The loader: the same batches on the device or streamed, on any number of threads, from any step.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;

use burn::tensor::Device;
use kd_core::{
    Augment, Batch, Dataset, Draws, ImageShape, Loader, LoaderConfig, Split, Subset, ViewPolicy,
};
use proptest::prelude::*;

fn noise(samples: usize) -> Dataset {
    let shape = ImageShape::new(2, 6, 5);
    let mut draws = Draws::new(1, "test pixels", 0, 0);
    let images = (0..samples * shape.bytes())
        .map(|_| draws.bits().to_le_bytes()[0])
        .collect();
    let labels = (0..samples)
        .map(|at| u16::try_from(at % 3).unwrap())
        .collect();
    Dataset::new("noise", Split::Train, shape, 3, images, labels).unwrap()
}

fn augmented(batch_size: usize) -> LoaderConfig {
    LoaderConfig {
        seed: 11,
        views: ViewPolicy::Unlimited,
        augment: Augment {
            crop_padding: 2,
            flip: 0.5,
            rotate_degrees: 20.0,
            translate_pixels: 1.0,
        },
        ..LoaderConfig::new(batch_size)
    }
}

fn loader(data: impl Into<Subset>, config: LoaderConfig) -> Loader {
    Loader::new(data, config, &Device::flex()).unwrap()
}

/// What a batch holds, on the host; pixels as bits, so that equal means equal.
type Plain = (Vec<u32>, u64, Vec<i64>, Vec<u32>);

fn plain(batch: Batch) -> Plain {
    let pixels = batch
        .pixels()
        .unwrap()
        .into_data()
        .try_to_vec::<f32>()
        .unwrap();
    let targets = batch
        .targets
        .into_data()
        .convert::<i64>()
        .try_to_vec::<i64>()
        .unwrap();
    (
        batch.ids,
        batch.view,
        targets,
        pixels.into_iter().map(f32::to_bits).collect(),
    )
}

fn epoch(loader: &Loader, epoch: usize) -> Vec<Plain> {
    loader
        .epoch(epoch)
        .map(|batch| plain(batch.unwrap()))
        .collect()
}

/// The pixels of each sample by its id.
fn by_id(batches: &[Plain]) -> BTreeMap<u32, Vec<u32>> {
    let samples = batches.iter().flat_map(|(ids, _, _, pixels)| {
        ids.iter().copied().zip(
            pixels
                .chunks_exact(pixels.len() / ids.len())
                .map(<[u32]>::to_vec),
        )
    });
    samples.collect()
}

#[test]
fn what_cannot_be_loaded_is_refused_in_words() {
    let data = noise(10);
    let text = |data: Subset, config| {
        Loader::new(data, config, &Device::flex())
            .unwrap_err()
            .to_string()
    };
    let all = || Subset::all(&data);
    assert_eq!(
        text(all(), LoaderConfig::new(0)),
        "`batch_size` must be at least 1, got 0"
    );
    let none = Subset::from_ids(&data, Vec::new()).unwrap();
    assert_eq!(
        text(none, LoaderConfig::new(4)),
        "`data` has no samples; give a data set or subset with at least one"
    );
    assert_eq!(
        text(
            all(),
            LoaderConfig {
                drop_last: true,
                ..LoaderConfig::new(11)
            }
        ),
        "`drop_last` leaves no batch: 10 samples do not fill one of 11; use a smaller `batch_size` or keep \
         the last batch"
    );
    let deep = Augment {
        crop_padding: 6,
        ..Augment::none()
    };
    assert_eq!(
        text(
            all(),
            LoaderConfig {
                augment: deep,
                ..LoaderConfig::new(4)
            }
        ),
        "`augment.crop_padding` must be at most 5 for images of 2x6x5, got 6"
    );
    assert!(
        text(
            all(),
            LoaderConfig {
                views: ViewPolicy::Bank(0),
                ..LoaderConfig::new(4)
            }
        )
        .starts_with("`views` must be 1")
    );
    let loader = loader(&data, LoaderConfig::new(4));
    let step = |outcome: kd_core::Result<Batch>| outcome.unwrap_err().to_string();
    assert_eq!(
        step(loader.batch(0, 3)),
        "`step` must be below 3 (the steps of an epoch), got 3"
    );
    assert_eq!(
        step(loader.view(0, &[])),
        "`ids` must be at least one sample, got none"
    );
    assert_eq!(
        step(loader.view(0, &[1, 10])),
        "`ids` must be among the samples of the loader, got 10"
    );
    assert!(loader.epoch_from(0, 4).is_err());
    assert_eq!(loader.epoch_from(0, 3).unwrap().len(), 0);
}

#[test]
fn every_sample_comes_once_an_epoch_and_the_last_batch_is_kept_or_dropped() {
    let data = noise(10);
    let kept = loader(&data, LoaderConfig::new(4));
    assert_eq!((kept.steps_per_epoch(), kept.epoch(0).len()), (3, 3));
    let batches = epoch(&kept, 2);
    assert_eq!(
        batches
            .iter()
            .map(|(ids, ..)| ids.len())
            .collect::<Vec<_>>(),
        [4, 4, 2]
    );
    let mut ids: Vec<u32> = batches.iter().flat_map(|(ids, ..)| ids.clone()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..10).collect::<Vec<_>>());
    for (ids, _, targets, _) in &batches {
        assert!(
            ids.iter()
                .zip(targets)
                .all(|(id, target)| i64::from(id % 3) == *target)
        );
    }
    let dropped = loader(
        &data,
        LoaderConfig {
            drop_last: true,
            ..LoaderConfig::new(4)
        },
    );
    assert_eq!(epoch(&dropped, 2), batches[..2]);
}

#[test]
fn the_order_is_a_function_of_seed_and_epoch() {
    let data = noise(40);
    let order = |seed, at| {
        let config = LoaderConfig {
            seed,
            ..LoaderConfig::new(7)
        };
        epoch(&loader(&data, config), at)
            .into_iter()
            .flat_map(|(ids, ..)| ids)
            .collect::<Vec<_>>()
    };
    assert_eq!(order(1, 0), order(1, 0));
    assert_ne!(order(1, 0), order(1, 1));
    assert_ne!(order(1, 0), order(2, 0));
    let ordered = epoch(&loader(&data, LoaderConfig::ordered(7)), 5);
    assert_eq!(
        ordered
            .into_iter()
            .flat_map(|(ids, ..)| ids)
            .collect::<Vec<_>>(),
        (0..40).collect::<Vec<_>>()
    );
}

#[test]
fn the_device_needs_the_budget_for_the_padded_bytes() {
    let data = noise(10);
    let resident = |augment, views, budget| {
        let config = LoaderConfig {
            augment,
            views,
            resident_budget_bytes: budget,
            ..LoaderConfig::new(4)
        };
        loader(&data, config).is_resident()
    };
    let plain = || Augment::none();
    assert!(
        resident(plain(), ViewPolicy::Unlimited, 600)
            && !resident(plain(), ViewPolicy::Unlimited, 599)
    );
    let crop = || Augment {
        crop_padding: 1,
        ..Augment::none()
    };
    // 2 channels of 8 by 7.
    assert!(
        resident(crop(), ViewPolicy::Unlimited, 1120)
            && !resident(crop(), ViewPolicy::Unlimited, 1119)
    );
    // One view only means no crop, so no border.
    assert!(resident(crop(), ViewPolicy::Fixed, 600));
}

#[test]
fn a_bank_comes_round_and_one_view_is_the_sample_itself() {
    let data = noise(12);
    let with = |views| {
        loader(
            &data,
            LoaderConfig {
                views,
                bank_seed: 11,
                ..augmented(5)
            },
        )
    };
    let bank = with(ViewPolicy::Bank(3));
    let views: Vec<_> = (0..7).map(|at| by_id(&epoch(&bank, at))).collect();
    assert!(views[0] == views[3] && views[0] == views[6] && views[1] == views[4]);
    assert!(views[0] != views[1] && views[1] != views[2]);
    let unlimited = with(ViewPolicy::Unlimited);
    assert_eq!(by_id(&epoch(&unlimited, 2)), views[2]);
    assert_ne!(by_id(&epoch(&unlimited, 3)), views[0]);
    let fixed = by_id(&epoch(&with(ViewPolicy::Fixed), 4));
    for (id, pixels) in fixed {
        let bytes = data
            .image(id)
            .unwrap()
            .iter()
            .map(|byte| (f32::from(*byte) / 255.0).to_bits());
        assert_eq!(pixels, bytes.collect::<Vec<_>>());
    }
}

/// Recorded views are part of the data; only those that never come again are the run's.
#[test]
fn all_seeds_see_the_same_bank_in_orders_of_their_own() {
    let data = noise(12);
    let shown = |views, seed, bank_seed| {
        let config = LoaderConfig {
            seed,
            bank_seed,
            views,
            ..augmented(5)
        };
        let loader = loader(&data, config);
        assert_eq!(
            loader.config().view_seed(),
            if views == ViewPolicy::Unlimited {
                seed
            } else {
                bank_seed
            }
        );
        (
            epoch(&loader, 1)
                .into_iter()
                .flat_map(|batch| batch.0)
                .collect::<Vec<_>>(),
            by_id(&epoch(&loader, 1)),
        )
    };
    let bank = ViewPolicy::Bank(3);
    let (first, other) = (shown(bank, 1, 0), shown(bank, 2, 0));
    assert_ne!(first.0, other.0);
    assert_eq!(first.1, other.1);
    assert_ne!(first.1, shown(bank, 1, 1).1);
    assert_ne!(
        shown(ViewPolicy::Unlimited, 1, 0).1,
        shown(ViewPolicy::Unlimited, 2, 0).1
    );
}

#[test]
fn a_subset_shows_the_same_views_as_the_whole() {
    let data = noise(30);
    let whole = by_id(&epoch(&loader(&data, augmented(8)), 1));
    let part = Subset::all(&data).per_class(4, 3).unwrap();
    let shown = by_id(&epoch(&loader(part.clone(), augmented(5)), 1));
    assert_eq!(shown.keys().copied().collect::<Vec<_>>(), part.ids());
    assert!(shown.iter().all(|(id, pixels)| whole[id] == *pixels));
}

#[test]
fn any_batch_can_be_had_at_any_time() {
    let data = noise(50);
    for budget in [0, u64::MAX] {
        let loader = loader(
            &data,
            LoaderConfig {
                resident_budget_bytes: budget,
                ..augmented(7)
            },
        );
        let epochs = [epoch(&loader, 0), epoch(&loader, 1)];
        let places = [
            (0, 0),
            (0, 1),
            (0, 2),
            (0, 3),
            (1, 6),
            (1, 7),
            (0, 5),
            (0, 2),
            (0, 3),
            (0, 4),
            (0, 4),
            (1, 0),
        ];
        for (at, step) in places {
            assert_eq!(
                plain(loader.batch(at, step).unwrap()),
                epochs[at][step],
                "{at} {step}"
            );
        }
        for first in 0..=8 {
            let rest: Vec<_> = loader
                .epoch_from(1, first)
                .unwrap()
                .map(|batch| plain(batch.unwrap()))
                .collect();
            assert_eq!(rest, epochs[1][first..]);
        }
        // Two iterators at once do not disturb each other, and one may be left unfinished.
        let (mut left, mut right) = (loader.epoch(0), loader.epoch(1));
        for (first, second) in epochs[0].iter().zip(&epochs[1]).take(4) {
            assert_eq!(plain(left.next().unwrap().unwrap()), *first);
            assert_eq!(plain(right.next().unwrap().unwrap()), *second);
        }
    }
}

#[test]
fn batches_are_on_the_plain_device_and_the_loader_can_cross_threads() {
    fn is_send<T: Send>(_: &T) {}
    fn is_send_and_sync<T: Send + Sync>(_: &T) {}
    let data = noise(9);
    let loader = loader(&data, LoaderConfig::new(4));
    is_send_and_sync(&loader);
    is_send(&loader.epoch(0));
    let batch = loader.batch(0, 0).unwrap();
    assert!(!batch.device().is_autodiff() && !loader.device().is_autodiff());
    assert_eq!(
        (
            batch.len(),
            batch.is_empty(),
            batch.pixels().unwrap().dims()
        ),
        (4, false, [4, 2, 6, 5])
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_view_depends_on_seed_epoch_and_sample_alone(
        batch_sizes in (1_usize..40, 1_usize..40),
        threads in 0_usize..4,
        budget in prop::sample::select(vec![0, u64::MAX]),
        shuffle: bool,
        at in 0_usize..5,
        affine: bool,
    ) {
        let data = noise(23);
        let mut config = augmented(batch_sizes.0);
        if !affine {
            config.augment = Augment { crop_padding: 1, flip: 0.5, ..Augment::none() };
        }
        let first = by_id(&epoch(&loader(&data, config.clone()), at));
        let other = LoaderConfig {
            batch_size: batch_sizes.1, threads, resident_budget_bytes: budget, shuffle, ..config
        };
        let other = loader(&data, other);
        prop_assert_eq!(&first, &by_id(&epoch(&other, at)));
        // And one sample alone, asked for by its id.
        let alone = plain(other.view(at as u64, &[17]).unwrap());
        prop_assert_eq!(&alone.3, &first[&17]);
    }

    #[test]
    fn on_the_device_or_streamed_on_any_number_of_threads_is_the_same(
        batch_size in 1_usize..12,
        threads in 0_usize..5,
        drop_last: bool,
        at in 0_usize..3,
    ) {
        let data = noise(37);
        let resident = LoaderConfig { drop_last, ..augmented(batch_size) };
        let streamed = LoaderConfig { resident_budget_bytes: 0, threads, ..resident.clone() };
        let (resident, streamed) = (loader(&data, resident), loader(&data, streamed));
        prop_assert!(resident.is_resident() && !streamed.is_resident());
        prop_assert_eq!(epoch(&resident, at), epoch(&streamed, at));
    }
}

/// The sizes of the batches of an epoch, and every id that was drawn.
fn drawn(loader: &Loader, epoch: usize) -> (Vec<usize>, Vec<u32>) {
    let batches: Vec<Vec<u32>> = loader
        .epoch(epoch)
        .map(|batch| batch.unwrap().ids)
        .collect();
    let sizes = batches.iter().map(Vec::len).collect();
    (sizes, batches.concat())
}

/// A remainder of up to three samples is spread over the batches; one of more is a batch of its own.
#[test]
fn a_last_batch_of_few_samples_is_spread() {
    for (samples, batch_size, expected) in [
        (65, 64, vec![32, 33]),
        (33, 8, vec![6, 7, 6, 7, 7]),
        (35, 8, vec![7; 5]),
        (36, 8, vec![8, 8, 8, 8, 4]),
        (32, 8, vec![8; 4]),
        // Smaller batches than twice what is few are as they were asked for.
        (8, 7, vec![7, 1]),
        (3, 8, vec![3]),
    ] {
        for budget in [1 << 30, 0] {
            let config = LoaderConfig {
                resident_budget_bytes: budget,
                ..LoaderConfig::new(batch_size)
            };
            let loader = loader(noise(samples), config);
            let (sizes, mut ids) = drawn(&loader, 2);
            assert_eq!(sizes, expected, "{samples} in batches of {batch_size}");
            assert_eq!(loader.steps_per_epoch(), expected.len());
            // Each step by itself, with pixels and without, has the same samples.
            let steps = 0..expected.len();
            let alone: Vec<u32> = steps
                .clone()
                .flat_map(|step| loader.batch(2, step).unwrap().ids)
                .collect();
            let bare = steps.flat_map(|step| loader.batch_without_samples(2, step).unwrap().ids);
            assert_eq!((&alone, &bare.collect::<Vec<_>>()), (&ids, &ids));
            ids.sort_unstable();
            assert_eq!(
                ids,
                (0..u32::try_from(samples).unwrap()).collect::<Vec<_>>()
            );
        }
    }
    // In order, as for an evaluation, nothing is spread; and what is dropped is not either.
    assert_eq!(
        drawn(&loader(noise(65), LoaderConfig::ordered(64)), 0).0,
        [64, 1]
    );
    let dropped = LoaderConfig {
        drop_last: true,
        ..LoaderConfig::new(64)
    };
    assert_eq!(drawn(&loader(noise(65), dropped), 0).0, [64]);
}

#[test]
fn balanced_drawing_shows_each_class_equally_often() {
    let shape = ImageShape::new(1, 2, 2);
    let labels: Vec<u16> = (0..100)
        .map(|at| {
            if at < 90 {
                0
            } else if at < 97 {
                2
            } else {
                3
            }
        })
        .collect();
    let dataset = Dataset::new("uneven", Split::Train, shape, 4, vec![0; 400], labels).unwrap();
    let config = |seed| LoaderConfig {
        seed,
        balanced: true,
        ..LoaderConfig::new(10)
    };
    let uneven = loader(dataset.clone(), config(1));
    let mut seen = Vec::new();
    for epoch in 0..3 {
        let (sizes, ids) = drawn(&uneven, epoch);
        assert_eq!(sizes, [10; 10]);
        let mut counts = [0; 4];
        for &id in &ids {
            counts[usize::from(dataset.label(id).unwrap())] += 1;
        }
        counts.sort_unstable();
        assert_eq!(counts, [0, 33, 33, 34]);
        // Of a large class no sample comes twice, of a small one all come.
        let large: Vec<u32> = ids.iter().copied().filter(|&id| id < 90).collect();
        let different: std::collections::BTreeSet<u32> = large.iter().copied().collect();
        assert_eq!(different.len(), large.len());
        assert!((90..100).all(|id| ids.contains(&id)));
        assert_eq!(drawn(&loader(dataset.clone(), config(1)), epoch).1, ids);
        seen.push(ids);
    }
    assert!(seen[0] != seen[1] && seen[1] != seen[2]);
    assert_ne!(drawn(&loader(dataset.clone(), config(2)), 0).1, seen[0]);
}
