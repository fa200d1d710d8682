//! Parameters and multiply-accumulates against published figures and against arithmetic done apart from the
//! layers.

use burn::tensor::Device;
use kd_core::{Cost, Costs, CountCosts, Error, LayerKind};
use kd_models::{Network, NetworkSpec, Structure, TextCnnConfig, known_networks};

fn costs(name: &str, classes: usize, input: [usize; 3]) -> Costs {
    let spec = NetworkSpec::new(name, classes, input);
    spec.costs(&Device::flex()).unwrap()
}

#[test]
fn parameters_are_the_published_ones() {
    // LeNets: DAFL's networks. ResNets with 10 classes: Idelbayev's table gives 0.27, 0.46, 0.66, 0.85 and
    // 1.7 M. With 100 classes: the networks of the CRD benchmark.
    let published = [
        ("lenet5", 10, 1, 61_706),
        ("lenet5-half", 10, 1, 15_738),
        ("resnet20", 10, 3, 269_722),
        ("resnet32", 10, 3, 464_154),
        ("resnet44", 10, 3, 658_586),
        ("resnet56", 10, 3, 853_018),
        ("resnet110", 10, 3, 1_727_962),
        ("resnet8x4", 100, 3, 1_233_540),
        ("resnet32x4", 100, 3, 7_433_860),
        ("crd-resnet20", 100, 3, 278_324),
        ("crd-resnet32", 100, 3, 472_756),
        ("crd-resnet56", 100, 3, 861_620),
        ("crd-resnet110", 100, 3, 1_736_564),
        ("wrn-16-2", 100, 3, 703_284),
        ("wrn-40-1", 100, 3, 569_780),
        ("wrn-40-2", 100, 3, 2_255_156),
        ("vgg8", 100, 3, 3_965_028),
        ("vgg13", 100, 3, 9_462_180),
        ("mobilenetv2-half", 100, 3, 812_836),
        ("mobilenetv2-cifar", 10, 3, 2_236_682),
        ("mobilenetv2-cifar", 100, 3, 2_351_972),
        ("mobilenetv2-imagenet", 1000, 3, 3_504_872),
        ("mobilenetv2-mini", 10, 3, 65_386),
        ("mobilenetv2-mini", 10, 1, 65_098),
        ("shufflenetv1", 100, 3, 949_258),
        ("shufflenetv2", 100, 3, 1_355_528),
        ("resnet50-cifar", 100, 3, 23_705_252),
        // torchvision's.
        ("resnet18", 1000, 3, 11_689_512),
        ("resnet34", 1000, 3, 21_797_672),
        ("resnet50", 1000, 3, 25_557_032),
        ("vgg11-imagenet", 1000, 3, 132_868_840),
        ("vgg13-imagenet", 1000, 3, 133_053_736),
        ("vgg16-imagenet", 1000, 3, 138_365_992),
        ("vgg19-imagenet", 1000, 3, 143_678_248),
    ];
    for (name, classes, channels, params) in published {
        assert_eq!(
            costs(name, classes, [channels, 32, 32]).params(),
            params,
            "{name}"
        );
    }
}

#[test]
fn networks_of_the_teacher_class_paper_are_as_large_as_its_code_prints() {
    // Students are built for as many classes as their chunk of 256 units is long.
    let published = [
        ("tcn-teacher", 10, 1, 2_446_730, 13.24),
        ("tcn-mnist-1", 256, 1, 77_840, 24.07),
        ("tcn-mnist-2", 128, 1, 40_016, 1.84),
        ("tcn-mnist-4", 64, 1, 19_144, 6.11),
        ("tcn-mnist-8", 32, 1, 10_620, 1.81),
        ("tcn-mnist-gan-1", 256, 1, 65_792, 22.71),
        ("tcn-mnist-gan-2", 128, 1, 42_272, 11.09),
        ("tcn-mnist-gan-4", 64, 1, 17_456, 1.81),
        // Eight of them have 14.44 million.
        ("tcn-mnist-gan-8", 32, 1, 9_464, 1.805),
        ("tcn-fashion-1", 256, 1, 49_600, 6.14),
        ("tcn-fashion", 128, 1, 22_800, 6.12),
        ("tcn-fashion", 64, 1, 21_712, 6.12),
        ("tcn-fashion", 32, 1, 21_168, 6.12),
        ("tcn-cifar10-1", 256, 3, 1_358_816, 114.4),
        ("tcn-cifar10", 128, 3, 321_968, 38.7),
        ("tcn-cifar10", 64, 3, 320_880, 38.7),
        ("tcn-cifar10", 32, 3, 320_336, 38.7),
    ];
    for (name, classes, channels, params, millions) in published {
        let side = if channels == 1 { 28 } else { 32 };
        let input = [channels, side, side];
        let counted = costs(name, classes, input);
        assert_eq!(counted.params(), params, "{name} {classes}");
        // Counted by hand from the lists of layers, in millions and rounded.
        let found = counted.macs() as f64 / 1e6;
        let rounding = if millions > 30.0 { 0.051 } else { 0.0051 };
        assert!(
            (found - millions).abs() < rounding,
            "{name} {classes}: {found}"
        );
        let spec = NetworkSpec::new(name, classes, input);
        let Structure::ChunkCnn(config) = spec.structure().unwrap() else {
            panic!("{name} is another network");
        };
        let counts = [counted.params(), counted.macs()];
        assert_eq!(config.counts(input, classes), Some(counts), "{name}");
    }
}

#[test]
fn networks_for_reviews_are_as_large_as_the_teacher_class_paper_s_code_prints() {
    // Students are built for as many classes as their chunk of 256 units is long.
    let input = [1000, 1, 500];
    for (name, classes, params, millions) in [
        ("tcn-imdb-1", 256, 178_192, 2.59),
        ("tcn-imdb-2", 128, 100_240, 1.36),
        ("tcn-imdb-4", 64, 41_744, 0.98),
        ("tcn-imdb-8", 32, 21_312, 0.25),
        // The code's has one logit with a sigmoid: 257 parameters and 256 MACs fewer.
        ("tcn-imdb-teacher", 2, 4_147_073 + 257, 13.31),
    ] {
        let counted = costs(name, classes, input);
        assert_eq!(counted.params(), params, "{name}");
        let found = counted.macs() as f64 / 1e6;
        assert!((found - millions).abs() < 0.0051, "{name}: {found}");
        let spec = NetworkSpec::new(name, classes, input);
        let Structure::TextCnn(config) = spec.structure().unwrap() else {
            panic!("{name} is another network");
        };
        let counts = [counted.params(), counted.macs()];
        assert_eq!(config.counts(input, classes), Some(counts), "{name}");
    }
    let teacher = TextCnnConfig::teacher().counts(input, 1).unwrap();
    assert_eq!(teacher[0], 4_147_073);
    assert_eq!(TextCnnConfig::teacher().counts([1000, 1, 1], 2), None);
}

#[test]
fn networks_of_okddip_have_the_parameters_of_its_code_shared_and_alone() {
    // With 10 classes: the stages before the last, and the last with the head. The WRN and the ResNet have
    // 256 features, VGG 512, DenseNet 132; each further class adds those and one.
    for (name, shared, branch, features) in [
        ("okddip-resnet110", 275_280, 872_458, 256),
        ("okddip-wrn-20-8", 1_629_776, 5_218_314, 256),
        ("okddip-vgg16", 7_640_640, 7_612_938, 512),
        ("okddip-densenet-40-12", 115_848, 60_274, 132),
        // Two of the CRD benchmark are OKDDip's as well.
        ("crd-resnet32", 112_592, 354_314, 64),
        ("crd-resnet110", 414_608, 1_316_106, 64),
    ] {
        let of = |classes| costs(name, classes, [3, 32, 32]);
        let stages = of(10).by_stage();
        let [before @ .., _last, _head] = &stages[..] else {
            unreachable!("{name} has stages and a head")
        };
        let found: u64 = before.iter().map(|stage| stage.1.params).sum();
        assert_eq!(found, shared, "{name}");
        assert_eq!(of(10).params() - found, branch, "{name}");
        assert_eq!(
            of(100).params(),
            shared + branch + 90 * (features + 1),
            "{name}"
        );
    }
}

/// Parameters and MACs of the ResNet of He et al. at 3x32x32, from a formula in `n`.
fn by_formula(n: u64, classes: u64) -> Cost {
    let conv = |channels_in: u64, channels_out: u64| 9 * channels_in * channels_out;
    let groups = [(16, 16, 32 * 32), (16, 32, 16 * 16), (32, 64, 8 * 8)];
    let stem = conv(3, 16);
    let mut sum = Cost {
        params: stem + 2 * 16 + 64 * classes + classes,
        macs: stem * 1024 + 64 * classes,
    };
    for (before, width, pixels) in groups {
        let weights = conv(before, width) + (2 * n - 1) * conv(width, width);
        sum.params += weights + 2 * n * 2 * width;
        sum.macs += weights * pixels;
    }
    sum
}

#[test]
fn resnets_cost_what_the_formula_says() {
    for (name, n) in [
        ("resnet8", 1),
        ("resnet14", 2),
        ("resnet20", 3),
        ("resnet56", 9),
        ("resnet110", 18),
    ] {
        let counted = costs(name, 10, [3, 32, 32]);
        let counted = Cost {
            params: counted.params(),
            macs: counted.macs(),
        };
        assert_eq!(counted, by_formula(n, 10), "{name}");
    }
    assert_eq!(by_formula(3, 10).macs, 40_551_040);
}

#[test]
fn resnet20_by_kind_and_by_stage() {
    let costs = costs("resnet20", 10, [3, 32, 32]);
    assert_eq!(
        costs.of_kind(LayerKind::Linear),
        Cost {
            params: 650,
            macs: 640
        }
    );
    assert_eq!(costs.of_kind(LayerKind::DepthwiseConv), Cost::default());
    // 7 norms of 16 channels, 6 of 32, 6 of 64, and a multiplication and addition for each element that comes
    // out.
    let norm_macs = 7 * 16 * 1024 + 6 * 32 * 256 + 6 * 64 * 64;
    assert_eq!(
        costs.of_kind(LayerKind::Norm),
        Cost {
            params: 2 * (7 * 16 + 6 * 32 + 6 * 64),
            macs: norm_macs
        }
    );
    let stages = costs.by_stage();
    assert_eq!(
        stages[0].1,
        Cost {
            params: 432 + 32,
            macs: 432 * 1024
        }
    );
    assert_eq!(stages[1].1.macs, 6 * 9 * 16 * 16 * 1024);
    assert_eq!(
        stages.iter().map(|stage| stage.1.macs).sum::<u64>(),
        costs.macs()
    );
    assert_eq!(
        stages.iter().map(|stage| stage.1.params).sum::<u64>(),
        costs.params()
    );
}

#[test]
fn projections_and_widths_of_the_crd_networks() {
    // Stem, then for each group: first convolution, the other, the projection.
    let stem = 9 * 3 * 32 * 1024;
    let group =
        |before: u64, width: u64, pixels: u64| pixels * width * (9 * before + 9 * width + before);
    let macs = stem + group(32, 64, 1024) + group(64, 128, 256) + group(128, 256, 64) + 256 * 100;
    assert_eq!(costs("resnet8x4", 100, [3, 32, 32]).macs(), macs);
}

#[test]
fn macs_of_the_large_networks_are_the_published_ones() {
    // torchvision's table at 224x224: 1.81, 3.66 and 4.09 GFLOPS, which are multiply-accumulates.
    for (name, billions) in [
        ("resnet18", "1.81"),
        ("resnet34", "3.66"),
        ("resnet50", "4.09"),
    ] {
        let macs = costs(name, 1000, [3, 224, 224]).macs() as f64 / 1e9;
        assert_eq!(format!("{macs:.2}"), billions, "{name}");
    }
}

#[test]
fn a_depthwise_block_by_hand() {
    // The second group of the MobileNetV2 at 16x16: 8 to 48 to 48 to 12 channels, then 12 to 72 to 72 to 12.
    let stages = costs("mobilenetv2-half", 100, [3, 32, 32]).by_stage();
    let (weights, norms) = (
        8 * 48 + 9 * 48 + 48 * 12 + 12 * 72 + 9 * 72 + 72 * 12,
        2 * (48 + 48 + 12 + 72 + 72 + 12),
    );
    let expected = Cost {
        params: weights + norms,
        macs: weights * 256,
    };
    assert_eq!(stages[2], ("blocks1".into(), expected));
    // A block of the ShuffleNet V1 with 3 groups: 240 to 60 to 60 to 240 channels at 16x16.
    let layers = costs("shufflenetv1", 100, [3, 32, 32]);
    let layer = |name: &str| {
        layers
            .layers()
            .iter()
            .find(|layer| layer.layer == name)
            .unwrap()
    };
    assert_eq!(layer("layer1.1.conv1").macs, 240 * 60 / 3 * 256);
    assert_eq!(layer("layer1.1.conv2").macs, 9 * 60 * 256);
    assert_eq!(layer("layer1.1.conv2").kind, LayerKind::DepthwiseConv);
    assert_eq!(layer("layer1.1.conv3").macs, 60 * 240 / 3 * 256);
}

#[test]
fn lenet_costs_by_hand() {
    let costs = costs("lenet5", 10, [1, 32, 32]);
    let macs: Vec<u64> = costs.layers().iter().map(|layer| layer.macs).collect();
    assert_eq!(
        macs,
        [
            6 * 25 * 28 * 28,
            16 * 6 * 25 * 100,
            120 * 16 * 25,
            120 * 84,
            84 * 10
        ]
    );
}

#[test]
fn costs_scale_with_the_image() {
    let large = costs("resnet8", 10, [3, 64, 64]);
    let small = costs("resnet8", 10, [3, 32, 32]);
    assert_eq!(large.params(), small.params());
    assert_eq!(large.macs() - 640, 4 * (small.macs() - 640));
}

#[test]
fn a_table_in_the_readme_has_these_numbers() {
    let readme = include_str!("../../README.md");
    let texts = |name: &str| name == "text-cnn" || name.starts_with("tcn-imdb");
    let grey = |name: &str| {
        let tcn = name.starts_with("tcn-") && !name.contains("cifar");
        name == "chunk-cnn" || tcn && !texts(name)
    };
    let mut counted = Vec::new();
    // The only table with five columns.
    let is_row = |line: &&str| line.starts_with("| `") && line.matches('|').count() == 6;
    for line in readme.lines().filter(is_row) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        let (classes, channels) = match name {
            name if name.starts_with("skd-unet") => (12, 3),
            name if name.starts_with("skd") => (10, 3),
            name if name.starts_with("lenet") => (10, 1),
            name if name.starts_with("mobilenetv2-mini") => (10, 3),
            name if grey(name) => (10, 1),
            name if texts(name) => (2, 1000),
            "resnet18" | "resnet34" | "resnet50" => (1000, 3),
            name if name.ends_with("-imagenet") => (1000, 3),
            name if name.starts_with("resnet") && !name.contains(['x', '-']) => (10, 3),
            _ => (100, 3),
        };
        let [height, width] = match name {
            name if name.starts_with("skd-unet") => [480, 640],
            name if name.starts_with("skd-resnet") && !name.contains("cifar") => [224, 224],
            _ if classes == 1000 => [224, 224],
            name if grey(name) => [28, 28],
            name if texts(name) => [1, 500],
            _ => [32, 32],
        };
        let costs = costs(name, classes, [channels, height, width]);
        counted.push(name);
        assert_eq!(
            cells[4].replace(',', ""),
            costs.params().to_string(),
            "{name}"
        );
        let (millions, decimals) = (
            costs.macs() as f64 / 1e6,
            if channels % 1000 <= 1 { 2 } else { 1 },
        );
        assert_eq!(cells[5], format!("{millions:.decimals$} M"), "{name}");
    }
    let known: Vec<_> = known_networks().map(|known| known.name).collect();
    assert_eq!(counted, known);
}

#[test]
fn the_mobilenet_of_the_paper_costs_what_its_table_says() {
    for (name, classes, input, macs) in [
        ("mobilenetv2-imagenet", 1000, [3, 224, 224], 300_774_272),
        ("mobilenetv2-cifar", 10, [3, 32, 32], 87_976_448),
        ("mobilenetv2-cifar", 100, [3, 32, 32], 88_091_648),
        ("mobilenetv2-mini", 10, [1, 28, 28], 6_653_520),
        ("mobilenetv2-mini", 10, [3, 32, 32], 8_984_832),
    ] {
        assert_eq!(costs(name, classes, input).macs(), macs, "{name}");
    }
}

#[test]
fn an_input_that_does_not_fit_is_an_error() {
    let network = |name, input| {
        Network::build(&NetworkSpec::new(name, 10, input), 0, &Device::flex()).unwrap()
    };
    let resnet = network("resnet8", [3, 32, 32]);
    assert!(matches!(
        resnet.costs([1, 32, 32]),
        Err(Error::Shape { .. })
    ));
    assert!(matches!(
        resnet.costs([3, 0, 32]),
        Err(Error::Config { .. })
    ));
    let lenet = network("lenet5", [1, 32, 32]);
    assert!(matches!(lenet.costs([1, 40, 40]), Err(Error::Shape { .. })));
    assert!(matches!(lenet.costs([1, 12, 12]), Err(Error::Shape { .. })));
}
