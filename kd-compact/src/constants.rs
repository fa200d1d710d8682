//! Constants: what channels say whose norms have no scale left, carried through the network.

use kd_core::Tensors;

use crate::graph::{Graph, Op};
use crate::tensors::values;

/// For every channel of every node its value, where that is the same for all images and at all places.
pub(crate) fn constants(graph: &Graph, tensors: &Tensors) -> Vec<Vec<Option<f64>>> {
    let mut all: Vec<Vec<Option<f64>>> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let channels = node.shape[0];
        let before = node.inputs.first().map(|&input| all[input].clone());
        let before = before.unwrap_or_default();
        let row = match &node.op {
            Op::Input | Op::Conv { .. } | Op::Linear { .. } => vec![None; channels],
            Op::Norm { path } => of_norm(path, tensors),
            Op::Relu => mapped(before, |value| value.max(0.0)),
            Op::Relu6 => mapped(before, |value| value.clamp(0.0, 6.0)),
            Op::MaxPool | Op::Average => before,
            Op::Add => (0..channels)
                .map(|channel| node.inputs.iter().map(|&input| all[input][channel]).sum())
                .collect(),
            Op::Concat => node
                .inputs
                .iter()
                .flat_map(|&input| all[input].clone())
                .collect(),
            Op::Pad { padding, .. } => {
                let zeros = |count: usize| vec![Some(0.0); count];
                [zeros(padding[0]), before, zeros(padding[1])].concat()
            }
            Op::Flatten => {
                let pixels = channels / before.len().max(1);
                let features = |&value: &Option<f64>| std::iter::repeat_n(value, pixels);
                before.iter().flat_map(features).collect()
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

fn mapped(row: Vec<Option<f64>>, map: impl Fn(f64) -> f64) -> Vec<Option<f64>> {
    row.into_iter().map(|value| value.map(&map)).collect()
}
