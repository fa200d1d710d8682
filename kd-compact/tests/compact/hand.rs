//! Graphs by hand, against which recorded ones are held.

use kd_compact::{ConvShape, Graph, NodeId};
use kd_models::{BlockShortcut, InvertedBlocks, NetworkSpec, ResNetBlocks, Structure, VggConfig};

/// The graph of a VGG, a ResNet of three groups, or a MobileNetV2 of its paper.
pub(crate) fn graph(spec: &NetworkSpec) -> Graph {
    let mut graph = Graph::new(spec.input);
    match spec.structure().unwrap() {
        Structure::Vgg(config) => vgg(&mut graph, &config, spec),
        Structure::PaperMobileNetV2(blocks) => mobilenet(&mut graph, &blocks, spec.classes),
        Structure::HeResNet(config) => {
            resnet(
                &mut graph,
                &ResNetBlocks::padded(&config),
                "linear",
                spec.classes,
            );
        }
        Structure::CrdResNet(config) => {
            resnet(
                &mut graph,
                &ResNetBlocks::projected(&config),
                "fc",
                spec.classes,
            );
        }
        other => unreachable!("{other:?} is not described"),
    }
    graph
}

/// A map after its norm, or after its activation.
fn normed(graph: &mut Graph, paths: [&str; 2], input: NodeId, shape: ConvShape) -> NodeId {
    let map = graph.conv(paths[0], input, shape);
    graph.norm(paths[1], map)
}

fn block_path(group: usize, index: usize) -> String {
    format!("layer{}.{index}", group + 1)
}

fn resnet(graph: &mut Graph, blocks: &ResNetBlocks, head: &str, classes: usize) {
    graph.block("stem");
    let stem = ConvShape::square(blocks.stem, 3);
    let map = normed(graph, ["conv1", "bn1"], graph.input(), stem);
    let mut map = graph.relu(map);
    for (group, row) in blocks.groups.iter().enumerate() {
        graph.block(format!("layer{}", group + 1));
        for (index, block) in row.iter().enumerate() {
            let path = block_path(group, index);
            let at = |name: &str| format!("{path}.{name}");
            let first = ConvShape::square(block.inner, 3).with_stride(block.stride);
            let hidden = normed(graph, [&at("conv1"), &at("bn1")], map, first);
            let hidden = graph.relu(hidden);
            let second = ConvShape::square(block.width, 3);
            let hidden = normed(graph, [&at("conv2"), &at("bn2")], hidden, second);
            let shortcut = match block.shortcut {
                BlockShortcut::Identity => map,
                BlockShortcut::Padded(padding) => {
                    graph.pad(at("shortcut"), map, block.stride, padding)
                }
                BlockShortcut::Projection => {
                    let shape = ConvShape::square(block.width, 1).with_stride(block.stride);
                    let paths = [at("downsample.0"), at("downsample.1")];
                    normed(graph, [&paths[0], &paths[1]], map, shape)
                }
            };
            let sum = graph.add(&[hidden, shortcut]);
            map = graph.relu(sum);
        }
    }
    graph.block("head");
    let pooled = graph.average(map);
    graph.linear(head, pooled, classes);
}

/// The sides from which a VGG pools a fourth time.
const LARGE: usize = 64;

fn vgg(graph: &mut Graph, config: &VggConfig, spec: &NetworkSpec) {
    let [_, mut height, mut width] = spec.input;
    let poolings = if height.min(width) >= LARGE { 4 } else { 3 };
    let mut map = graph.input();
    for (group, row) in config.widths.iter().enumerate() {
        graph.block(format!("block{group}"));
        if (1..=poolings).contains(&group) {
            [height, width] = [height / 2, width / 2];
            map = graph.max_pool(map, [height, width]);
        }
        for (index, &channels) in row.iter().enumerate() {
            let paths = [0, 1].map(|layer| format!("block{group}.{}", 3 * index + layer));
            let shape = ConvShape::square(channels, 3).with_bias();
            map = normed(graph, [&paths[0], &paths[1]], map, shape);
            map = graph.relu(map);
        }
    }
    graph.block("head");
    let pooled = graph.average(map);
    graph.linear("classifier", pooled, spec.classes);
}

fn mobilenet(graph: &mut Graph, blocks: &InvertedBlocks, classes: usize) {
    graph.block("stem");
    let stem = ConvShape::square(blocks.stem, 3).with_stride(blocks.stem_stride);
    let map = normed(graph, ["features.0.0", "features.0.1"], graph.input(), stem);
    let mut map = graph.relu6(map);
    let mut feature = 0;
    for (stage, row) in blocks.stages.iter().enumerate() {
        graph.block(format!("stage{}", stage + 1));
        for block in row {
            feature += 1;
            let at = |name: String| format!("features.{feature}.conv.{name}");
            let (mut hidden, mut layer) = (map, 0);
            if block.expands {
                let shape = ConvShape::square(block.hidden, 1);
                let paths = [at("0.0".into()), at("0.1".into())];
                hidden = normed(graph, [&paths[0], &paths[1]], hidden, shape);
                hidden = graph.relu6(hidden);
                layer = 1;
            }
            let shape = ConvShape::depthwise(block.hidden, 3).with_stride(block.stride);
            let paths = [at(format!("{layer}.0")), at(format!("{layer}.1"))];
            hidden = normed(graph, [&paths[0], &paths[1]], hidden, shape);
            hidden = graph.relu6(hidden);
            let paths = [layer + 1, layer + 2].map(|layer| at(layer.to_string()));
            let shape = ConvShape::square(block.width, 1);
            hidden = normed(graph, [&paths[0], &paths[1]], hidden, shape);
            map = if block.adds {
                graph.add(&[hidden, map])
            } else {
                hidden
            };
        }
    }
    graph.block("last");
    let paths = [0, 1].map(|layer| format!("features.{}.{layer}", feature + 1));
    let shape = ConvShape::square(blocks.last, 1);
    let map = normed(graph, [&paths[0], &paths[1]], map, shape);
    let map = graph.relu6(map);
    graph.block("head");
    let pooled = graph.average(map);
    graph.linear("classifier.1", pooled, classes);
}
