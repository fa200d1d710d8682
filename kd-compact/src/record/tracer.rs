//! The recording followed operation by operation, with a label for every element of every tensor.

use std::collections::{BTreeMap, HashMap, HashSet};

use burn::backend::capture::TensorId;
use burn::backend::ir::{OperationIr, TensorIr};

use super::Recorded;
use super::labels::{Label, Labels};
use super::operations::name;
use crate::graph::Graph;
use crate::op::{Node, Op, Origin};

/// What a tensor of the recording holds.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Channels of nodes.
    Map(Labels),
    /// A tensor of the network, by its number, and where its elements have been moved.
    Parameter(usize, Labels),
    /// What does not depend on the images.
    Constant,
}

/// The labels of a tensor that was sliced, and the ranges taken.
type Slices = (Labels, Vec<[usize; 2]>);

/// Makes the graph while it follows the recording.
pub(super) struct Tracer<'a> {
    pub(super) recorded: &'a Recorded,
    pub(super) graph: Graph,
    values: HashMap<TensorId, Value>,
    /// The node and the channel of every label but 0, which comes first.
    channels: Vec<(usize, usize)>,
    /// The label of the first channel of every node.
    first: Vec<usize>,
    /// The nodes of channels in other places, by the labels of these channels.
    moves: HashMap<Vec<Label>, usize>,
    /// What was sliced, by tensor and axis.
    pub(super) slices: BTreeMap<(TensorId, usize), Slices>,
    /// Tensors of the network that known layers have taken.
    used: HashSet<usize>,
    block: String,
}

impl<'a> Tracer<'a> {
    pub(super) fn new(recorded: &'a Recorded, input: [usize; 3]) -> Self {
        let mut tracer = Self {
            recorded,
            graph: Graph::new(input),
            values: HashMap::new(),
            channels: vec![(0, 0)],
            first: Vec::new(),
            moves: HashMap::new(),
            slices: BTreeMap::new(),
            used: HashSet::new(),
            block: recorded
                .stages
                .first()
                .map_or("head", |(name, _)| name)
                .to_owned(),
        };
        tracer.label(0, input[0]);
        let [channels, height, width] = input;
        let images = tracer.of_node(0, &[1, channels, height, width], 1);
        tracer.values.insert(recorded.input, Value::Map(images));
        tracer
    }

    /// Follows one operation.
    pub(super) fn run(&mut self, operation: &OperationIr) {
        if operation
            .outputs()
            .any(|out| self.recorded.parameters.contains_key(&out.id))
        {
            return;
        }
        let is_known = match operation {
            OperationIr::Init(_) | OperationIr::Drop(_) => true,
            OperationIr::Module(module) => self.layer(module).is_some(),
            OperationIr::BaseFloat(base) => self.moved(base).is_some(),
            _ => self.computed(operation).is_some(),
        };
        if !is_known {
            self.unknown(operation);
        }
    }

    /// The value of a tensor.
    pub(super) fn value(&self, tensor: &TensorIr) -> Value {
        if let Some(&index) = self.recorded.parameters.get(&tensor.id) {
            return Value::Parameter(index, Labels::places(tensor.shape.as_slice()));
        }
        self.values
            .get(&tensor.id)
            .cloned()
            .unwrap_or(Value::Constant)
    }

    /// The labels of a tensor that holds channels.
    pub(super) fn labels(&self, tensor: &TensorIr) -> Option<Labels> {
        match self.value(tensor) {
            Value::Map(labels) => Some(labels),
            Value::Parameter(..) | Value::Constant => None,
        }
    }

    /// Has a tensor hold this.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "the last step of operations that may be unknown"
    )]
    pub(super) fn put(&mut self, tensor: &TensorIr, value: Value) -> Option<()> {
        self.values.insert(tensor.id, value);
        Some(())
    }

    /// A further node in the block of the layer before it.
    pub(super) fn push(&mut self, op: Op, inputs: Vec<usize>, shape: [usize; 3]) -> usize {
        let node = self.graph.nodes.len();
        let block = self.block.clone();
        self.graph.nodes.push(Node {
            op,
            inputs,
            block,
            shape,
        });
        self.label(node, shape[0]);
        node
    }

    /// A further node that is a layer called `path`, which says the block.
    pub(super) fn push_layer(
        &mut self,
        path: &str,
        op: Op,
        input: usize,
        shape: [usize; 3],
    ) -> usize {
        self.recorded.stage(path).clone_into(&mut self.block);
        self.push(op, vec![input], shape)
    }

    fn label(&mut self, node: usize, channels: usize) {
        self.first.push(self.channels.len());
        self.channels
            .extend((0..channels).map(|channel| (node, channel)));
    }

    /// The label of a channel of a node.
    pub(super) fn label_of(&self, node: usize, channel: usize) -> Label {
        Label::try_from(self.first[node] + channel).unwrap_or(Label::MAX)
    }

    /// The node and the channel of a label, none of 0.
    pub(super) fn origin(&self, label: Label) -> Option<(usize, usize)> {
        (label != 0).then(|| self.channels[label as usize])
    }

    /// A tensor of this shape whose axis `axis` holds the channels of a node.
    pub(super) fn of_node(&self, node: usize, shape: &[usize], axis: usize) -> Labels {
        let row = (0..shape[axis])
            .map(|channel| self.label_of(node, channel))
            .collect();
        Labels::channels(row, shape, axis)
    }

    /// The node whose channels these are: one that has them in this order, or a new one that moves them.
    /// `partner` is what they are added to, whose layer names a shortcut of zeros.
    pub(super) fn node_of(&mut self, row: &[Label], partner: Option<usize>) -> usize {
        if let Some(node) = self.whole(row) {
            return node;
        }
        if let Some(&node) = self.moves.get(row) {
            return node;
        }
        let node = match self.shortcut(row, partner) {
            Some(node) => node,
            None => self.moving(row),
        };
        self.moves.insert(row.to_vec(), node);
        node
    }

    /// The node that has exactly these channels in this order.
    pub(super) fn whole(&self, row: &[Label]) -> Option<usize> {
        let (node, _) = self.origin(*row.first()?)?;
        let is_whole = self.graph.nodes[node].shape[0] == row.len()
            && (row.iter().enumerate()).all(|(at, &label)| label == self.label_of(node, at));
        is_whole.then_some(node)
    }

    /// All channels of a node between zeros.
    fn shortcut(&mut self, row: &[Label], partner: Option<usize>) -> Option<usize> {
        let before = row.iter().take_while(|label| **label == 0).count();
        let after = row.iter().rev().take_while(|label| **label == 0).count();
        let middle = row.get(before..row.len() - after)?;
        let input = self.whole(middle)?;
        let layer = self.layer_behind(partner?)?;
        let path = format!("{layer}.shortcut");
        let is_new = self
            .graph
            .nodes
            .iter()
            .all(|node| node.op.path() != Some(&path));
        let [_, height, width] = self.graph.nodes[input].shape;
        let padding = [before, after];
        let shape = [row.len(), height, width];
        is_new.then(|| self.push(Op::Pad { path, padding }, vec![input], shape))
    }

    /// The layer nearest before a node.
    fn layer_behind(&self, mut node: usize) -> Option<String> {
        loop {
            let at = &self.graph.nodes[node];
            if let Some(path) = at.op.path() {
                return Some(path.to_owned());
            }
            node = *at.inputs.first()?;
        }
    }

    /// A node that puts channels in other places; zeros among them stay.
    fn moving(&mut self, row: &[Label]) -> usize {
        let mut inputs = Vec::new();
        let mut from: Vec<Origin> = Vec::with_capacity(row.len());
        for &label in row {
            from.push(self.origin(label).map(|(node, channel)| {
                let part = inputs.iter().position(|&input| input == node);
                let part = part.unwrap_or_else(|| {
                    inputs.push(node);
                    inputs.len() - 1
                });
                (part, channel)
            }));
        }
        let size = inputs.first().map_or([1, 1], |&input| {
            let [_, height, width] = self.graph.nodes[input].shape;
            [height, width]
        });
        let zeros: Vec<usize> = (0..row.len()).filter(|&at| row[at] == 0).collect();
        let shape = [row.len(), size[0], size[1]];
        let node = self.push(Op::Move(from), inputs, shape);
        for channel in zeros {
            self.keep(node, channel, "zeros stand among its channels");
        }
        node
    }

    /// Has a channel stay.
    pub(super) fn keep(&mut self, node: usize, channel: usize, reason: &str) {
        self.graph.kept.push(((node, channel), reason.to_owned()));
    }

    /// Has all channels among `labels` stay.
    pub(super) fn keep_all(&mut self, labels: &Labels, reason: &str) {
        for label in labels.distinct() {
            if let Some((node, channel)) = self.origin(label) {
                self.keep(node, channel, reason);
            }
        }
    }

    /// Has two channels live and die together.
    pub(super) fn tie(&mut self, one: Label, other: Label) {
        if let (Some(one), Some(other)) = (self.origin(one), self.origin(other))
            && one != other
        {
            self.graph.ties.push([one, other]);
        }
    }

    /// Takes a tensor of the network for a known layer; none if one has it already.
    pub(super) fn take(&mut self, index: usize) -> Option<()> {
        self.used.insert(index).then_some(())
    }

    pub(super) fn is_used(&self, index: usize) -> bool {
        self.used.contains(&index)
    }

    /// An operation that is not known: what it reads and makes stays.
    fn unknown(&mut self, operation: &OperationIr) {
        let maps = operation.inputs().filter_map(|input| self.labels(input));
        let rows = maps
            .map(|labels| labels.distinct())
            .filter(|row| !row.is_empty());
        let rows: Vec<Vec<Label>> = rows.collect();
        let outputs: Vec<TensorIr> = operation.outputs().cloned().collect();
        if rows.is_empty() {
            for out in &outputs {
                self.put(out, Value::Constant);
            }
            return;
        }
        let inputs: Vec<usize> = rows.iter().map(|row| self.node_of(row, None)).collect();
        let name = name(operation);
        for out in outputs {
            let shape = out.shape.as_slice();
            let axis = usize::from(shape.len() > 1);
            let [height, width] = sides(shape);
            let channels = shape.get(axis).copied().unwrap_or(1);
            let op = Op::Unknown {
                name: name.clone(),
                tensors: Vec::new(),
            };
            let node = self.push(op, inputs.clone(), [channels, height, width]);
            let labels = match shape.len() {
                0 => Labels::channels(vec![self.label_of(node, 0)], &[1], 0),
                _ => self.of_node(node, shape, axis),
            };
            self.put(&out, Value::Map(labels));
        }
    }

    /// The graph, with what was sliced tied and the tensors that no known layer reads.
    pub(super) fn finish(mut self, output: Option<TensorId>) -> Graph {
        self.tie_slices();
        let labels = output.and_then(|output| match self.values.get(&output) {
            Some(Value::Map(labels)) => Some(labels.clone()),
            _ => None,
        });
        let row = labels.map_or_else(Vec::new, |labels| labels.distinct());
        let node = if row.is_empty() {
            0
        } else {
            self.node_of(&row, None)
        };
        self.graph.output = Some(node);
        let tensors = self.recorded.tensors.iter().enumerate();
        let left = tensors.filter(|(index, _)| !self.used.contains(index));
        let left: Vec<(String, Vec<usize>)> = left
            .map(|(_, tensor)| {
                let mut shape = tensor.shape.clone();
                if tensor.transposed {
                    shape.reverse();
                }
                (tensor.name.clone(), shape)
            })
            .collect();
        if !left.is_empty() {
            let name = "other tensors".to_owned();
            self.push(
                Op::Unknown {
                    name,
                    tensors: left,
                },
                Vec::new(),
                [0, 1, 1],
            );
        }
        self.graph
    }
}

/// Height and width of a map of this shape.
pub(super) fn sides(shape: &[usize]) -> [usize; 2] {
    match shape {
        [_, _, height, width] => [*height, *width],
        _ => [1, 1],
    }
}
