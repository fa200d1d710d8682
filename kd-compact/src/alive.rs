//! Live channels, and the widths that follow from them.

use std::collections::BTreeMap;

use crate::graph::Graph;
use crate::groups::Groups;
use crate::op::Op;

/// The channels that are alive, counting those that go together once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alive(pub(crate) Vec<bool>);

impl Alive {
    /// All of them.
    pub fn all(groups: &Groups) -> Self {
        Self(vec![true; groups.units.len()])
    }

    /// The channels whose `choice` is true, given the index of a group and of a channel in it. Fixed groups
    /// stay, and a group that would lose all its channels keeps the first.
    pub fn chosen(groups: &Groups, mut choice: impl FnMut(usize, usize) -> bool) -> Self {
        let mut seen = vec![0; groups.groups().len()];
        let mut alive = Self::all(groups);
        let mut left = vec![0; groups.groups().len()];
        for (unit, is_alive) in groups.units.iter().zip(&mut alive.0) {
            let group = unit.group;
            if groups.is_free(unit) {
                *is_alive = choice(group, seen[group]);
            }
            seen[group] += 1;
            left[group] += usize::from(*is_alive);
        }
        for (unit, is_alive) in groups.units.iter().zip(&mut alive.0) {
            if left[unit.group] == 0 {
                *is_alive = true;
                left[unit.group] = 1;
            }
        }
        alive
    }

    /// The number of channels of each group that are alive.
    pub fn by_group(&self, groups: &Groups) -> Vec<usize> {
        let mut counts = vec![0; groups.groups().len()];
        for (unit, alive) in groups.units.iter().zip(&self.0) {
            counts[unit.group] += usize::from(*alive);
        }
        counts
    }

    /// The positions of a node's channels that are alive.
    pub(crate) fn kept(&self, groups: &Groups, node: usize) -> Vec<usize> {
        let row = groups.of_node[node].iter().enumerate();
        let alive = row.filter(|(_, unit)| self.0[**unit]);
        alive.map(|(position, _)| position).collect()
    }

    /// The number of a node's channels that are alive.
    pub(crate) fn count(&self, groups: &Groups, node: usize) -> usize {
        groups.of_node[node]
            .iter()
            .filter(|unit| self.0[**unit])
            .count()
    }
}

/// The widths of a network that was cut, layer by layer: what a smaller network is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widths {
    layers: BTreeMap<String, usize>,
    paddings: BTreeMap<String, [usize; 2]>,
}

impl Widths {
    /// The widths of a network whose channels are `alive`.
    pub fn of(graph: &Graph, groups: &Groups, alive: &Alive) -> Self {
        let (mut layers, mut paddings) = (BTreeMap::new(), BTreeMap::new());
        for (index, node) in graph.nodes.iter().enumerate() {
            match &node.op {
                Op::Pad { path, padding } => {
                    let last = groups.of_node[index].len() - padding[1];
                    let kept = alive.kept(groups, index);
                    let before = kept.iter().filter(|&&channel| channel < padding[0]);
                    let after = kept.iter().filter(|&&channel| channel >= last);
                    paddings.insert(path.clone(), [before.count(), after.count()]);
                }
                op => {
                    if let Some(path) = op.path() {
                        layers.insert(path.to_owned(), alive.count(groups, index));
                    }
                }
            }
        }
        Self { layers, paddings }
    }

    /// The output channels of the layer called `path`; 0 if there is none.
    pub fn width(&self, path: &str) -> usize {
        self.layers.get(path).copied().unwrap_or_default()
    }

    /// The channels of zeros on both sides of the shortcut called `path`.
    pub fn padding(&self, path: &str) -> [usize; 2] {
        self.paddings.get(path).copied().unwrap_or_default()
    }
}
