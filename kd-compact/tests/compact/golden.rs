//! `MorphNet`'s golden values: a concatenation, and groups through depthwise convolutions; scores by weights.

use burn::tensor::TensorData;
use kd_compact::{
    ConvShape, CostModel, Graph, Grouping, Groups, NodeId, Penalty, Resource, Scales,
    group_norm_scores, l1_scores,
};
use kd_core::Tensors;

/// A convolution that keeps the size, and its norm.
fn conv(
    graph: &mut Graph,
    name: &str,
    input: NodeId,
    width: usize,
    kernel: [usize; 2],
    [stride, groups]: [usize; 2],
) -> NodeId {
    let shape = ConvShape {
        width,
        kernel,
        stride,
        padding: kernel.map(|side| side / 2),
        groups,
        bias: false,
    };
    let map = graph.conv(name, input, shape);
    graph.norm(format!("{name}_norm"), map)
}

/// Costs and penalties of the layers called `names`, one multiply-accumulate as 2.
fn values(graph: &Graph, scales: &Scales, names: &[&str]) -> Vec<[f64; 2]> {
    let groups = Groups::of(graph).unwrap();
    let model = CostModel::of(graph, &groups);
    let penalty = Penalty::new(&groups, Grouping::Max);
    let alive = penalty.alive(scales, 0.45);
    let resource = Resource {
        macs: 2.0,
        parameters: 0.0,
    };
    let costs = model.penalised(&resource, &alive);
    let penalties = model.penalty_by_layer(&resource, &alive, &penalty.regularisers(scales));
    let of = |all: &[(String, f64)], name: &str| {
        let found = all.iter().find(|(path, _)| path == name);
        found.unwrap().1
    };
    let values = names
        .iter()
        .map(|name| [of(&costs, name), of(&penalties, name)]);
    values.collect()
}

fn compare(found: &[[f64; 2]], expected: &[[f64; 2]]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() <= 1e-6 * expected.abs(),
                "{found} {expected}"
            );
        }
    }
}

/// So many of each number.
fn mixed(parts: &[(usize, f64)]) -> Vec<f64> {
    let all = parts
        .iter()
        .flat_map(|&(count, value)| std::iter::repeat_n(value, count));
    all.collect()
}

/// A head, which the golden values leave out.
fn head(graph: &mut Graph, map: NodeId) {
    let pooled = graph.average(map);
    graph.linear("fc", pooled, 2);
}

#[test]
fn layers_behind_a_concatenation() {
    let mut graph = Graph::new([3, 17, 19]);
    let input = graph.input();
    let one = conv(&mut graph, "conv1", input, 13, [7, 5], [1, 1]);
    let two = conv(&mut graph, "conv2", input, 23, [1, 1], [1, 1]);
    let both = graph.concat(&[one, two]);
    let three = conv(&mut graph, "conv3", both, 29, [3, 3], [2, 1]);
    let four = conv(&mut graph, "conv4", both, 31, [1, 1], [1, 1]);
    let three = graph.average(three);
    let four = graph.average(four);
    let all = graph.concat(&[three, four]);
    head(&mut graph, all);
    let scales = vec![
        mixed(&[(7, 0.8), (6, 0.2)]),
        mixed(&[(11, 0.7), (12, 0.1)]),
        mixed(&[(10, 0.6), (19, 0.3)]),
        mixed(&[(17, 0.5), (14, 0.4)]),
    ];
    let found = values(&graph, &scales, &["conv1", "conv2", "conv3", "conv4"]);
    let expected = [
        [474_810.0, 461_244.0],
        [21_318.0, 17_248.2],
        [291_600.0, 595_512.0],
        [197_676.0, 336_372.2],
    ];
    compare(&found, &expected);
}

#[test]
fn groups_through_depthwise_convolutions() {
    let mut graph = Graph::new([3, 17, 19]);
    let input = graph.input();
    let shape = ConvShape::depthwise(3, 3);
    let image = graph.conv("dw1", input, shape);
    let one = conv(&mut graph, "conv1", image, 13, [7, 5], [1, 1]);
    let two = conv(&mut graph, "conv2", input, 23, [1, 1], [1, 1]);
    let two = conv(&mut graph, "dw2", two, 23, [5, 5], [1, 23]);
    let both = graph.concat(&[one, two]);
    let three = conv(&mut graph, "conv3", both, 29, [3, 3], [2, 1]);
    head(&mut graph, three);
    let scales = vec![
        mixed(&[(7, 0.8), (6, 0.2)]),
        mixed(&[(11, 0.7), (12, 0.1)]),
        mixed(&[(5, 0.3), (10, 0.9), (8, 0.1)]),
        mixed(&[(10, 0.6), (19, 0.3)]),
    ];
    let found = values(&graph, &scales, &["dw1", "conv1", "conv2", "dw2", "conv3"]);
    let expected = [
        [17_442.0, 0.0],
        [474_810.0, 461_244.0],
        [29_070.0, 25_775.4],
        [242_250.0, 429_590.0],
        [356_400.0, 742_608.0],
    ];
    compare(&found, &expected);
}

#[test]
fn scores_by_weights() {
    let mut graph = Graph::new([1, 2, 2]);
    let input = graph.input();
    let map = conv(&mut graph, "conv", input, 2, [1, 1], [1, 1]);
    head(&mut graph, map);
    let groups = Groups::of(&graph).unwrap();
    let tensors = Tensors::from([
        (
            "conv.weight".to_owned(),
            TensorData::from([[[[3.0_f32]]], [[[-1.0]]]]),
        ),
        (
            "conv_norm.weight".to_owned(),
            TensorData::from([2.0_f32, 1.0]),
        ),
        (
            "fc.weight".to_owned(),
            TensorData::from([[4.0_f32, 1.0], [-2.0, 3.0]]),
        ),
    ]);
    let free = |scores: Vec<f64>| scores[1..3].to_vec();
    // Means of three weights each, 3 and 5 / 3, over their mean.
    let found = free(l1_scores(&graph, &groups, &tensors));
    let expected = [3.0, 5.0 / 3.0].map(|mean| mean / (7.0 / 3.0));
    compare(&[[found[0], found[1]]], &[expected]);
    // Roots of 9 + 4 + 16 + 4 and of 1 + 1 + 1 + 9, the scales among them.
    let found = free(group_norm_scores(&graph, &groups, &tensors));
    let [one, other] = [33.0_f64.sqrt(), 12.0_f64.sqrt()];
    let mean = f64::midpoint(one, other);
    compare(&[[found[0], found[1]]], &[[one / mean, other / mean]]);
}
