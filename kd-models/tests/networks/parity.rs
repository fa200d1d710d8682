//! The networks against PyTorch's: same weights, same outputs, same gradients, same running statistics.
//!
//! `fixtures/generate.py` makes the files and says what is in them.

use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use kd_core::{Names, StagedNetwork, Tensors, export, import, read_tensors};
use kd_models::{
    BlockKind, BlockShortcut, ChunkCnn, ChunkCnnConfig, CifarStemResNet, CrdResNet, DenseNet,
    DenseNetConfig, HeResNet, ImageNetResNet, InvertedBlock, InvertedBlocks, InvertedResiduals,
    LargeResNetConfig, LargeVgg, LargeVggConfig, LeNet, LeNetConfig, MobileNetV2,
    MobileNetV2Config, Network, NetworkSpec, OkddipResNet, OkddipResNetConfig, OkddipVgg,
    OkddipVggConfig, PaperMobileNetV2, ResNetBlocks, ResNetConfig, ResidualBlock, ShuffleNetV1,
    ShuffleNetV1Config, ShuffleNetV2, ShuffleNetV2Config, SkdResNet, SkdResNetConfig, StemKind,
    Structure, TextCnn, TextCnnConfig, UNet, UNetConfig, Vgg, VggConfig, WideResNet,
};

/// `count` numbers in `[-1, 1)` that depend on the name; the same as `noise` of `generate.py`.
fn noise(name: &str, count: usize) -> Vec<f64> {
    let hash = name.bytes().fold(2_166_136_261_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(16_777_619)
    });
    let place = |place: usize| {
        let mut x = u32::try_from(place)
            .unwrap()
            .wrapping_mul(2_654_435_769)
            .wrapping_add(hash);
        x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
        x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
        x ^= x >> 16;
        f64::from(x >> 8) / 8_388_608.0 - 1.0
    };
    (0..count).map(place).collect()
}

/// `network` with every tensor filled as `fill` of `generate.py` does.
fn filled<M: Module>(network: &M) -> M {
    let blank = export(network, Names::PyTorch);
    let tensors: Tensors = blank
        .iter()
        .map(|(name, data)| {
            let shape = data.shape().as_slice().to_vec();
            let (layer, field) = name.rsplit_once('.').unwrap();
            let weight = blank[&format!("{layer}.weight")]
                .shape()
                .as_slice()
                .to_vec();
            let fan_in = weight[1..].iter().product::<usize>() as f64;
            let (scale, shift) = match (field, weight.len()) {
                ("running_var", _) => (0.5, 1.0),
                ("weight", 1) => (0.25, 1.0),
                ("running_mean", _) | ("bias", 1) => (0.25, 0.0),
                _ => ((3.0 / fan_in).sqrt().log2().round_ties_even().exp2(), 0.0),
            };
            let values = noise(name, shape.iter().product());
            let values: Vec<f64> = values.into_iter().map(|x| x * scale + shift).collect();
            (name.clone(), TensorData::new(values, shape))
        })
        .collect();
    import(network, &tensors, Names::PyTorch, "the formula").unwrap()
}

struct GradientReader<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    found: Tensors,
}

impl ModuleVisitor for GradientReader<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        if !container_type.starts_with("Enum:") {
            let name = match (container_type, name) {
                ("Struct:BatchNorm", "gamma") => "weight",
                ("Struct:BatchNorm", "beta") => "bias",
                (_, name) => name,
            };
            self.path.push(name.to_owned());
        }
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        if !container_type.starts_with("Enum:") {
            self.path.pop();
        }
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.grad(self.gradients) {
            // The weights of linear layers PyTorch has the other way round; a table of embeddings not.
            let gradient = if D == 2 && !self.path.contains(&"embedding".to_owned()) {
                gradient.swap_dims(0, 1)
            } else {
                gradient
            };
            self.found.insert(self.path.join("."), gradient.into_data());
        }
    }
}

/// Compares with a tolerance of 1e-4 relative to the largest value: sums over batch and pixels in 32 bits.
fn near(what: &str, found: &TensorData, expected: &TensorData) {
    within(1e-4, what, found, expected);
}

fn within(tolerance: f64, what: &str, found: &TensorData, expected: &TensorData) {
    assert_eq!(found.shape(), expected.shape(), "{what}");
    let scale = expected
        .iter::<f64>()
        .fold(0.0, |scale: f64, x| scale.max(x.abs()));
    assert!(scale > 0.0, "{what}: a fixture of zeros shows nothing");
    for (found, expected) in found.iter::<f64>().zip(expected.iter::<f64>()) {
        assert!(
            (found - expected).abs() <= tolerance * scale,
            "{what}: {found}, PyTorch has {expected}"
        );
    }
}

/// Compares a network whose dense representation and output have `D` axes with the answers in a file.
fn compare<N, const D: usize>(fixture: &str, build: impl Fn(&Device) -> N)
where
    N: StagedNetwork<Input = Tensor<4>, Map = Tensor<4>, Dense = Tensor<D>, Output = Tensor<D>>,
{
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let expected = read_tensors(&folder.join(format!("{fixture}.safetensors"))).unwrap();
    let input = expected["input"].clone();

    let device = Device::flex();
    let network = filled(&build(&device));
    let seen = network.forward_traced(&Tensor::from_data(input.clone(), &device));
    let mut said = Tensors::from([
        ("logits".to_owned(), seen.output.into_data()),
        ("dense".to_owned(), seen.dense.into_data()),
    ]);
    for (stage, map) in network.stage_names().into_iter().zip(seen.maps) {
        said.insert(format!("map.{stage}"), map.into_data());
    }
    let wanted = expected
        .iter()
        .filter_map(|(name, data)| Some((name.strip_prefix("evaluation.")?, data)));
    for (name, wanted) in wanted {
        within(1e-5, name, &said[name], wanted);
    }
    assert!(expected.contains_key("evaluation.logits"));

    let device = device.autodiff();
    let network = filled(&build(&device));
    let images = Tensor::<4>::from_data(input, &device).require_grad();
    let logits = network.forward(&images);
    near(
        "training.logits",
        &logits.to_data(),
        &expected["training.logits"],
    );
    let shape = logits.dims();
    let cotangent = TensorData::new(noise("cotangent", shape.iter().product()), shape);
    let cotangent = Tensor::<D>::from_data(cotangent.convert::<f32>(), &device);
    let gradients = (logits * cotangent).sum().backward();
    near(
        "gradient.input",
        &images.grad(&gradients).unwrap().into_data(),
        &expected["gradient.input"],
    );

    let mut reader = GradientReader {
        gradients: &gradients,
        path: Vec::new(),
        found: Tensors::new(),
    };
    network.visit(&mut reader);
    let after = export(&network, Names::PyTorch);
    for (name, expected) in &expected {
        if let Some(parameter) = name
            .strip_prefix("gradient.")
            .filter(|name| *name != "input")
        {
            near(name, &reader.found[parameter], expected);
        }
        if let Some(statistic) = name.strip_prefix("after.") {
            near(name, &after[statistic], expected);
        }
    }
}

#[test]
fn resnet8_by_name() {
    let spec = NetworkSpec::new("resnet8", 10, [3, 16, 16]);
    compare("resnet8", |device| {
        Network::build(&spec, 0, device).unwrap()
    });
}

#[test]
fn resnet_of_he_with_other_widths_at_odd_sizes() {
    let config = ResNetConfig {
        blocks: 2,
        widths: [4, 4, 7, 9],
    };
    compare("he_narrow", |device| {
        HeResNet::new(&config, [1, 11, 7], 3, 0, device).unwrap()
    });
}

#[test]
fn resnet_of_crd_with_projections() {
    let config = ResNetConfig {
        blocks: 2,
        widths: [4, 6, 8, 12],
    };
    compare("crd_narrow", |device| {
        CrdResNet::new(&config, [3, 9, 12], 5, 0, device).unwrap()
    });
}

fn of_structure(
    structure: Structure,
    classes: usize,
    input: [usize; 3],
    device: &Device,
) -> Network {
    let spec = NetworkSpec::with_structure("cut", structure, classes, input);
    Network::build(&spec, 0, device).unwrap()
}

/// Blocks whose widths agree by chance, on both sides of a shortcut that thins or projects.
fn cut_resnet(first: BlockShortcut, second: BlockShortcut, third: BlockShortcut) -> ResNetBlocks {
    let block = |inner, width, stride, shortcut| ResidualBlock {
        inner,
        width,
        stride,
        shortcut,
    };
    ResNetBlocks {
        stem: 4,
        groups: [
            vec![block(3, 4, 1, first)],
            vec![
                block(2, 7, 2, second),
                block(5, 7, 1, BlockShortcut::Identity),
            ],
            vec![block(1, 7, 2, third)],
        ],
    }
}

#[test]
fn resnet_of_he_that_was_cut() {
    let padded = BlockShortcut::Padded;
    let config = cut_resnet(BlockShortcut::Identity, padded([2, 1]), padded([0, 0]));
    compare("he_cut", |device| {
        let structure = Structure::HeResNetBlocks(config.clone());
        of_structure(structure, 4, [3, 9, 12], device)
    });
}

#[test]
fn resnet_of_crd_that_was_cut_keeps_projections_between_equal_widths() {
    let projection = BlockShortcut::Projection;
    let config = cut_resnet(projection, projection, projection);
    compare("crd_cut", |device| {
        let structure = Structure::CrdResNetBlocks(config.clone());
        of_structure(structure, 4, [3, 9, 12], device)
    });
}

#[test]
fn mobilenet_v2_of_the_paper_grows_no_shortcut_where_widths_agree() {
    let block = |hidden, width, stride, expands, adds| InvertedBlock {
        hidden,
        width,
        stride,
        expands,
        adds,
    };
    let config = InvertedBlocks {
        stem: 5,
        stem_stride: 2,
        stages: vec![
            vec![block(5, 5, 1, false, false)],
            vec![block(9, 5, 1, true, false), block(3, 5, 1, true, true)],
            vec![block(7, 6, 2, true, false)],
        ],
        last: 11,
    };
    compare("mobilenetv2_cut", |device| {
        PaperMobileNetV2::new(&config, [3, 14, 11], 5, 0, device).unwrap()
    });
}

#[test]
fn chunk_cnn_padded_behind_a_mean_pooling() {
    let mut config = ChunkCnnConfig::template();
    config.blocks = vec![vec![3, 4], vec![5]];
    config.hidden = vec![6];
    compare("chunk_padded", |device| {
        ChunkCnn::new(&config, [2, 16, 16], 4, 0, device).unwrap()
    });
}

#[test]
fn chunk_cnn_without_padding_or_hidden_layers() {
    let mut config = ChunkCnnConfig::template();
    config.blocks = vec![vec![3, 3]];
    config.hidden = Vec::new();
    (config.pool, config.kernel, config.padded) = (1, 5, false);
    compare("chunk_bare", |device| {
        ChunkCnn::new(&config, [1, 14, 14], 4, 0, device).unwrap()
    });
}

/// As [`compare`], of a network for text, whose ids have no gradient.
fn compare_text(fixture: &str, build: impl Fn(&Device) -> TextCnn) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let expected = read_tensors(&folder.join(format!("{fixture}.safetensors"))).unwrap();
    let ids = expected["input"].clone().convert::<i64>();
    let device = Device::flex();
    let network = filled(&build(&device));
    let seen = network.forward_traced(&Tensor::<2, Int>::from_data(ids.clone(), &device));
    within(
        1e-5,
        "logits",
        &seen.output.into_data(),
        &expected["evaluation.logits"],
    );
    within(
        1e-5,
        "dense",
        &seen.dense.into_data(),
        &expected["evaluation.dense"],
    );
    for (stage, map) in network.stage_names().into_iter().zip(seen.maps) {
        let wanted = &expected[&format!("evaluation.map.{stage}")];
        within(1e-5, &stage, &map.into_data(), wanted);
    }

    let device = device.autodiff();
    let network = filled(&build(&device));
    let logits = network.forward(&Tensor::<2, Int>::from_data(ids, &device));
    let shape = logits.dims();
    let cotangent = TensorData::new(noise("cotangent", shape.iter().product()), shape);
    let cotangent = Tensor::<2>::from_data(cotangent.convert::<f32>(), &device);
    let gradients = (logits * cotangent).sum().backward();
    let mut reader = GradientReader {
        gradients: &gradients,
        path: Vec::new(),
        found: Tensors::new(),
    };
    network.visit(&mut reader);
    let mut compared = 0;
    for (name, expected) in &expected {
        if let Some(parameter) = name.strip_prefix("gradient.") {
            near(name, &reader.found[parameter], expected);
            compared += 1;
        }
    }
    assert!(compared >= 4, "{compared}");
}

#[test]
fn text_cnn_padded_with_a_hidden_layer() {
    let mut config = TextCnnConfig::template();
    (config.embedding, config.blocks, config.hidden) = (5, vec![vec![4, 3]], vec![6]);
    compare_text("text_padded", |device| {
        TextCnn::new(&config, [11, 1, 13], 3, 0, device).unwrap()
    });
}

#[test]
fn text_cnn_strided_without_hidden_layers() {
    let mut config = TextCnnConfig::template();
    (config.embedding, config.blocks, config.hidden) = (4, vec![vec![5], vec![6]], Vec::new());
    (config.stride, config.padded) = (2, false);
    compare_text("text_strided", |device| {
        TextCnn::new(&config, [7, 1, 26], 4, 0, device).unwrap()
    });
}

#[test]
fn lenet_half() {
    compare("lenet5_half", |device| {
        LeNet::new(&LeNetConfig::HALF, [1, 32, 32], 10, 0, device).unwrap()
    });
}

#[test]
fn lenet_half_on_images_of_mnist_s_size() {
    compare("lenet5_half_28", |device| {
        LeNet::new(&LeNetConfig::HALF, [1, 28, 28], 10, 0, device).unwrap()
    });
}

#[test]
fn wide_resnet_with_and_without_a_projection() {
    let config = ResNetConfig {
        blocks: 2,
        widths: [4, 4, 6, 8],
    };
    compare("wrn_narrow", |device| {
        WideResNet::new(&config, [3, 12, 10], 5, 0, device).unwrap()
    });
}

#[test]
fn vgg_with_groups_of_one_and_of_two_convolutions() {
    let config = VggConfig {
        widths: [vec![4], vec![5, 6], vec![7], vec![8], vec![6]],
    };
    compare("vgg_narrow", |device| {
        Vgg::new(&config, [3, 16, 19], 5, 0, device).unwrap()
    });
}

#[test]
fn vgg_pools_large_images_once_more() {
    let config = VggConfig {
        widths: [2, 3, 4, 5, 6].map(|width| vec![width]),
    };
    compare("vgg_large", |device| {
        Vgg::new(&config, [1, 64, 70], 5, 0, device).unwrap()
    });
}

#[test]
fn mobilenet_v2_with_depthwise_convolutions() {
    let rows = [
        [1, 4, 1, 1],
        [2, 6, 2, 1],
        [3, 6, 2, 2],
        [2, 8, 1, 2],
        [2, 8, 2, 1],
        [2, 10, 1, 2],
        [2, 12, 1, 1],
    ];
    let config = MobileNetV2Config {
        stem: 4,
        groups: rows.map(|[expansion, width, blocks, stride]| InvertedResiduals {
            expansion,
            width,
            blocks,
            stride,
        }),
        last: 20,
    };
    compare("mobilenetv2_narrow", |device| {
        MobileNetV2::new(&config, [3, 38, 34], 5, 0, device).unwrap()
    });
}

#[test]
fn shufflenet_v1_with_groups_and_odd_sizes() {
    let config = ShuffleNetV1Config {
        stem: 12,
        widths: [36, 72, 144],
        blocks: [2, 2, 1],
        groups: 3,
    };
    compare("shufflenetv1_narrow", |device| {
        ShuffleNetV1::new(&config, [3, 10, 9], 5, 0, device).unwrap()
    });
}

#[test]
fn shufflenet_v2_with_split_channels() {
    let config = ShuffleNetV2Config {
        stem: 4,
        widths: [8, 12, 16],
        blocks: [1, 2, 1],
        last: 20,
    };
    compare("shufflenetv2_narrow", |device| {
        ShuffleNetV2::new(&config, [3, 10, 9], 5, 0, device).unwrap()
    });
}

const BASIC: LargeResNetConfig = LargeResNetConfig {
    block: BlockKind::Basic,
    blocks: [2, 1, 1, 1],
    stem: 4,
    widths: [4, 6, 8, 10],
};
const BOTTLENECK: LargeResNetConfig = LargeResNetConfig {
    block: BlockKind::Bottleneck,
    blocks: [1, 2, 1, 1],
    stem: 4,
    widths: [2, 3, 4, 5],
};

#[test]
fn resnet_with_the_stem_for_large_images() {
    for (fixture, config) in [
        ("imagenet_basic", BASIC),
        ("imagenet_bottleneck", BOTTLENECK),
    ] {
        compare(fixture, |device| {
            ImageNetResNet::new(&config, [3, 45, 38], 5, 0, device).unwrap()
        });
    }
}

#[test]
fn resnet_with_four_groups_and_the_stem_for_small_images() {
    for (fixture, config) in [
        ("cifar_stem_basic", BASIC),
        ("cifar_stem_bottleneck", BOTTLENECK),
    ] {
        compare(fixture, |device| {
            CifarStemResNet::new(&config, [3, 18, 13], 5, 0, device).unwrap()
        });
    }
}

#[test]
fn resnet_of_okddip_with_wide_middles_at_odd_sizes() {
    let config = OkddipResNetConfig {
        blocks: [1, 1, 2],
        stem: 4,
        widths: [2, 3, 3],
        widening: 2,
    };
    compare("okddip_resnet_narrow", |device| {
        OkddipResNet::new(&config, [3, 9, 7], 5, 0, device).unwrap()
    });
}

#[test]
fn vgg_of_okddip_at_its_smallest_height() {
    let config = OkddipVggConfig {
        widths: [2, 3, 4, 5, 6],
        convolutions: [1, 2, 1, 1],
        hidden: 7,
    };
    compare("okddip_vgg_narrow", |device| {
        OkddipVgg::new(&config, [1, 33, 64], 5, 0, device).unwrap()
    });
}

#[test]
fn vgg_for_large_images_of_a_map_that_is_no_square() {
    let config = LargeVggConfig {
        widths: [2, 3, 4, 5, 6],
        convolutions: [1, 2, 1, 1, 1],
        hidden: 7,
    };
    compare("vgg_imagenet_narrow", |device| {
        LargeVgg::new(&config, [1, 33, 64], 5, 0, device).unwrap()
    });
}

#[test]
fn densenet_with_blocks_of_different_depth() {
    let config = DenseNetConfig {
        stem: 5,
        growth: 3,
        bottleneck: 2,
        layers: [2, 3, 1],
    };
    compare("densenet_narrow", |device| {
        DenseNet::new(&config, [3, 11, 8], 5, 0, device).unwrap()
    });
}

#[test]
fn small_resnet10_of_stagewise_kd_by_name() {
    let spec = NetworkSpec::new("skd-small-resnet10", 10, [1, 40, 48]);
    compare("skd_small_resnet10", |device| {
        Network::build(&spec, 0, device).unwrap()
    });
}

#[test]
fn resnet_of_stagewise_kd_with_either_stem() {
    let config = SkdResNetConfig {
        blocks: [2, 1, 1, 1],
        widths: [4, 6, 8, 10],
        stem: StemKind::Large,
    };
    compare("skd_narrow", |device| {
        SkdResNet::new(&config, [1, 45, 38], 5, 0, device).unwrap()
    });
    let config = SkdResNetConfig {
        blocks: [1, 1, 2, 1],
        stem: StemKind::Small,
        ..config
    };
    compare("skd_narrow_small_stem", |device| {
        SkdResNet::new(&config, [3, 18, 13], 5, 0, device).unwrap()
    });
}

#[test]
fn unet_with_all_its_joints() {
    let config = UNetConfig {
        encoder: SkdResNetConfig {
            blocks: [1, 2, 1, 1],
            widths: [3, 4, 5, 6],
            stem: StemKind::Large,
        },
        decoder: [6, 5, 4, 3, 2],
        head: 3,
    };
    compare("unet_narrow", |device| {
        UNet::new(&config, [1, 32, 32], 2, 0, device).unwrap()
    });
}
