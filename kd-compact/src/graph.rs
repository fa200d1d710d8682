//! The graph of a network: its layers, and how their maps are joined, by the paths of their tensors.

use kd_core::{Error, Result};

use crate::function::Function;
use crate::op::{ConvShape, Join, Node, Op, Origin};

/// The output of a layer or an operation of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeId(pub(crate) usize);

/// The layers of a network in the order in which they run, as far as cutting channels needs to know them.
///
/// Layers are named by the paths of their tensors as PyTorch has them: `conv1` stands for `conv1.weight`.
/// [`Graph::recorded`] makes it of any network for images; it can be described by hand as well.
/// [`check_cut`](crate::check_cut) proves either on the network itself.
///
/// ```
/// use kd_compact::{ConvShape, Graph};
///
/// let mut graph = Graph::new([3, 8, 8]);
/// let map = graph.conv("stem", graph.input(), ConvShape::square(4, 3));
/// let map = graph.norm("norm", map);
/// let map = graph.relu(map);
/// let pooled = graph.average(map);
/// graph.linear("fc", pooled, 10);
/// assert!(graph.check().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    /// Channels, each a node and a position in it, that live and die together for another reason than what
    /// nodes do.
    pub(crate) ties: Vec<[(usize, usize); 2]>,
    /// Channels that stay, and why.
    pub(crate) kept: Vec<((usize, usize), String)>,
    /// The node that is the network's output; the last one if none is named.
    pub(crate) output: Option<usize>,
    block: String,
    problem: Option<String>,
}

impl Graph {
    /// A graph of the input `[channels, height, width]` alone.
    pub fn new(input: [usize; 3]) -> Self {
        let node = Node {
            op: Op::Input,
            inputs: Vec::new(),
            block: String::new(),
            shape: input,
        };
        Self {
            nodes: vec![node],
            ties: Vec::new(),
            kept: Vec::new(),
            output: None,
            block: "network".into(),
            problem: None,
        }
    }

    /// The input.
    pub fn input(&self) -> NodeId {
        NodeId(0)
    }

    /// Begins a block: the layers that follow belong to it.
    pub fn block(&mut self, name: impl Into<String>) {
        self.block = name.into();
    }

    /// A convolution called `path`.
    pub fn conv(&mut self, path: impl Into<String>, input: NodeId, shape: ConvShape) -> NodeId {
        let path = path.into();
        let [channels, height, width] = self.shape(input);
        let fits = shape.groups > 0
            && channels.is_multiple_of(shape.groups)
            && shape.width.is_multiple_of(shape.groups);
        let out = |side: usize, axis: usize| {
            let (side, kernel) = (side + 2 * shape.padding[axis], shape.kernel[axis]);
            (side >= kernel && shape.stride > 0).then(|| (side - kernel) / shape.stride + 1)
        };
        let (height, width) = match (out(height, 0), out(width, 1)) {
            (Some(height), Some(width)) if fits => (height, width),
            _ => {
                self.bad(format!(
                    "`{path}` does not fit its input of {channels} channels"
                ));
                (1, 1)
            }
        };
        self.push(
            Op::Conv { path, shape },
            vec![input],
            [shape.width, height, width],
        )
    }

    /// A batch norm called `path`.
    pub fn norm(&mut self, path: impl Into<String>, input: NodeId) -> NodeId {
        let shape = self.shape(input);
        self.push(Op::Norm { path: path.into() }, vec![input], shape)
    }

    /// A ReLU.
    pub fn relu(&mut self, input: NodeId) -> NodeId {
        let shape = self.shape(input);
        self.push(Op::Each(Function::Relu), vec![input], shape)
    }

    /// A ReLU that ends at 6.
    pub fn relu6(&mut self, input: NodeId) -> NodeId {
        let shape = self.shape(input);
        self.push(Op::Each(Function::Clamp([0.0, 6.0])), vec![input], shape)
    }

    /// A maximum pooling to maps of `size`, padded with what is never the maximum, if at all.
    pub fn max_pool(&mut self, input: NodeId, size: [usize; 2]) -> NodeId {
        let [channels, _, _] = self.shape(input);
        self.push(
            Op::Pool(Some(1.0)),
            vec![input],
            [channels, size[0], size[1]],
        )
    }

    /// Global average pooling.
    pub fn average(&mut self, input: NodeId) -> NodeId {
        let [channels, _, _] = self.shape(input);
        self.push(Op::Pool(Some(1.0)), vec![input], [channels, 1, 1])
    }

    /// The sum of maps of one shape.
    pub fn add(&mut self, inputs: &[NodeId]) -> NodeId {
        let shape = inputs.first().map_or([0; 3], |&input| self.shape(input));
        if inputs.iter().any(|&input| self.shape(input) != shape) {
            self.bad("maps that are added differ in shape".into());
        }
        self.push(Op::Join(Join::Sum), inputs.to_vec(), shape)
    }

    /// Maps of one size, the channels of one behind those of the other.
    pub fn concat(&mut self, inputs: &[NodeId]) -> NodeId {
        let [_, height, width] = inputs.first().map_or([0; 3], |&input| self.shape(input));
        let parts = inputs.iter().enumerate();
        let from: Vec<Origin> = parts
            .flat_map(|(part, &input)| (0..self.shape(input)[0]).map(move |at| Some((part, at))))
            .collect();
        if inputs
            .iter()
            .any(|&input| self.shape(input)[1..] != [height, width])
        {
            self.bad("maps that are joined differ in size".into());
        }
        let shape = [from.len(), height, width];
        self.push(Op::Move(from), inputs.to_vec(), shape)
    }

    /// Every `stride`-th pixel, with channels of zeros before and after: a shortcut without parameters,
    /// called `path` in [`Widths`](crate::Widths).
    pub fn pad(
        &mut self,
        path: impl Into<String>,
        input: NodeId,
        stride: usize,
        padding: [usize; 2],
    ) -> NodeId {
        let [channels, height, width] = self.shape(input);
        let stride = stride.max(1);
        let shape = [
            padding[0] + channels + padding[1],
            height.div_ceil(stride),
            width.div_ceil(stride),
        ];
        let path = path.into();
        self.push(Op::Pad { path, padding }, vec![input], shape)
    }

    /// All pixels of all channels in a row, channel by channel.
    pub fn flatten(&mut self, input: NodeId) -> NodeId {
        let [channels, height, width] = self.shape(input);
        let features =
            (0..channels).flat_map(|at| std::iter::repeat_n(Some((0, at)), height * width));
        let from: Vec<Origin> = features.collect();
        let shape = [from.len(), 1, 1];
        self.push(Op::Move(from), vec![input], shape)
    }

    /// A linear layer with bias called `path`, to `width` features.
    pub fn linear(&mut self, path: impl Into<String>, input: NodeId, width: usize) -> NodeId {
        let path = path.into();
        if self.shape(input)[1..] != [1, 1] {
            self.bad(format!("`{path}` takes a map; flatten or pool it first"));
        }
        self.push(Op::Linear { path, bias: true }, vec![input], [width, 1, 1])
    }

    /// The blocks in the order in which they begin.
    pub fn blocks(&self) -> Vec<String> {
        let mut blocks: Vec<String> = Vec::new();
        for node in &self.nodes[1..] {
            if !blocks.contains(&node.block) {
                blocks.push(node.block.clone());
            }
        }
        blocks
    }

    /// Checks that everything fits, and that no two layers have one path.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the first thing that does not.
    pub fn check(&self) -> Result<()> {
        let bad = |problem: &str| Err(Error::config("graph", problem));
        if let Some(problem) = &self.problem {
            return bad(problem);
        }
        let mut paths: Vec<&str> = self
            .nodes
            .iter()
            .filter_map(|node| node.op.path())
            .collect();
        paths.sort_unstable();
        if let Some([twice, _]) = paths.array_windows().find(|[one, other]| one == other) {
            return bad(&format!("has two layers called `{twice}`"));
        }
        match self.nodes.last().map(|node| &node.op) {
            _ if self.output.is_some() => Ok(()),
            Some(Op::Linear { .. }) => Ok(()),
            _ => bad("must end in a linear layer, whose outputs are the classes"),
        }
    }

    /// The node that is the network's output.
    pub(crate) fn output(&self) -> usize {
        self.output.unwrap_or(self.nodes.len() - 1)
    }

    /// Whether a node is a layer in which channels meet.
    pub(crate) fn mixes(&self, node: usize) -> bool {
        match &self.nodes[node].op {
            Op::Conv { shape, .. } => shape.groups == 1,
            Op::Linear { .. } => true,
            _ => false,
        }
    }

    /// The tensor that takes the constants of a layer's input, and their sign; none where that is not exact.
    pub(crate) fn place(&self, node: usize) -> Option<(String, f64)> {
        let bias = |path: &str| Some((format!("{path}.bias"), 1.0));
        match &self.nodes[node].op {
            Op::Linear { path, bias: true } => bias(path),
            Op::Conv { path, shape } if shape.padding == [0, 0] && shape.bias => bias(path),
            Op::Conv { shape, .. } if shape.padding == [0, 0] => {
                match self.readers(node).as_slice() {
                    [reader] => match &self.nodes[*reader].op {
                        Op::Norm { path } => Some((format!("{path}.running_mean"), -1.0)),
                        _ => None,
                    },
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The nodes that read the output of `node`.
    pub(crate) fn readers(&self, node: usize) -> Vec<usize> {
        let reads = |reader: &usize| self.nodes[*reader].inputs.contains(&node);
        (0..self.nodes.len()).filter(reads).collect()
    }

    fn shape(&self, node: NodeId) -> [usize; 3] {
        self.nodes[node.0].shape
    }

    fn bad(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    fn push(&mut self, op: Op, inputs: Vec<NodeId>, shape: [usize; 3]) -> NodeId {
        let node = Node {
            op,
            inputs: inputs.into_iter().map(|input| input.0).collect(),
            block: self.block.clone(),
            shape,
        };
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }
}
