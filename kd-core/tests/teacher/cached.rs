//! A teacher whose answers are kept is the teacher, to the bit.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{Device, Tensor};
use kd_core::{
    Answer, Augment, Batch, CacheConfig, CacheDtype, CacheField, CacheRequest, CachedTeacher,
    Dataset, ErrorKind, ImageShape, KeptAnswers, Loader, LoaderConfig, OUTPUT_FIELD, Requested,
    Result, Rows, Samples, Split, Store, StoreBuild, Subset, Teacher, ViewPolicy,
};

use super::networks::{Counting, Pixels, Small, batch_of, bits, frozen, images};

/// 24 images of noise in three classes.
fn dataset(seed: u8) -> Dataset {
    let pixels = images(24).into_data().iter::<f32>().collect::<Vec<_>>();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bytes divided by 255"
    )]
    let bytes = pixels
        .iter()
        .map(|pixel| (pixel * 255.0).round() as u8 ^ seed);
    let shape = ImageShape::new(3, 10, 10);
    let labels = (0..24).map(|index| index % 3).collect();
    Dataset::new("noise", Split::Train, shape, 3, bytes.collect(), labels).unwrap()
}

fn part(dataset: &Dataset, ids: std::ops::Range<u32>) -> Subset {
    Subset::from_ids(dataset, ids.collect()).unwrap()
}

/// Shuffled batches of 5 of the first 17 samples.
fn train(dataset: &Dataset, views: ViewPolicy) -> Loader {
    let config = LoaderConfig {
        views,
        augment: Augment {
            crop_padding: 1,
            flip: 0.5,
            ..Augment::none()
        },
        bank_seed: 3,
        ..LoaderConfig::new(5)
    };
    Loader::new(part(dataset, 0..17), config, &Device::flex()).unwrap()
}

/// Batches of 4 of the others, in order.
fn held_out(dataset: &Dataset) -> Loader {
    let config = LoaderConfig::ordered(4);
    Loader::new(part(dataset, 17..24), config, &Device::flex()).unwrap()
}

/// The answers of `teacher` for the views of `loader`, kept at the place that `config` says.
fn kept_at(
    config: &CacheConfig,
    teacher: &dyn Teacher,
    requested: &Requested,
    loader: &Loader,
) -> Result<KeptAnswers> {
    let one = teacher.answer(&batch_of(Samples::Images(images(1))), requested)?;
    let request = CacheRequest::new(teacher, requested, &one, loader, 6, config.dtype)?;
    request.open(config, &mut (), &AtomicBool::new(false))
}

fn kept(
    folder: &Path,
    teacher: &dyn Teacher,
    requested: &Requested,
    loader: &Loader,
) -> KeptAnswers {
    kept_at(&CacheConfig::dir(folder), teacher, requested, loader).unwrap()
}

fn answer(teacher: &dyn Teacher, batch: &Batch, requested: &Requested) -> Vec<Vec<u32>> {
    bits(&teacher.answer(batch, requested).unwrap())
}

/// The batches of the first three epochs, rendered and not.
fn batches(loader: &Loader) -> Vec<[Batch; 2]> {
    let steps = loader.steps_per_epoch();
    let places = (0..3).flat_map(|epoch| (0..steps).map(move |step| (epoch, step)));
    let both = |(epoch, step)| {
        let bare = loader.batch_without_samples(epoch, step).unwrap();
        [loader.batch(epoch, step).unwrap(), bare]
    };
    places.map(both).collect()
}

/// Held-out samples and samples to train on of one data set, in equal views and in different ones.
#[test]
fn kept_answers_are_those_of_the_teacher_to_the_bit() {
    let data = dataset(0);
    let teacher = frozen(&Small::new(1));
    let wide = Requested::at_taps(["body", "dense"]).with_output();
    for views in [ViewPolicy::Fixed, ViewPolicy::Bank(2)] {
        let folder = tempfile::tempdir().unwrap();
        let (train, held_out) = (train(&data, views), held_out(&data));
        let output = Requested::output();
        let answers = [
            kept(folder.path(), &teacher, &wide, &train),
            kept(folder.path(), &teacher, &output, &held_out),
        ];
        let (counting, queries) = Counting::new(&teacher);
        let cached = answers
            .into_iter()
            .fold(CachedTeacher::new(counting), CachedTeacher::with);
        assert_eq!(cached.kept().len(), 2);
        for (loader, requests) in [(&train, vec![&wide, &output]), (&held_out, vec![&output])] {
            for [rendered, bare] in batches(loader) {
                for requested in &requests {
                    let live = answer(&teacher, &rendered, requested);
                    assert!(cached.has(&bare, requested));
                    assert!(answer(&cached, &rendered, requested) == live, "{views:?}");
                    assert!(answer(&cached, &bare, requested) == live, "{views:?}");
                }
            }
        }
        assert_eq!(queries.load(Ordering::Relaxed), 0);

        // The maps of the held-out data are not kept.
        let [rendered, bare] = &batches(&held_out)[0];
        assert!(!cached.has(rendered, &wide));
        assert!(answer(&cached, rendered, &wide) == answer(&teacher, rendered, &wide));
        assert_eq!(queries.load(Ordering::Relaxed), 1);
        let error = cached.answer(bare, &wide).unwrap_err().to_string();
        assert!(
            error.starts_with("`data` was not rendered for this batch"),
            "{error}"
        );
    }
}

#[test]
fn answers_kept_in_memory_serve_as_those_in_a_file() {
    let data = dataset(0);
    let teacher = frozen(&Small::new(1));
    let loader = train(&data, ViewPolicy::Bank(2));
    let requested = Requested::at_taps(["stem"]).with_output();
    let fields = [
        CacheField::new(OUTPUT_FIELD, [3]),
        CacheField::new("stem", [4, 8, 8]),
    ];
    let stop = AtomicBool::new(false);
    let mut build = StoreBuild {
        what: "answers".into(),
        observer: &mut (),
        stop: &stop,
        batch_size: 6,
    };
    let store = Store::compute(&fields, &loader, &mut build, &mut |view, ids| {
        let batch = loader.view(view, ids)?;
        let Answer { output, maps, .. } = teacher.answer(&batch, &requested)?;
        let output = output.unwrap().logits()?;
        Ok(vec![output, maps[0].clone().into_rows()])
    });
    let store = store.unwrap().unwrap();
    let (counting, queries) = Counting::new(&teacher);
    let cached = CachedTeacher::new(counting).with(KeptAnswers::new(store));
    for [rendered, bare] in batches(&loader) {
        let live = answer(&teacher, &rendered, &requested);
        assert!(answer(&cached, &bare, &requested) == live);
    }
    assert_eq!(queries.load(Ordering::Relaxed), 0);
}

#[test]
fn whatever_is_not_kept_is_computed() {
    let data = dataset(0);
    let folder = tempfile::tempdir().unwrap();
    let teacher = frozen(&Small::new(1));
    let requested = Requested::at_taps(["stem"]).with_output();
    let loader = train(&data, ViewPolicy::Bank(2));
    let (counting, queries) = Counting::new(&teacher);
    let cached = CachedTeacher::new(counting);
    let cached = cached.with(kept(folder.path(), &teacher, &requested, &loader));
    let computed = |batch: &Batch, requested: &Requested| {
        assert!(!cached.has(batch, requested));
        queries.store(0, Ordering::Relaxed);
        assert!(answer(&cached, batch, requested) == answer(&teacher, batch, requested));
        assert_eq!(queries.load(Ordering::Relaxed), 1);
    };
    let batch = loader.batch(0, 0).unwrap();
    assert!(cached.has(&batch, &requested));
    // Another map; the same samples without their loader; with other pixels, other views, another seed of the
    // views.
    computed(&batch, &Requested::at_taps(["body"]));
    computed(
        &Batch::new(batch.samples.clone(), batch.targets.clone()),
        &requested,
    );
    let shown = |loader: &Loader| loader.batch(0, 0).unwrap();
    computed(&shown(&train(&dataset(1), ViewPolicy::Bank(2))), &requested);
    computed(&shown(&train(&data, ViewPolicy::Bank(3))), &requested);
    computed(&shown(&train(&data, ViewPolicy::Fixed)), &requested);
    let other = LoaderConfig {
        bank_seed: 4,
        ..loader.config().clone()
    };
    let other = Loader::new(loader.subset().clone(), other, &Device::flex()).unwrap();
    computed(&shown(&other), &requested);
    // Samples of the same views that are not among those kept.
    let more = Loader::new(part(&data, 0..24), loader.config().clone(), &Device::flex()).unwrap();
    let mixed = more.view(1, &[3, 20]).unwrap();
    computed(&mixed, &requested);
    assert!(cached.has(&more.view(1, &[3, 16]).unwrap(), &requested));
}

/// The same data, read twice, is the same data.
#[test]
fn another_copy_of_the_data_and_another_order_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let teacher = frozen(&Small::new(1));
    let requested = Requested::output();
    let loader = train(&dataset(0), ViewPolicy::Fixed);
    let cached = CachedTeacher::new(&teacher);
    let cached = cached.with(kept(folder.path(), &teacher, &requested, &loader));
    let config = LoaderConfig {
        seed: 9,
        ..LoaderConfig::new(7)
    };
    let other = Loader::new(part(&dataset(0), 0..17), config, &Device::flex()).unwrap();
    for [rendered, bare] in batches(&other) {
        let live = answer(&teacher, &rendered, &requested);
        assert!(cached.has(&bare, &requested));
        assert!(answer(&cached, &bare, &requested) == live);
    }
}

#[test]
fn a_class_for_each_pixel_is_kept_as_such() {
    let data = dataset(0);
    let folder = tempfile::tempdir().unwrap();
    let teacher = frozen(&Pixels::new());
    let requested = Requested::output();
    let loader = held_out(&data);
    let cached = CachedTeacher::new(&teacher);
    let cached = cached.with(kept(folder.path(), &teacher, &requested, &loader));
    for [rendered, bare] in batches(&loader) {
        let kept = cached.answer(&bare, &requested).unwrap();
        let pixels: Tensor<4> = kept.output_as().unwrap();
        assert_eq!(pixels.dims()[1..], [2, 8, 8]);
        assert!(bits(&kept) == answer(&teacher, &rendered, &requested));
    }
}

#[test]
fn a_request_is_served_by_a_cache_that_holds_more_and_builds_one_otherwise() {
    let data = dataset(0);
    let folder = tempfile::tempdir().unwrap();
    let (teacher, queries) = Counting::new(frozen(&Small::new(1)));
    let loader = held_out(&data);
    let files = || std::fs::read_dir(folder.path()).unwrap().count();
    let wide = Requested::at_taps(["stem"]).with_output();
    kept(folder.path(), &teacher, &wide, &loader);
    // One sample for the shapes, and two batches of at most six.
    assert_eq!((files(), queries.swap(0, Ordering::Relaxed)), (1, 3));
    for narrow in [Requested::output(), Requested::at_taps(["stem"])] {
        kept(folder.path(), &teacher, &narrow, &loader);
        assert_eq!((files(), queries.swap(0, Ordering::Relaxed)), (1, 1));
    }
    kept(
        folder.path(),
        &teacher,
        &Requested::at_taps(["body"]),
        &loader,
    );
    assert_eq!((files(), queries.swap(0, Ordering::Relaxed)), (2, 3));

    // One file of something else is refused and left alone.
    let file = CacheConfig::file(folder.path().join("one")).with_dtype(CacheDtype::F16);
    kept_at(&file, &teacher, &Requested::output(), &loader).unwrap();
    let error = kept_at(&file, &teacher, &wide, &loader).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input, "{error}");
    let other = train(&data, ViewPolicy::Fixed);
    let error = kept_at(&file, &teacher, &Requested::output(), &other).unwrap_err();
    assert!(
        error.to_string().contains("is stale: the data is"),
        "{error}"
    );
    assert_eq!(files(), 3);
}

#[test]
fn requests_that_cannot_be_kept_are_refused_in_words() {
    let data = dataset(0);
    let folder = tempfile::tempdir().unwrap();
    let config = CacheConfig::dir(folder.path());
    let teacher = frozen(&Small::new(1));
    let unlimited = train(&data, ViewPolicy::Unlimited);
    let error = kept_at(&config, &teacher, &Requested::output(), &unlimited).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("`data.views` is \"unlimited\""),
        "{error}"
    );
    let error = kept_at(&config, &teacher, &Requested::nothing(), &held_out(&data)).unwrap_err();
    assert!(
        error.to_string().contains("there is nothing to keep"),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    // An answer to more than the request says shapes of more than is kept.
    let wide = Requested::at_taps(["stem"]).with_output();
    let batch = batch_of(Samples::Images(images(1)));
    let more = teacher.answer(&batch, &wide).unwrap();
    let narrow = Requested::at_taps(["stem"]);
    let loader = held_out(&data);
    let request = CacheRequest::new(&teacher, &narrow, &more, &loader, 4, CacheDtype::F32).unwrap();
    let names = request
        .description()
        .fields
        .iter()
        .map(|field| field.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["stem"]);
    // And one to less is no answer to it.
    let less = teacher.answer(&batch, &narrow).unwrap();
    let error = CacheRequest::new(&teacher, &wide, &less, &loader, 4, CacheDtype::F32).unwrap_err();
    assert!(error.to_string().contains("no output"), "{error}");
}
