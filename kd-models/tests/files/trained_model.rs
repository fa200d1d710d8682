//! The face of a trained model: its outputs are its network's, and other samples are refused in words.

use burn::tensor::{Device, Distribution, Int, Tensor};
use kd_core::{
    Batch, Dataset, DatasetInfo, Error, ErrorKind, Frozen, FrozenTeacher, ImageShape, Loader,
    LoaderConfig, Masks, Names, Normalisation, Output, Requested, Samples, Split, StagedNetwork,
    Subset, Task, Teacher, evaluate, evaluate_segmentation, export, network_hash, read_tensors,
};
use kd_models::{
    Evaluation, Families, Model, ModelConfig, ModelNetwork, Network, NetworkSpec, TrainedModel,
    UNet, WEIGHTS_FILE, WeightFit, Weights, load_model, open_model, save_model, state_dict,
};
use tempfile::TempDir;

const SMALL_UNET: &str = "skd-unet-small-resnet10";

fn normalisation() -> Normalisation {
    Normalisation::new(vec![0.5, 0.4, 0.3], vec![0.25, 0.2, 0.3]).unwrap()
}

/// A network whose norms have seen images, with its config.
fn trained<N: ModelNetwork<Input = Tensor<4>>>(name: &str, classes: usize) -> (N, ModelConfig) {
    let spec = NetworkSpec::new(name, classes, [3, 32, 32]);
    let device = Device::flex().autodiff();
    let network = N::build(&spec, 2, &device).unwrap();
    let images = Tensor::random([4, 3, 32, 32], Distribution::Uniform(-2.0, 2.0), &device);
    let _ = network.forward(&images);
    (network.valid(), ModelConfig::new(spec, normalisation()))
}

fn boxed<N: ModelNetwork>(network: N, config: ModelConfig) -> Box<dyn TrainedModel> {
    Box::new(Model::new(network, config).unwrap())
}

fn images(count: usize) -> Tensor<4> {
    Tensor::random(
        [count, 3, 32, 32],
        Distribution::Uniform(0.0, 1.0),
        &Device::flex(),
    )
}

fn batch(images: Tensor<4>) -> Batch {
    let targets = Tensor::<1, Int>::zeros([images.dims()[0]], &images.device());
    Batch::new(Samples::Images(images), targets)
}

#[test]
fn a_classifier_outputs_what_its_network_does() {
    let (network, config) = trained::<Network>("resnet8", 5);
    let pixels = images(3);
    let input = normalisation().apply(pixels.clone()).unwrap();
    let expected = Frozen::new(&network).network().forward(&input);
    let model = boxed(network, config);
    let found = model.output(&batch(pixels)).unwrap().logits().unwrap();
    assert_eq!(found.into_data(), expected.into_data());
    assert_eq!(model.task(), Task::Classification);
    assert_eq!(model.stage_names(), ["stem", "layer1", "layer2", "layer3"]);
}

#[test]
fn a_segmentation_network_outputs_what_its_folded_form_does() {
    let (network, config) = trained::<UNet>(SMALL_UNET, 4);
    let pixels = images(2);
    let input = normalisation().apply(pixels.clone()).unwrap();
    let expected = Frozen::folded(&network).network().forward(&input);
    let model = boxed(network, config);
    let Output::Pixels(found) = model.output(&batch(pixels)).unwrap() else {
        unreachable!("logits of pixels")
    };
    assert_eq!(found.into_data(), expected.into_data());
    assert_eq!(model.task(), Task::Segmentation);
}

#[test]
fn tensors_costs_hash_and_teacher_are_those_of_the_network() {
    let (device, (network, config)) = (Device::flex(), trained::<Network>("wrn-16-1", 5));
    let model = boxed(network.clone(), config.clone());
    assert_eq!(model.state_dict(), state_dict(&network));
    assert_eq!(
        model.costs().unwrap(),
        config.network.costs(&device).unwrap()
    );
    assert_eq!(model.hash(), network_hash(&network, &config.preprocessing));
    let shapes = model.shapes();
    assert_eq!(shapes["fc.weight"], [5, 64]);
    assert!(!shapes.contains_key("bn1.num_batches_tracked"));

    let teacher = model.teacher(&device);
    let expected = FrozenTeacher::new(&network, normalisation(), &device);
    assert_eq!(teacher.hash(), expected.hash());
    let requested = Requested::output().with_tap("block2");
    let batch = batch(images(3));
    let found = teacher.answer(&batch, &requested).unwrap();
    let expected = expected.answer(&batch, &requested).unwrap();
    assert_eq!(
        found.logits().unwrap().into_data(),
        expected.logits().unwrap().into_data()
    );
    assert_eq!(found.maps[0].to_data(), expected.maps[0].to_data());
}

#[test]
fn a_model_is_measured_as_its_network_is() {
    let device = Device::flex();
    let data = DatasetInfo::find("fashion-mnist-mini").unwrap();
    let test = data
        .load(Split::Test, &kd_core::DataRoots::default())
        .unwrap();
    let test = Subset::from_ids(&test, (0..100).collect()).unwrap();
    let loader = Loader::new(test, LoaderConfig::ordered(64), &device).unwrap();
    let spec = NetworkSpec::new("lenet5-half", 10, [1, 28, 28]);
    let network = Network::build(&spec, 5, &device).unwrap();
    let expected = evaluate(&loader, None, |batch| {
        Ok(network.forward(&data.normalisation().apply(batch.pixels()?)?))
    });
    let model = boxed(
        network.clone(),
        ModelConfig::new(spec, data.normalisation()),
    );
    let Evaluation::Classification(found) = model.evaluate(&loader).unwrap() else {
        unreachable!("a classifier")
    };
    assert_eq!(
        found.summary().unwrap(),
        expected.unwrap().summary().unwrap()
    );
    assert_eq!(found.summary().unwrap().count, 100);

    let (unet, config) = trained::<UNet>(SMALL_UNET, 3);
    let loader = Loader::new(streets(), LoaderConfig::ordered(2), &device).unwrap();
    let folded = Frozen::folded(&unet);
    let expected = evaluate_segmentation(&loader, |batch| {
        Ok(folded
            .network()
            .forward(&normalisation().apply(batch.pixels()?)?))
    });
    let model = boxed(unet, config);
    let Evaluation::Segmentation(found) = model.evaluate(&loader).unwrap() else {
        unreachable!("a segmentation network")
    };
    assert_eq!(
        found.summary().unwrap(),
        expected.unwrap().summary().unwrap()
    );
    assert_eq!(found.summary().unwrap().images, 3);
}

/// Three images of noise with masks of three classes.
fn streets() -> Dataset {
    let mut draws = kd_core::Draws::new(3, "streets", 0, 0);
    let mut byte = |below: u64| u8::try_from(draws.below(below)).unwrap();
    let bytes = (0..3 * 3 * 32 * 32).map(|_| byte(256)).collect();
    let values = (0..3 * 32 * 32).map(|_| byte(3)).collect();
    let masks = Masks::new(3, None, values).unwrap();
    let shape = ImageShape::new(3, 32, 32);
    Dataset::segmentation("streets", Split::Test, shape, bytes, masks).unwrap()
}

#[test]
fn data_of_the_other_task_are_refused_in_words() {
    let device = Device::flex();
    let (network, config) = trained::<Network>("resnet8", 3);
    let loader = Loader::new(streets(), LoaderConfig::ordered(2), &device).unwrap();
    let error = boxed(network, config).evaluate(&loader).unwrap_err();
    assert!(error.to_string().contains("streets"), "{error}");
    let labelled = Dataset::new(
        "cats",
        Split::Test,
        ImageShape::new(3, 32, 32),
        3,
        vec![0; 3072],
        vec![1],
    );
    let loader = Loader::new(labelled.unwrap(), LoaderConfig::ordered(2), &device).unwrap();
    let (unet, config) = trained::<UNet>(SMALL_UNET, 3);
    let error = boxed(unet, config).evaluate(&loader).unwrap_err();
    assert!(
        error.to_string().contains("`cats` has a class for each"),
        "{error}"
    );
}

#[test]
fn other_samples_are_refused_in_words() {
    let device = Device::flex();
    let (network, config) = trained::<Network>("resnet8", 3);
    let model = boxed(network, config);
    let error = model
        .output(&Batch::black([3, 32, 31], 2, &device))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "images for `resnet8`: expected 3x32x32, got 3x32x31; give images of the size that the network \
         was built for"
    );
    let error = model
        .output(&Batch::black([1, 32, 32], 2, &device))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let tokens = Samples::Tokens(Tensor::zeros([2, 7], &device));
    let error = model
        .output(&Batch::new(tokens, Tensor::zeros([2], &device)))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is text, and this network takes images"),
        "{error}"
    );
}

#[test]
fn a_model_is_one_network_with_its_own_config() {
    let (network, config) = trained::<Network>("resnet8", 3);
    let other = ModelConfig::new(
        NetworkSpec::new("resnet14", 3, [3, 32, 32]),
        normalisation(),
    );
    let error = Model::new(network.clone(), other).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    let unet = ModelConfig::new(
        NetworkSpec::new(SMALL_UNET, 3, [3, 32, 32]),
        normalisation(),
    );
    let error = Model::new(network.clone(), unet).unwrap_err();
    assert!(
        error.to_string().contains("a segmentation network"),
        "{error}"
    );
    let grey = ModelConfig::new(config.network.clone(), Normalisation::identity(1));
    assert!(matches!(
        Model::new(network.clone(), grey),
        Err(Error::Config { .. })
    ));
    let (back, kept) = Model::new(network.clone(), config.clone())
        .unwrap()
        .into_parts();
    assert_eq!(
        (export(&back, Names::Burn), kept),
        (export(&network, Names::Burn), config)
    );
}

#[test]
fn a_folder_is_opened_whatever_it_holds_and_saved_again_to_the_same_bytes() {
    let device = Device::flex();
    for name in ["resnet8x4", SMALL_UNET] {
        let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let config = if name == SMALL_UNET {
            let (network, config) = trained::<UNet>(name, 4);
            save_model(one.path(), &network, &config).unwrap();
            config
        } else {
            let (network, config) = trained::<Network>(name, 4);
            save_model(one.path(), &network, &config).unwrap();
            config
        };
        // An autodiff device counts as its plain form.
        let model = open_model(one.path(), &device.clone().autodiff()).unwrap();
        assert_eq!(model.config(), &config);
        assert_eq!(model.network::<Network>().is_some(), name == "resnet8x4");
        assert_eq!(model.network::<UNet>().is_some(), name == SMALL_UNET);
        assert!(model.output(&batch(images(1))).is_ok());
        model.save(two.path()).unwrap();
        for file in [WEIGHTS_FILE, kd_models::CONFIG_FILE] {
            let bytes = |folder: &TempDir| std::fs::read(folder.path().join(file)).unwrap();
            assert_eq!(bytes(&one), bytes(&two), "{name} {file}");
        }
    }
}

#[test]
fn a_run_s_result_becomes_a_model_and_then_a_folder() {
    let (device, folder) = (Device::flex(), TempDir::new().unwrap());
    let (network, config) = trained::<Network>("resnet8", 4);
    let blank = Families::new().blank(config.clone(), &device).unwrap();
    let result = export(&network, Names::PyTorch);
    let model = blank.with_tensors(&result, "the run's result").unwrap();
    model.save(folder.path()).unwrap();
    let (loaded, read) = load_model::<Network>(folder.path(), &device).unwrap();
    assert_eq!(
        (export(&loaded, Names::PyTorch), read),
        (result.clone(), config)
    );
    // What it was made of is as it was, and a state dictionary will do as well.
    assert!(
        blank.state_dict()["conv1.weight"]
            .iter::<f32>()
            .all(|x| x == 0.0)
    );
    let again = blank
        .with_tensors(&model.state_dict(), "a state dictionary")
        .unwrap();
    assert_eq!(again.hash(), model.hash());
    assert_ne!(blank.hash(), model.hash());

    let mut lacking = result;
    lacking.remove("bn1.running_var");
    let error = blank
        .with_tensors(&lacking, "the run's result")
        .unwrap_err();
    assert!(
        error.to_string().starts_with("the run's result: "),
        "{error}"
    );
    assert!(error.to_string().contains("bn1.running_var"), "{error}");
}

#[test]
fn a_model_takes_the_weights_of_a_file() {
    let (device, folder) = (Device::flex(), TempDir::new().unwrap());
    let (network, config) = trained::<UNet>(SMALL_UNET, 4);
    save_model(folder.path(), &network, &config).unwrap();
    let file = folder.path().join(WEIGHTS_FILE);
    let weights = Weights::read(&file).unwrap();
    let blank = Families::new().blank(config.clone(), &device).unwrap();
    let (model, report) = blank.with_weights(&weights, WeightFit::Exact).unwrap();
    assert!(report.is_exact());
    assert_eq!(model.state_dict(), read_tensors(&file).unwrap());

    let mut more = config;
    more.network = NetworkSpec::new(SMALL_UNET, 5, [3, 32, 32]);
    let blank = Families::new().blank(more, &device).unwrap();
    let error = blank.with_weights(&weights, WeightFit::Exact).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the file has 4 classes, the network 5"),
        "{error}"
    );
    let (_, report) = blank.with_weights(&weights, WeightFit::Partial).unwrap();
    assert_eq!(report.unequal.len(), 2);
}

#[test]
fn the_face_is_object_safe_and_shown() {
    fn face(_: &dyn TrainedModel) {}
    let (network, config) = trained::<Network>("lenet5-half", 4);
    let model = Model::new(network, config).unwrap();
    face(&model);
    assert!(format!("{model:?}").contains("lenet5-half"));
}
