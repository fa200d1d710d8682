//! The U-Nets of Stagewise KD: shapes, costs, stages, initial weights, and what is refused.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Distribution, Gradients, Tensor};
use kd_core::{CountCosts, Error, Names, StagedNetwork, export};
use kd_models::{
    ModelNetwork, Network, NetworkSpec, SkdResNetConfig, StemKind, Structure, UNet, UNetConfig,
};

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

#[test]
fn maps_have_the_paper_s_shapes() {
    // A network with a 64th of the encoder's and a 16th of the decoder's widths, at the paper's size.
    let config = UNetConfig {
        encoder: SkdResNetConfig {
            widths: [1, 2, 4, 8],
            ..SkdResNetConfig::RESNET10
        },
        decoder: [16, 8, 4, 2, 1],
        head: 3,
    };
    let device = Device::flex();
    let network = UNet::new(&config, [3, 480, 640], 12, 0, &device).unwrap();
    let trace = network.forward_traced(&Tensor::zeros([1, 3, 480, 640], &device));
    let found: Vec<_> = network
        .stage_names()
        .into_iter()
        .zip(trace.maps.iter().map(Tensor::dims))
        .map(|(stage, [_, channels, height, width])| (stage, [channels, height, width]))
        .collect();
    let expected = [
        ("stem", [1, 240, 320]),
        ("layer1", [1, 120, 160]),
        ("layer2", [2, 60, 80]),
        ("layer3", [4, 30, 40]),
        ("layer4", [8, 15, 20]),
        ("decoder0", [16, 30, 40]),
        ("decoder1", [8, 60, 80]),
        ("decoder2", [4, 120, 160]),
        ("decoder3", [2, 240, 320]),
        ("decoder4", [1, 480, 640]),
    ]
    .map(|(stage, shape)| (stage.to_owned(), shape));
    assert_eq!(found, expected);
    assert_eq!(trace.dense.dims(), [1, 1, 480, 640]);
    assert_eq!(trace.output.dims(), [1, 12, 480, 640]);
}

#[test]
fn parameters_are_those_of_the_paper_s_networks() {
    let device = Device::flex();
    for (depth, millions) in [
        (10, "8.059"),
        (14, "13.960"),
        (18, "14.330"),
        (20, "15.510"),
        (26, "20.601"),
        (34, "24.438"),
    ] {
        let spec = NetworkSpec::new(format!("skd-unet-resnet{depth}"), 12, [3, 480, 640]);
        let costs = spec.costs(&device).unwrap();
        assert_eq!(format!("{:.3}", costs.params() as f64 / 1e6), millions);
        let stages: Vec<u64> = costs
            .by_stage()
            .into_iter()
            .map(|(_, cost)| cost.params)
            .collect();
        let decoder = [2_360_320, 590_336, 147_712, 46_208, 6_976];
        assert_eq!(stages[5..10], decoder, "{depth}");
        assert_eq!(stages[10..], [1_740], "{depth}");
        // The encoder is the classifier's body.
        let classifier = NetworkSpec::new(format!("skd-resnet{depth}"), 10, [3, 480, 640]);
        let body = classifier.costs(&device).unwrap().by_stage();
        assert_eq!(costs.by_stage()[..5], body[..5], "{depth}");
    }
}

#[test]
fn the_multiply_accumulates_of_the_decoder_by_hand() {
    let spec = NetworkSpec::new("skd-unet-small-resnet34", 12, [3, 64, 96]);
    let stages = spec.costs(&Device::flex()).unwrap().by_stage();
    // Channels in and out of both convolutions, and pixels.
    for (stage, joined, width, pixels) in [
        (5, 128 + 64, 64, 4 * 6),
        (6, 64 + 32, 32, 8 * 12),
        (7, 32 + 16, 16, 16 * 24),
        (8, 16 + 16, 8, 32 * 48),
        (9, 8, 4, 64 * 96),
    ] {
        let macs = 9 * (joined + width) * width * pixels;
        assert_eq!(stages[stage].1.macs, macs, "{}", stages[stage].0);
    }
    assert_eq!(stages[10].1.macs, 9 * 4 * 12 * 64 * 96);
}

#[test]
fn student_and_teacher_have_the_same_decoder() {
    let (student, teacher) = (built(SMALL), built("skd-unet-small-resnet34"));
    let decoder = |network: &UNet| {
        let mut tensors = export(network, Names::PyTorch);
        tensors.retain(|name, _| !name.starts_with("encoder."));
        tensors
    };
    assert_eq!(decoder(&student), decoder(&teacher));
}

#[test]
fn stage_by_stage_equals_the_forward_pass() {
    let device = Device::flex();
    let (network, input) = (built(SMALL), images(&device));
    let mut maps = Vec::new();
    for stage in 0..network.stage_names().len() {
        maps.push(network.forward_stage(stage, &input, &maps));
    }
    let output = network.forward_head(network.forward_dense(&input, &maps));
    assert_eq!(output.into_data(), network.forward(&input).into_data());
    let prefix = network.forward_maps(&input, 7);
    assert_eq!(
        prefix[6].to_data(),
        maps[6].to_data(),
        "a prefix is the same as in the whole"
    );
    for map in maps {
        assert!(map.min().into_scalar::<f32>() >= 0.0, "after the ReLU");
    }
}

#[test]
fn stages_own_nested_parameters() {
    let network = built(SMALL);
    let paths: Vec<_> = (0..10)
        .flat_map(|stage| network.stage_parameters(stage))
        .collect();
    assert_eq!(
        paths,
        [
            "encoder.conv1",
            "encoder.bn1",
            "encoder.layer1",
            "encoder.layer2",
            "encoder.layer3",
            "encoder.layer4",
            "decoder.blocks.0",
            "decoder.blocks.1",
            "decoder.blocks.2",
            "decoder.blocks.3",
            "decoder.blocks.4",
        ]
    );
}

struct Untouched<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    found: Vec<String>,
}

impl ModuleVisitor for Untouched<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.join(".");
        if !path.contains("running_") && param.grad(self.gradients).is_none() {
            self.found.push(path);
        }
    }
}

#[test]
fn every_parameter_has_a_gradient() {
    let device = Device::flex().autodiff();
    let network = UNet::build(&spec(SMALL), 1, &device).unwrap();
    let loss = network.forward(&images(&device)).powi_scalar(2).mean();
    let gradients = loss.backward();
    let mut untouched = Untouched {
        gradients: &gradients,
        path: Vec::new(),
        found: Vec::new(),
    };
    network.visit(&mut untouched);
    assert_eq!(untouched.found, Vec::<String>::new());
}

#[test]
fn initial_weights_follow_the_three_laws() {
    let tensors = export(&built(SMALL), Names::PyTorch);
    let moments = |name: &str| {
        let values: Vec<f64> = tensors[name].iter::<f64>().collect();
        let square = values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64;
        let largest = values
            .iter()
            .fold(0.0, |largest: f64, x| largest.max(x.abs()));
        (square.sqrt(), largest)
    };
    let (std, largest) = moments("encoder.layer4.0.conv2.weight");
    let wanted = (2.0_f64 / (9.0 * 128.0)).sqrt();
    assert!((std / wanted - 1.0).abs() < 0.02, "{std} {wanted}");
    assert!(largest > 3.0 * wanted, "normal, not uniform");
    // Fan in and not out: 64 + 128 channels come in, 64 go out.
    let (std, largest) = moments("decoder.blocks.0.conv1.0.weight");
    let wanted = (2.0_f64 / (9.0 * 192.0)).sqrt();
    assert!((std / wanted - 1.0).abs() < 0.02, "{std} {wanted}");
    let bound = 3_f64.sqrt() * wanted;
    assert!(largest <= bound * 1.000_001 && largest > 0.999 * bound);
    let (_, largest) = moments("segmentation_head.0.weight");
    let bound = (6.0_f64 / (9.0 * (4.0 + 12.0))).sqrt();
    assert!(
        largest <= bound * 1.000_001 && largest > 0.98 * bound,
        "{largest} {bound}"
    );
    assert_eq!(moments("segmentation_head.0.bias"), (0.0, 0.0));
    assert_eq!(moments("decoder.blocks.2.conv2.1.weight"), (1.0, 1.0));
    let other = UNet::build(&spec(SMALL), 5, &Device::flex()).unwrap();
    assert_ne!(export(&other, Names::PyTorch), tensors);
    assert_eq!(export(&built(SMALL), Names::PyTorch), tensors);
}

#[test]
fn names_of_either_kind_are_known_and_not_mixed_up() {
    let device = Device::flex();
    let text = |error: Error| error.to_string();
    assert_eq!(
        text(Network::build(&spec(SMALL), 0, &device).unwrap_err()),
        "`name` is `skd-unet-small-resnet10`, a segmentation network, where a classification network \
         is wanted; name another"
    );
    assert_eq!(
        text(UNet::build(&spec("resnet8"), 0, &device).unwrap_err()),
        "`name` is `resnet8`, a classification network, where a segmentation network is wanted; name another"
    );
    let unknown = text(UNet::build(&spec("skd-unet-resnet11"), 0, &device).unwrap_err());
    assert!(
        unknown.contains("did you mean `skd-unet-resnet10`?"),
        "{unknown}"
    );
    assert_eq!(spec("skd_unet_resnet34").name, "skd-unet-resnet34");
}

#[test]
fn images_of_other_sizes_are_refused_in_words() {
    let device = Device::flex();
    let refused = |input| {
        let spec = NetworkSpec::new("skd-unet-resnet34", 12, input);
        spec.check().unwrap_err().to_string()
    };
    assert_eq!(
        refused([3, 360, 480]),
        "`input` of a U-Net must have a height and a width that are multiples of 32, got [3, 360, \
         480]; resize or crop the images"
    );
    assert!(refused([3, 0, 32]).contains("above 0"));
    let costs = built(SMALL).costs([3, 64, 48]);
    assert!(matches!(costs, Err(Error::Shape { .. })), "{costs:?}");
    let small = UNetConfig::ordinary(SkdResNetConfig::RESNET10.with_stem(StemKind::Small));
    let error = UNet::new(&small, [3, 32, 32], 2, 0, &device).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("`stem` of a U-Net's encoder must be the large one"),
        "{error}"
    );
    let none = UNetConfig {
        decoder: [4, 4, 0, 4, 4],
        ..UNetConfig::small(SkdResNetConfig::RESNET10)
    };
    let error = UNet::new(&none, [3, 32, 32], 2, 0, &device).unwrap_err();
    assert!(error.to_string().starts_with("`widths` must be above 0"));
}

#[test]
fn costs_without_building_it_are_those_of_the_network() {
    let device = Device::flex();
    let free = UNetConfig {
        encoder: SkdResNetConfig {
            blocks: [2, 1, 3, 1],
            widths: [4, 5, 6, 8],
            ..SkdResNetConfig::RESNET10
        },
        decoder: [7, 6, 5, 3, 9],
        head: 1,
    };
    let small = UNetConfig::small(SkdResNetConfig::RESNET34);
    for (config, input, classes) in [(free, [3, 64, 96], 5), (small, [1, 32, 32], 12)] {
        let spec = NetworkSpec::with_structure("free", Structure::UNet(config), classes, input);
        let costs = UNet::blank(&spec, &device).unwrap().costs(input).unwrap();
        assert_eq!(
            config.counts(input, classes),
            Some([costs.params(), costs.macs()])
        );
        assert_eq!(config.counts([3, 48, 64], classes), None);
    }
}

#[test]
fn with_a_kernel_of_1_a_pixel_s_logits_are_of_its_channels_alone() {
    let device = Device::flex();
    let config = UNetConfig::small(SkdResNetConfig::RESNET10).with_head(1);
    let network = UNet::new(&config, [3, 64, 32], 3, 0, &device).unwrap();
    let dense = network.forward_traced(&images(&device)).dense;
    let whole = network.forward_head(dense.clone());
    let alone = network.forward_head(dense.narrow(2, 5, 1).narrow(3, 7, 1));
    let off = (whole.narrow(2, 5, 1).narrow(3, 7, 1) - alone).abs().max();
    assert!(off.into_scalar::<f32>() < 1e-6);
    for head in [0, 2, 17] {
        let error = UNet::new(&config.with_head(head), [3, 64, 32], 3, 0, &device);
        let error = error.unwrap_err().to_string();
        let expected = format!("`head` of a U-Net must be odd and at most 15, got {head}");
        assert_eq!(error, expected);
    }
}
