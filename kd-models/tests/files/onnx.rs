//! ONNX graphs of models of any type: their form, and what is refused in words.

use burn::tensor::Device;
use kd_core::{Normalisation, Preprocessing, Result, StagedNetwork};
use kd_models::{
    Families, ModelConfig, ModelNetwork, Network, NetworkSpec, OnnxInput, OnnxOptions, Structure,
};

use crate::families::{branched_spec, families, text_spec};

fn graph(spec: NetworkSpec, options: &OnnxOptions) -> Result<Vec<u8>> {
    let config = ModelConfig::new(spec, Normalisation::new(vec![0.5; 3], vec![0.25; 3])?);
    families().blank(config, &Device::flex())?.onnx(options)
}

fn contains(graph: &[u8], text: &str) -> bool {
    graph
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[test]
fn a_graph_has_images_and_logits_for_its_ends_and_takes_any_batch() {
    let spec = NetworkSpec::new("resnet8", 10, [3, 32, 32]);
    let pixels = graph(spec.clone(), &OnnxOptions::default()).unwrap();
    for name in ["images", "logits", "batch", "Conv"] {
        assert!(contains(&pixels, name), "{name}");
    }
    let mut options = OnnxOptions::default();
    options.input = OnnxInput::Normalised;
    let normalised = graph(spec.clone(), &options).unwrap();
    assert!(
        normalised.len() < pixels.len(),
        "the normalisation is part of the graph of pixels"
    );
    options.batch = Some(2);
    let fixed = graph(spec, &options).unwrap();
    assert!(contains(&fixed, "images") && !contains(&fixed, "batch"));
}

#[test]
fn a_family_of_another_crate_and_a_structure_of_its_own_are_written() {
    assert!(contains(
        &graph(branched_spec(3), &OnnxOptions::default()).unwrap(),
        "logits"
    ));
    let resnet = Structure::CrdResNet(kd_models::ResNetConfig {
        blocks: 1,
        widths: [4, 4, 6, 8],
    });
    let spec = NetworkSpec::with_structure("cut", resnet, 4, [3, 16, 16]);
    assert!(contains(
        &graph(spec, &OnnxOptions::default()).unwrap(),
        "logits"
    ));
}

#[test]
fn the_networks_of_okddip_are_written() {
    for (name, operation) in [
        ("okddip-resnet110", "Conv"),
        ("okddip-vgg16", "MaxPool"),
        ("okddip-densenet-40-12", "AveragePool"),
    ] {
        let spec = NetworkSpec::new(name, 4, [3, 32, 32]);
        let written = graph(spec, &OnnxOptions::default()).unwrap();
        for part in ["images", "logits", "batch", operation] {
            assert!(contains(&written, part), "{name}: {part}");
        }
    }
}

#[test]
fn a_network_with_an_output_for_each_pixel_is_written() {
    let spec = NetworkSpec::new("skd-unet-small-resnet10", 4, [3, 32, 32]);
    let written = graph(spec, &OnnxOptions::default()).unwrap();
    for name in ["images", "logits", "batch", "Resize"] {
        assert!(contains(&written, name), "{name}");
    }
}

#[test]
fn networks_that_cannot_be_written_are_refused_in_words() {
    let spec = NetworkSpec::new("shufflenetv2", 4, [3, 32, 32]);
    let text = graph(spec, &OnnxOptions::default())
        .unwrap_err()
        .to_string();
    // A batch of one would not help, so that it is not advised.
    let mut one = OnnxOptions::default();
    one.batch = Some(1);
    let spec = NetworkSpec::new("shufflenetv2", 4, [3, 32, 32]);
    assert_eq!(graph(spec, &one).unwrap_err().to_string(), text);
    assert!(
        text.starts_with("`onnx` is a format that `shufflenetv2` cannot be written in"),
        "{text}"
    );
    let config = ModelConfig::new(text_spec(), Preprocessing::Tokens);
    let model = families().blank(config, &Device::flex()).unwrap();
    let text = model.onnx(&OnnxOptions::default()).unwrap_err().to_string();
    assert!(text.contains("is for networks that take images"), "{text}");
}

#[test]
fn the_network_is_left_as_it_is() {
    let spec = NetworkSpec::new("resnet8", 10, [3, 32, 32]);
    let network = Network::build(&spec, 0, &Device::flex()).unwrap();
    let config = ModelConfig::new(spec, Normalisation::identity(3));
    let blank = Families::new().blank(config, &Device::flex()).unwrap();
    let tensors = kd_core::export(&network, kd_core::Names::PyTorch);
    let model = blank.with_tensors(&tensors, "the test").unwrap();
    let before = model.hash();
    model.onnx(&OnnxOptions::default()).unwrap();
    assert_eq!(model.hash(), before);
    // The explicit shortcuts are the graph's alone.
    assert!(Network::check_spec(&model.config().network).is_ok());
    assert!(
        !model
            .shapes()
            .keys()
            .any(|name| name.contains("downsample"))
    );
}

#[test]
fn networks_of_torchvision_for_large_images_are_written() {
    let narrow = Structure::LargeVgg(kd_models::LargeVggConfig {
        widths: [2, 3, 2, 3, 2],
        convolutions: [1, 1, 1, 1, 1],
        hidden: 4,
    });
    let vgg = NetworkSpec::with_structure("narrow", narrow, 4, [3, 224, 224]);
    for (spec, operation) in [
        (NetworkSpec::new("mobilenetv2-mini", 4, [3, 32, 32]), "Relu"),
        (vgg, "MaxPool"),
    ] {
        let written = graph(spec.clone(), &OnnxOptions::default()).unwrap();
        for part in ["images", "logits", "batch", operation] {
            assert!(contains(&written, part), "{}: {part}", spec.name);
        }
    }
}

#[test]
fn the_form_for_other_formats_is_the_same_function() {
    let device = Device::flex();
    let spec = NetworkSpec::new("mobilenetv2-mini", 4, [3, 16, 16]);
    let network = Network::build(&spec, 3, &device).unwrap();
    // Bright enough that some activations are cut at 6.
    let images = burn::tensor::Tensor::<4>::ones([2, 3, 16, 16], &device) * 40.0;
    let own = network.forward_traced(&images);
    let cut = own
        .maps
        .iter()
        .any(|map| map.clone().max().into_scalar::<f32>() >= 6.0);
    assert!(cut, "nothing is cut at 6");
    let portable = network.portable().forward(&images);
    let scale = own.output.clone().abs().max().into_scalar::<f32>();
    let worst = (portable - own.output).abs().max().into_scalar::<f32>();
    assert!(worst <= 1e-4 * scale.max(1e-3), "{worst} of {scale}");
}
