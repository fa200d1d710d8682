//! Constants: what channels say whose norms have no scale left, carried through the network.

use kd_core::Tensors;

use crate::graph::Graph;
use crate::op::{Join, Op, Origin};
use crate::tensors::values;

/// For every channel of every node its value, where that is the same for all images and at all places.
pub(crate) fn constants(graph: &Graph, tensors: &Tensors) -> Vec<Vec<Option<f64>>> {
    let mut all: Vec<Vec<Option<f64>>> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let before = node.inputs.first().map(|&input| all[input].clone());
        let before = before.unwrap_or_default();
        let row = match &node.op {
            Op::Input | Op::Conv { .. } | Op::Linear { .. } | Op::Unknown { .. } => {
                vec![None; node.shape[0]]
            }
            Op::Norm { path } => of_norm(path, tensors),
            Op::Each(function) => mapped(before, |value| function.of(value)),
            Op::Pool(Some(factor)) => mapped(before, |value| Some(factor * value)),
            Op::Pool(None) => mapped(before, |value| (value == 0.0).then_some(0.0)),
            Op::Join(join) => (0..node.shape[0])
                .map(|channel| joined(*join, node.inputs.iter().map(|&input| all[input][channel])))
                .collect(),
            Op::Move(from) => {
                let moved = |origin: &Origin| match *origin {
                    Some((part, channel)) => all[node.inputs[part]][channel],
                    None => Some(0.0),
                };
                from.iter().map(moved).collect()
            }
            Op::Pad { padding, .. } => {
                let zeros = |count: usize| vec![Some(0.0); count];
                [zeros(padding[0]), before, zeros(padding[1])].concat()
            }
        };
        all.push(row);
    }
    all
}

/// A norm whose scale is 0 says its shift.
fn of_norm(path: &str, tensors: &Tensors) -> Vec<Option<f64>> {
    let scales = values(tensors, &format!("{path}.weight"));
    let shifts = values(tensors, &format!("{path}.bias"));
    let both = scales.into_iter().zip(shifts);
    both.map(|(scale, shift)| (scale == 0.0).then_some(shift))
        .collect()
}

fn mapped(row: Vec<Option<f64>>, map: impl Fn(f64) -> Option<f64>) -> Vec<Option<f64>> {
    row.into_iter().map(|value| value.and_then(&map)).collect()
}

/// A product is 0 where one factor is, whatever the others are.
fn joined(join: Join, mut parts: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    match join {
        Join::Sum => parts.sum(),
        Join::Difference => {
            let first = parts.next().flatten();
            parts.fold(first, |left, part| Some(left? - part?))
        }
        Join::Product => parts
            .reduce(|left, part| match (left, part) {
                (Some(0.0), _) | (_, Some(0.0)) => Some(0.0),
                (left, part) => Some(left? * part?),
            })
            .flatten(),
    }
}
