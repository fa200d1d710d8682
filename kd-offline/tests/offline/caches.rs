//! A run with kept answers is the run with the teachers themselves, byte for byte.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use kd_core::{
    Augment, CacheConfig, CacheDtype, ErrorKind, FrozenTeacher, Names, Normalisation, Observer,
    Result, ViewPolicy, export, import, testing,
};
use kd_offline::{Ensemble, LossConfig, Offline, OfflineData};

use crate::support::{
    self, Counting, Queries, Small, losses, normalisation, offline, real_data, samples, steps,
};

const LOSSES: &str = r#"
    [[losses]]
    kind = "cross-entropy"

    [[losses]]
    kind = "kd"

    [[losses]]
    kind = "hint"
    student_tap = "body"
    teacher_tap = "stem"
    teacher = 1
    map_sizes = "pool-larger"

    [[losses]]
    kind = "attention-transfer"
    weight = 50.0
    student_taps = ["stem", "body"]
"#;

pub(crate) fn bank() -> OfflineData {
    OfflineData {
        views: ViewPolicy::Bank(2),
        augment: Augment {
            crop_padding: 2,
            flip: 0.5,
            rotate_degrees: 10.0,
            ..Augment::none()
        },
        ..real_data()
    }
}

/// Two teachers with batch norms, different normalisation, all losses; batches of 16 of 80 samples.
pub(crate) fn method(data: OfflineData, seed: u64) -> (Offline<Small>, Queries) {
    let queries = Queries::default();
    let teacher = |seed, moments: (f64, f64)| {
        let network = Small::with_norms([5, 6], 10, seed);
        Counting::boxed(&network, normalisation(moments.0, moments.1), &queries)
    };
    let teachers = vec![teacher(2, (0.3, 0.4)), teacher(3, (0.5, 0.2))];
    let student = Small::with_norms([3, 4], 10, 1);
    let mut training = steps(12);
    training.batch_size = 16;
    training.eval_batch_size = 7;
    let plain = Normalisation::identity(1);
    let method = Offline::new(&student, plain, data, training, &Device::flex())
        .with_teachers(teachers, Ensemble::Logits)
        .with_losses(losses(LOSSES))
        .with_seed(seed);
    (method, queries)
}

/// `method` with its caches open.
pub(crate) fn cached(method: Offline<Small>, config: &CacheConfig) -> Result<Offline<Small>> {
    let method = method.with_cache(config.clone());
    method.open_caches(&mut (), &AtomicBool::new(false))?;
    Ok(method)
}

/// Everything that a run leaves, but for seconds.
fn results(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in [path.to_owned(), path.join("phases/distill")] {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_owned();
            if path
                .extension()
                .is_some_and(|ending| ending == "safetensors")
            {
                files.insert(name.clone().into(), std::fs::read(&path).unwrap());
            }
            if name == "metrics.jsonl" {
                let text = std::fs::read_to_string(&path).unwrap();
                let lines = text.lines().map(|line| {
                    let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
                    line.as_object_mut().unwrap().remove("seconds").unwrap();
                    line.to_string()
                });
                files.insert(name.into(), lines.collect::<Vec<_>>().join("\n").into());
            }
        }
    }
    files
}

fn result_of(method: &Offline<Small>) -> BTreeMap<PathBuf, Vec<u8>> {
    let path = tempfile::tempdir().unwrap();
    testing::run(method, path.path()).unwrap();
    let results = results(path.path());
    assert_eq!(
        results.len(),
        4,
        "last, best, metrics.jsonl and the last state"
    );
    results
}

#[test]
fn a_cached_run_is_the_live_run_byte_for_byte_with_one_view_and_with_a_bank() {
    for data in [real_data(), bank()] {
        let live = result_of(&method(data.clone(), 5).0);
        let caches = tempfile::tempdir().unwrap();
        let (method, queries) = method(data, 5);
        let cached = cached(method, &CacheConfig::dir(caches.path())).unwrap();
        assert_eq!(cached.caches().count(), 4);
        let before = samples(&queries);
        assert_eq!(result_of(&cached), live);
        // No sample any more.
        assert_eq!(samples(&queries), before);
    }
}

/// The same, interrupted and taken up again, with caches that are opened anew.
#[test]
fn a_cached_run_that_was_interrupted_ends_in_the_same_bytes() {
    let live = result_of(&method(bank(), 5).0);
    let caches = tempfile::tempdir().unwrap();
    let path = tempfile::tempdir().unwrap();
    for steps in [3, 4] {
        let method = cached(method(bank(), 5).0, &CacheConfig::dir(caches.path())).unwrap();
        assert!(!testing::run_steps(&method, path.path(), steps).unwrap());
    }
    // This time the run opens them.
    let method = method(bank(), 5)
        .0
        .with_cache(CacheConfig::dir(caches.path()));
    testing::run(&method, path.path()).unwrap();
    assert_eq!(results(path.path()), live);
}

#[test]
fn one_set_of_caches_serves_every_seed_and_fewer_taps() {
    let caches = tempfile::tempdir().unwrap();
    let config = CacheConfig::dir(caches.path());
    let (first, queries) = method(bank(), 0);
    cached(first, &config).unwrap();
    // Two views of the training data, and a black image before them to learn the shapes.
    assert_eq!(samples(&queries), 2 * (1 + 2 * 80 + 40));
    for seed in 1..3 {
        let (other, queries) = method(bank(), seed);
        let live = result_of(&method(bank(), seed).0);
        let other = cached(other, &config).unwrap();
        assert_eq!(samples(&queries), 2);
        assert_eq!(result_of(&other), live);
    }
    // Logits alone are in there, too.
    let (fewer, queries) = method(bank(), 0);
    cached(fewer.with_losses(vec![support::kd(2.0)]), &config).unwrap();
    assert_eq!(samples(&queries), 2);
    assert_eq!(std::fs::read_dir(caches.path()).unwrap().count(), 4);
}

#[test]
fn one_file_serves_one_teacher() {
    let folder = tempfile::tempdir().unwrap();
    let config = CacheConfig::file(folder.path().join("teacher.kdcache"));
    let of = |losses: Vec<LossConfig>| {
        let teachers = vec![support::teacher(&Small::with_norms([5, 6], 10, 2))];
        offline(
            &Small::with_norms([3, 4], 10, 1),
            real_data(),
            steps(6),
            teachers,
            losses,
        )
    };
    let from_file = cached(of(vec![support::kd(4.0)]), &config).unwrap();
    assert_eq!(
        result_of(&from_file),
        result_of(&of(vec![support::kd(4.0)]))
    );
    // A loss that reads what is not in it.
    let toml = "[[losses]]\nkind = \"hint\"\nstudent_tap = \"stem\"\n";
    let error = cached(of(losses(toml)), &config).unwrap_err();
    assert!(
        error.to_string().ends_with(
            "is stale: what is kept is logits [10], wanted is stem [5, 26, 26]; remove the file to have it \
             built again, or name another"
        ),
        "{error}"
    );
}

/// Half precision is off by at most 2^-11 of a value, which the losses of a few steps show and no more.
#[test]
fn a_run_with_half_precision_is_near_the_live_one() {
    let caches = tempfile::tempdir().unwrap();
    let config = CacheConfig::dir(caches.path()).with_dtype(CacheDtype::F16);
    let half = cached(method(real_data(), 5).0, &config).unwrap();
    let (live, _) = method(real_data(), 5);
    let (live, half) = (support::first_step(&live), support::first_step(&half));
    let mut equal = true;
    for (name, _) in &live {
        let (exact, near) = (support::term(&live, name), support::term(&half, name));
        assert!(
            (exact - near).abs() <= 2e-3 * exact.abs(),
            "{name}: {exact}, {near}"
        );
        equal &= exact.to_bits() == near.to_bits();
    }
    assert!(!equal, "nothing was rounded");
}

/// Turns the flag on when so many rows are built.
struct StopAt<'a>(u64, &'a AtomicBool, Vec<u64>);

impl Observer for StopAt<'_> {
    fn cache_begun(&mut self, _path: &Path, _bytes: u64, done: u64, _rows: u64) {
        self.2.push(done);
    }

    fn cache_built(&mut self, done: u64, _rows: u64) {
        if done >= self.0 {
            self.1.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_build_that_was_interrupted_goes_on_and_gives_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let parts = folder.path().join("parts");
    let (method, queries) = method(bank(), 0);
    let stop = AtomicBool::new(false);
    method
        .build_cache(1, &whole, CacheDtype::F32, &mut (), &stop)
        .unwrap();
    let at_once = samples(&queries);
    queries.lock().unwrap().clear();
    let mut begun = Vec::new();
    for rows in [30, 100, 1000] {
        let stop = AtomicBool::new(false);
        let mut observer = StopAt(rows, &stop, Vec::new());
        let built = method.build_cache(1, &parts, CacheDtype::F32, &mut observer, &stop);
        assert_eq!(built.is_ok(), rows == 1000);
        if let Err(error) = built {
            assert_eq!(error.kind(), ErrorKind::Interrupted);
            assert!(!parts.exists());
        }
        begun.extend(observer.2);
    }
    assert_eq!(begun, [0, 32, 112]);
    assert_eq!(
        std::fs::read(&whole).unwrap(),
        std::fs::read(&parts).unwrap()
    );
    // No sample was asked for twice, and no second black image was shown to the two teachers.
    assert_eq!(samples(&queries), at_once - 2);
}

#[test]
fn another_teacher_another_normalisation_and_other_data_make_a_file_stale() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("teacher.kdcache");
    let config = CacheConfig::file(&path);
    let network = Small::with_norms([5, 6], 10, 2);
    let of = |network: &Small, seen: Normalisation, data: OfflineData| {
        let teacher = FrozenTeacher::new(network, seen, &Device::flex());
        let student = Small::with_norms([3, 4], 10, 1);
        offline(
            &student,
            data,
            steps(1),
            vec![Box::new(teacher)],
            vec![support::kd(4.0)],
        )
    };
    let plain = || Normalisation::identity(1);
    for _ in 0..2 {
        cached(of(&network, plain(), real_data()), &config).unwrap();
    }

    // One weight of one running variance.
    let mut tensors = export(&network, Names::PyTorch);
    let variance = tensors.get_mut("stem_norm.running_var").unwrap();
    let mut values: Vec<f32> = variance.iter::<f32>().collect();
    values[0] += 1e-6;
    *variance = burn::tensor::TensorData::new(values, variance.shape().clone());
    let other = import(&network, &tensors, Names::PyTorch, "other").unwrap();

    let mut fewer = real_data();
    fewer.train = fewer.train.per_class(7, 0).unwrap();
    for (what, method) in [
        ("the teacher is ", of(&other, plain(), real_data())),
        (
            "the teacher is ",
            of(&network, normalisation(0.5, 1.0), real_data()),
        ),
        ("the data is ", of(&network, plain(), fewer)),
        (
            "the number of views is 1, wanted is 2",
            of(&network, plain(), bank()),
        ),
    ] {
        let error = cached(method, &config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input, "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("is stale: {what}")), "{text}");
        assert!(
            text.ends_with("; remove the file to have it built again, or name another"),
            "{text}"
        );
    }
}

#[test]
fn what_cannot_be_cached_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let dir = CacheConfig::dir(folder.path());
    let file = CacheConfig::file(folder.path().join("x"));
    let refused = |method: Offline<Small>, config: &CacheConfig, text: &str| {
        let error = method.with_cache(config.clone()).check().unwrap_err();
        assert_eq!(error.to_string(), text);
        assert_eq!(error.kind(), ErrorKind::Usage);
    };
    let mut unlimited = bank();
    unlimited.views = ViewPolicy::Unlimited;
    refused(
        method(unlimited, 0).0,
        &dir,
        "`data.views` is \"unlimited\", and nothing that never comes again can be cached; set it to 1, or to \
         the size of a bank",
    );
    let two = || method(real_data(), 0).0;
    refused(
        two(),
        &file,
        "`cache.file` is one file, and there are several teachers; set `cache.dir` in its place",
    );
    let mut both = dir.clone();
    both.file.clone_from(&file.file);
    refused(
        two(),
        &both,
        "`cache.file` and `cache.dir` exclude each other; keep one of them",
    );
    let student = Small::with_norms([3, 4], 10, 1);
    let alone = vec![LossConfig::cross_entropy(1.0)];
    refused(
        offline(&student, real_data(), steps(1), Vec::new(), alone),
        &dir,
        "`cache` needs a teacher; name one in the recipe, or leave the table out",
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
