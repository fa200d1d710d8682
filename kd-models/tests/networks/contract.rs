//! The contracts of kd-core, kept by every network of the catalogue: stages, taps, parameters, costs.

use std::collections::BTreeSet;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use kd_core::{
    Names, NetworkInput, SampleKind, StagedNetwork, Task, count_parameters, tensor_shapes,
};
use kd_models::{ModelNetwork, Network, NetworkSpec, TextCnn, UNet, known_networks};

fn build(name: &str, classes: usize, input: [usize; 3]) -> Network {
    Network::build(&NetworkSpec::new(name, classes, input), 1, &Device::flex()).unwrap()
}

/// The same without drawing its weights, which takes seconds for the large ones.
fn blank<N: ModelNetwork>(name: &str, classes: usize, input: [usize; 3]) -> N {
    N::blank(&NetworkSpec::new(name, classes, input), &Device::flex()).unwrap()
}

/// What networks of type `N` are given here, if it takes images of this size.
fn input<N: ModelNetwork>(images: [usize; 3]) -> [usize; 3] {
    match N::Input::KIND {
        SampleKind::Texts => [1000, 1, 500],
        _ => images,
    }
}

/// Calls the function for the name of every known network, with the network's type.
macro_rules! for_every_network {
    ($check:ident) => {
        for known in known_networks() {
            match (known.task, known.takes) {
                (Task::Segmentation, _) => $check::<UNet>(known.name),
                (_, SampleKind::Texts) => $check::<TextCnn>(known.name),
                _ => $check::<Network>(known.name),
            }
        }
    };
}

/// Small ones of all families but the largest, and whether its maps are taken after a ReLU.
const SMALL: [(&str, bool); 17] = [
    ("lenet5-half", true),
    ("lenet5", true),
    ("chunk-cnn", true),
    ("tcn-mnist-2", true),
    ("resnet8", true),
    ("crd-resnet8", true),
    ("resnet8x4", true),
    ("wrn-16-1", false),
    ("vgg8", true),
    ("mobilenetv2-half", false),
    ("mobilenetv2-mini", false),
    ("shufflenetv1", true),
    ("shufflenetv2", true),
    ("okddip-resnet110", true),
    ("okddip-densenet-40-12", false),
    ("skd-small-resnet14", true),
    ("skd-small-resnet10-cifar", true),
];

#[test]
fn stage_names_are_unique_and_are_the_taps() {
    for_every_network!(has_taps);
}

fn has_taps<N: ModelNetwork>(name: &str) {
    let network: N = blank(name, 3, input::<N>([1, 32, 32]));
    let names = network.stage_names();
    assert_eq!(
        names.iter().collect::<BTreeSet<_>>().len(),
        names.len(),
        "{name}"
    );
    for (stage, name) in names.iter().enumerate() {
        assert_eq!(network.tap(name).unwrap(), stage);
    }
    assert!(network.tap("layer9").is_err());
}

#[test]
fn stages_share_no_parameter_and_leave_only_the_head() {
    for_every_network!(shares_no_parameter);
}

fn shares_no_parameter<N: ModelNetwork>(known: &str) {
    let network: N = blank(known, 3, input::<N>([1, 32, 32]));
    let stages = network.stage_names().len();
    let owner = |tensor: &str| {
        let owns = |stage: &usize| {
            let paths = network.stage_parameters(*stage);
            paths
                .iter()
                .any(|path| tensor.starts_with(&format!("{path}.")))
        };
        (0..stages).filter(owns).collect::<Vec<_>>()
    };
    let mut owned = vec![0; stages];
    for name in tensor_shapes(&network, Names::Burn).keys() {
        match owner(name)[..] {
            [] => assert!(is_head(known, name), "{name}"),
            [stage] => owned[stage] += 1,
            _ => unreachable!("{name} belongs to more than one stage"),
        }
    }
    assert!(owned.iter().all(|&count| count > 0), "{known}: {owned:?}");
}

/// The last layers, and the last norm of a wide ResNet.
fn is_head(network: &str, tensor: &str) -> bool {
    let last = [
        "fc",
        "hidden.",
        "linear",
        "classifier.",
        "segmentation_head.",
    ];
    last.iter().any(|head| tensor.starts_with(head))
        || network.starts_with("wrn") && tensor.starts_with("bn1.")
}

#[test]
fn stage_by_stage_equals_the_forward_pass() {
    let device = Device::flex();
    for (name, _) in SMALL {
        let network = build(name, 4, [3, 33, 32]);
        let input = Tensor::<4>::random([2, 3, 33, 32], Distribution::Uniform(-1.0, 1.0), &device);
        let mut maps = Vec::new();
        for stage in 0..network.stage_names().len() {
            maps.push(network.forward_stage(stage, &input, &maps));
        }
        let output = network.forward_head(network.forward_dense(&input, &maps));
        assert_eq!(
            output.into_data(),
            network.forward(&input).into_data(),
            "{name}"
        );
    }
}

#[test]
fn maps_are_not_negative_where_they_are_taken_after_a_relu() {
    let device = Device::flex();
    let input = Tensor::<4>::random([1, 3, 32, 32], Distribution::Uniform(-1.0, 1.0), &device);
    for (name, after_relu) in SMALL {
        let maps = build(name, 4, [3, 32, 32]).forward_traced(&input).maps;
        let lowest = |map: Tensor<4>| map.min().into_scalar::<f32>();
        assert_eq!(
            maps.into_iter().all(|map| lowest(map) >= 0.0),
            after_relu,
            "{name}"
        );
    }
}

/// The shapes of the maps and of the dense vector of two images.
fn shapes(name: &str, input: [usize; 3]) -> (Vec<[usize; 4]>, [usize; 2]) {
    let [channels, height, width] = input;
    let network: Network = blank(name, 7, input);
    let images = Tensor::zeros([2, channels, height, width], &Device::flex());
    let trace = network.forward_traced(&images);
    assert_eq!(trace.output.dims(), [2, 7]);
    let maps = trace.maps.iter().map(Tensor::dims).collect();
    (maps, trace.dense.dims())
}

#[test]
fn shapes_at_odd_sizes() {
    let resnet = shapes("resnet8", [2, 17, 9]);
    assert_eq!(
        resnet,
        (
            vec![[2, 16, 17, 9], [2, 16, 17, 9], [2, 32, 9, 5], [2, 64, 5, 3]],
            [2, 64]
        )
    );
    let tiny = shapes("resnet8", [1, 1, 1]);
    assert_eq!(tiny.0[3], [2, 64, 1, 1]);
    let wide = shapes("resnet8x4", [3, 5, 6]);
    assert_eq!(
        wide,
        (
            vec![[2, 32, 5, 6], [2, 64, 5, 6], [2, 128, 3, 3], [2, 256, 2, 2]],
            [2, 256]
        )
    );
    let lenet = shapes("lenet5", [1, 28, 28]);
    assert_eq!(
        lenet,
        (vec![[2, 6, 14, 14], [2, 16, 5, 5], [2, 120, 1, 1]], [2, 84])
    );
    let wide = shapes("wrn-16-1", [3, 9, 7]);
    assert_eq!(
        wide,
        (
            vec![[2, 16, 9, 7], [2, 16, 9, 7], [2, 32, 5, 4], [2, 64, 3, 2]],
            [2, 64]
        )
    );
    let vgg = shapes("vgg8", [3, 8, 21]);
    assert_eq!(
        vgg.0[1..],
        [
            [2, 128, 4, 10],
            [2, 256, 2, 5],
            [2, 512, 1, 2],
            [2, 512, 1, 2]
        ]
    );
    let mobile = shapes("mobilenetv2-half", [3, 32, 32]);
    let sides: Vec<usize> = mobile.0.iter().map(|map| map[3]).collect();
    assert_eq!(
        (sides, mobile.1),
        (vec![16, 16, 16, 8, 4, 4, 2, 2, 2], [2, 1280])
    );
    let shuffle = shapes("shufflenetv1", [3, 9, 1]);
    assert_eq!(
        shuffle,
        (
            vec![
                [2, 24, 9, 1],
                [2, 240, 5, 1],
                [2, 480, 3, 1],
                [2, 960, 2, 1]
            ],
            [2, 960]
        )
    );
    let shuffle = shapes("shufflenetv2", [3, 9, 1]);
    assert_eq!(shuffle.0[3..], [[2, 464, 2, 1], [2, 1024, 2, 1]]);
    let large = shapes("resnet18", [3, 65, 33]);
    assert_eq!(
        large,
        (
            vec![
                [2, 64, 17, 9],
                [2, 64, 17, 9],
                [2, 128, 9, 5],
                [2, 256, 5, 3],
                [2, 512, 3, 2]
            ],
            [2, 512]
        )
    );
    let tiny = shapes("resnet18", [1, 1, 1]);
    assert_eq!(tiny.0[4], [2, 512, 1, 1]);
    let small = shapes("resnet18-cifar", [3, 9, 8]);
    assert_eq!(small.0[4], [2, 512, 2, 1]);
    let mixed = shapes("lenet5-half", [1, 31, 45]);
    assert_eq!(
        mixed,
        (vec![[2, 3, 15, 20], [2, 8, 5, 8], [2, 60, 1, 4]], [2, 42])
    );
}

#[test]
fn shapes_of_okddip_s_networks_at_odd_sizes() {
    let bottlenecks = shapes("okddip-resnet110", [3, 9, 7]);
    assert_eq!(
        bottlenecks,
        (
            vec![[2, 16, 9, 7], [2, 64, 9, 7], [2, 128, 5, 4], [2, 256, 3, 2]],
            [2, 256]
        )
    );
    let vgg = shapes("okddip-vgg16", [3, 32, 65]);
    assert_eq!(vgg.0[3..], [[2, 512, 2, 4], [2, 512, 1, 2]]);
    let dense = shapes("okddip-densenet-40-12", [3, 9, 4]);
    assert_eq!(
        dense,
        (
            vec![[2, 24, 9, 4], [2, 48, 4, 2], [2, 60, 2, 1], [2, 132, 2, 1]],
            [2, 132]
        )
    );
}

#[test]
fn counted_costs_have_the_parameters_of_the_module() {
    for_every_network!(counts_its_parameters);
}

fn counts_its_parameters<N: ModelNetwork>(name: &str) {
    let sizes = match N::TASK {
        Task::Segmentation => [[3, 32, 32], [1, 64, 32]],
        // Five poolings.
        _ if name == "okddip-vgg16" || (name.starts_with("vgg") && name.ends_with("-imagenet")) => {
            [[3, 32, 32], [1, 70, 40]]
        }
        _ => [[3, 32, 32], [1, 29, 40]],
    };
    for input in sizes.map(input::<N>) {
        let network: N = blank(name, 5, input);
        let costs = network.costs(input).unwrap();
        assert_eq!(costs.params(), count_parameters(&network), "{name}");
        let mut stages = network.stage_names();
        stages.push("head".into());
        let counted: Vec<_> = costs
            .by_stage()
            .into_iter()
            .map(|(stage, _)| stage)
            .collect();
        assert_eq!(counted, stages);
    }
}

#[test]
fn layer_paths_of_the_costs_are_paths_of_tensors() {
    for_every_network!(counts_under_the_names_of_its_tensors);
}

fn counts_under_the_names_of_its_tensors<N: ModelNetwork>(name: &str) {
    let input = input::<N>([3, 32, 32]);
    let network: N = blank(name, 5, input);
    let tensors = tensor_shapes(&network, Names::PyTorch);
    for layer in network.costs(input).unwrap().layers() {
        assert!(
            tensors.contains_key(&format!("{}.weight", layer.layer)),
            "{}",
            layer.layer
        );
    }
}

#[test]
fn a_network_that_is_built_to_be_trained_has_gradients_everywhere() {
    for name in [
        "resnet8",
        "wrn-16-1",
        "shufflenetv1",
        "mobilenetv2-half",
        "skd-small-resnet10",
        "okddip-densenet-40-12",
    ] {
        has_gradients_everywhere(name);
    }
}

fn has_gradients_everywhere(name: &str) {
    let device = Device::flex().autodiff();
    let spec = NetworkSpec::new(name, 3, [1, 16, 16]);
    let network = Network::build(&spec, 1, &device).unwrap();
    let input = Tensor::<4>::random([2, 1, 16, 16], Distribution::Uniform(-1.0, 1.0), &device);
    let gradients = network.forward(&input).powi_scalar(2).sum().backward();
    let mut missing = Vec::new();
    network.visit(&mut GradientFinder {
        gradients: &gradients,
        missing: &mut missing,
        path: Vec::new(),
    });
    assert_eq!(missing, Vec::<String>::new(), "{name}");
}

struct GradientFinder<'a> {
    gradients: &'a burn::tensor::Gradients,
    missing: &'a mut Vec<String>,
    path: Vec<String>,
}

impl burn::module::ModuleVisitor for GradientFinder<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
        let path = self.path.join(".");
        let running = path.contains("running_");
        let found = param.is_require_grad() && param.grad(self.gradients).is_some();
        if found == running {
            self.missing.push(path);
        }
    }
}

#[test]
fn public_types_are_send_and_unpin() {
    fn check<T: Send + Unpin>() {}
    fn check_shared<T: Send + Sync + Unpin>() {}
    check::<Network>();
    check::<kd_models::LeNet>();
    check::<kd_models::HeResNet>();
    check::<kd_models::CrdResNet>();
    check::<kd_models::WideResNet>();
    check::<kd_models::Vgg>();
    check::<kd_models::MobileNetV2>();
    check::<kd_models::PaperMobileNetV2>();
    check::<kd_models::ShuffleNetV1>();
    check::<kd_models::ShuffleNetV2>();
    check::<kd_models::ImageNetResNet>();
    check::<kd_models::CifarStemResNet>();
    check::<kd_models::SkdResNet>();
    check::<kd_models::OkddipResNet>();
    check::<kd_models::OkddipVgg>();
    check::<kd_models::LargeVgg>();
    check::<kd_models::DenseNet>();
    check::<UNet>();
    check_shared::<NetworkSpec>();
    check_shared::<kd_models::ModelConfig>();
    check_shared::<kd_models::KnownNetwork>();
}
