//! The ResNets of Stagewise KD: the shapes and the costs of the paper, stage by stage.

use burn::tensor::{Device, Tensor};
use kd_core::{Costs, LayerKind, Names, StagedNetwork, export};
use kd_models::{Network, NetworkSpec, SkdResNet, SkdResNetConfig, StemKind};

const DEPTHS: [u32; 6] = [10, 14, 18, 20, 26, 34];

fn costs(name: &str, input: [usize; 3]) -> Costs {
    let spec = NetworkSpec::new(name, 10, input);
    spec.costs(&Device::flex()).unwrap()
}

/// The shapes of the maps and of the dense vector of a narrow network of the same form, its widths
/// multiplied.
fn shapes(blocks: [usize; 4], input: [usize; 3]) -> Vec<[usize; 3]> {
    let device = Device::flex();
    let config = SkdResNetConfig {
        blocks,
        widths: [1, 2, 4, 8],
        stem: StemKind::Large,
    };
    let network = SkdResNet::new(&config, input, 10, 0, &device).unwrap();
    let [channels, height, width] = input;
    let trace = network.forward_traced(&Tensor::zeros([1, channels, height, width], &device));
    assert_eq!(
        (trace.dense.dims(), trace.output.dims()),
        ([1, 2 * 8], [1, 10])
    );
    trace
        .maps
        .iter()
        .map(|map| {
            let [_, channels, height, width] = map.dims();
            [64 * channels, height, width]
        })
        .collect()
}

#[test]
fn maps_have_the_paper_s_shapes_at_every_depth() {
    let at_224 = [
        [64, 112, 112],
        [64, 56, 56],
        [128, 28, 28],
        [256, 14, 14],
        [512, 7, 7],
    ];
    let at_32 = [
        [64, 16, 16],
        [64, 8, 8],
        [128, 4, 4],
        [256, 2, 2],
        [512, 1, 1],
    ];
    for config in [
        SkdResNetConfig::RESNET10,
        SkdResNetConfig::RESNET14,
        SkdResNetConfig::RESNET18,
        SkdResNetConfig::RESNET20,
        SkdResNetConfig::RESNET26,
        SkdResNetConfig::RESNET34,
    ] {
        assert_eq!(config.widths, [64, 128, 256, 512]);
        assert_eq!(shapes(config.blocks, [3, 224, 224]), at_224);
        assert_eq!(shapes(config.blocks, [3, 32, 32]), at_32);
    }
}

#[test]
fn networks_by_name_have_the_shapes_of_their_widths() {
    let device = Device::flex();
    let images = Tensor::zeros([2, 3, 32, 32], &device);
    for (name, sides, width) in [
        ("skd-resnet10", [16, 8, 4, 2, 1], 64),
        ("skd-small-resnet34", [16, 8, 4, 2, 1], 16),
        ("skd-small-resnet10-cifar", [32, 32, 16, 8, 4], 16),
    ] {
        let spec = NetworkSpec::new(name, 10, [3, 32, 32]);
        let network = Network::blank(&spec, &device).unwrap();
        assert_eq!(
            network.stage_names(),
            ["stem", "layer1", "layer2", "layer3", "layer4"]
        );
        let trace = network.forward_traced(&images);
        let found: Vec<_> = trace.maps.iter().map(Tensor::dims).collect();
        let widths = [1, 1, 2, 4, 8].map(|factor| factor * width);
        let expected: Vec<_> = widths
            .into_iter()
            .zip(sides)
            .map(|(width, side)| [2, width, side, side])
            .collect();
        assert_eq!(found, expected, "{name}");
        assert_eq!(trace.dense.dims(), [2, 16 * width]);
    }
}

#[test]
fn parameters_are_the_paper_s_stage_by_stage() {
    // Stem, four groups; the totals in millions are those of the repository's README.
    let table = [
        ([9_536, 73_984, 230_144, 919_040, 3_673_088], "5.171"),
        ([9_536, 73_984, 230_144, 2_099_712, 8_393_728], "11.072"),
        ([9_536, 147_968, 525_568, 2_099_712, 8_393_728], "11.441"),
        ([9_536, 147_968, 525_568, 3_280_384, 8_393_728], "12.622"),
        ([9_536, 221_952, 820_992, 3_280_384, 13_114_368], "17.712"),
        ([9_536, 221_952, 1_116_416, 6_822_400, 13_114_368], "21.550"),
    ];
    for (depth, (stages, total)) in DEPTHS.into_iter().zip(table) {
        let costs = costs(&format!("skd-resnet{depth}"), [3, 224, 224]);
        let found: Vec<u64> = costs
            .by_stage()
            .into_iter()
            .map(|(_, cost)| cost.params)
            .collect();
        assert_eq!(found[..5], stages, "{depth}");
        assert_eq!(found[5..], [264_970], "{depth}");
        assert_eq!(format!("{:.3}", costs.params() as f64 / 1e6), total);
    }
}

#[test]
fn multiply_accumulates_are_those_of_the_repository_s_readme() {
    // Its counts take in more than ours. Four for each element of a norm and two for each pixel behind the
    // maximum pooling give all six of its figures to the last digit, in billions.
    let table = ["0.896", "1.359", "1.824", "2.056", "2.752", "3.679"];
    for (depth, billions) in DEPTHS.into_iter().zip(table) {
        let costs = costs(&format!("skd-resnet{depth}"), [3, 224, 224]);
        let theirs = costs.macs() + 4 * costs.of_kind(LayerKind::Norm).macs + 2 * (64 * 56 * 56);
        assert_eq!(format!("{:.3}", theirs as f64 / 1e9), billions, "{depth}");
        let share = costs.macs() as f64 / theirs as f64;
        assert!(share > 0.99, "{depth}: {share}");
    }
}

#[test]
fn the_small_family_is_as_small_as_it_is_said_to_be() {
    for (name, millions, macs) in [
        ("skd-small-resnet34", "1.352", "5.1"),
        ("skd-small-resnet10", "0.327", "1.6"),
        ("skd-small-resnet34-cifar", "1.350", "72.8"),
        ("skd-small-resnet10-cifar", "0.325", "16.2"),
    ] {
        let costs = costs(name, [3, 32, 32]);
        let found = (costs.params() as f64 / 1e6, costs.macs() as f64 / 1e6);
        assert_eq!(format!("{:.3}", found.0), millions, "{name}");
        assert_eq!(format!("{:.1}", found.1), macs, "{name}");
    }
}

#[test]
fn the_maximum_comes_first_in_the_dense_vector() {
    let device = Device::flex();
    let spec = NetworkSpec::new("skd-small-resnet10", 10, [3, 96, 96]);
    let network = Network::build(&spec, 3, &device).unwrap();
    let images = Tensor::random(
        [2, 3, 96, 96],
        burn::tensor::Distribution::Normal(0.0, 1.0),
        &device,
    );
    let trace = network.forward_traced(&images);
    let map = &trace.maps[4];
    assert_eq!(map.dims(), [2, 128, 3, 3]);
    let maximum: Tensor<2> = map.clone().max_dim(3).max_dim(2).reshape([2, 128]);
    let average: Tensor<2> = map.clone().mean_dim(3).mean_dim(2).reshape([2, 128]);
    let expected = Tensor::cat(vec![maximum, average], 1);
    let worst = (trace.dense - expected).abs().max().into_scalar::<f32>();
    assert!(worst < 1e-6, "{worst}");
}

#[test]
fn initial_weights_follow_the_paper_s_laws() {
    let device = Device::flex();
    let spec = NetworkSpec::new("skd-small-resnet10", 10, [3, 32, 32]);
    let tensors = export(&Network::build(&spec, 3, &device).unwrap(), Names::PyTorch);
    let values = |name: &str| tensors[name].iter::<f64>().collect::<Vec<_>>();
    for (name, fan_out) in [
        ("conv1.weight", 49.0 * 16.0),
        ("layer4.0.conv2.weight", 9.0 * 128.0),
        ("layer2.0.downsample.0.weight", 32.0),
    ] {
        let values = values(name);
        let n = values.len() as f64;
        let std = (values.iter().map(|x| x * x).sum::<f64>() / n).sqrt();
        let wanted = f64::sqrt(2.0 / fan_out);
        assert!(
            (std / wanted - 1.0).abs() < 5.0 / (2.0 * n).sqrt(),
            "{name}: {std}, wanted {wanted}"
        );
    }
    for (layer, fan_in) in [("fc", 256.0), ("fc2", 64.0)] {
        let bound = 1.0 / f64::sqrt(fan_in);
        for field in ["weight", "bias"] {
            let largest = values(&format!("{layer}.{field}"))
                .into_iter()
                .fold(0.0, |largest: f64, x| largest.max(x.abs()));
            assert!(
                largest <= bound * 1.000_001 && largest > 0.6 * bound,
                "{layer}.{field}: {largest} {bound}"
            );
        }
    }
}

#[test]
fn a_head_without_a_hidden_layer_is_refused() {
    let config = SkdResNetConfig {
        blocks: [1, 1, 1, 1],
        widths: [1, 1, 1, 1],
        stem: StemKind::Small,
    };
    let error = SkdResNet::new(&config, [1, 8, 8], 2, 0, &Device::flex()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`widths` must end with 2 or more, as the head's hidden layer has half as many features, got \
         [1, 1, 1, 1]"
    );
}
