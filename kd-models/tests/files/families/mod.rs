//! Families that another crate brings: branches on a trunk of this crate, and a network for text.

mod branched;
mod words;

use std::path::Path;

use burn::tensor::{Device, Distribution, Int, Tensor};
use kd_core::{
    Batch, Dataset, Error, ErrorKind, ImageShape, Loader, LoaderConfig, Names, Normalisation,
    Preprocessing, Requested, Samples, Split, StagedNetwork, Task, export, write_tensors,
};
use kd_models::{
    CONFIG_FILE, Evaluation, Families, ModelConfig, ModelNetwork, Network, NetworkSpec,
    ResNetConfig, Structure, WEIGHTS_FILE, WeightFit, Weights, load_model, open_model, save_model,
};
use tempfile::TempDir;

use branched::{Branched, BranchedConfig};
use words::{Words, WordsConfig};

const INPUT: [usize; 3] = [3, 16, 16];

pub(crate) fn branched_spec(branches: usize) -> NetworkSpec {
    let trunk = ResNetConfig {
        blocks: 1,
        widths: [4, 4, 6, 8],
    };
    let config = BranchedConfig {
        branches,
        trunk: Structure::HeResNet(trunk),
    };
    let structure = Structure::of_family(Branched::FAMILY, &config).unwrap();
    NetworkSpec::with_structure("three-heads", structure, 5, INPUT)
}

pub(crate) fn families() -> Families {
    Families::new().with::<Branched>().with::<Words>()
}

pub(crate) fn text_spec() -> NetworkSpec {
    let config = WordsConfig {
        vocabulary: 11,
        width: 6,
    };
    let structure = Structure::of_family("words", &config).unwrap();
    NetworkSpec::with_structure("bag", structure, 3, [1, 1, 7])
}

fn saved(folder: &Path) -> (Branched, ModelConfig) {
    let spec = branched_spec(3);
    let network = Branched::build(&spec, 7, &Device::flex()).unwrap();
    let config = ModelConfig::new(spec, Normalisation::identity(3));
    save_model(folder, &network, &config).unwrap();
    (network, config)
}

#[test]
fn a_family_of_another_crate_is_loaded_by_its_type_and_opened_by_its_name() {
    let (device, folder) = (Device::flex(), TempDir::new().unwrap());
    let (network, config) = saved(folder.path());
    let (loaded, read) = load_model::<Branched>(folder.path(), &device).unwrap();
    assert_eq!(read, config);
    assert_eq!(export(&loaded, Names::Burn), export(&network, Names::Burn));

    let model = families().open(folder.path(), &device).unwrap();
    assert_eq!(
        (model.config(), model.task()),
        (&config, Task::Classification)
    );
    assert_eq!(model.config().network.title(), "three-heads (branched)");
    assert!(model.network::<Branched>().is_some() && model.network::<Network>().is_none());
    let images = Tensor::random([2, 3, 16, 16], Distribution::Uniform(0.0, 1.0), &device);
    let batch = Batch::new(
        Samples::Images(images.clone()),
        Tensor::<1, Int>::zeros([2], &device),
    );
    let logits = model.output(&batch).unwrap().logits().unwrap();
    assert_eq!(logits.into_data(), network.forward(&images).into_data());
    let answer = model
        .teacher(&device)
        .answer(&batch, &Requested::output())
        .unwrap();
    assert_eq!(answer.logits().unwrap().dims(), [2, 5]);
    let trunk = NetworkSpec::with_structure(
        "trunk",
        Structure::HeResNet(ResNetConfig {
            blocks: 1,
            widths: [4, 4, 6, 8],
        }),
        5,
        INPUT,
    );
    let trunk = trunk.costs(&device).unwrap().params();
    assert_eq!(model.costs().unwrap().params(), trunk + 2 * (8 * 5 + 5));
    assert!(
        model
            .state_dict()
            .contains_key("trunk.bn1.num_batches_tracked")
    );
}

#[test]
fn a_family_of_another_crate_is_measured() {
    let folder = TempDir::new().unwrap();
    let (network, _) = saved(folder.path());
    let bytes = (0..4 * 768)
        .map(|at| u8::try_from(at * 7 % 256).unwrap())
        .collect();
    let data = Dataset::new(
        "four",
        Split::Test,
        ImageShape::new(3, 16, 16),
        5,
        bytes,
        vec![0, 1, 2, 3],
    );
    let loader = Loader::new(data.unwrap(), LoaderConfig::ordered(3), &Device::flex()).unwrap();
    let model = families().open(folder.path(), &Device::flex()).unwrap();
    let Evaluation::Classification(found) = model.evaluate(&loader).unwrap() else {
        unreachable!("a classifier")
    };
    let identity = Normalisation::identity(3);
    let expected = kd_core::evaluate(&loader, None, |batch| {
        Ok(network.forward(&identity.apply(batch.pixels()?)?))
    });
    assert_eq!(
        found.summary().unwrap(),
        expected.unwrap().summary().unwrap()
    );
}

#[test]
fn its_weights_are_read_from_a_plain_file_and_a_run_s_result() {
    let (device, folder) = (Device::flex(), TempDir::new().unwrap());
    let network = Branched::build(&branched_spec(3), 7, &device).unwrap();
    let tensors = export(&network, Names::PyTorch);
    let file = folder.path().join("plain.safetensors");
    write_tensors(&file, &tensors).unwrap();
    let config = |branches| ModelConfig::new(branched_spec(branches), Normalisation::identity(3));
    let blank = families().blank(config(3), &device).unwrap();
    let weights = Weights::read(&file).unwrap();
    let (model, report) = blank.with_weights(&weights, WeightFit::Exact).unwrap();
    assert!(report.is_exact());
    let other = blank.with_tensors(&tensors, "the run's result").unwrap();
    assert_eq!(model.hash(), other.hash());

    let blank = families().blank(config(2), &device).unwrap();
    let error = blank.with_weights(&weights, WeightFit::Exact).unwrap_err();
    assert!(error.to_string().contains("branches.1"), "{error}");
}

#[test]
fn a_program_that_does_not_know_the_family_says_which_it_is() {
    let (device, folder) = (Device::flex(), TempDir::new().unwrap());
    let (_, config) = saved(folder.path());
    let error = open_model(folder.path(), &device).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    let text = error.to_string();
    assert!(
        text.contains("unknown family `branched`") && text.contains("config.json`"),
        "{text}"
    );
    assert!(
        text.contains("lenet") && text.contains("skd-unet"),
        "{text}"
    );
    assert!(
        text.contains("read it with the program that wrote it"),
        "{text}"
    );
    let error = load_model::<Network>(folder.path(), &device).unwrap_err();
    assert!(
        error.to_string().contains(
            "describes `three-heads`, a network of family branched, where one \
            of lenet"
        ),
        "{error}"
    );
    let error = Branched::check_spec(&NetworkSpec::new("resnet8", 5, INPUT)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`name` is `resnet8`, a network of family he-resnet, where one of branched is wanted; name another"
    );
    let error = config.network.task().unwrap_err();
    assert!(
        matches!(error, Error::UnknownName { what: "family", .. }),
        "{error}"
    );
    assert!(Weights::read(folder.path()).unwrap().config == Some(config));
}

#[test]
fn a_damaged_config_of_the_family_is_refused_in_its_words() {
    for (from, to, expected) in [
        (
            "\"branches\": 3",
            "\"branches\": 1000000000000",
            "`branches` must be 1 to 16, got 1000000000000",
        ),
        (
            "\"branches\": 3",
            "\"branch\": 3",
            "of family `branched` cannot be used: unknown field `branch`",
        ),
        (
            "\"branches\": 3",
            "\"branches\": -3",
            "of family `branched` cannot be used: invalid value",
        ),
        (
            "\"blocks\": 1",
            "\"blocks\": 1000000",
            "`blocks` must be at most 256, got 1000000",
        ),
        (
            "he-resnet",
            "branched",
            "`name` is `trunk`, a network of family branched",
        ),
    ] {
        let folder = TempDir::new().unwrap();
        saved(folder.path());
        let path = folder.path().join(CONFIG_FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let error = families().open(folder.path(), &Device::flex()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(load_model::<Branched>(folder.path(), &Device::flex()).is_err());
    }
}

#[test]
fn a_structure_of_a_family_is_a_struct_without_a_field_for_its_name() {
    let text = |made: kd_core::Result<Structure>| made.unwrap_err().to_string();
    assert!(text(Structure::of_family("mine", &3)).contains("its config must have named fields"));
    let named = std::collections::BTreeMap::from([("family", 1)]);
    assert!(text(Structure::of_family("mine", &named)).contains("must have no field `family`"));
    // One of this crate's is that.
    let widths = std::collections::BTreeMap::from([("widths", [1, 2, 3, 4])]);
    let lenet = Structure::of_family("lenet", &widths).unwrap();
    assert!(matches!(lenet, Structure::LeNet(_)));
    assert!(text(Structure::of_family("vgg", &widths)).contains("of family `vgg` cannot be used"));
}

#[test]
fn a_network_for_text_is_a_model_like_any_other() {
    let (device, folder) = (Device::flex(), TempDir::new().unwrap());
    let spec = text_spec();
    let network = Words::build(&spec, 1, &device).unwrap();
    let config = ModelConfig::new(spec, Preprocessing::Tokens);
    save_model(folder.path(), &network, &config).unwrap();
    let text = std::fs::read_to_string(folder.path().join(CONFIG_FILE)).unwrap();
    assert!(
        text.contains("\"preprocessing\": \"tokens\"") && !text.contains("normalisation"),
        "{text}"
    );

    let model = families().open(folder.path(), &device).unwrap();
    assert_eq!(model.config(), &config);
    assert!(config.normalisation().is_err());
    let ids = Tensor::<2, Int>::from_data([[1, 2, 3, 4, 5, 6, 7], [0, 0, 10, 0, 0, 0, 0]], &device);
    let targets = Tensor::zeros([2], &device);
    let batch = Batch::new(Samples::Tokens(ids.clone()), targets);
    let found = model.output(&batch).unwrap().logits().unwrap();
    assert_eq!(found.into_data(), network.forward(&ids).into_data());
    let answer = model
        .teacher(&device)
        .answer(&batch, &Requested::output())
        .unwrap();
    assert_eq!(answer.logits().unwrap().dims(), [2, 3]);
    let error = model
        .output(&Batch::black([1, 1, 7], 2, &device))
        .unwrap_err();
    assert!(error.to_string().contains("takes text"), "{error}");

    let both = text.replacen(
        "\"preprocessing\"",
        "\"normalisation\": { \"mean\": [0], \"std\": [1] }, \"preprocessing\"",
        1,
    );
    std::fs::write(folder.path().join(CONFIG_FILE), both).unwrap();
    let error = families().open(folder.path(), &device).unwrap_err();
    assert!(error.to_string().contains("exclude each other"), "{error}");
    assert!(folder.path().join(WEIGHTS_FILE).is_file());
}
