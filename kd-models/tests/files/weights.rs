//! Weight files that PyTorch wrote: those that are read, and those that are refused.
//!
//! `fixtures/pytorch_weights.py` makes the files and says what is in them.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor};
use kd_core::{
    Error, ErrorKind, Names, Normalisation, StagedNetwork, Tensors, export, read_tensors,
    write_tensors,
};
use kd_models::{
    HeResNet, ModelConfig, Network, NetworkSpec, ResNetConfig, WeightChoice, WeightFit,
    WeightFormat, Weights, save_model,
};
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/weights")
        .join(name)
}

fn expected() -> Tensors {
    read_tensors(&fixture("expected.safetensors")).unwrap()
}

/// The network that the fixtures are of.
fn narrow(classes: usize) -> HeResNet {
    let config = ResNetConfig {
        blocks: 1,
        widths: [2, 2, 3, 4],
    };
    HeResNet::new(&config, [1, 8, 8], classes, 0, &Device::flex()).unwrap()
}

fn values(data: &burn::tensor::TensorData) -> Vec<f64> {
    data.iter::<f64>().collect()
}

/// The largest difference between two tensors of one shape.
fn difference(one: &burn::tensor::TensorData, other: &burn::tensor::TensorData) -> f64 {
    assert_eq!(one.shape(), other.shape());
    one.iter::<f64>()
        .zip(other.iter::<f64>())
        .map(|(one, other)| (one - other).abs())
        .fold(0.0, f64::max)
}

/// Loads a file and compares every tensor and the logits with PyTorch's.
fn check(name: &str, choice: &WeightChoice, format: WeightFormat) -> Weights {
    let weights = Weights::read_chosen(&fixture(name), choice).unwrap();
    assert_eq!(weights.format, format, "{name}");
    let (network, report) = weights.load_into(&narrow(3), WeightFit::Exact).unwrap();
    assert_eq!(report.matched.len(), 7 * 5 + 2, "{name}: {report}");
    let expected = expected();
    for (tensor, data) in export(&network, Names::PyTorch) {
        assert_eq!(
            values(&data),
            values(&expected[&tensor]),
            "{name}: {tensor}"
        );
    }
    let images = Tensor::<4>::from_data(expected["images"].clone(), &Device::flex());
    let logits = network.forward(&images).into_data();
    let error = difference(&logits, &expected["logits"]);
    assert!(error < 1e-5, "{name}: logits differ by {error}");
    weights
}

#[test]
fn every_form_that_pytorch_writes_gives_pytorch_s_logits() {
    use WeightFormat::{PytorchLegacy, PytorchZip, Safetensors};
    let any = WeightChoice::default();
    for (name, format) in [
        ("zip.pth", PytorchZip),
        ("protocol4.pth", PytorchZip),
        ("compiled.pth", PytorchZip),
        ("parameters.pth", PytorchZip),
        ("views.pth", PytorchZip),
        ("nested.pth", PytorchZip),
        ("legacy.pth", PytorchLegacy),
        ("protocol5-legacy.pth", PytorchLegacy),
        ("parallel-legacy.pth", PytorchLegacy),
        ("parameters-legacy.pth", PytorchLegacy),
        ("views-legacy.pth", PytorchLegacy),
        ("nested-legacy.pth", PytorchLegacy),
        ("plain.safetensors", Safetensors),
        ("double.pth", PytorchZip),
        ("double.safetensors", Safetensors),
    ] {
        check(name, &any, format);
    }
}

#[test]
fn the_kind_of_a_file_is_told_by_its_content() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("weights.safetensors");
    std::fs::copy(fixture("legacy.pth"), &path).unwrap();
    assert_eq!(
        Weights::read(&path).unwrap().format,
        WeightFormat::PytorchLegacy
    );
}

#[test]
fn what_was_chosen_and_ignored_is_said() {
    let any = WeightChoice::default();
    let weights = check("nested.pth", &any, WeightFormat::PytorchZip);
    assert_eq!(
        weights.remarks,
        ["the state dictionary is the one under `model`"]
    );
    let weights = check("compiled.pth", &any, WeightFormat::PytorchZip);
    assert_eq!(
        weights.remarks,
        [
            "`_orig_mod.` removed from the names",
            "`module.` removed from the names"
        ]
    );
}

#[test]
fn one_of_several_state_dictionaries_is_chosen_by_key() {
    let error = Weights::read(&fixture("several.pth"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("more than one state dictionary: `model` (37 tensors), `ema` (37 tensors)"),
        "{error}"
    );
    assert!(error.contains("choose one by its key"), "{error}");
    let choice = WeightChoice::default().with_key("model");
    check("several.pth", &choice, WeightFormat::PytorchZip);
    let other = WeightChoice::default().with_key("ema");
    let other = Weights::read_chosen(&fixture("several.pth"), &other).unwrap();
    let plus_one = difference(&other.tensors["linear.bias"], &expected()["linear.bias"]);
    assert!((plus_one - 1.0).abs() < 1e-6);

    let choice = WeightChoice::default().with_key("modle");
    let error = Weights::read_chosen(&fixture("several.pth"), &choice).unwrap_err();
    assert!(
        error.to_string().contains("did you mean `model`?"),
        "{error}"
    );
    let error = Weights::read_chosen(&fixture("plain.safetensors"), &choice).unwrap_err();
    assert!(error.to_string().contains("has no keys"), "{error}");
}

#[test]
fn one_of_several_networks_in_a_dictionary_is_chosen_by_prefix() {
    let choice = WeightChoice::default().with_prefix("student.");
    check("student.pth", &choice, WeightFormat::PytorchZip);
    let choice = WeightChoice::default().with_prefix("pupil.");
    let error = Weights::read_chosen(&fixture("student.pth"), &choice).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("they begin with `student.`, `teacher.`"),
        "{error}"
    );
    let weights = Weights::read(&fixture("student.pth")).unwrap();
    let error = weights.load_into(&narrow(3), WeightFit::Exact).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("names have `student.` before those of the network"),
        "{error}"
    );
}

#[test]
fn other_precisions_take_on_that_of_the_network() {
    let expected = expected();
    for name in ["half", "bfloat16"] {
        for kind in ["pth", "safetensors"] {
            let weights = Weights::read(&fixture(&format!("{name}.{kind}"))).unwrap();
            let dtype = if name == "half" {
                DType::F16
            } else {
                DType::BF16
            };
            assert_eq!(weights.tensors["linear.weight"].dtype(), dtype);
            let (network, _) = weights.load_into(&narrow(3), WeightFit::Exact).unwrap();
            let loaded = export(&network, Names::PyTorch);
            assert_eq!(loaded["linear.weight"].dtype(), DType::F32);
            let rounded = &expected[&format!("{name}/linear.weight")];
            assert_eq!(
                values(&loaded["linear.weight"]),
                values(rounded),
                "{name}.{kind}"
            );
        }
    }
}

/// Nothing of them is executed: what would have to be, is passed over by name or refused.
#[test]
fn what_would_run_code_is_passed_over_or_refused() {
    let any = WeightChoice::default();
    for (name, callable, format) in [
        ("system.pth", "`posix.system`", WeightFormat::PytorchZip),
        (
            "eval-legacy.pth",
            "`__builtin__.eval`",
            WeightFormat::PytorchLegacy,
        ),
        (
            "getattr.pth",
            "`builtins.getattr`",
            WeightFormat::PytorchZip,
        ),
    ] {
        let weights = check(name, &any, format);
        let said = format!("passed over, without being made: {callable}");
        assert!(
            weights.remarks.contains(&said),
            "{name}: {:?}",
            weights.remarks
        );
    }
    for name in ["module.pth", "module-legacy.pth"] {
        let error = Weights::read(&fixture(name)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        let text = error.to_string();
        assert!(text.contains("would run code"), "{name}: {text}");
        assert!(text.contains("`__main__.Tiny`"), "{name}: {text}");
        assert!(
            text.contains("torch.save(model.state_dict(), path)"),
            "{name}: {text}"
        );
    }
}

#[test]
fn what_is_no_state_dictionary_is_refused_in_words() {
    for (name, expected) in [
        ("script.pt", "is a TorchScript archive"),
        ("tensor.pth", "holds no state dictionary"),
        ("empty.pth", "holds no state dictionary"),
        (
            "complex.pth",
            "storage type `torch.ComplexFloatStorage`, which is not known",
        ),
        ("repeated.pth", "its tensors would take 4294967296 bytes"),
    ] {
        let error = Weights::read(&fixture(name)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains(expected), "{name}: {error}");
    }
    let error = Weights::read(&fixture("nowhere.pth")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let error = Weights::read(&fixture("")).unwrap_err();
    assert!(
        error.to_string().contains("folder without `config.json`"),
        "{error}"
    );
}

#[test]
fn what_does_not_fit_is_named_with_the_nearest_name() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("renamed.safetensors");
    let mut tensors = Weights::read(&fixture("zip.pth")).unwrap().tensors;
    for (from, to) in [
        ("linear.weight", "fc.weight"),
        ("linear.bias", "fc.bias"),
        ("layer2.0.conv1.weight", "layer2.0.conv_1.weight"),
    ] {
        let data = tensors.remove(from).unwrap();
        tensors.insert(to.into(), data);
    }
    write_tensors(&path, &tensors).unwrap();
    let weights = Weights::read(&path).unwrap();
    let report = weights.compare(&narrow(3));
    assert_eq!((report.missing.len(), report.unused.len()), (3, 3));
    assert!(!report.is_exact());
    assert_eq!(report.suggestion("linear.bias"), Some("fc.bias"));
    let text = weights
        .load_into(&narrow(3), WeightFit::Exact)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("linear.weight, perhaps the file's fc.weight"),
        "{text}"
    );
    assert!(
        text.contains("layer2.0.conv1.weight, perhaps the file's layer2.0.conv_1.weight"),
        "{text}"
    );

    let before = export(&narrow(3), Names::PyTorch);
    let (network, report) = weights.load_into(&narrow(3), WeightFit::Partial).unwrap();
    assert_eq!(report.matched.len(), 37 - 3);
    let after = export(&network, Names::PyTorch);
    assert_eq!(after["linear.weight"], before["linear.weight"]);
    assert_eq!(
        values(&after["conv1.weight"]),
        values(&expected()["conv1.weight"]),
    );
    assert_eq!(
        report.to_string().lines().next(),
        Some("tensors: 34 matched, 3 missing, 3 unused, 0 of another shape")
    );
}

#[test]
fn nothing_in_common_is_an_error_however_little_is_asked() {
    let spec = NetworkSpec::new("lenet5-half", 10, [1, 32, 32]);
    let network = Network::build(&spec, 0, &Device::flex()).unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("other.safetensors");
    let data = burn::tensor::TensorData::from([1.0_f32]);
    write_tensors(&path, &[("other".to_owned(), data)].into()).unwrap();
    let weights = Weights::read(&path).unwrap();
    assert!(matches!(
        weights.load_into(&network, WeightFit::Partial),
        Err(Error::Mismatch { .. })
    ));
}

fn written(name: &str, classes: usize, folder: &TempDir) -> (Weights, Network) {
    let spec = NetworkSpec::new(name, classes, [3, 32, 32]);
    let network = Network::build(&spec, 4, &Device::flex()).unwrap();
    let path = folder.path().join(format!("{name}.safetensors"));
    write_tensors(&path, &export(&network, Names::PyTorch)).unwrap();
    (Weights::read(&path).unwrap(), network)
}

#[test]
fn the_number_of_classes_is_found_and_a_wrong_one_is_said() {
    let folder = TempDir::new().unwrap();
    let device = Device::flex();
    let (weights, _) = written("resnet8", 7, &folder);
    let found = weights.spec("resnet8", [32, 32], &device).unwrap();
    assert_eq!(found, NetworkSpec::new("resnet8", 7, [3, 32, 32]));
    let wrong = NetworkSpec::new("resnet8", 100, [3, 32, 32]);
    let error = weights
        .load_network::<Network>(&wrong, WeightFit::Exact, &device)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the last layer of the file has 7 classes, the network 100"),
        "{error}"
    );
    let wrong = NetworkSpec::new("resnet8", 7, [1, 32, 32]);
    let error = weights
        .load_network::<Network>(&wrong, WeightFit::Exact, &device)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the first layer of the file has 3 channels, the network 1"),
        "{error}"
    );
}

#[test]
fn the_network_is_found_and_a_wrong_one_is_said() {
    let folder = TempDir::new().unwrap();
    let device = Device::flex();
    let (weights, network) = written("resnet8x4", 5, &folder);
    let found = weights.networks(&device);
    assert_eq!(found, [NetworkSpec::new("resnet8x4", 5, [3, 32, 32])]);
    let (loaded, report) = weights
        .load_network::<Network>(&found[0], WeightFit::Exact, &device)
        .unwrap();
    assert!(report.is_exact());
    assert_eq!(
        export(&loaded, Names::PyTorch),
        export(&network, Names::PyTorch)
    );
    let wrong = NetworkSpec::new("resnet8", 5, [3, 32, 32]);
    let error = weights
        .load_network::<Network>(&wrong, WeightFit::Exact, &device)
        .unwrap_err()
        .to_string();
    assert!(error.contains("the file fits `resnet8x4`"), "{error}");
}

#[test]
fn a_model_folder_is_read_with_its_description() {
    let folder = TempDir::new().unwrap();
    let spec = NetworkSpec::new("lenet5-half", 10, [1, 28, 28]);
    let network = Network::build(&spec, 1, &Device::flex()).unwrap();
    let config = ModelConfig::new(spec, Normalisation::identity(1));
    save_model(folder.path(), &network, &config).unwrap();
    let weights = Weights::read(folder.path()).unwrap();
    assert_eq!(weights.format, WeightFormat::ModelFolder);
    assert_eq!(weights.config.as_ref(), Some(&config));
    let (loaded, _) = weights
        .load_network::<Network>(&config.network, WeightFit::Exact, &Device::flex())
        .unwrap();
    let input = Tensor::ones([1, 1, 28, 28], &Device::flex());
    assert_eq!(
        loaded.forward(&input).into_data(),
        network.forward(&input).into_data()
    );
}

#[test]
fn reports_are_kept_as_json() {
    let weights = Weights::read(&fixture("zip.pth")).unwrap();
    let report = weights.compare(&narrow(5));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["unequal"][0]["name"], "linear.bias");
    assert_eq!(json["unequal"][0]["network"], serde_json::json!([5]));
    assert_eq!(json["unequal"][0]["file"], serde_json::json!([3]));
    assert_eq!(
        serde_json::from_value::<kd_models::LoadReport>(json).unwrap(),
        report
    );
}
