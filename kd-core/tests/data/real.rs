//! The full published data sets, where `KD_DATA` says that they are.
#![expect(clippy::panic, reason = "a required data set is not there")]

use std::io::Write;
use std::path::PathBuf;

use kd_core::{Contents, DataRoots, Dataset, DatasetInfo, Error, Split, Subset};

/// Says `line` even where the output of passing tests is kept back, which that of `eprintln!` is.
fn say(line: &str) {
    drop(std::io::stderr().write_all(line.as_bytes()));
}

/// The folder of `KD_DATA`; without it a test is skipped, or fails where `KD_REQUIRE_DATA` is set.
fn data(test: &str) -> Option<DataRoots> {
    let folder = std::env::var_os("KD_DATA")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from);
    if folder.is_none() {
        assert!(
            std::env::var_os("KD_REQUIRE_DATA").is_none(),
            "{test} needs KD_DATA, and KD_REQUIRE_DATA is set"
        );
        say(&format!("SKIPPED: {test} needs KD_DATA\n"));
    }
    folder.map(|folder| DataRoots {
        env: Some(folder),
        ..DataRoots::default()
    })
}

/// The data set `name` below `roots`; one that the folder lacks is skipped as well, unless all are required.
fn load(test: &str, name: &str, split: Split, roots: &DataRoots) -> Option<Dataset> {
    match DatasetInfo::find(name).and_then(|info| info.load(split, roots)) {
        Ok(data) => Some(data),
        Err(error @ Error::DataMissing { .. }) if std::env::var_os("KD_REQUIRE_DATA").is_none() => {
            say(&format!("SKIPPED: {test}: {error}\n"));
            None
        }
        Err(error) => panic!("{test}: {error}"),
    }
}

/// Mean and standard deviation of each channel, of pixel values divided by 255.
fn statistics(data: &Dataset) -> Vec<(f64, f64)> {
    let shape = data.shape();
    let plane = shape.height * shape.width;
    let mut sums = vec![(0_u64, 0_u64); shape.channels];
    for (at, pixels) in data.images().chunks_exact(plane).enumerate() {
        let (sum, squares) = &mut sums[at % shape.channels];
        for pixel in pixels {
            *sum += u64::from(*pixel);
            *squares += u64::from(*pixel).pow(2);
        }
    }
    let count = (data.len() * plane) as f64;
    let moments = |(sum, squares): (u64, u64)| {
        let mean = sum as f64 / count / 255.0;
        (
            mean,
            (squares as f64 / count / 255.0_f64.powi(2) - mean * mean).sqrt(),
        )
    };
    sums.into_iter().map(moments).collect()
}

fn check(test: &str, name: &str, train_counts: [usize; 10], test_counts: [usize; 10]) {
    let Some(roots) = data(test) else { return };
    let splits = [(Split::Train, train_counts), (Split::Test, test_counts)];
    for (split, counts) in splits {
        let Some(data) = load(test, name, split, &roots) else {
            return;
        };
        assert_eq!(Subset::all(&data).class_counts(), counts, "{name} {split}");
        assert_eq!(data.class_names().map(<[String]>::len), Some(10));
        let Ok(info) = DatasetInfo::find(name) else {
            return;
        };
        assert_eq!(
            data.len(),
            if split == Split::Train {
                info.train
            } else {
                info.test
            }
        );
        assert_eq!(data.shape(), info.shape);
        if split == Split::Train {
            for (channel, (mean, std)) in statistics(&data).into_iter().enumerate() {
                assert!(
                    (mean - info.mean[channel]).abs() < 1e-6,
                    "{name}, channel {channel}: mean {mean}"
                );
                assert!(
                    (std - info.std[channel]).abs() < 1e-6,
                    "{name}, channel {channel}: std {std}"
                );
            }
        }
    }
}

#[test]
fn fashion_mnist_is_as_published() {
    check(
        "fashion_mnist_is_as_published",
        "fashion-mnist",
        [6000; 10],
        [1000; 10],
    );
}

#[test]
fn mnist_is_as_published() {
    let train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949];
    let test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009];
    check("mnist_is_as_published", "mnist", train, test);
}

#[test]
fn cifar10_is_as_published() {
    check("cifar10_is_as_published", "cifar10", [5000; 10], [1000; 10]);
}

#[test]
fn camvid_is_as_published() {
    let test = "camvid_is_as_published";
    let Some(roots) = data(test) else { return };
    let info = DatasetInfo::find("camvid").and_then(|info| info.with_size([180, 240]));
    let Ok(info) = info else {
        panic!("{test}: the size of the files is refused")
    };
    // Of the form that was halved from 480x360 without changing a label.
    let splits = [
        (
            Split::Train,
            [
                2_685_388, 3_692_277, 155_497, 4_998_176, 712_012, 1_544_501, 186_379, 178_592,
                930_409, 101_451, 46_297,
            ],
            623_421,
        ),
        (
            Split::Validation,
            [
                402_551, 1_137_107, 24_600, 1_257_006, 380_505, 713_243, 39_024, 133_756, 75_987,
                28_457, 96_794,
            ],
            74_170,
        ),
        (
            Split::Test,
            [
                1_727_553, 2_478_999, 118_315, 2_586_233, 932_835, 1_135_089, 101_637, 119_369,
                399_369, 63_866, 19_059,
            ],
            383_276,
        ),
    ];
    for (split, counts, void) in splits {
        let data = match info.load(split, &roots) {
            Ok(data) => data,
            Err(error @ Error::DataMissing { .. })
                if std::env::var_os("KD_REQUIRE_DATA").is_none() =>
            {
                say(&format!("SKIPPED: {test}: {error}\n"));
                return;
            }
            Err(error) => panic!("{test}: {error}"),
        };
        assert_eq!(data.len(), info.samples(split));
        let masks = data
            .masks()
            .map(|masks| (masks.pixel_counts(), masks.values()));
        let Some((found, values)) = masks else {
            panic!("{test}: no masks")
        };
        assert_eq!(found, counts, "{split}");
        assert_eq!(values.len() as u64 - counts.iter().sum::<u64>(), void);
        if split == Split::Train {
            // Decoders of JPEG differ by a rounding here and there.
            for (channel, (mean, std)) in statistics(&data).into_iter().enumerate() {
                assert!((mean - info.mean[channel]).abs() < 1e-4, "mean {mean}");
                assert!((std - info.std[channel]).abs() < 1e-4, "std {std}");
            }
        }
    }
}

#[test]
fn the_shipped_set_is_the_first_of_each_class_of_the_full_one() {
    let test = "the_shipped_set_is_the_first_of_each_class_of_the_full_one";
    let Some(roots) = data(test) else { return };
    for (split, per_class) in [(Split::Train, 500), (Split::Test, 200)] {
        let (Some(full), Some(mini)) = (
            load(test, "fashion-mnist", split, &roots),
            load(test, "fashion-mnist-mini", split, &roots),
        ) else {
            return;
        };
        let mut taken = [0; 10];
        let mut next = 0;
        for (id, label) in (0..).zip(full.labels()) {
            let count = &mut taken[usize::from(*label)];
            *count += 1;
            if *count <= per_class {
                assert_eq!(
                    (mini.image(next), mini.label(next)),
                    (full.image(id), full.label(id))
                );
                next += 1;
            }
        }
        assert_eq!(usize::try_from(next).ok(), Some(mini.len()));
    }
}

#[test]
fn the_hashes_of_the_full_sets_do_not_change() {
    let test = "the_hashes_of_the_full_sets_do_not_change";
    let Some(roots) = data(test) else { return };
    // Computed as in the test of the shipped set.
    let known = [
        (
            "fashion-mnist",
            Split::Train,
            "8e8c837981bc743b30369f9f07460a4a9deb62b194416c1df5aad39cea3d800e",
        ),
        (
            "fashion-mnist",
            Split::Test,
            "c06bbfbea0095708979717302b659f33d4c038231b24c3cde4e259f62523204b",
        ),
        (
            "cifar10",
            Split::Train,
            "ebfc3e532985de668d3d66bb72c22f37ee38baf53154d578668c3a5a62230bc9",
        ),
        (
            "cifar10",
            Split::Test,
            "0258356bf180aa27e3b08f1be85e635ee862280f939dbef9640ed7fcd6a7547a",
        ),
    ];
    for (name, split, hash) in known {
        if let Some(data) = load(test, name, split, &roots) {
            assert_eq!(data.hash(), hash, "{name} {split}");
        }
    }
}

#[test]
fn the_published_files_have_their_checksums() {
    let test = "the_published_files_have_their_checksums";
    let Some(roots) = data(test) else { return };
    for name in ["mnist", "fashion-mnist", "cifar10"] {
        for split in [Split::Train, Split::Test] {
            if load(test, name, split, &roots).is_some() {
                let compared =
                    DatasetInfo::find(name).and_then(|info| info.compare_files(split, &roots));
                assert_eq!(compared.ok(), Some(Contents::AsPublished), "{name} {split}");
            }
        }
    }
}
