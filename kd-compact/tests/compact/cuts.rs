//! Cut networks of kd-models against masked ones, by random masks of random norms.

use burn::tensor::Device;
use kd_compact::{
    Alive, CostModel, Groups, Policy, Surgery, Widths, check_cut, cut_spec, graph_of,
};
use kd_core::{CountCosts, ErrorKind, Names, export};
use kd_models::{
    BlockKind, BlockShortcut, InvertedBlocks, LargeResNetConfig, Network, NetworkSpec,
    ResNetBlocks, ResNetConfig, ShuffleNetV2Config, Structure, VggConfig,
};

/// Small networks of every family, with the policy that is exact for them without touching a shift.
pub(crate) fn specs() -> Vec<NetworkSpec> {
    let resnet = |widths| ResNetConfig { blocks: 2, widths };
    let mut mobile = InvertedBlocks::mini();
    for block in mobile.stages.iter_mut().flatten() {
        block.width /= 4;
    }
    mobile.stem = 4;
    let mut before = 4;
    for block in mobile.stages.iter_mut().flatten() {
        block.hidden = if block.expands { 2 * before } else { before };
        before = block.width;
    }
    mobile.last = 10;
    let vgg = VggConfig {
        widths: [vec![4], vec![5, 6], vec![7], vec![8], vec![6]],
    };
    let structures = [
        Structure::PaperMobileNetV2(mobile),
        Structure::HeResNet(resnet([4, 4, 7, 12])),
        Structure::CrdResNet(resnet([3, 4, 6, 5])),
        Structure::Vgg(vgg),
    ];
    structures
        .map(|structure| NetworkSpec::with_structure("small", structure, 5, [3, 8, 10]))
        .to_vec()
}

/// Those, and further ones whose structure has free widths.
fn all_specs() -> Vec<NetworkSpec> {
    let large = |block| LargeResNetConfig {
        block,
        blocks: [1, 2, 1, 1],
        stem: 5,
        widths: [3, 4, 3, 5],
    };
    let structures = [
        Structure::ImageNetResNet(large(BlockKind::Basic)),
        Structure::ImageNetResNet(large(BlockKind::Bottleneck)),
        Structure::CifarStemResNet(large(BlockKind::Basic)),
        Structure::CifarStemResNet(large(BlockKind::Bottleneck)),
        Structure::WideResNet(ResNetConfig {
            blocks: 2,
            widths: [4, 4, 6, 5],
        }),
        Structure::ShuffleNetV2(ShuffleNetV2Config {
            stem: 4,
            widths: [8, 12, 6],
            blocks: [1, 0, 2],
            last: 7,
        }),
    ];
    let further =
        structures.map(|structure| NetworkSpec::with_structure("small", structure, 5, [3, 8, 10]));
    specs().into_iter().chain(further).collect()
}

fn build(spec: &NetworkSpec, widths: &Widths) -> kd_core::Result<Network> {
    Network::blank(&cut_spec(spec, widths)?, &Device::flex())
}

fn check(spec: &NetworkSpec, policy: Policy, masks: usize) -> kd_core::Result<()> {
    let network = Network::build(spec, 3, &Device::flex()).unwrap();
    let graph = graph_of(spec).unwrap();
    check_cut(
        &network,
        &graph,
        |widths| build(spec, widths),
        policy,
        masks,
        7,
    )
}

#[test]
fn the_small_networks_are_cut_exactly_under_two_policies() {
    for spec in all_specs() {
        for policy in [Policy::Zero, Policy::FoldOrZero] {
            check(&spec, policy, 100).unwrap();
        }
    }
}

#[test]
fn every_constant_of_a_mobilenet_can_be_folded_and_none_under_padding() {
    let [mobile, he, crd, vgg] = specs().try_into().unwrap();
    check(&mobile, Policy::Fold, 100).unwrap();
    for spec in [he, crd, vgg] {
        let error = check(&spec, Policy::Fold, 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        let text = error.to_string();
        assert!(
            text.contains("cannot be folded exactly; use \"fold-or-zero\""),
            "{text}"
        );
    }
}

#[test]
fn networks_of_the_catalogue_are_cut_exactly() {
    for name in ["mobilenetv2-mini", "resnet8", "crd-resnet8", "resnet8x4"] {
        let spec = NetworkSpec::new(name, 10, [3, 16, 16]);
        check(&spec, Policy::FoldOrZero, 3).unwrap();
    }
}

#[test]
fn what_was_cut_can_be_cut_again() {
    for spec in all_specs() {
        let graph = graph_of(&spec).unwrap();
        let groups = Groups::of(&graph).unwrap();
        let alive = Alive::chosen(&groups, |_, channel| channel % 3 != 1);
        let cut = cut_spec(&spec, &Widths::of(&graph, &groups, &alive)).unwrap();
        check(&cut, Policy::FoldOrZero, 20).unwrap();
    }
}

#[test]
fn the_costs_by_live_channels_are_those_of_the_networks_that_are_left() {
    for spec in all_specs() {
        let graph = graph_of(&spec).unwrap();
        let groups = Groups::of(&graph).unwrap();
        let model = CostModel::of(&graph, &groups);
        for keep in 1..6 {
            let alive = Alive::chosen(&groups, |group, channel| (group + channel) % keep == 0);
            let cut = build(&spec, &Widths::of(&graph, &groups, &alive)).unwrap();
            let costs = cut.costs(spec.input).unwrap();
            let size = model.size(&alive);
            assert_eq!([size.macs, size.parameters], [costs.macs(), costs.params()]);
        }
    }
}

#[test]
fn the_channels_of_a_widening_shortcut_without_parameters_live_together_shifted() {
    let spec = NetworkSpec::new("resnet8", 10, [3, 16, 16]);
    let graph = graph_of(&spec).unwrap();
    let groups = Groups::of(&graph).unwrap();
    let found: Vec<(String, usize, bool)> = groups
        .groups()
        .iter()
        .map(|group| (group.name.clone(), group.channels, group.fixed.is_some()))
        .collect();
    let expected = [
        ("input", 3, true),
        ("bn1", 16, false),
        ("layer1.0.bn1", 16, false),
        ("layer2.0.bn1", 32, false),
        ("layer2.0.bn2", 16, false),
        ("layer3.0.bn1", 64, false),
        ("layer3.0.bn2", 32, false),
        ("linear", 10, true),
    ];
    let expected = expected.map(|(name, channels, fixed)| (name.to_owned(), channels, fixed));
    assert_eq!(found, expected);
    // Every group loses its first channel: so do the zeros before the others in the second and third group.
    let alive = Alive::chosen(&groups, |_, channel| channel != 0);
    let widths = Widths::of(&graph, &groups, &alive);
    assert_eq!(widths.padding("layer2.0.bn2.shortcut"), [7, 8]);
    assert_eq!(widths.width("layer2.0.conv2"), 15 + 15);
    assert_eq!(widths.padding("layer3.0.bn2.shortcut"), [15, 16]);
}

#[test]
fn a_block_that_adds_nothing_adds_nothing_when_its_widths_are_equal() {
    // Twice the widths of the stem's group, and cut to equal ones.
    let structure = Structure::CrdResNet(ResNetConfig {
        blocks: 1,
        widths: [4, 8, 8, 8],
    });
    let spec = NetworkSpec::with_structure("equal", structure, 4, [3, 8, 8]);
    let graph = graph_of(&spec).unwrap();
    let groups = Groups::of(&graph).unwrap();
    let alive = Alive::chosen(&groups, |_, channel| channel < 4);
    let cut = cut_spec(&spec, &Widths::of(&graph, &groups, &alive)).unwrap();
    let Structure::CrdResNetBlocks(ResNetBlocks { stem, groups: rows }) = cut.structure().unwrap()
    else {
        unreachable!("the family stays");
    };
    assert_eq!((stem, rows[0][0].width), (4, 4));
    assert_eq!(rows[0][0].shortcut, BlockShortcut::Projection);
    check(&cut, Policy::FoldOrZero, 10).unwrap();
    let tensors = export(
        &build(&spec, &Widths::of(&graph, &groups, &alive)).unwrap(),
        Names::PyTorch,
    );
    assert!(tensors.contains_key("layer1.0.downsample.0.weight"));
}

#[test]
fn tensors_of_another_network_are_refused() {
    let spec = NetworkSpec::new("resnet8", 10, [3, 16, 16]);
    let graph = graph_of(&spec).unwrap();
    let groups = Groups::of(&graph).unwrap();
    let surgery = Surgery {
        graph: &graph,
        groups: &groups,
    };
    let other = NetworkSpec::new("resnet14", 10, [3, 16, 16]);
    let other = Network::build(&other, 0, &Device::flex()).unwrap();
    let tensors = export(&other, Names::PyTorch);
    let error = surgery.masked(&tensors, &Alive::all(&groups), Policy::Zero);
    let text = error.unwrap_err().to_string();
    assert!(text.contains("layer1.1.bn1.bias"), "{text}");
}

#[test]
fn a_family_without_a_place_for_widths_is_refused_with_those_that_have_one() {
    let spec = NetworkSpec::new("okddip-densenet-40-12", 10, [3, 32, 32]);
    let graph = graph_of(&spec).unwrap();
    let groups = Groups::of(&graph).unwrap();
    let widths = Widths::of(&graph, &groups, &Alive::all(&groups));
    let text = cut_spec(&spec, &widths).unwrap_err().to_string();
    assert!(
        text.starts_with("`network` is of family `densenet`"),
        "{text}"
    );
    assert!(text.contains("mobilenet-v2-paper"), "{text}");
}
