//! Costs by the number of channels that are alive: multiply-accumulates and parameters, layer by layer.

use kd_core::{Error, Result};

use crate::alive::Alive;
use crate::graph::Graph;
use crate::groups::Groups;
use crate::latency::{Grid, LatencyTable};
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
    /// The times of layers, where they were measured.
    times: Option<Times>,
}

/// Measured times of layers, and the factor by which all of them are off in the whole network.
#[derive(Clone, Debug)]
struct Times {
    /// For every layer, none for a norm.
    grids: Vec<Option<Grid>>,
    factor: f64,
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
            times: None,
            blocks,
            touched,
            layers,
        }
    }

    /// With the times of a table. The sum over layers is brought to the time of the whole network by one
    /// factor, so that what stands between layers is taken to shrink as they do.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a layer is not in the table.
    pub fn timed(mut self, table: &LatencyTable) -> Result<Self> {
        let grid = |layer: &Layer| match layer.kind {
            Kind::Norm => Ok(None),
            _ => table
                .layers
                .get(&layer.path)
                .cloned()
                .map(Some)
                .ok_or_else(|| {
                    let problem = format!(
                        "has no times of `{}`; measure this network anew",
                        layer.path
                    );
                    Error::config("latency", problem)
                }),
        };
        let grids: Vec<Option<Grid>> = self.layers.iter().map(grid).collect::<Result<_>>()?;
        self.times = Some(Times { grids, factor: 1.0 });
        let sum: f64 = self.seconds(&self.full).iter().flatten().sum();
        if let Some(times) = &mut self.times {
            times.factor = table.whole / sum.max(f64::MIN_POSITIVE);
        }
        Ok(self)
    }

    /// The milliseconds of an answer with these channels alive; none if nothing was measured.
    pub fn milliseconds(&self, alive: &Alive) -> Option<f64> {
        let seconds = self.seconds(&self.counts(alive));
        seconds.map(|seconds| 1e3 * seconds.iter().sum::<f64>())
    }

    /// The seconds of each layer with so many inputs and outputs.
    pub(crate) fn seconds(&self, counts: &[[u64; 2]]) -> Option<Vec<f64>> {
        self.times.as_ref()?;
        let layers = counts.iter().enumerate();
        Some(
            layers
                .map(|(layer, &counts)| self.seconds_of(layer, counts))
                .collect(),
        )
    }

    /// The seconds of one layer; 0 if nothing was measured.
    pub(crate) fn seconds_of(&self, layer: usize, counts: [u64; 2]) -> f64 {
        let times = self.times.as_ref();
        let grid = times.and_then(|times| Some((times.grids[layer].as_ref()?, times.factor)));
        grid.map_or(0.0, |(grid, factor)| factor * grid.at(counts))
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
