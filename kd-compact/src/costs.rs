//! Costs by the number of channels that are alive: multiply-accumulates and parameters, layer by layer.

use crate::alive::Alive;
use crate::graph::Graph;
use crate::groups::Groups;
use crate::op::Op;

/// Multiply-accumulates and parameters, counted as [`kd_core::Costs`] counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Multiply-accumulates of convolutions and linear layers for one image.
    pub macs: u64,
    /// Parameters, those of norms and biases included.
    pub parameters: u64,
}

impl std::ops::Add for Size {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            macs: self.macs + more.macs,
            parameters: self.parameters + more.parameters,
        }
    }
}

/// How a layer's cost follows from its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Every input with every output, in so many groups.
    Dense {
        groups: u64,
    },
    /// One output for each input, or several.
    Depthwise,
    Norm,
}

/// A layer as far as its cost goes.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) path: String,
    pub(crate) block: usize,
    pub(crate) kind: Kind,
    /// Places of the output.
    pub(crate) pixels: u64,
    /// Weights of a pair of channels.
    pub(crate) area: u64,
    bias: bool,
    pub(crate) input: usize,
    pub(crate) output: usize,
}

impl Layer {
    /// The cost with so many inputs and outputs alive.
    pub(crate) fn size(&self, [inputs, outputs]: [u64; 2]) -> Size {
        let weights = match self.kind {
            Kind::Dense { groups } => self.area * outputs * (inputs / groups),
            Kind::Depthwise => self.area * outputs,
            Kind::Norm => {
                return Size {
                    macs: 0,
                    parameters: 2 * outputs,
                };
            }
        };
        Size {
            macs: self.pixels * weights,
            parameters: weights + if self.bias { outputs } else { 0 },
        }
    }
}

/// The cost of a layer before and after a cut.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerSize {
    /// The path of the layer.
    pub path: String,
    /// The block that it belongs to.
    pub block: String,
    /// Its output channels.
    pub channels: usize,
    /// Its cost.
    pub size: Size,
}

/// The layers of a network and the channels that each of their costs depends on.
#[derive(Clone, Debug)]
pub struct CostModel {
    pub(crate) layers: Vec<Layer>,
    pub(crate) blocks: Vec<String>,
    /// For every unit the layers that it is a part of, with how many inputs and outputs it is there.
    pub(crate) touched: Vec<Vec<(usize, [u64; 2])>>,
    /// The inputs and outputs of each layer, all alive.
    full: Vec<[u64; 2]>,
}

impl CostModel {
    /// The costs of a network.
    pub fn of(graph: &Graph, groups: &Groups) -> Self {
        let blocks = graph.blocks();
        let layers: Vec<Layer> = (0..graph.nodes.len())
            .filter_map(|node| layer(graph, &blocks, node))
            .collect();
        let mut touched = vec![Vec::new(); groups.units.len()];
        for (index, layer) in layers.iter().enumerate() {
            for (side, node) in [(0, layer.input), (1, layer.output)] {
                for &unit in &groups.of_node[node] {
                    add(&mut touched[unit], index, side);
                }
            }
        }
        let count = |node: usize| groups.of_node[node].len() as u64;
        let full = layers
            .iter()
            .map(|layer| [count(layer.input), count(layer.output)]);
        Self {
            full: full.collect(),
            blocks,
            touched,
            layers,
        }
    }

    /// The blocks in order.
    pub fn blocks(&self) -> &[String] {
        &self.blocks
    }

    /// The inputs and outputs of each layer that are alive.
    pub(crate) fn counts(&self, alive: &Alive) -> Vec<[u64; 2]> {
        let mut counts = self.full.clone();
        for (unit, _) in alive.0.iter().enumerate().filter(|(_, alive)| !**alive) {
            self.take(&mut counts, unit);
        }
        counts
    }

    /// Takes a unit out of the counts.
    pub(crate) fn take(&self, counts: &mut [[u64; 2]], unit: usize) {
        for &(layer, [inputs, outputs]) in &self.touched[unit] {
            counts[layer][0] -= inputs;
            counts[layer][1] -= outputs;
        }
    }

    /// Puts it back.
    pub(crate) fn put(&self, counts: &mut [[u64; 2]], unit: usize) {
        for &(layer, [inputs, outputs]) in &self.touched[unit] {
            counts[layer][0] += inputs;
            counts[layer][1] += outputs;
        }
    }

    /// The cost of the network with these channels alive.
    pub fn size(&self, alive: &Alive) -> Size {
        let sizes = self.by_block(alive).into_iter();
        sizes.fold(Size::default(), |sum, size| sum + size)
    }

    /// The cost of each block, in the order of [`CostModel::blocks`].
    pub fn by_block(&self, alive: &Alive) -> Vec<Size> {
        let mut sizes = vec![Size::default(); self.blocks.len()];
        for (layer, counts) in self.layers.iter().zip(self.counts(alive)) {
            sizes[layer.block] = sizes[layer.block] + layer.size(counts);
        }
        sizes
    }

    /// The cost of each layer, norms included, in order.
    pub fn by_layer(&self, alive: &Alive) -> Vec<LayerSize> {
        let sizes = self.layers.iter().zip(self.counts(alive));
        let sizes = sizes.map(|(layer, counts)| LayerSize {
            path: layer.path.clone(),
            block: self.blocks[layer.block].clone(),
            channels: usize::try_from(counts[1]).unwrap_or(usize::MAX),
            size: layer.size(counts),
        });
        sizes.collect()
    }
}

fn add(touched: &mut Vec<(usize, [u64; 2])>, layer: usize, side: usize) {
    match touched.last_mut() {
        Some((last, counts)) if *last == layer => counts[side] += 1,
        _ => {
            let mut counts = [0, 0];
            counts[side] = 1;
            touched.push((layer, counts));
        }
    }
}

fn layer(graph: &Graph, blocks: &[String], index: usize) -> Option<Layer> {
    let node = &graph.nodes[index];
    let input = *node.inputs.first()?;
    let [_, height, width] = node.shape;
    let channels = graph.nodes[input].shape[0];
    let (kind, area, bias) = match &node.op {
        Op::Conv { shape, .. } => {
            let area = (shape.kernel[0] * shape.kernel[1]) as u64;
            if shape.groups > 1 && shape.groups == channels {
                (Kind::Depthwise, area, shape.bias)
            } else {
                let groups = shape.groups as u64;
                (Kind::Dense { groups }, area, shape.bias)
            }
        }
        Op::Linear { bias, .. } => (Kind::Dense { groups: 1 }, 1, *bias),
        Op::Norm { .. } => (Kind::Norm, 0, false),
        _ => return None,
    };
    let block = blocks.iter().position(|block| *block == node.block);
    Some(Layer {
        path: node.op.path().unwrap_or_default().to_owned(),
        block: block.unwrap_or_default(),
        kind,
        pixels: (height * width) as u64,
        area,
        bias,
        input,
        output: index,
    })
}
