//! Data sets by name: which there are, where they are looked for, what is said when they are not there.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use kd_core::{DataRoots, DatasetInfo, Error, ErrorKind, Split};
use tempfile::TempDir;

fn info(name: &str) -> &'static DatasetInfo {
    DatasetInfo::find(name).unwrap()
}

fn header(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Files of all layouts below `root`. The test splits have as many samples as the published ones, all alike;
/// the training splits have one. `pixel` tells one root from another.
fn fill(root: &Path, pixel: u8) {
    let write = |path: &str, bytes: Vec<u8>| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    for folder in ["mnist", "FashionMNIST/raw"] {
        for (part, count) in [("train", 1), ("t10k", 10_000)] {
            let samples = usize::try_from(count).unwrap();
            let images = [header(&[2051, count, 28, 28]), vec![pixel; samples * 784]].concat();
            let labels = [header(&[2049, count]), vec![7; samples]].concat();
            write(
                &format!("{folder}/{part}-images-idx3-ubyte.gz"),
                gzip(&images),
            );
            write(
                &format!("{folder}/{part}-labels-idx1-ubyte.gz"),
                gzip(&labels),
            );
        }
    }
    let records = |labels: &[u8], count| gzip(&[labels, &[pixel; 3072]].concat().repeat(count));
    for batch in 1..=5 {
        write(
            &format!("cifar-10-batches-bin/data_batch_{batch}.bin"),
            records(&[batch], 1),
        );
    }
    write(
        "cifar-10-batches-bin/test_batch.bin.gz",
        records(&[6], 10_000),
    );
    write("cifar-100-binary/train.bin", records(&[19, 99], 1));
    write("cifar-100-binary/test.bin.gz", records(&[19, 99], 10_000));
    let coarse: Vec<String> = (0..20).map(|class| format!("coarse_{class}\n")).collect();
    write(
        "cifar-100-binary/coarse_label_names.txt",
        coarse.concat().into(),
    );
}

#[test]
fn every_known_set_is_complete_in_what_is_said_of_it() {
    for info in DatasetInfo::all() {
        assert_eq!(
            info.normalisation().mean.len(),
            info.shape.channels,
            "{}",
            info.name
        );
        info.normalisation().check().unwrap();
        assert!(
            info.class_names.is_empty() || info.class_names.len() == info.classes,
            "{}",
            info.name
        );
        assert!(
            ![info.source, info.licence, info.citation].contains(&""),
            "{}",
            info.name
        );
        assert_eq!(
            info.embedded,
            info.files(Split::Train).is_empty(),
            "{}",
            info.name
        );
        for name in info.aliases.iter().chain([&info.name]) {
            assert_eq!(DatasetInfo::find(name).unwrap().name, info.name);
        }
        let json = serde_json::to_value(info).unwrap();
        assert_eq!(json["name"], info.name);
        assert!(json.get("layout").is_none());
    }
}

#[test]
fn names_are_understood_as_people_write_them() {
    for (typed, name) in [
        ("fashionmnist", "fashion-mnist"),
        ("Fashion_MNIST", "fashion-mnist"),
        ("MNIST", "mnist"),
        ("cifar-10", "cifar10"),
        ("CIFAR-100", "cifar100"),
        ("cifar-100-coarse", "cifar100-coarse"),
        ("fashion-mnist-mini", "fashion-mnist-mini"),
        ("CINIC-10", "cinic10"),
        ("SVHN", "svhn"),
        ("svhn extra", "svhn-extra"),
        ("CamVid", "camvid"),
    ] {
        assert_eq!(info(typed).name, name);
    }
    let error = DatasetInfo::find("cifra10").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(
        error.to_string(),
        "unknown data set `cifra10`; did you mean `cifar10`?; known: fashion-mnist-mini, fashion-mnist, \
         mnist, cifar10, \
         cifar100, cifar100-coarse, cinic10, svhn, svhn-extra, camvid"
    );
    for split in [Split::Train, Split::Validation, Split::Test] {
        assert_eq!(split.to_string().parse::<Split>().unwrap(), split);
    }
    assert!("valid".parse::<Split>().is_err());
}

#[test]
fn all_layouts_are_found_below_one_folder() {
    let root = TempDir::new().unwrap();
    fill(root.path(), 5);
    let roots = DataRoots {
        explicit: Some(root.path().into()),
        ..DataRoots::default()
    };
    for (name, label, files) in [
        ("mnist", 7, 2),
        ("fashion-mnist", 7, 2),
        ("cifar10", 6, 5),
        ("cifar100", 99, 1),
        ("cifar100-coarse", 19, 1),
    ] {
        let data = info(name).load(Split::Test, &roots).unwrap();
        assert_eq!(
            (data.len(), data.label(9_999), data.shape(), data.name()),
            (10_000, Some(label), info(name).shape, name)
        );
        // All files of the training split are found, in order, and have too few samples.
        let located = info(name).locate(Split::Train, &roots).unwrap();
        assert_eq!(located.len(), files, "{name}");
        assert!(located.is_sorted());
        let error = info(name).load(Split::Train, &roots).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        let whole = info(name).train / if name == "cifar10" { 5 } else { 1 };
        let text = format!(
            "the file has 1 samples, as it was published it has {whole}; it was cut off or changed"
        );
        assert!(error.to_string().contains(&text), "{error}");
    }
    let coarse = info("cifar100-coarse").load(Split::Test, &roots).unwrap();
    assert_eq!(
        coarse.class_names().map(|names| names[19].as_str()),
        Some("coarse_19")
    );
    assert!(
        info("cifar100")
            .load(Split::Test, &roots)
            .unwrap()
            .class_names()
            .is_none()
    );
}

#[test]
fn the_explicit_folder_comes_before_the_environment_and_that_before_the_cache() {
    let folders = [
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
    ];
    for (pixel, folder) in (1..).zip(&folders) {
        fill(folder.path(), pixel);
    }
    let path = |at: usize| Some(folders[at].path().to_owned());
    let roots = DataRoots {
        explicit: path(0),
        env: path(1),
        cache: path(2),
    };
    let first = |roots: &DataRoots| info("mnist").load(Split::Test, roots).unwrap().images()[0];
    assert_eq!(first(&roots), 1);
    assert_eq!(first(&roots.clone().with_explicit(None)), 2);
    assert_eq!(
        first(&DataRoots {
            explicit: None,
            env: None,
            ..roots.clone()
        }),
        3
    );
    // A folder that has not all of a set is passed over.
    fs::remove_file(folders[0].path().join("mnist/t10k-labels-idx1-ubyte.gz")).unwrap();
    assert_eq!(first(&roots), 2);
}

#[test]
fn what_is_missing_is_said_with_files_folders_and_source() {
    let root = TempDir::new().unwrap();
    fill(root.path(), 0);
    fs::remove_file(root.path().join("cifar-10-batches-bin/data_batch_3.bin")).unwrap();
    let roots = DataRoots {
        explicit: Some(root.path().into()),
        env: Some("no-such-folder".into()),
        cache: None,
    };
    let text = |name: &str, roots: &DataRoots| {
        let error = info(name).load(Split::Train, roots).unwrap_err();
        assert!(matches!(error, Error::DataMissing { .. }) && error.kind() == ErrorKind::Input);
        error
            .to_string()
            .replace(&root.path().display().to_string(), "ROOT")
    };
    assert_eq!(
        text("cifar10", &roots),
        "data set `cifar10`: `cifar-10-batches-bin/data_batch_3.bin` not found in `ROOT`, `no-such-folder`; \
         get them from \
         https://www.cs.toronto.edu/~kriz/cifar.html (cifar-10-binary.tar.gz or cifar-10-python.tar.gz), \
         unpack them below one folder, \
         and name it in `KD_DATA`"
    );
    assert_eq!(
        text("fashion-mnist", &DataRoots::default()),
        "data set `fashion-mnist`: `fashion-mnist/train-images-idx3-ubyte`, \
         `fashion-mnist/train-labels-idx1-ubyte` (or the \
         same with .gz) not found in any folder; get them from \
         https://github.com/zalandoresearch/fashion-mnist, unpack \
         them below one folder, and name it in `KD_DATA`"
    );
}

#[test]
fn files_with_images_of_another_size_are_refused() {
    let root = tempfile::tempdir().unwrap();
    fill(root.path(), 1);
    let images = root.path().join("mnist/t10k-images-idx3-ubyte.gz");
    let content = [header(&[2051, 10_000, 32, 32]), vec![0; 10_000 * 1024]].concat();
    fs::write(&images, gzip(&content)).unwrap();
    let roots = DataRoots {
        explicit: Some(root.path().to_owned()),
        ..DataRoots::default()
    };
    let error = info("mnist").load(Split::Test, &roots).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert_eq!(
        error.to_string(),
        format!(
            "`{}`, byte 0: its images are 1x32x32, those of mnist are 1x28x28; give the files of \
             http://yann.lecun.com/exdb/mnist/",
            images.display()
        )
    );
}

/// Copies that other programs have written: a dot before `idx`, the Python version, and the folder itself.
#[test]
fn copies_with_other_names_are_found_also_by_their_own_folder() {
    let root = TempDir::new().unwrap();
    fill(root.path(), 5);
    let rename = |from: &str, to: &str| {
        fs::rename(root.path().join(from), root.path().join(to)).unwrap();
    };
    for part in ["images-idx3-ubyte", "labels-idx1-ubyte"] {
        let known = ["", ".gz"].into_iter().find(|ending| {
            let file = format!("mnist/t10k-{part}{ending}");
            root.path().join(file).is_file()
        });
        let ending = known.unwrap();
        let other = part.replace("-idx", ".idx");
        rename(
            &format!("mnist/t10k-{part}{ending}"),
            &format!("mnist/t10k-{other}{ending}"),
        );
    }
    rename("cifar-10-batches-bin", "cifar-10-batches-py");
    rename(
        "cifar-10-batches-py/test_batch.bin.gz",
        "cifar-10-batches-py/test_batch.gz",
    );
    for (name, folder) in [("mnist", "mnist"), ("cifar10", "cifar-10-batches-py")] {
        for explicit in [root.path().to_owned(), root.path().join(folder)] {
            let roots = DataRoots {
                explicit: Some(explicit),
                ..DataRoots::default()
            };
            let data = info(name).load(Split::Test, &roots).unwrap();
            assert_eq!(data.len(), 10_000, "{name}");
        }
    }
    // Files of one name belong to the data set that the folder is called after.
    let roots = DataRoots {
        explicit: Some(root.path().join("mnist")),
        ..DataRoots::default()
    };
    assert!(info("fashion-mnist").locate(Split::Test, &roots).is_err());
}
