//! Graphs recorded from a forward pass: their groups, costs and what is fixed.

use std::collections::BTreeSet;

use burn::tensor::Device;
use kd_compact::{Alive, ConvShape, CostModel, Graph, Groups, Policy, check_groups, graph_of};
use kd_core::StagedNetwork;
use kd_models::{
    DenseNetConfig, InvertedResiduals, LargeVggConfig, MobileNetV2Config, ModelNetwork, Network,
    NetworkSpec, OkddipResNetConfig, OkddipVggConfig, SkdResNetConfig, StemKind, Structure, UNet,
    UNetConfig,
};

use crate::{cuts, hand};

/// Channels that live and die together, and why they stay if they do; shortcuts, whose names differ, aside.
type Sets = BTreeSet<(Vec<(String, usize)>, Option<String>)>;

fn sets(graph: &Graph) -> Sets {
    let groups = Groups::of(graph).unwrap();
    let sets = groups
        .members(graph)
        .into_iter()
        .map(|(group, mut members)| {
            members.retain(|(path, _)| !path.ends_with("shortcut"));
            members.sort();
            (members, groups.groups()[group].fixed.clone())
        });
    sets.collect()
}

#[test]
fn a_recording_finds_what_was_described_by_hand() {
    let catalogue = [
        "mobilenetv2-mini",
        "resnet8",
        "crd-resnet8",
        "resnet8x4",
        "vgg8",
        "vgg16",
    ];
    let catalogue = catalogue.map(|name| NetworkSpec::new(name, 10, [3, 32, 32]));
    for spec in cuts::specs().into_iter().chain(catalogue) {
        let (recorded, hand) = (graph_of(&spec).unwrap(), hand::graph(&spec));
        assert_eq!(sets(&recorded), sets(&hand), "{}", spec.title());
        assert_eq!(recorded.blocks(), hand.blocks(), "{}", spec.title());
        let sizes = [&recorded, &hand].map(|graph| {
            let groups = Groups::of(graph).unwrap();
            let model = CostModel::of(graph, &groups);
            model.by_block(&Alive::all(&groups))
        });
        assert_eq!(sizes[0], sizes[1], "{}", spec.title());
    }
}

/// Small networks of the families with batch norms whose structure has no place for what a cut leaves.
fn without_structure() -> Vec<Structure> {
    let row = |expansion, width, blocks, stride| InvertedResiduals {
        expansion,
        width,
        blocks,
        stride,
    };
    let mobilenet = MobileNetV2Config {
        stem: 4,
        groups: [
            row(1, 4, 1, 1),
            row(2, 6, 2, 1),
            row(3, 6, 2, 2),
            row(2, 8, 1, 2),
            row(2, 8, 2, 1),
            row(2, 10, 1, 2),
            row(2, 12, 1, 1),
        ],
        last: 20,
    };
    vec![
        Structure::MobileNetV2(mobilenet),
        Structure::OkddipResNet(OkddipResNetConfig {
            blocks: [1, 2, 1],
            stem: 4,
            widths: [2, 3, 4],
            widening: 3,
        }),
        Structure::DenseNet(DenseNetConfig {
            stem: 5,
            growth: 3,
            bottleneck: 2,
            layers: [2, 3, 1],
        }),
        Structure::OkddipVgg(OkddipVggConfig {
            widths: [2, 3, 4, 5, 6],
            convolutions: [1, 2, 1, 1],
            hidden: 7,
        }),
        Structure::LargeVgg(LargeVggConfig {
            widths: [2, 3, 4, 5, 6],
            convolutions: [1, 2, 1, 1, 1],
            hidden: 7,
        }),
        Structure::SkdResNet(SkdResNetConfig {
            blocks: [1, 1, 2, 1],
            widths: [4, 5, 6, 7],
            stem: StemKind::Small,
        }),
    ]
}

fn free_channels(graph: &Graph) -> usize {
    Groups::of(graph).unwrap().channels()
}

#[test]
fn nothing_that_stays_depends_on_what_would_be_cut_in_networks_without_a_structure_for_it() {
    let device = Device::flex();
    for structure in without_structure() {
        let spec = NetworkSpec::with_structure("small", structure, 4, [3, 32, 32]);
        let network = Network::build(&spec, 3, &device).unwrap();
        let graph = graph_of(&spec).unwrap();
        assert!(free_channels(&graph) > 0, "{}", spec.title());
        for policy in [Policy::Zero, Policy::FoldOrZero] {
            check_groups(&network, &graph, policy, 50, 5).unwrap();
        }
    }
}

#[test]
fn nothing_that_stays_depends_on_what_would_be_cut_in_a_u_net() {
    let config = UNetConfig {
        encoder: SkdResNetConfig {
            blocks: [1, 1, 2, 1],
            widths: [4, 5, 6, 7],
            stem: StemKind::Large,
        },
        decoder: [6, 5, 4, 3, 2],
        head: 3,
    };
    let spec = NetworkSpec::with_structure("small", Structure::UNet(config), 4, [3, 32, 32]);
    let network = UNet::build(&spec, 3, &Device::flex()).unwrap();
    let graph = graph_of(&spec).unwrap();
    let stages = network.stage_names();
    assert_eq!(graph.blocks()[..stages.len()], stages);
    assert!(free_channels(&graph) > 0);
    check_groups(&network, &graph, Policy::FoldOrZero, 50, 5).unwrap();
}

#[test]
fn a_mask_that_something_depends_on_is_found_out() {
    // Without the shortcut, the groups of the description are wrong.
    let spec = NetworkSpec::new("resnet8", 10, [3, 16, 16]);
    let network = Network::build(&spec, 3, &Device::flex()).unwrap();
    let mut wrong = Graph::new(spec.input);
    let mut map = wrong.input();
    for (path, width, stride) in [
        ("conv1 bn1", 16, 1),
        ("layer1.0.conv1 layer1.0.bn1", 16, 1),
        ("layer1.0.conv2 layer1.0.bn2", 16, 1),
        ("layer2.0.conv1 layer2.0.bn1", 32, 2),
        ("layer2.0.conv2 layer2.0.bn2", 32, 1),
        ("layer3.0.conv1 layer3.0.bn1", 64, 2),
        ("layer3.0.conv2 layer3.0.bn2", 64, 1),
    ] {
        let (conv, norm) = path.split_once(' ').unwrap();
        map = wrong.conv(conv, map, ConvShape::square(width, 3).with_stride(stride));
        map = wrong.norm(norm, map);
        map = wrong.relu(map);
    }
    let pooled = wrong.average(map);
    wrong.linear("linear", pooled, 10);
    let error = check_groups(&network, &wrong, Policy::Zero, 5, 5).unwrap_err();
    assert!(
        error.to_string().contains("severed network at inference"),
        "{error}"
    );
}

#[test]
fn costs_of_every_network_are_those_of_the_network() {
    for known in kd_models::known_networks() {
        let input = [3, 64, 64];
        let spec = NetworkSpec::new(known.name, 10, input);
        if spec.check().is_err() || known.name.contains("text") {
            continue;
        }
        let graph = graph_of(&spec).unwrap();
        let groups = Groups::of(&graph).unwrap();
        let size = CostModel::of(&graph, &groups).size(&Alive::all(&groups));
        let costs = spec.costs(&Device::flex()).unwrap();
        let expected = [costs.macs(), costs.params()];
        assert_eq!([size.macs, size.parameters], expected, "{}", known.name);
    }
}
