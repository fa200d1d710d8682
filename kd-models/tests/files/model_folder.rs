//! Model folders: what is saved comes back, and what does not fit is said in words.

use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Distribution, Gradients, Tensor};
use kd_core::{
    Error, ErrorKind, Names, Normalisation, StagedNetwork, export, hash_tensors, read_tensors,
};
use kd_models::{
    CONFIG_FILE, ModelConfig, Network, NetworkSpec, WEIGHTS_FILE, load_model, save_model,
};
use tempfile::TempDir;

fn spec(name: &str) -> NetworkSpec {
    NetworkSpec::new(name, 10, [3, 32, 32])
}

fn saved(name: &str) -> (TempDir, Network, ModelConfig) {
    let folder = TempDir::new().unwrap();
    let network = Network::build(&spec(name), 4, &Device::flex()).unwrap();
    let mut config = ModelConfig::new(spec(name), Normalisation::identity(3));
    config.provenance.data = Some("cifar10".into());
    config.provenance.accuracy = Some(0.1 + 0.2);
    config.provenance.notes.insert("epochs".into(), 3.into());
    save_model(folder.path(), &network, &config).unwrap();
    (folder, network, config)
}

fn rewrite(folder: &Path, from: &str, to: &str) {
    let path = folder.join(CONFIG_FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
}

fn load_error(folder: &Path) -> Error {
    load_model::<Network>(folder, &Device::flex()).unwrap_err()
}

#[test]
fn what_is_saved_comes_back() {
    for name in ["lenet5-half", "resnet8", "resnet8x4"] {
        let (folder, network, config) = saved(name);
        let (loaded, read) = load_model::<Network>(folder.path(), &Device::flex()).unwrap();
        assert_eq!(read, config);
        let hash = |network: &Network| hash_tensors(&export(network, Names::Burn));
        assert_eq!(hash(&loaded), hash(&network), "{name}");
        let input = Tensor::random(
            [2, 3, 32, 32],
            Distribution::Uniform(0.0, 1.0),
            &Device::flex(),
        );
        assert_eq!(
            loaded.forward(&input).into_data(),
            network.forward(&input).into_data()
        );
    }
}

#[test]
fn the_same_network_gives_the_same_bytes() {
    let (folder, network, config) = saved("resnet8");
    let read = |file: &str| std::fs::read(folder.path().join(file)).unwrap();
    let before = (read(WEIGHTS_FILE), read(CONFIG_FILE));
    save_model(folder.path(), &network, &config).unwrap();
    assert_eq!((read(WEIGHTS_FILE), read(CONFIG_FILE)), before);
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 2, "nothing half-written is left");
}

#[test]
fn running_statistics_of_the_last_step_are_saved() {
    let device = Device::flex().autodiff();
    let network = Network::build(&spec("resnet8"), 4, &device).unwrap();
    network.forward(&Tensor::random(
        [4, 3, 32, 32],
        Distribution::Uniform(0.0, 1.0),
        &device,
    ));
    let folder = TempDir::new().unwrap();
    save_model(
        folder.path(),
        &network,
        &ModelConfig::new(spec("resnet8"), Normalisation::identity(3)),
    )
    .unwrap();
    let tensors = read_tensors(&folder.path().join(WEIGHTS_FILE)).unwrap();
    let mean: f32 = tensors["bn1.running_mean"]
        .iter::<f32>()
        .map(f32::abs)
        .sum();
    assert!(mean > 0.0);
    let (loaded, _) = load_model::<Network>(folder.path(), &device).unwrap();
    assert_eq!(export(&loaded, Names::Burn), export(&network, Names::Burn));
}

#[test]
fn a_network_loaded_onto_an_autodiff_device_can_be_trained() {
    let (folder, _, _) = saved("resnet8");
    let device = Device::flex().autodiff();
    let (network, _) = load_model::<Network>(folder.path(), &device).unwrap();
    let gradients = network
        .forward(&Tensor::ones([2, 3, 32, 32], &device))
        .sum()
        .backward();
    let mut counter = GradientCounter {
        gradients: &gradients,
        found: 0,
    };
    network.visit(&mut counter);
    // 7 convolutions, a scale and a shift for each of their norms, and the last layer's weight and bias.
    assert_eq!(counter.found, 7 + 2 * 7 + 2);
}

struct GradientCounter<'a> {
    gradients: &'a Gradients,
    found: usize,
}

impl ModuleVisitor for GradientCounter<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found += usize::from(param.grad(self.gradients).is_some());
    }
}

#[test]
fn the_file_is_what_pytorch_expects() {
    let (folder, _, _) = saved("resnet8x4");
    let tensors = read_tensors(&folder.path().join(WEIGHTS_FILE)).unwrap();
    assert_eq!(tensors["fc.weight"].shape().as_slice(), [10, 256]);
    assert_eq!(
        tensors["layer2.0.downsample.0.weight"].shape().as_slice(),
        [128, 64, 1, 1]
    );
    let counter = &tensors["layer2.0.downsample.1.num_batches_tracked"];
    assert_eq!(
        (counter.dtype(), counter.shape().as_slice()),
        (DType::I64, &[][..])
    );
    let norms = tensors
        .keys()
        .filter(|name| name.ends_with("running_mean"))
        .count();
    let counters = tensors
        .keys()
        .filter(|name| name.ends_with("num_batches_tracked"))
        .count();
    assert_eq!((norms, counters), (10, 10));
}

#[test]
fn a_description_has_the_documented_form() {
    let (folder, _, _) = saved("lenet5-half");
    let text = std::fs::read_to_string(folder.path().join(CONFIG_FILE)).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        r#"{{
  "network": {{
    "name": "lenet5-half",
    "classes": 10,
    "input": [
      3,
      32,
      32
    ]
  }},
  "normalisation": {{
    "mean": [
      0.0,
      0.0,
      0.0
    ],
    "std": [
      1.0,
      1.0,
      1.0
    ]
  }},
  "provenance": {{
    "kd_version": "{version}",
    "data": "cifar10",
    "accuracy": 0.30000000000000004,
    "epochs": 3
  }}
}}
"#
    );
    assert_eq!(text, expected);
}

#[test]
fn missing_files_are_named() {
    let (folder, _, _) = saved("lenet5-half");
    std::fs::remove_file(folder.path().join(WEIGHTS_FILE)).unwrap();
    let error = load_error(folder.path());
    assert!(error.to_string().contains("model.safetensors`"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Input);
    let error = load_error(&folder.path().join("nowhere"));
    assert!(
        error.to_string().contains("nowhere") && error.to_string().contains("config.json`"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Input);
}

#[test]
fn broken_descriptions_are_placed() {
    let (folder, _, _) = saved("lenet5-half");
    rewrite(folder.path(), "\"classes\": 10,", "\"classes\": ten,");
    let error = load_error(folder.path());
    let Error::BadFile {
        offset, problem, ..
    } = &error
    else {
        unreachable!("{error}")
    };
    assert!(problem.contains("line 4 column"), "{error}");
    let text = std::fs::read_to_string(folder.path().join(CONFIG_FILE)).unwrap();
    let place = text.find("ten").unwrap() as u64;
    assert!((place..place + 3).contains(offset), "{offset} {place}");
}

#[test]
fn descriptions_that_make_no_sense_are_refused() {
    let cases = [
        ("\"lenet5-half\"", "\"lenet6\"", "unknown network `lenet6`"),
        (
            "\"classes\": 10",
            "\"classes\": 1",
            "`classes` must be 2 or more",
        ),
        (
            "\"provenance\"",
            "\"class_names\": [\"cat\"], \"provenance\"",
            "must name every class: 1 for 10",
        ),
        (
            "\"provenance\"",
            "\"provenence\"",
            "unknown field `provenence`",
        ),
        (
            "\"mean\": [\n      0.0,",
            "\"mean\": [",
            "as many means as standard deviations, got 2 and 3",
        ),
        (
            "\"normalisation\"",
            "\"preprocessing\": \"tokens\", \"notes\"",
            "unknown field `notes`",
        ),
    ];
    for (from, to, expected) in cases {
        let (folder, _, _) = saved("lenet5-half");
        rewrite(folder.path(), from, to);
        let error = load_error(folder.path());
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.to_string().contains("config.json`"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Input);
    }
}

#[test]
fn weights_of_another_network_are_refused() {
    let (folder, _, _) = saved("resnet8");
    rewrite(folder.path(), "\"classes\": 10", "\"classes\": 100");
    let error = load_error(folder.path());
    let Error::Mismatch {
        unequal,
        missing,
        unexpected,
        ..
    } = &error
    else {
        unreachable!("{error}")
    };
    assert_eq!(
        (unequal.len(), missing.len(), unexpected.len()),
        (2, 0, 0),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("model.safetensors") && text.contains("linear.weight"),
        "{text}"
    );
    assert!(text.contains("network [100, 64], file [10, 64]"), "{text}");

    let (folder, _, _) = saved("resnet8");
    rewrite(folder.path(), "resnet8", "resnet14");
    assert!(matches!(load_error(folder.path()), Error::Mismatch { .. }));
}

#[test]
fn preprocessing_for_text_is_refused_where_images_are_taken() {
    let (folder, _, config) = saved("lenet5-half");
    let path = folder.path().join(CONFIG_FILE);
    let mut text = serde_json::to_value(&config).unwrap();
    text.as_object_mut().unwrap().remove("normalisation");
    std::fs::write(&path, text.to_string()).unwrap();
    let error = load_error(folder.path());
    assert!(
        error.to_string().contains("missing field `normalisation`"),
        "{error}"
    );
    text["preprocessing"] = "tokens".into();
    std::fs::write(&path, text.to_string()).unwrap();
    let error = load_error(folder.path());
    assert!(
        error
            .to_string()
            .contains("`preprocessing` is not one for images"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Input);
}

#[test]
fn images_of_another_size_are_told_from_the_weights_without_memory_for_larger_ones() {
    let (folder, _, _) = saved("lenet5-half");
    // The first linear layer would have 60 * 1017 * 1017 * 42 weights, more than ten gigabytes.
    rewrite(folder.path(), "32,\n      32", "4096,\n      4096");
    let error = load_error(folder.path());
    let Error::Mismatch { unequal, .. } = &error else {
        unreachable!("{error}")
    };
    assert_eq!(unequal.len(), 1, "{error}");
    assert!(
        unequal[0].starts_with("fc1.weight: network [42, "),
        "{error}"
    );
}

#[test]
fn truncated_weights_are_refused() {
    let (folder, _, _) = saved("lenet5-half");
    let path = folder.path().join(WEIGHTS_FILE);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    assert!(matches!(load_error(folder.path()), Error::BadFile { .. }));
}

#[test]
fn a_network_is_not_saved_under_another_description() {
    let folder = TempDir::new().unwrap();
    let network = Network::build(&spec("resnet8"), 0, &Device::flex()).unwrap();
    let other = ModelConfig::new(spec("resnet14"), Normalisation::identity(3));
    assert!(matches!(
        save_model(folder.path(), &network, &other),
        Err(Error::Mismatch { .. })
    ));
    let channels = ModelConfig::new(spec("resnet8"), Normalisation::identity(1));
    assert!(matches!(
        save_model(folder.path(), &network, &channels),
        Err(Error::Config { .. })
    ));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
