//! Channel groups: which channels of which layers live and die together.

use std::collections::BTreeMap;

use kd_core::Result;

use crate::graph::Graph;
use crate::op::{Op, Origin};
use crate::settled::{Settled, settled};

/// The norms' channels that decide about a channel: the index of a norm, and the channel in it.
pub(crate) type Source = (usize, usize);

/// Channels that live and die together, of one decision: one channel of each layer that it joins, or several
/// where one follows from another, as the features of a flattened map do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unit {
    /// The group that it belongs to.
    pub(crate) group: usize,
    pub(crate) sources: Vec<Source>,
}

/// A group of channels: those that are joined in the same layers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// The path of the first norm that decides about it, or of its first layer.
    pub name: String,
    /// The number of its channels.
    pub channels: usize,
    /// The reason for which nothing of it can be cut, if nothing can.
    pub fixed: Option<String>,
}

/// The groups of a network's channels, found from its [`Graph`].
///
/// Channels are joined one by one, so that a concatenation, a flattening and a shortcut that shifts its
/// channels need no rule of their own. After a cut every group keeps at least one channel.
#[derive(Clone, Debug)]
pub struct Groups {
    list: Vec<Group>,
    pub(crate) units: Vec<Unit>,
    /// The unit of every channel of every node.
    pub(crate) of_node: Vec<Vec<usize>>,
    /// The paths of the norms.
    norms: Vec<String>,
}

/// A forest of channels that are joined.
struct Joined(Vec<usize>);

impl Joined {
    fn new_row(&mut self, count: usize) -> Vec<usize> {
        let first = self.0.len();
        self.0.extend(first..first + count);
        (first..first + count).collect()
    }

    fn root(&mut self, mut channel: usize) -> usize {
        while self.0[channel] != channel {
            self.0[channel] = self.0[self.0[channel]];
            channel = self.0[channel];
        }
        channel
    }

    /// The smaller number stays, so that roots are in the order of the layers.
    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.0[one.max(other)] = one.min(other);
    }
}

impl Groups {
    /// The groups of a network.
    ///
    /// # Errors
    ///
    /// As [`Graph::check`].
    pub fn of(graph: &Graph) -> Result<Self> {
        graph.check()?;
        let mut joined = Joined(Vec::new());
        let rows = rows(graph, &mut joined);
        let roots = (0..joined.0.len()).map(|channel| joined.root(channel));
        let roots: Vec<usize> = roots.collect();
        let of_node: Vec<Vec<usize>> = rows
            .iter()
            .map(|row| row.iter().map(|&channel| roots[channel]).collect())
            .collect();
        Ok(Self::numbered(graph, of_node))
    }

    /// Numbers the units, and puts those that stand in the same nodes into groups.
    fn numbered(graph: &Graph, mut of_node: Vec<Vec<usize>>) -> Self {
        let mut numbers = BTreeMap::new();
        for root in of_node.iter().flatten() {
            let next = numbers.len();
            numbers.entry(*root).or_insert(next);
        }
        for unit in of_node.iter_mut().flatten() {
            *unit = numbers[unit];
        }
        let mut places = vec![Vec::new(); numbers.len()];
        for (node, row) in of_node.iter().enumerate() {
            for &unit in row {
                places[unit].push(node);
            }
        }
        let (norms, sources) = sources(graph, &of_node, numbers.len());
        let fixed = fixed(graph, &of_node, &sources);
        let mut by_places = BTreeMap::new();
        let (mut groups, mut units) = (Vec::new(), Vec::new());
        for (unit, sources) in sources.into_iter().enumerate() {
            let key = (places[unit].clone(), fixed[unit].clone());
            let group = *by_places.entry(key).or_insert_with(|| {
                groups.push(Group {
                    name: name(graph, &norms, &sources, &places[unit]),
                    channels: 0,
                    fixed: fixed[unit].clone(),
                });
                groups.len() - 1
            });
            groups[group].channels += 1;
            units.push(Unit { group, sources });
        }
        Self {
            list: groups,
            units,
            of_node,
            norms,
        }
    }

    /// The groups in the order of the layers.
    pub fn groups(&self) -> &[Group] {
        &self.list
    }

    /// The number of channels that may be cut, counting those that go together once.
    pub fn channels(&self) -> usize {
        let free = self.list.iter().filter(|group| group.fixed.is_none());
        free.map(|group| group.channels).sum()
    }

    /// The paths of the norms, in the order of the layers: that of [`Scales`](crate::Scales).
    pub fn norms(&self) -> &[String] {
        &self.norms
    }

    /// The number of scales of norms that decide about channels.
    pub fn scales(&self) -> usize {
        let free = self.units.iter().filter(|unit| self.is_free(unit));
        free.map(|unit| unit.sources.len()).sum()
    }

    /// The channels that live and die together, set by set: the index of the group that a set belongs to,
    /// and its members, each the path of a layer and a channel that it makes.
    pub fn members(&self, graph: &Graph) -> Vec<(usize, Vec<(String, usize)>)> {
        let sets = self.units.iter().map(|unit| (unit.group, Vec::new()));
        let mut sets: Vec<(usize, Vec<(String, usize)>)> = sets.collect();
        for (node, row) in graph.nodes.iter().zip(&self.of_node) {
            if let Some(path) = node.op.path() {
                for (channel, &unit) in row.iter().enumerate() {
                    sets[unit].1.push((path.to_owned(), channel));
                }
            }
        }
        sets
    }

    pub(crate) fn is_free(&self, unit: &Unit) -> bool {
        self.list[unit.group].fixed.is_none()
    }
}

/// The channels of every node, those that go together joined.
fn rows(graph: &Graph, joined: &mut Joined) -> Vec<Vec<usize>> {
    let mut rows: Vec<Vec<usize>> = Vec::new();
    for node in &graph.nodes {
        let channels = node.shape[0];
        let before = node.inputs.first().map(|&input| rows[input].clone());
        let before = before.unwrap_or_default();
        let row = match &node.op {
            Op::Conv { shape, .. } if shape.groups > 1 && shape.groups == before.len() => {
                let multiplier = channels / before.len();
                let of_input = |&channel: &usize| std::iter::repeat_n(channel, multiplier);
                before.iter().flat_map(of_input).collect()
            }
            Op::Input | Op::Linear { .. } | Op::Conv { .. } | Op::Unknown { .. } => {
                joined.new_row(channels)
            }
            Op::Norm { .. } | Op::Each(_) | Op::Pool(_) => before,
            Op::Join(_) => {
                for &input in &node.inputs[1..] {
                    for (&one, &other) in before.iter().zip(&rows[input]) {
                        joined.join(one, other);
                    }
                }
                before
            }
            Op::Move(from) => {
                let moved = |origin: &Origin| match *origin {
                    Some((part, channel)) => rows[node.inputs[part]][channel],
                    None => joined.new_row(1)[0],
                };
                from.iter().map(moved).collect()
            }
            Op::Pad { padding, .. } => {
                let first = joined.new_row(padding[0]);
                let last = joined.new_row(padding[1]);
                [first, before, last].concat()
            }
        };
        rows.push(row);
    }
    for [one, other] in &graph.ties {
        joined.join(rows[one.0][one.1], rows[other.0][other.1]);
    }
    rows
}

/// The norms, and the sources of every unit.
fn sources(graph: &Graph, of_node: &[Vec<usize>], units: usize) -> (Vec<String>, Vec<Vec<Source>>) {
    let (mut norms, mut sources) = (Vec::new(), vec![Vec::new(); units]);
    for (node, row) in graph.nodes.iter().zip(of_node) {
        if let Op::Norm { path } = &node.op {
            for (channel, &unit) in row.iter().enumerate() {
                sources[unit].push((norms.len(), channel));
            }
            norms.push(path.clone());
        }
    }
    (norms, sources)
}

/// Why a unit cannot be cut, for each.
fn fixed(graph: &Graph, of_node: &[Vec<usize>], sources: &[Vec<Source>]) -> Vec<Option<String>> {
    let mut fixed = vec![None; sources.len()];
    let mut fix = |row: &[usize], reason: &str| {
        for &unit in row {
            fixed[unit].get_or_insert_with(|| reason.to_owned());
        }
    };
    for ((node, channel), reason) in &graph.kept {
        fix(&[of_node[*node][*channel]], reason);
    }
    let settled = settled(graph);
    for (index, node) in graph.nodes.iter().enumerate() {
        match &node.op {
            Op::Input => fix(&of_node[index], "the channels of the images"),
            Op::Conv { shape, .. }
                if shape.groups > 1 && shape.groups == of_node[node.inputs[0]].len() => {}
            Op::Conv { path, shape } if shape.groups > 1 => {
                let reason = format!("`{path}` mixes channels in groups");
                fix(&of_node[index], &reason);
                fix(&of_node[node.inputs[0]], &reason);
            }
            Op::Conv { path, .. } | Op::Linear { path, .. } => {
                let most = match graph.place(index) {
                    Some(_) => Settled::Constant,
                    None => Settled::Zero,
                };
                let input = node.inputs[0];
                for (&unit, &settled) in of_node[input].iter().zip(&settled[input]) {
                    if settled == Settled::Not {
                        fix(
                            &[unit],
                            &format!("`{path}` reads what no batch norm has scaled"),
                        );
                    } else if settled > most {
                        fix(
                            &[unit],
                            &format!("`{path}` reads what is not 0 without its norm"),
                        );
                    }
                }
            }
            Op::Unknown { name, .. } => {
                let reason = format!("`{name}` is an operation of which nothing is known");
                fix(&of_node[index], &reason);
                for &input in &node.inputs {
                    fix(&of_node[input], &reason);
                }
            }
            _ => {}
        }
    }
    fix(&of_node[graph.output()], "the classes");
    for (unit, sources) in sources.iter().enumerate() {
        if sources.is_empty() {
            fix(&[unit], "no batch norm decides about it");
        }
    }
    fixed
}

fn name(graph: &Graph, norms: &[String], sources: &[Source], places: &[usize]) -> String {
    if let Some(&(norm, _)) = sources.first() {
        return norms[norm].clone();
    }
    let mut paths = places
        .iter()
        .filter_map(|&node| graph.nodes[node].op.path());
    paths.next().unwrap_or("input").to_owned()
}
