//! A network whose dead channels hold noise that nothing reads: what must give the same as one that is cut.

use kd_core::{Draws, Tensors};

use crate::alive::Alive;
use crate::op::Op;
use crate::surgery::Surgery;
use crate::tensors::{put, shape, values};

/// The tensors `folded` with noise in all that makes dead channels, and zeros in all that reads them.
pub(crate) fn severed(
    surgery: &Surgery<'_>,
    folded: &Tensors,
    alive: &Alive,
    draws: &mut Draws,
) -> Tensors {
    let mut severed = folded.clone();
    let (graph, groups) = (surgery.graph, surgery.groups);
    for (index, node) in graph.nodes.iter().enumerate() {
        let Some(path) = node.op.path() else { continue };
        let dead = |node: usize| -> Vec<bool> {
            let row = groups.of_node[node].iter();
            row.map(|&unit| !alive.0[unit]).collect()
        };
        let rows = dead(index);
        let fields: &[&str] = match &node.op {
            Op::Norm { .. } => &["weight", "bias", "running_mean"],
            _ => &["weight", "bias"],
        };
        for name in fields.iter().map(|field| format!("{path}.{field}")) {
            let mut numbers = values(&severed, &name);
            let size = numbers.len() / rows.len().max(1);
            for (row, _) in rows.iter().enumerate().filter(|(_, dead)| **dead) {
                for number in &mut numbers[row * size..(row + 1) * size] {
                    *number = draws.normal();
                }
            }
            if !numbers.is_empty() {
                put(&mut severed, &name, &numbers);
            }
        }
        if graph.mixes(index) {
            let name = format!("{path}.weight");
            let mut numbers = values(&severed, &name);
            let area: usize = shape(&severed, &name)[2..].iter().product();
            let columns = dead(node.inputs[0]);
            for (place, taps) in numbers.chunks_mut(area.max(1)).enumerate() {
                if columns[place % columns.len()] {
                    taps.fill(0.0);
                }
            }
            put(&mut severed, &name, &numbers);
        }
    }
    severed
}
