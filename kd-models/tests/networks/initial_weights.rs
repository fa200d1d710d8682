//! Initial weights: a function of seed and path alone, with the moments that their law has.

use burn::tensor::Device;
use kd_core::{Error, Names, Tensors, export, hash_tensors};
use kd_models::{Network, NetworkSpec};

fn tensors(name: &str, classes: usize, seed: u64, device: &Device) -> Tensors {
    let spec = NetworkSpec::new(name, classes, [3, 32, 32]);
    export(
        &Network::build(&spec, seed, device).unwrap(),
        Names::PyTorch,
    )
}

fn values(tensors: &Tensors, name: &str) -> Vec<f64> {
    tensors[name].iter::<f64>().collect()
}

fn moments(values: &[f64]) -> (f64, f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let largest = values
        .iter()
        .fold(0.0, |largest: f64, x| largest.max(x.abs()));
    (mean, variance.sqrt(), largest)
}

#[test]
fn the_same_seed_gives_the_same_weights_on_any_kind_of_device() {
    let device = Device::flex();
    for name in ["lenet5-half", "resnet8", "resnet8x4"] {
        let hash = |seed, device: &Device| hash_tensors(&tensors(name, 10, seed, device));
        let first = hash(5, &device);
        device.seed(99);
        assert_eq!(first, hash(5, &device), "{name}");
        assert_eq!(first, hash(5, &device.clone().autodiff()), "{name}");
        assert_ne!(first, hash(6, &device), "{name}");
    }
}

#[test]
fn every_drawn_tensor_changes_with_the_seed_and_no_two_are_alike() {
    let device = Device::flex();
    let (one, two) = (
        tensors("lenet5", 10, 1, &device),
        tensors("lenet5", 10, 2, &device),
    );
    for (name, data) in &one {
        assert_ne!(data, &two[name], "{name}");
    }
    let deep = tensors("resnet14", 10, 1, &device);
    assert_ne!(deep["layer1.0.conv1.weight"], deep["layer1.0.conv2.weight"]);
    assert_ne!(deep["layer1.0.conv1.weight"], deep["layer1.1.conv1.weight"]);
}

#[test]
fn other_parts_of_the_network_do_not_matter() {
    let device = Device::flex();
    let (ten, hundred) = (
        tensors("resnet8", 10, 1, &device),
        tensors("resnet20", 100, 1, &device),
    );
    assert_eq!(
        ten["layer2.0.conv1.weight"],
        hundred["layer2.0.conv1.weight"]
    );
    assert_ne!(ten["linear.weight"], hundred["linear.weight"]);
}

#[test]
fn the_resnet_of_he_is_kaiming_normal_by_fan_in() {
    let tensors = tensors("resnet8", 100, 3, &Device::flex());
    for (name, fan_in) in [
        ("conv1.weight", 27.0),
        ("layer1.0.conv1.weight", 144.0),
        ("layer2.0.conv1.weight", 144.0),
        ("layer3.0.conv2.weight", 576.0),
        ("linear.weight", 64.0),
    ] {
        let values = values(&tensors, name);
        let (mean, std, _) = moments(&values);
        let (wanted, n) = ((2.0_f64 / fan_in).sqrt(), values.len() as f64);
        assert!(mean.abs() < 5.0 * wanted / n.sqrt(), "{name}: mean {mean}");
        assert!(
            (std / wanted - 1.0).abs() < 5.0 / (2.0 * n).sqrt(),
            "{name}: std {std}, wanted {wanted}"
        );
    }
    let (_, _, bias) = moments(&values(&tensors, "linear.bias"));
    assert!(bias <= 0.125 && bias > 0.1, "{bias}");
}

#[test]
fn the_resnet_of_crd_is_kaiming_normal_by_fan_out_with_an_ordinary_last_layer() {
    let tensors = tensors("resnet8x4", 100, 3, &Device::flex());
    for (name, fan_out) in [
        ("conv1.weight", 9.0 * 32.0),
        ("layer2.0.conv1.weight", 9.0 * 128.0),
        ("layer2.0.downsample.0.weight", 128.0),
    ] {
        let (_, std, _) = moments(&values(&tensors, name));
        let wanted = (2.0_f64 / fan_out).sqrt();
        assert!(
            (std / wanted - 1.0).abs() < 0.1,
            "{name}: std {std}, wanted {wanted}"
        );
    }
    let (_, std, largest) = moments(&values(&tensors, "fc.weight"));
    let bound = 1.0 / 16.0;
    assert!(
        largest <= bound && (std / (bound / 3_f64.sqrt()) - 1.0).abs() < 0.05,
        "{std} {largest}"
    );
}

#[test]
fn vgg_and_mobilenet_have_a_small_last_layer_and_no_biases() {
    for (name, conv, fan_out, last) in [
        ("vgg8", "block2.0", 9.0 * 256.0, "classifier"),
        ("okddip-vgg16", "layer2.3", 9.0 * 256.0, "classifier.3"),
        (
            "mobilenetv2-half",
            "blocks.5.1.conv.3",
            9.0 * 480.0,
            "classifier.0",
        ),
    ] {
        let tensors = tensors(name, 100, 3, &Device::flex());
        let (_, std, _) = moments(&values(&tensors, &format!("{conv}.weight")));
        let wanted = (2.0_f64 / fan_out).sqrt();
        assert!(
            (std / wanted - 1.0).abs() < 0.05,
            "{name}: {std}, wanted {wanted}"
        );
        let (_, std, _) = moments(&values(&tensors, &format!("{last}.weight")));
        assert!((std / 0.01 - 1.0).abs() < 0.02, "{name}: {std}");
        for (bias, values) in tensors
            .iter()
            .filter(|(name, _)| name.rsplit('.').next() == Some("bias"))
        {
            assert!(values.iter::<f64>().all(|x| x == 0.0), "{name} {bias}");
        }
    }
}

#[test]
fn a_wide_resnet_is_as_the_crd_resnets_are_but_for_the_bias() {
    let tensors = tensors("wrn-16-2", 100, 3, &Device::flex());
    let (_, std, _) = moments(&values(&tensors, "block3.layer.0.convShortcut.weight"));
    assert!((std / (2.0_f64 / 128.0).sqrt() - 1.0).abs() < 0.05, "{std}");
    let (_, _, largest) = moments(&values(&tensors, "fc.weight"));
    let bound = 1.0 / 128_f64.sqrt();
    assert!(
        largest <= bound * 1.000_001 && largest > 0.99 * bound,
        "{largest}"
    );
    assert!(values(&tensors, "fc.bias").iter().all(|&x| x == 0.0));
}

#[test]
fn shufflenets_are_as_pytorch_s_layers_come() {
    for (name, conv, fan_in) in [
        ("shufflenetv1", "layer2.1.conv1.weight", 480.0 / 3.0),
        ("shufflenetv1", "layer2.1.conv2.weight", 9.0),
        ("shufflenetv2", "layer2.1.conv1.weight", 116.0),
    ] {
        let tensors = tensors(name, 10, 3, &Device::flex());
        let (_, _, largest) = moments(&values(&tensors, conv));
        let bound = 1.0 / f64::sqrt(fan_in);
        assert!(
            largest <= bound * 1.000_001 && largest > 0.98 * bound,
            "{conv}: {largest} {bound}"
        );
    }
}

#[test]
fn a_densenet_is_kaiming_normal_by_fan_in_with_an_ordinary_last_layer_without_bias() {
    let tensors = tensors("okddip-densenet-40-12", 100, 3, &Device::flex());
    let block = "features.denseblock2.denselayer3";
    for (name, fan_in) in [
        (format!("{block}.conv1.weight"), 72.0),
        (format!("{block}.conv2.weight"), 9.0 * 48.0),
    ] {
        let (_, std, _) = moments(&values(&tensors, &name));
        let wanted = (2.0_f64 / fan_in).sqrt();
        assert!((std / wanted - 1.0).abs() < 0.05, "{name}: {std} {wanted}");
    }
    let (_, _, largest) = moments(&values(&tensors, "classifier.weight"));
    let bound = 1.0 / 132_f64.sqrt();
    assert!(
        largest <= bound * 1.000_001 && largest > 0.99 * bound,
        "{largest}"
    );
    assert!(
        values(&tensors, "classifier.bias")
            .iter()
            .all(|&x| x == 0.0)
    );
}

#[test]
fn lenet_is_uniform_as_pytorch_s_layers_come() {
    let tensors = tensors("lenet5", 10, 3, &Device::flex());
    for (layer, fan_in) in [
        ("conv1", 75.0),
        ("conv2", 150.0),
        ("conv3", 400.0),
        ("fc1", 120.0),
        ("fc2", 84.0),
    ] {
        let bound = 1.0 / f64::sqrt(fan_in);
        let (mean, std, largest) = moments(&values(&tensors, &format!("{layer}.weight")));
        assert!(
            largest <= bound * 1.000_001 && largest > 0.95 * bound,
            "{layer}: {largest} {bound}"
        );
        assert!(
            mean.abs() < 0.2 * bound && (std / (bound / 3_f64.sqrt()) - 1.0).abs() < 0.1,
            "{layer}"
        );
        let (_, _, largest) = moments(&values(&tensors, &format!("{layer}.bias")));
        assert!(
            largest <= bound * 1.000_001 && largest > 0.4 * bound,
            "{layer}: {largest} {bound}"
        );
    }
}

#[test]
fn norms_begin_as_the_identity() {
    let tensors = tensors("resnet8x4", 10, 3, &Device::flex());
    for (field, value) in [
        ("weight", 1.0),
        ("bias", 0.0),
        ("running_mean", 0.0),
        ("running_var", 1.0),
    ] {
        for norm in ["bn1", "layer1.0.bn2", "layer3.0.downsample.1"] {
            let (mean, std, _) = moments(&values(&tensors, &format!("{norm}.{field}")));
            assert_eq!((mean, std), (value, 0.0), "{norm}.{field}");
        }
    }
}

#[test]
fn what_cannot_be_built_is_said_in_words() {
    let device = Device::flex();
    let text = |name: &str, classes, input| {
        Network::build(&NetworkSpec::new(name, classes, input), 0, &device)
            .unwrap_err()
            .to_string()
    };
    let unknown = text("resnet21", 10, [3, 32, 32]);
    assert!(
        unknown.contains("unknown network `resnet21`; did you mean `resnet20`?"),
        "{unknown}"
    );
    assert!(unknown.contains("resnet32x4"), "{unknown}");
    assert_eq!(
        text("resnet8", 1, [3, 32, 32]),
        "`classes` must be 2 or more, got 1"
    );
    assert!(text("resnet8", 10, [0, 32, 32]).contains("above 0, got [0, 32, 32]"));
    assert!(text("lenet5", 10, [1, 27, 28]).contains("28 pixels or more a side, got [1, 27, 28]"));
    let vgg = text("vgg13", 10, [3, 7, 32]);
    assert_eq!(
        vgg,
        "`input` of a VGG must have 8 pixels or more a side, got [3, 7, 32]; give larger images or a \
         network with less downsampling"
    );
    assert!(text("wrn_40-3", 10, [3, 32, 32]).contains("did you mean `wrn-40-"));
    let odd = kd_models::ShuffleNetV1Config {
        widths: [240, 481, 960],
        ..kd_models::ShuffleNetV1Config::CRD
    };
    let error = kd_models::ShuffleNetV1::new(&odd, [3, 8, 8], 2, 0, &device).unwrap_err();
    assert!(
        error.to_string().contains("divisible by the 3 groups"),
        "{error}"
    );
    let empty = kd_models::VggConfig {
        widths: [vec![4], vec![], vec![4], vec![4], vec![4]],
    };
    let error = kd_models::Vgg::new(&empty, [3, 8, 8], 2, 0, &device).unwrap_err();
    assert!(
        error.to_string().contains("a convolution in each group"),
        "{error}"
    );
    let shrinking = kd_models::ResNetConfig {
        blocks: 1,
        widths: [8, 8, 4, 8],
    };
    let error = kd_models::HeResNet::new(&shrinking, [3, 8, 8], 2, 0, &device).unwrap_err();
    assert!(matches!(error, Error::Config { .. }) && error.to_string().contains("must not shrink"));
    assert!(kd_models::CrdResNet::new(&shrinking, [3, 8, 8], 2, 0, &device).is_ok());
}
