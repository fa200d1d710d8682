//! The teacher cache: what is read is what was written or an error, a build can be killed at any moment, a
//! stale file is refused.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{Device, TensorData};
use kd_core::{
    Augment, Batch, Cache, CacheDescription, CacheDtype, CacheField, CacheReader, CacheWriter,
    Dataset, Draws, Error, ErrorKind, ImageShape, Loader, LoaderConfig, Observer, Result, Split,
    Subset, ViewPolicy, build_cache, partial_path,
};
use proptest::prelude::*;

const SAMPLES: usize = 23;
const VIEWS: u64 = 3;

fn noise() -> Dataset {
    let shape = ImageShape::new(2, 6, 5);
    let mut draws = Draws::new(1, "test pixels", 0, 0);
    let images = (0..SAMPLES * shape.bytes())
        .map(|_| draws.bits().to_le_bytes()[0])
        .collect();
    let labels = (0..SAMPLES)
        .map(|at| u16::try_from(at % 3).unwrap())
        .collect();
    Dataset::new("noise", Split::Train, shape, 3, images, labels).unwrap()
}

fn bank() -> LoaderConfig {
    LoaderConfig {
        views: ViewPolicy::Bank(3),
        augment: Augment {
            crop_padding: 2,
            flip: 0.5,
            ..Augment::none()
        },
        ..LoaderConfig::new(8)
    }
}

fn loader(config: LoaderConfig) -> Loader {
    // Not all ids, so that a position is not an id.
    let ids = (1..).step_by(2).take(SAMPLES / 2).collect();
    Loader::new(
        Subset::from_ids(&noise(), ids).unwrap(),
        config,
        &Device::flex(),
    )
    .unwrap()
}

fn fields() -> Vec<CacheField> {
    vec![
        CacheField::new("logits", [3]),
        CacheField::new("layer1", [2, 3, 1]),
    ]
}

fn description(dtype: CacheDtype) -> CacheDescription {
    CacheDescription::new("0123456789abcdef", &loader(bank()), fields(), dtype).unwrap()
}

/// What the cache must say of a view of a sample.
fn said(id: u32, view: u64, field: usize) -> Vec<f32> {
    let mut draws = Draws::new(7, "answer", view, u64::from(id) * 2 + field as u64);
    let count = [3, 6][field];
    #[expect(
        clippy::cast_possible_truncation,
        reason = "single precision is what is kept"
    )]
    let numbers = (0..count).map(|_| (3.0 * draws.normal()) as f32).collect();
    numbers
}

fn answer(batch: &Batch) -> Vec<TensorData> {
    let of = |field: usize, shape: &[usize]| {
        let numbers: Vec<f32> = batch
            .ids
            .iter()
            .flat_map(|&id| said(id, batch.view, field))
            .collect();
        let mut dims = vec![batch.ids.len()];
        dims.extend_from_slice(shape);
        TensorData::new(numbers, dims)
    };
    vec![of(0, &[3]), of(1, &[2, 3, 1])]
}

fn build(path: &Path, dtype: CacheDtype, batch_size: usize) -> Result<Cache> {
    let stop = AtomicBool::new(false);
    let (loader, mut asked) = (loader(bank()), |batch: &Batch| Ok(answer(batch)));
    build_cache(
        path,
        description(dtype),
        &loader,
        batch_size,
        &mut asked,
        &mut (),
        &stop,
    )
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sub/teacher.kdcache");
    (folder, path)
}

fn all_ids() -> Vec<u32> {
    loader(bank()).subset().ids().to_vec()
}

/// Everything in a cache, as bits, in the order of the rows.
fn everything(path: &Path) -> Result<Vec<u32>> {
    let reader = CacheReader::open(path, &description(CacheDtype::F32), loader(bank()).subset())?;
    let mut bits = Vec::new();
    for view in 0..VIEWS {
        for field in 0..2 {
            let data = reader.read(field, view, &all_ids())?;
            bits.extend(data.iter::<f32>().map(f32::to_bits));
        }
    }
    Ok(bits)
}

#[test]
fn what_is_read_is_what_was_said_in_any_order_of_ids() {
    let (_guard, path) = folder();
    let cache = build(&path, CacheDtype::F32, 5).unwrap();
    assert_eq!(cache.bytes(), std::fs::metadata(&path).unwrap().len());
    assert_eq!(
        cache.bytes(),
        description(CacheDtype::F32).file_bytes().unwrap()
    );
    cache.verify(&mut (), &AtomicBool::new(false)).unwrap();
    let (logits, layer) = (
        cache.field("logits").unwrap(),
        cache.field("layer1").unwrap(),
    );
    let reader = CacheReader::new(cache, loader(bank()).subset()).unwrap();
    let mut ids = all_ids();
    Draws::new(1, "shuffle", 0, 0).shuffle(&mut ids);
    for view in 0..VIEWS {
        for (field, shape) in [(logits, vec![4, 3]), (layer, vec![4, 2, 3, 1])] {
            let data = reader.read(field, view, &ids[..4]).unwrap();
            assert_eq!(data.shape().as_slice(), shape);
            let expected: Vec<f32> = ids[..4]
                .iter()
                .flat_map(|&id| said(id, view, field))
                .collect();
            assert_eq!(data.try_to_vec::<f32>().unwrap(), expected);
        }
    }
}

#[test]
fn the_size_of_the_batches_does_not_show_in_the_file() {
    let (_guard, path) = folder();
    build(&path, CacheDtype::F32, 5).unwrap();
    let other = path.with_file_name("other");
    build(&other, CacheDtype::F32, 1000).unwrap();
    assert_eq!(
        std::fs::read(&path).unwrap(),
        std::fs::read(&other).unwrap()
    );
    // And nothing is left beside it.
    assert_eq!(
        std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
        2
    );
}

#[test]
fn half_precision_rounds_to_the_nearest_and_refuses_what_is_too_large() {
    let (_guard, path) = folder();
    let stop = AtomicBool::new(false);
    let cache = build(&path, CacheDtype::F16, 5).unwrap();
    let row = |id: u32, view: u64| view * 11 + u64::from(id - 1) / 2;
    for id in all_ids() {
        for (field, (exact, near)) in (0..2).flat_map(|field| {
            let near = cache.read(field, &[row(id, 2)]).unwrap();
            said(id, 2, field)
                .into_iter()
                .zip(near)
                .map(move |pair| (field, pair))
        }) {
            let most = (exact.abs() * 2_f32.powi(-11)).max(2_f32.powi(-25));
            assert!((exact - near).abs() <= most, "{field}: {exact}, {near}");
        }
    }
    // 1 + 2^-11 lies between 1 and 1 + 2^-10: of two that are equally near, the even one.
    let keep = |numbers: [f32; 3]| {
        let one = CacheDescription::new(
            "t",
            &loader(LoaderConfig::new(1)),
            vec![CacheField::new("logits", [3])],
            CacheDtype::F16,
        );
        let path = path.with_file_name("one");
        let _ = std::fs::remove_file(partial_path(&path));
        let mut writer = CacheWriter::open(&path, one.unwrap(), &mut (), &stop).unwrap();
        let rows = TensorData::new(numbers.repeat(11), [11, 3]);
        writer.append(&[rows])?;
        writer.finish(&mut (), &stop).map(|cache| {
            let read = cache.read(0, &[10]).unwrap();
            std::fs::remove_file(cache.path()).unwrap();
            read
        })
    };
    let kept = keep([1.0 + 2_f32.powi(-11), 1.0 + 1.5 * 2_f32.powi(-10), -65504.0]).unwrap();
    assert_eq!(kept, [1.0, 1.0 + 2_f32.powi(-9), -65504.0]);
    for (bad, text) in [
        (
            65520.0,
            "`logits` of view 0 of the sample at position 0 is 65520, beyond 65504 and so too large for f16; \
             keep it as f32",
        ),
        (
            f32::NAN,
            "`logits` of view 0 of the sample at position 0 is NaN, not a number that can be kept; evaluate \
             the teacher by itself",
        ),
    ] {
        let error = keep([0.0, bad, 0.0]).unwrap_err().to_string();
        assert!(error.ends_with(text), "{error}");
    }
}

#[test]
fn a_build_that_was_killed_goes_on_and_asks_nothing_twice() {
    let (_guard, path) = folder();
    let whole = path.with_file_name("whole");
    build(&whole, CacheDtype::F32, 4).unwrap();
    let mut asked = Vec::new();
    for batches in [0, 1, 3, 2, usize::MAX] {
        let mut left = batches;
        let stop = AtomicBool::new(false);
        let built = build_cache(
            &path,
            description(CacheDtype::F32),
            &loader(bank()),
            4,
            |batch| {
                if left == 0 {
                    return Err(Error::config("test", "killed"));
                }
                left -= 1;
                asked.extend(batch.ids.iter().map(|&id| (batch.view, id)));
                Ok(answer(batch))
            },
            &mut (),
            &stop,
        );
        assert_eq!(built.is_ok(), batches == usize::MAX);
        assert_eq!(path.exists(), built.is_ok());
    }
    assert_eq!(
        std::fs::read(&path).unwrap(),
        std::fs::read(&whole).unwrap()
    );
    let views = (0..VIEWS).flat_map(|view| all_ids().into_iter().map(move |id| (view, id)));
    assert_eq!(asked, views.collect::<Vec<_>>());
}

/// Whatever a crash leaves of a file that was being written, the build ends in the right file.
#[test]
fn a_partial_file_cut_or_damaged_anywhere_is_taken_up_again_rightly() {
    let (_guard, path) = folder();
    let whole = path.with_file_name("whole");
    build(&whole, CacheDtype::F32, 4).unwrap();
    let bytes = std::fs::read(&whole).unwrap();
    let mut draws = Draws::new(5, "cuts", 0, 0);
    for round in 0..60 {
        let cut = usize::try_from(draws.below(bytes.len() as u64 + 1)).unwrap();
        let mut left = bytes[..cut].to_vec();
        if round % 2 == 1 {
            // Blocks that never reached the disk read as zeros.
            let zeros = usize::try_from(draws.below(cut as u64 + 1)).unwrap();
            left[cut - zeros..].fill(0);
        }
        let partial = partial_path(&path);
        std::fs::write(&partial, &left).unwrap();
        match build(&path, CacheDtype::F32, 4) {
            Ok(_) => {
                assert_eq!(std::fs::read(&path).unwrap(), bytes, "cut at {cut}");
                std::fs::remove_file(&path).unwrap();
            }
            // Not even the first eight bytes: it could be anybody's.
            Err(error) => {
                assert!(left.iter().take(8).ne(&bytes[..8.min(cut)]), "{error}");
                std::fs::remove_file(&partial).unwrap();
            }
        }
    }
}

#[test]
fn a_build_stops_when_it_is_told_to_and_says_how_far_it_is() {
    struct StopAt<'a>(u64, &'a AtomicBool);
    impl Observer for StopAt<'_> {
        fn cache_built(&mut self, done: u64, _rows: u64) {
            self.1.store(done >= self.0, Ordering::Relaxed);
        }
    }
    let (_guard, path) = folder();
    let stop = AtomicBool::new(false);
    let build = |observer: &mut dyn Observer, stop: &AtomicBool| {
        let asked = |batch: &Batch| Ok(answer(batch));
        build_cache(
            &path,
            description(CacheDtype::F32),
            &loader(bank()),
            4,
            asked,
            observer,
            stop,
        )
    };
    let error = build(&mut StopAt(8, &stop), &stop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(
        error.to_string(),
        format!(
            "interrupted at row 8 of 33 of the teacher cache `{}`; what is done is kept, and building goes \
             on from there",
            path.display()
        )
    );
    build(&mut (), &AtomicBool::new(false)).unwrap();
}

#[test]
fn two_that_build_the_same_file_ask_once() {
    let (_guard, path) = folder();
    let asked = std::sync::Mutex::new(Vec::new());
    let slowly = |batch: &Batch| {
        let of = |&id: &u32| (batch.view, id);
        asked.lock().unwrap().extend(batch.ids.iter().map(of));
        std::thread::sleep(std::time::Duration::from_millis(20));
        Ok(answer(batch))
    };
    let build = || {
        let stop = AtomicBool::new(false);
        let wanted = description(CacheDtype::F32);
        let built = build_cache(&path, wanted, &loader(bank()), 4, slowly, &mut (), &stop);
        built.unwrap();
        everything(&path).unwrap()
    };
    let seen = std::thread::scope(|scope| {
        let all: Vec<_> = (0..3).map(|_| scope.spawn(build)).collect();
        all.into_iter()
            .map(|one| one.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(seen.windows(2).all(|two| two[0] == two[1]));
    let views = (0..VIEWS).flat_map(|view| all_ids().into_iter().map(move |id| (view, id)));
    assert_eq!(asked.into_inner().unwrap(), views.collect::<Vec<_>>());
    let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

/// Waiting ends when the wait is called off.
#[test]
fn waiting_for_another_builder_can_be_stopped() {
    let (_guard, path) = folder();
    let stop = AtomicBool::new(true);
    let held = CacheWriter::open(&path, description(CacheDtype::F32), &mut (), &stop).unwrap();
    let asked = |batch: &Batch| Ok(answer(batch));
    let wanted = description(CacheDtype::F32);
    let error = build_cache(&path, wanted, &loader(bank()), 4, asked, &mut (), &stop).unwrap_err();
    assert!(matches!(error, Error::CacheInterrupted { .. }), "{error}");
    drop(held);
}

#[test]
fn a_file_that_another_process_builds_is_left_to_it() {
    let (_guard, path) = folder();
    let stop = AtomicBool::new(false);
    let open = || CacheWriter::open(&path, description(CacheDtype::F32), &mut (), &stop);
    let first = open().unwrap();
    let error = open().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` is being built by another process; wait for it or stop it first",
            path.display()
        )
    );
    drop(first);
    open().unwrap();
}

/// That a cache which was built for the plain description is refused for this one, in these words.
fn stale(path: &Path, wanted: &CacheDescription, what: &str) {
    let error = Cache::open_for(path, wanted).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` is stale: {what}; remove the file to have it built again, or name another",
            path.display()
        )
    );
    assert!(
        Cache::find(path.parent().unwrap(), wanted)
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_cache_of_anything_else_is_stale_and_the_error_says_what_differs() {
    let (_guard, path) = folder();
    build(&path, CacheDtype::F32, 4).unwrap();
    let kept = description(CacheDtype::F32);
    Cache::open_for(&path, &kept).unwrap();
    assert!(
        Cache::find(path.parent().unwrap(), &kept)
            .unwrap()
            .is_some()
    );

    let of = |config: LoaderConfig| {
        CacheDescription::new(
            "0123456789abcdef",
            &loader(config),
            fields(),
            CacheDtype::F32,
        )
        .unwrap()
    };
    let teacher = CacheDescription::new(
        "fedcba9876543210",
        &loader(bank()),
        fields(),
        CacheDtype::F32,
    );
    stale(
        &path,
        &teacher.unwrap(),
        "the teacher is 0123456789ab, wanted is fedcba987654",
    );

    let whole = Loader::new(noise(), bank(), &Device::flex()).unwrap();
    let data =
        CacheDescription::new("0123456789abcdef", &whole, fields(), CacheDtype::F32).unwrap();
    let [found, wanted] = [&kept, &data].map(|of| of.data.hash[..12].to_owned());
    stale(
        &path,
        &data,
        &format!("the data is {found}, wanted is {wanted}"),
    );

    let fixed = LoaderConfig::new(8);
    stale(&path, &of(fixed), "the number of views is 3, wanted is 1");
    let four = LoaderConfig {
        views: ViewPolicy::Bank(4),
        ..bank()
    };
    stale(&path, &of(four), "the number of views is 3, wanted is 4");
    let seed = LoaderConfig {
        bank_seed: 1,
        ..bank()
    };
    stale(&path, &of(seed), "the seed of the views is 0, wanted is 1");
    let augment = LoaderConfig {
        augment: Augment {
            flip: 0.25,
            ..bank().augment
        },
        ..bank()
    };
    stale(
        &path,
        &of(augment),
        "the augmentation is \
         {\"crop_padding\":2,\"flip\":0.5,\"rotate_degrees\":0.0,\"translate_pixels\":0.0}, wanted is \
         {\"crop_padding\":2,\"flip\":0.25,\"rotate_degrees\":0.0,\"translate_pixels\":0.0}",
    );
    stale(
        &path,
        &description(CacheDtype::F16),
        "the precision is f32, wanted is f16",
    );

    let with = |fields: Vec<CacheField>| {
        CacheDescription::new("0123456789abcdef", &loader(bank()), fields, CacheDtype::F32).unwrap()
    };
    let kept = "what is kept is logits [3], layer1 [2, 3, 1]";
    let more = [fields(), vec![CacheField::new("layer2", [4])]].concat();
    stale(&path, &with(more), &format!("{kept}, wanted is layer2 [4]"));
    stale(
        &path,
        &with(vec![CacheField::new("logits", [4])]),
        &format!("{kept}, wanted is logits [4]"),
    );
    // Less of it, in another order, is in there.
    Cache::open_for(&path, &with(vec![fields().remove(1)])).unwrap();
}

/// The run's seed is not the bank's: one cache serves all seeds.
#[test]
fn the_seed_of_a_run_does_not_make_a_cache_of_a_bank_stale() {
    let (_guard, path) = folder();
    build(&path, CacheDtype::F32, 4).unwrap();
    for seed in [0, 1, 99] {
        let loader = loader(LoaderConfig {
            seed,
            shuffle: false,
            ..bank()
        });
        let wanted = CacheDescription::new("0123456789abcdef", &loader, fields(), CacheDtype::F32);
        Cache::open_for(&path, &wanted.unwrap()).unwrap();
    }
}

#[test]
fn a_build_that_was_begun_for_something_else_is_refused() {
    let (_guard, path) = folder();
    let stop = AtomicBool::new(false);
    drop(CacheWriter::open(&path, description(CacheDtype::F32), &mut (), &stop).unwrap());
    let error = build(&path, CacheDtype::F16, 4).unwrap_err().to_string();
    assert!(
        error.contains(
            "teacher.kdcache.partial` is stale: the precision is f32, wanted is f16; remove the \
                        file"
        ),
        "{error}"
    );
}

#[test]
fn views_without_limit_cannot_be_cached() {
    let unlimited = LoaderConfig {
        views: ViewPolicy::Unlimited,
        ..bank()
    };
    let error =
        CacheDescription::new("t", &loader(unlimited), fields(), CacheDtype::F32).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`views` is \"unlimited\", and nothing that never comes again can be cached; set it to 1, or to the \
         size of a bank"
    );
}

#[test]
fn another_format_and_other_files_are_refused() {
    let (_guard, path) = folder();
    build(&path, CacheDtype::F32, 4).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let refused = |at: usize, byte: u8, text: &str| {
        let mut other = bytes.clone();
        other[at] = byte;
        std::fs::write(&path, other).unwrap();
        let error = Cache::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert_eq!(error.to_string(), format!("`{}`, {text}", path.display()));
    };
    let version = env!("CARGO_PKG_VERSION");
    refused(
        8,
        2,
        &format!(
            "byte 8: the format of the cache is 2, this kd ({version}) reads 1; remove the file to have it \
             built again"
        ),
    );
    refused(
        0,
        b'X',
        "byte 0: is no teacher cache; give a file that was built as one",
    );
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let error = Cache::open(&path).unwrap_err().to_string();
    let said = format!(
        "byte {0}: the file has {0} bytes, its header says {1}; the file is damaged: remove it to have it \
         built again",
        bytes.len() - 1,
        bytes.len()
    );
    assert!(error.ends_with(&said), "{error}");
}

#[test]
fn rows_of_the_wrong_shape_are_not_written() {
    let (_guard, path) = folder();
    let stop = AtomicBool::new(false);
    let mut writer =
        CacheWriter::open(&path, description(CacheDtype::F32), &mut (), &stop).unwrap();
    let rows = |count: usize, shape: &[usize]| {
        let dims = [&[count], shape].concat();
        TensorData::zeros::<f32, _>(dims)
    };
    for fields in [
        vec![],
        vec![rows(2, &[3])],
        vec![rows(2, &[3]), rows(3, &[2, 3, 1])],
        vec![rows(2, &[3]), rows(2, &[6])],
        vec![rows(34, &[3]), rows(34, &[2, 3, 1])],
    ] {
        assert_eq!(writer.append(&fields).unwrap_err().kind(), ErrorKind::Usage);
    }
    assert_eq!((writer.done(), writer.rows()), (0, 33));
    let error = writer.finish(&mut (), &stop).unwrap_err().to_string();
    assert!(
        error.ends_with("teacher.kdcache.partial` has 0 of 33 rows; build it to its end"),
        "{error}"
    );
}

#[test]
fn rows_views_fields_and_samples_that_there_are_not() {
    let (_guard, path) = folder();
    let cache = build(&path, CacheDtype::F32, 4).unwrap();
    assert!(cache.read(2, &[0]).is_err());
    assert!(cache.read(0, &[33]).is_err());
    assert_eq!(
        cache.field("logit").unwrap_err().to_string(),
        "unknown cache field `logit`; did you mean `logits`?; known: logits, layer1"
    );
    let reader = CacheReader::new(cache, loader(bank()).subset()).unwrap();
    for (view, id) in [(3, 1), (0, 2), (0, 1000)] {
        assert_eq!(
            reader.read(0, view, &[id]).unwrap_err().kind(),
            ErrorKind::Usage
        );
    }
    let cache = Cache::open(&path).unwrap();
    let error = CacheReader::new(cache, &Subset::all(&noise())).unwrap_err();
    assert!(
        error.to_string().contains("is stale: the data is "),
        "{error}"
    );
}

/// A few hundred damaged files: each is an error, or reads as the whole one does.
#[test]
fn a_damaged_file_is_an_error_and_never_other_numbers() {
    let (_guard, path) = folder();
    build(&path, CacheDtype::F32, 4).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let right = everything(&path).unwrap();
    let header = bytes.len() - 33 * (3 * 4 + 4 + 6 * 4 + 4);
    let mut errors = 0;
    for round in 0..600_u64 {
        let mut draws = Draws::new(11, "damage", round, 0);
        let place =
            |draws: &mut Draws, most: usize| usize::try_from(draws.below(most as u64)).unwrap();
        let mut bad = bytes.clone();
        match round % 6 {
            0 => {
                let at = place(&mut draws, bad.len());
                bad[at] ^= 1 << draws.below(8);
            }
            1 => {
                // The header is small beside the rows and has most to say.
                let at = place(&mut draws, header);
                bad[at] = draws.bits().to_le_bytes()[0];
            }
            2 => bad.truncate(place(&mut draws, bytes.len())),
            3 => {
                let at = place(&mut draws, bad.len());
                let end = (at + 1 + place(&mut draws, 200)).min(bad.len());
                bad[at..end].fill(0);
            }
            4 => {
                // Two rows in each other's place: each of them whole.
                let row = (bytes.len() - header) / 33;
                let (a, b) = (place(&mut draws, 33), place(&mut draws, 33));
                for at in 0..row {
                    bad.swap(header + a * row + at, header + b * row + at);
                }
            }
            _ => {
                let at = place(&mut draws, bad.len());
                let from = place(&mut draws, bad.len());
                let count = place(&mut draws, 100).min(bad.len() - from.max(at));
                bad.copy_within(from..from + count, at);
            }
        }
        std::fs::write(&path, &bad).unwrap();
        match everything(&path) {
            Ok(read) => assert!(read == right, "round {round} reads other numbers"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Input, "{error}");
                errors += 1;
            }
        }
        // And what is verified can be read.
        let verified =
            Cache::open(&path).and_then(|cache| cache.verify(&mut (), &AtomicBool::new(false)));
        if verified.is_ok() {
            assert!(
                everything(&path).is_ok_and(|read| read == right),
                "round {round}"
            );
        }
    }
    assert!(errors > 500, "only {errors} of 600 were noticed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Where building ended and how large its batches were does not show.
    #[test]
    fn any_partition_of_a_build_gives_the_same_file(sizes in prop::collection::vec(1_usize..40, 1..6)) {
        let (_guard, path) = folder();
        let whole = path.with_file_name("whole");
        build(&whole, CacheDtype::F16, 7).unwrap();
        let stop = AtomicBool::new(false);
        for size in sizes {
            let mut left = 1;
            let _ = build_cache(&path, description(CacheDtype::F16), &loader(bank()), size, |batch| {
                left -= 1;
                if left < 0 { return Err(Error::config("test", "killed")); }
                Ok(answer(batch))
            }, &mut (), &stop);
        }
        build(&path, CacheDtype::F16, 9).unwrap();
        prop_assert!(std::fs::read(&path).unwrap() == std::fs::read(&whole).unwrap());
    }
}
