//! Scores of channels without sparse training: the baselines.

use kd_core::{Draws, Tensors};

use crate::graph::Graph;
use crate::groups::Groups;
use crate::op::Op;
use crate::tensors::{numbers, shape, values};

/// The mean size of all weights that go with a channel, over the mean of its group: magnitude pruning by
/// groups. One number for each channel, counting those that go together once.
///
/// ```text
/// score = m / mean of the group's m      m = sum |w| / number of w, over the weights that write or read it
/// ```
pub fn l1_scores(graph: &Graph, groups: &Groups, tensors: &Tensors) -> Vec<f64> {
    let mut sums = vec![[0.0, 0.0]; groups.units.len()];
    of_weights(graph, groups, tensors, f64::abs, |unit, sum, count| {
        sums[unit][0] += sum;
        sums[unit][1] += count as f64;
    });
    let means = sums
        .into_iter()
        .map(|[sum, count]| sum / f64::max(count, 1.0));
    over_group_means(groups, means.collect())
}

/// The Euclidean norm of all weights that go with a channel, the scales of its norms among them, over the
/// mean of its group: `DepGraph`'s group norm, without its sparse training.
///
/// ```text
/// score = I / mean of the group's I
/// I     = sqrt(sum of w^2 over the weights that write or read the channel)
/// ```
pub fn group_norm_scores(graph: &Graph, groups: &Groups, tensors: &Tensors) -> Vec<f64> {
    let mut sums = vec![0.0; groups.units.len()];
    let square = |number: f64| number * number;
    of_weights(graph, groups, tensors, square, |unit, sum, _| {
        sums[unit] += sum;
    });
    for (index, node) in graph.nodes.iter().enumerate() {
        if let Op::Norm { path } = &node.op {
            let scales = values(tensors, &format!("{path}.weight"));
            for (scale, &unit) in scales.iter().zip(&groups.of_node[index]) {
                sums[unit] += square(*scale);
            }
        }
    }
    let norms = sums.into_iter().map(f64::sqrt);
    over_group_means(groups, norms.collect())
}

/// Goes through the weights of convolutions and linear layers, by the channels that they write and read, and
/// has `add` told of each channel the sum of what `of` makes of some weights, and their number.
fn of_weights(
    graph: &Graph,
    groups: &Groups,
    tensors: &Tensors,
    of: impl Fn(f64) -> f64,
    mut add: impl FnMut(usize, f64, usize),
) {
    for (index, node) in graph.nodes.iter().enumerate() {
        let (Op::Conv { path, .. } | Op::Linear { path, .. }) = &node.op else {
            continue;
        };
        let name = format!("{path}.weight");
        let (weights, shape) = (numbers(tensors, &name), shape(tensors, &name));
        let [outputs, inputs] = [shape[0], shape[1]];
        let area = weights.len() / (outputs * inputs).max(1);
        let columns = &groups.of_node[node.inputs[0]];
        let each = weights.chunks((inputs * area).max(1));
        for (row, &output) in each.zip(&groups.of_node[index]) {
            for (input, taps) in row.chunks(area.max(1)).enumerate() {
                let sum = taps.iter().map(|&tap| of(f64::from(tap))).sum();
                add(output, sum, area);
                // A depthwise layer's weights are of one channel.
                if columns.len() == inputs && columns[input] != output {
                    add(columns[input], sum, area);
                }
            }
        }
    }
}

fn over_group_means(groups: &Groups, means: Vec<f64>) -> Vec<f64> {
    let mut sums = vec![[0.0, 0.0]; groups.groups().len()];
    for (unit, mean) in groups.units.iter().zip(&means) {
        sums[unit.group][0] += mean;
        sums[unit.group][1] += 1.0;
    }
    let pairs = groups.units.iter().zip(means);
    let score = |(unit, mean): (&crate::groups::Unit, f64)| {
        let [sum, count] = sums[unit.group];
        if sum > 0.0 { mean * count / sum } else { 0.0 }
    };
    pairs.map(score).collect()
}

/// Scores at random.
pub fn random_scores(groups: &Groups, seed: u64) -> Vec<f64> {
    let mut draws = Draws::new(seed, "scores", 0, 0);
    groups.units.iter().map(|_| draws.uniform()).collect()
}

/// Scores that thin all groups by one factor: of a group of `n` the first has 1, the last `1 / n`.
pub fn uniform_scores(groups: &Groups) -> Vec<f64> {
    let mut seen = vec![0; groups.groups().len()];
    let score = |unit: &crate::groups::Unit| {
        let channels = groups.groups()[unit.group].channels;
        seen[unit.group] += 1;
        (channels + 1 - seen[unit.group]) as f64 / channels as f64
    };
    groups.units.iter().map(score).collect()
}
