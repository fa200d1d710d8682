//! Model folders and weight files of U-Nets, and of classifiers where a U-Net is wanted.

use burn::tensor::{Device, Distribution, Tensor};
use kd_core::{Error, ErrorKind, Names, Normalisation, StagedNetwork, Task, export, hash_tensors};
use kd_models::{
    ModelConfig, ModelNetwork, Network, NetworkSpec, UNet, WEIGHTS_FILE, WeightFit, Weights,
    load_model, save_model,
};
use tempfile::TempDir;

const SMALL: &str = "skd-unet-small-resnet10";

fn spec(name: &str) -> NetworkSpec {
    NetworkSpec::new(name, 12, [3, 64, 32])
}

fn built(name: &str) -> UNet {
    UNet::build(&spec(name), 4, &Device::flex()).unwrap()
}

fn images(device: &Device) -> Tensor<4> {
    Tensor::random([2, 3, 64, 32], Distribution::Normal(0.0, 1.0), device)
}

fn saved(name: &str) -> (TempDir, ModelConfig) {
    let folder = TempDir::new().unwrap();
    let config = ModelConfig::new(spec(name), Normalisation::identity(3));
    if config.network.task().unwrap() == Task::Segmentation {
        save_model(folder.path(), &built(name), &config).unwrap();
    } else {
        let network = Network::build(&config.network, 4, &Device::flex()).unwrap();
        save_model(folder.path(), &network, &config).unwrap();
    }
    (folder, config)
}

#[test]
fn a_model_folder_gives_back_what_was_saved() {
    let device = Device::flex();
    let (folder, config) = saved(SMALL);
    let (loaded, read) = load_model::<UNet>(folder.path(), &device).unwrap();
    assert_eq!(read, config);
    let network = built(SMALL);
    let hash = |network: &UNet| hash_tensors(&export(network, Names::Burn));
    assert_eq!(hash(&loaded), hash(&network));
    let input = images(&device);
    assert_eq!(
        loaded.forward(&input).into_data(),
        network.forward(&input).into_data()
    );
    let file = kd_core::read_tensors(&folder.path().join(WEIGHTS_FILE)).unwrap();
    assert!(file.contains_key("decoder.blocks.4.conv2.1.num_batches_tracked"));
    assert_eq!(
        file["segmentation_head.0.weight"].shape().as_slice(),
        [12, 4, 3, 3]
    );
}

#[test]
fn a_folder_of_the_other_kind_is_refused_in_words() {
    let device = Device::flex();
    let (unet, _) = saved(SMALL);
    let error = load_model::<Network>(unet.path(), &device).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(
        error.to_string().ends_with(
            "config.json` describes `skd-unet-small-resnet10`, a segmentation network, where a \
             classification network is to be read; give another folder"
        ),
        "{error}"
    );
    let (classifier, _) = saved("resnet8");
    let error = load_model::<UNet>(classifier.path(), &device).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(
        error.to_string().ends_with(
            "config.json` describes `resnet8`, a classification network, where a segmentation network \
             is to be read; give another folder"
        ),
        "{error}"
    );
}

#[test]
fn a_unet_is_not_saved_as_another() {
    let folder = TempDir::new().unwrap();
    let config = |name: &str| ModelConfig::new(spec(name), Normalisation::identity(3));
    let network = built(SMALL);
    let other = save_model(folder.path(), &network, &config("skd-unet-small-resnet14"));
    assert!(matches!(other, Err(Error::Mismatch { .. })));
    let other = save_model(folder.path(), &network, &config("resnet8"));
    assert!(matches!(other, Err(Error::Config { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_weight_file_is_recognised_and_told_from_others() {
    let device = Device::flex();
    let (folder, _) = saved(SMALL);
    let weights = Weights::read(&folder.path().join(WEIGHTS_FILE)).unwrap();
    let fitting = weights.networks(&device);
    assert_eq!(fitting, [NetworkSpec::new(SMALL, 12, [3, 32, 32])]);
    let more = NetworkSpec::new(SMALL, 11, [3, 64, 32]);
    let error = weights
        .load_network::<UNet>(&more, WeightFit::Exact, &device)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the last layer of the file has 12 classes, the network 11"),
        "{error}"
    );
    let error = weights
        .load_network::<Network>(&spec("resnet8"), WeightFit::Exact, &device)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the file fits `skd-unet-small-resnet10`"),
        "{error}"
    );
}
