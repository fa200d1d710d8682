//! The state of every channel once scales and shifts of all norms are 0: zero, a constant, or still a map.

use crate::graph::Graph;
use crate::op::{Join, Op, Origin};

/// What a channel is once all norms are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Settled {
    /// 0 at all places.
    Zero,
    /// The same at all places, for all images.
    Constant,
    /// A map.
    Not,
}

/// For each channel of each node.
pub(crate) fn settled(graph: &Graph) -> Vec<Vec<Settled>> {
    let mut all: Vec<Vec<Settled>> = Vec::new();
    for node in &graph.nodes {
        let before = node.inputs.first().map(|&input| all[input].clone());
        let before = before.unwrap_or_default();
        let each = |zero: Settled, constant: Settled| {
            let after = |settled: &Settled| match settled {
                Settled::Zero => zero,
                Settled::Constant => constant,
                Settled::Not => Settled::Not,
            };
            before.iter().map(after).collect()
        };
        let row = match &node.op {
            Op::Input | Op::Conv { .. } | Op::Linear { .. } | Op::Unknown { .. } => {
                vec![Settled::Not; node.shape[0]]
            }
            Op::Norm { .. } => vec![Settled::Zero; node.shape[0]],
            Op::Each(function) if function.keeps_zero() => {
                each(Settled::Zero, known(function.of(1.0)))
            }
            Op::Each(function) => {
                let after = known(function.of(0.0).and(function.of(1.0)));
                each(after, after)
            }
            Op::Pool(Some(_)) => before,
            Op::Pool(None) => each(Settled::Zero, Settled::Not),
            Op::Join(join) => (0..node.shape[0])
                .map(|channel| joined(*join, node.inputs.iter().map(|&input| all[input][channel])))
                .collect(),
            Op::Move(from) => {
                let moved = |origin: &Origin| match *origin {
                    Some((part, channel)) => all[node.inputs[part]][channel],
                    None => Settled::Zero,
                };
                from.iter().map(moved).collect()
            }
            Op::Pad { padding, .. } => {
                let zeros = |count: usize| vec![Settled::Zero; count];
                [zeros(padding[0]), before, zeros(padding[1])].concat()
            }
        };
        all.push(row);
    }
    all
}

/// A constant is of use where its value can be told.
fn known(value: Option<f64>) -> Settled {
    value.map_or(Settled::Not, |_| Settled::Constant)
}

fn joined(join: Join, parts: impl Iterator<Item = Settled>) -> Settled {
    let parts: Vec<Settled> = parts.collect();
    let extreme = match join {
        Join::Product if parts.contains(&Settled::Zero) => return Settled::Zero,
        Join::Sum | Join::Difference | Join::Product => parts.into_iter().max(),
    };
    extreme.unwrap_or(Settled::Not)
}
