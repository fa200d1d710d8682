//! Folded norms: a network outputs the same with its norms folded into its convolutions, in fewer operations.

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use kd_core::{
    CountCosts, Draws, Frozen, LayerKind, Names, StagedNetwork, Tensors, export, import,
    tensor_shapes,
};
use kd_models::{
    BlockKind, CifarStemResNet, DenseNet, DenseNetConfig, ImageNetResNet, LargeResNetConfig,
    LargeVgg, LargeVggConfig, Network, NetworkSpec, OkddipResNet, OkddipResNetConfig, OkddipVgg,
    OkddipVggConfig, ShuffleNetV1, ShuffleNetV1Config, ShuffleNetV2, ShuffleNetV2Config,
    SkdResNetConfig, UNet, UNetConfig, Vgg, VggConfig,
};

/// A network of each family that has norms, by name or narrow, for images of a size, and how many of its
/// norms follow no convolution.
fn families(device: &Device) -> Vec<(&'static str, Network, [usize; 3], usize)> {
    let named = |name: &'static str, input, left| {
        let spec = NetworkSpec::new(name, 7, input);
        let network = Network::build(&spec, 1, device).unwrap();
        (name, network, input, left)
    };
    let vgg = VggConfig {
        widths: [vec![4], vec![5, 6], vec![7], vec![8], vec![6]],
    };
    let shuffle_v1 = ShuffleNetV1Config {
        stem: 12,
        widths: [36, 72, 144],
        blocks: [2, 2, 1],
        groups: 3,
    };
    let shuffle_v2 = ShuffleNetV2Config {
        widths: [8, 12, 16],
        last: 20,
        ..ShuffleNetV2Config::CRD
    };
    let large = LargeResNetConfig {
        block: BlockKind::Bottleneck,
        blocks: [1, 2, 1, 1],
        stem: 8,
        widths: [4, 6, 8, 10],
    };
    let bottlenecks = OkddipResNetConfig {
        blocks: [1, 2, 1],
        stem: 4,
        widths: [2, 3, 4],
        widening: 3,
    };
    let pooled = OkddipVggConfig {
        widths: [3, 4, 5, 6, 7],
        convolutions: [2, 1, 1, 3],
        hidden: 8,
    };
    let large_vgg = LargeVggConfig {
        widths: [3, 4, 5, 6, 7],
        convolutions: [2, 1, 1, 3, 1],
        hidden: 8,
    };
    let dense = DenseNetConfig {
        stem: 4,
        growth: 3,
        bottleneck: 2,
        layers: [2, 1, 3],
    };
    let input = [3, 18, 13];
    let bottlenecks = OkddipResNet::new(&bottlenecks, input, 7, 1, device).unwrap();
    let pooled = OkddipVgg::new(&pooled, [1, 40, 33], 7, 1, device).unwrap();
    let large_vgg = LargeVgg::new(&large_vgg, [1, 40, 33], 7, 1, device).unwrap();
    let dense = DenseNet::new(&dense, input, 7, 1, device).unwrap();
    let vgg = Vgg::new(&vgg, input, 7, 1, device).unwrap();
    let shuffle_v1 = ShuffleNetV1::new(&shuffle_v1, input, 7, 1, device).unwrap();
    let shuffle_v2 = ShuffleNetV2::new(&shuffle_v2, input, 7, 1, device).unwrap();
    let imagenet = ImageNetResNet::new(&large, [1, 66, 70], 7, 1, device).unwrap();
    let cifar = CifarStemResNet::new(&large, input, 7, 1, device).unwrap();
    vec![
        named("resnet8", [3, 16, 16], 0),
        named("crd-resnet14", [1, 9, 9], 0),
        named("resnet8x4", [3, 12, 9], 0),
        // The first norm of each of 6 blocks, and the last norm.
        named("wrn-16-1", [3, 16, 16], 7),
        named("mobilenetv2-half", [3, 32, 32], 0),
        named("mobilenetv2-mini", [3, 16, 16], 0),
        named("skd-small-resnet10", [1, 33, 40], 0),
        ("vgg", Network::Vgg(vgg), input, 0),
        ("shufflenetv1", Network::ShuffleNetV1(shuffle_v1), input, 0),
        ("shufflenetv2", Network::ShuffleNetV2(shuffle_v2), input, 0),
        (
            "imagenet",
            Network::ImageNetResNet(imagenet),
            [1, 66, 70],
            0,
        ),
        ("cifar-stem", Network::CifarStemResNet(cifar), input, 0),
        (
            "okddip-resnet",
            Network::OkddipResNet(bottlenecks),
            input,
            0,
        ),
        ("okddip-vgg", Network::OkddipVgg(pooled), [1, 40, 33], 0),
        ("large-vgg", Network::LargeVgg(large_vgg), [1, 40, 33], 0),
        // The first norm of each of 6 layers, those of the two transitions, and the last norm.
        ("densenet", Network::DenseNet(dense), input, 9),
    ]
}

/// A network whose norms have learnt something: scales of either sign, shifts, means and variances of all
/// sizes.
fn learnt<M: Module>(fresh: M) -> M {
    let tensors: Tensors = export(&fresh, Names::PyTorch)
        .into_iter()
        .map(|(name, data)| {
            let shape = data.shape().clone();
            let field = name.rsplit('.').next().unwrap();
            let mut draws = Draws::new(2, &name, 0, 0);
            let range = match (field, shape.num_dims()) {
                ("running_var", _) => (0.3, 3.0),
                ("running_mean" | "bias", _) => (-0.5, 0.5),
                ("weight", 1) if draws.below(8) == 0 => (-1.2, -0.4),
                ("weight", 1) => (0.4, 1.2),
                _ => return (name, data),
            };
            let values = (0..shape.num_elements()).map(|_| draws.between(range.0, range.1));
            let values: Vec<f64> = values.collect();
            (name, TensorData::new(values, shape))
        })
        .collect();
    import(&fresh, &tensors, Names::PyTorch, "the test").unwrap()
}

fn near<const D: usize>(what: &str, found: Tensor<D>, expected: Tensor<D>) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let scale = expected.clone().abs().max().into_scalar::<f32>();
    let worst = (found - expected).abs().max().into_scalar::<f32>();
    assert!(
        scale > 1e-2 && worst <= 1e-5 * scale,
        "{what}: {worst} of {scale}"
    );
}

#[test]
fn a_folded_network_says_what_the_plain_one_says_at_every_stage() {
    let device = Device::flex();
    for (name, network, input, _) in families(&device) {
        let network = learnt(network);
        let [channels, height, width] = input;
        let images = Tensor::<4>::random(
            [3, channels, height, width],
            Distribution::Normal(0.0, 1.0),
            &device,
        );
        let plain = network.forward_traced(&images);
        let folded = network.fold_norms().forward_traced(&images);
        let stages = network.stage_names();
        assert_eq!(network.fold_norms().stage_names(), stages);
        for (stage, (found, expected)) in stages.iter().zip(folded.maps.into_iter().zip(plain.maps))
        {
            near(&format!("{name} {stage}"), found, expected);
        }
        near(&format!("{name} dense"), folded.dense, plain.dense);
        near(&format!("{name} output"), folded.output, plain.output);
    }
}

#[test]
fn no_norm_is_left_that_follows_a_convolution() {
    for (name, network, input, left) in families(&Device::flex()) {
        let norms = |network: &Network| {
            let tensors = export(network, Names::PyTorch);
            tensors
                .keys()
                .filter(|name| name.ends_with("running_var"))
                .count()
        };
        let folded = network.fold_norms();
        assert!(norms(&network) > left, "{name}");
        assert_eq!(norms(&folded), left, "{name}");
        let (before, after) = (network.costs(input).unwrap(), folded.costs(input).unwrap());
        assert_eq!(before.macs(), after.macs(), "{name}");
        assert!(
            before.of_kind(LayerKind::Norm).macs > after.of_kind(LayerKind::Norm).macs,
            "{name}"
        );
    }
}

#[test]
fn folding_leaves_the_network_as_it_is_even_in_the_midst_of_training() {
    let device = Device::flex().autodiff();
    for (name, network, input, _) in families(&device) {
        let network = learnt(network);
        let [channels, height, width] = input;
        let images = Tensor::<4>::random(
            [3, channels, height, width],
            Distribution::Normal(0.5, 2.0),
            &device,
        );
        // One pass in training mode, whose update of the statistics Burn holds back.
        let _ = network.forward(&images);
        let before = export(&network, Names::PyTorch);
        let frozen = Frozen::folded(&network);
        assert_eq!(export(&network, Names::PyTorch), before, "{name}");

        let images = images.inner();
        let expected = Frozen::new(&network).network().forward(&images);
        let said = frozen.network().forward(&images);
        near(name, said.clone(), expected);
        // What is trained afterwards does not reach the folded network, nor can it be changed by running it.
        let _ = network.forward(&Tensor::from_inner(images.clone().mul_scalar(3.0)));
        let _ = network.forward(&Tensor::from_inner(images.clone().mul_scalar(3.0)));
        assert_eq!(
            frozen.network().forward(&images).into_data(),
            said.into_data(),
            "{name}"
        );
        assert!(
            frozen
                .network()
                .devices()
                .iter()
                .all(|device| !device.is_autodiff())
        );
    }
}

#[test]
fn a_folded_unet_says_what_the_plain_one_says_at_every_stage() {
    let device = Device::flex();
    let config = UNetConfig {
        encoder: SkdResNetConfig {
            widths: [4, 5, 6, 7],
            ..SkdResNetConfig::RESNET14
        },
        decoder: [8, 7, 6, 5, 4],
        head: 3,
    };
    let input = [2, 64, 96];
    let network = learnt(UNet::new(&config, input, 3, 1, &device).unwrap());
    let images = Tensor::<4>::random([2, 2, 64, 96], Distribution::Normal(0.0, 1.0), &device);
    let plain = network.forward_traced(&images);
    let folded = network.fold_norms();
    let trace = folded.forward_traced(&images);
    let stages = network.stage_names();
    for (stage, (found, expected)) in stages.iter().zip(trace.maps.into_iter().zip(plain.maps)) {
        near(stage, found, expected);
    }
    near("dense", trace.dense, plain.dense);
    near("output", trace.output, plain.output);
    let tensors = tensor_shapes(&folded, Names::PyTorch);
    assert!(!tensors.keys().any(|name| name.ends_with("running_var")));
    let (before, after) = (network.costs(input).unwrap(), folded.costs(input).unwrap());
    assert_eq!(before.macs(), after.macs());
    assert_eq!(after.of_kind(LayerKind::Norm).params, 0);
}

#[test]
fn a_network_without_norms_folds_to_a_copy() {
    let device = Device::flex();
    let spec = NetworkSpec::new("lenet5-half", 10, [1, 28, 28]);
    let network = Network::build(&spec, 1, &device).unwrap();
    assert_eq!(
        export(&network.fold_norms(), Names::PyTorch),
        export(&network, Names::PyTorch)
    );
}
