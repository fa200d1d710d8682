//! Data sets by name: which there are, where they are looked for, what is said when they are not there.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;

use kd_core::{DataRoots, DatasetInfo, Error, ErrorKind, Split};
use tempfile::TempDir;

fn info(name: &str) -> &'static DatasetInfo {
    DatasetInfo::find(name).unwrap()
}

/// One sample of each split of each layout below `root`; `pixel` tells one root from another.
fn fill(root: &Path, pixel: u8) {
    for folder in [
        "mnist",
        "FashionMNIST/raw",
        "cifar-10-batches-bin",
        "cifar-100-binary",
    ] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let header = |numbers: &[u32]| {
        numbers
            .iter()
            .flat_map(|n| n.to_be_bytes())
            .collect::<Vec<u8>>()
    };
    for folder in ["mnist", "FashionMNIST/raw"] {
        for part in ["train", "t10k"] {
            let images = [header(&[2051, 1, 28, 28]), vec![pixel; 784]].concat();
            fs::write(
                root.join(folder).join(format!("{part}-images-idx3-ubyte")),
                images,
            )
            .unwrap();
            let labels = [header(&[2049, 1]), vec![7]].concat();
            fs::write(
                root.join(folder).join(format!("{part}-labels-idx1-ubyte")),
                labels,
            )
            .unwrap();
        }
    }
    let names = [
        "data_batch_1",
        "data_batch_2",
        "data_batch_3",
        "data_batch_4",
        "data_batch_5",
        "test_batch",
    ];
    for (label, name) in (0..).zip(names) {
        let record = [vec![label], vec![pixel; 3072]].concat();
        fs::write(
            root.join("cifar-10-batches-bin")
                .join(format!("{name}.bin")),
            record,
        )
        .unwrap();
    }
    for name in ["train", "test"] {
        let record = [vec![19, 99], vec![pixel; 3072]].concat();
        fs::write(
            root.join("cifar-100-binary").join(format!("{name}.bin")),
            record,
        )
        .unwrap();
    }
    let coarse: Vec<String> = (0..20).map(|class| format!("coarse_{class}\n")).collect();
    fs::write(
        root.join("cifar-100-binary/coarse_label_names.txt"),
        coarse.concat(),
    )
    .unwrap();
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
    ] {
        assert_eq!(info(typed).name, name);
    }
    let error = DatasetInfo::find("cifra10").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(
        error.to_string(),
        "unknown data set `cifra10`; did you mean `cifar10`?; known: fashion-mnist-mini, fashion-mnist, mnist, cifar10, \
         cifar100, cifar100-coarse"
    );
    assert_eq!("test".parse::<Split>().unwrap(), Split::Test);
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
    for (name, train) in [
        ("mnist", vec![7]),
        ("fashion-mnist", vec![7]),
        ("cifar10", vec![0, 1, 2, 3, 4]),
        ("cifar100", vec![99]),
        ("cifar100-coarse", vec![19]),
    ] {
        let data = info(name).load(Split::Train, &roots).unwrap();
        assert_eq!(
            (data.labels(), data.shape(), data.name()),
            (train.as_slice(), info(name).shape, name)
        );
        assert_eq!(info(name).load(Split::Test, &roots).unwrap().len(), 1);
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
    fs::remove_file(folders[0].path().join("mnist/t10k-labels-idx1-ubyte")).unwrap();
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
        "data set `cifar10`: `cifar-10-batches-bin/data_batch_3.bin` not found in `ROOT`, `no-such-folder`; get them from \
         https://www.cs.toronto.edu/~kriz/cifar.html (cifar-10-binary.tar.gz), unpack them below one folder, and name it \
         with `--data-dir` or `KD_DATA`"
    );
    assert_eq!(
        text("fashion-mnist", &DataRoots::default()),
        "data set `fashion-mnist`: `fashion-mnist/train-images-idx3-ubyte`, `fashion-mnist/train-labels-idx1-ubyte` (or the \
         same with .gz) not found in any folder; get them from https://github.com/zalandoresearch/fashion-mnist, unpack \
         them below one folder, and name it with `--data-dir` or `KD_DATA`"
    );
}

#[test]
fn files_with_images_of_another_size_are_refused() {
    let root = tempfile::tempdir().unwrap();
    fill(root.path(), 1);
    let images = root.path().join("mnist/train-images-idx3-ubyte");
    let header: Vec<u8> = [2051_u32, 1, 32, 32]
        .iter()
        .flat_map(|n| n.to_be_bytes())
        .collect();
    fs::write(&images, [header, vec![0; 1024]].concat()).unwrap();
    let roots = DataRoots {
        explicit: Some(root.path().to_owned()),
        ..DataRoots::default()
    };
    let error = info("mnist").load(Split::Train, &roots).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert_eq!(
        error.to_string(),
        format!(
            "`{}`, byte 0: its images are 1x32x32, those of mnist are 1x28x28; give the files of http://yann.lecun.com/exdb/mnist/",
            images.display()
        )
    );
}
