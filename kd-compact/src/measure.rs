//! Layers timed at a grid of widths, as a network that answers runs them.

use std::collections::BTreeMap;

use burn::nn::conv::Conv2dConfig;
use burn::nn::{Initializer, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};
use kd_core::{Latency, Result};
use kd_kernels::ConvLayer;

use crate::graph::Graph;
use crate::groups::Groups;
use crate::latency::{Grid, LatencyTable};
use crate::op::{ConvShape, Node, Op};

/// Widths that are measured are multiples of this: others take as long as the next of them.
pub(crate) const PAYING: usize = 8;
/// Parts into which the widths of a layer are divided.
const PARTS: usize = 5;

impl LatencyTable {
    /// Measures a network: `pass`, an answer to `batch` samples until it is on the host, for two seconds, and
    /// each of its layers at up to six by six widths that are multiples of 8. Batch norms are taken as
    /// folded, and a ReLU as part of the convolution before it.
    ///
    /// # Errors
    ///
    /// What `pass` fails with; [`Error::Interrupted`](kd_core::Error::Interrupted) within
    /// [`kd_core::interruptible`].
    pub fn measured(
        graph: &Graph,
        groups: &Groups,
        batch: usize,
        device: &Device,
        pass: impl FnMut() -> Result<()>,
    ) -> Result<Self> {
        let whole = Latency::of(batch, pass)?.median_seconds;
        let mut known: Vec<(Measured, Grid)> = Vec::new();
        let mut layers = BTreeMap::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            let (Some(path), Some(layer)) = (node.op.path(), Measured::of(graph, groups, index))
            else {
                continue;
            };
            let found = known.iter().find(|(other, _)| *other == layer);
            let grid = match found {
                Some((_, grid)) => grid.clone(),
                None => layer.grid(batch, device)?,
            };
            layers.insert(path.to_owned(), grid.clone());
            known.push((layer, grid));
        }
        Ok(Self {
            batch,
            whole,
            layers,
        })
    }
}

/// What a layer's time follows from.
#[derive(Clone, Debug, PartialEq)]
struct Measured {
    kind: Kind,
    /// Height and width of its input.
    size: [usize; 2],
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Every input with every output, in groups.
    Conv(ConvShape),
    /// So many outputs for each input.
    Depthwise(ConvShape, usize),
    Linear,
}

impl Measured {
    fn of(graph: &Graph, groups: &Groups, index: usize) -> Option<Self> {
        let node: &Node = &graph.nodes[index];
        let input = *node.inputs.first()?;
        let [before, height, width] = graph.nodes[input].shape;
        let kind = match &node.op {
            Op::Conv { shape, .. } if shape.groups > 1 && shape.groups == before => {
                Kind::Depthwise(shape_alone(shape), node.shape[0] / before)
            }
            Op::Conv { shape, .. } => Kind::Conv(shape_alone(shape)),
            Op::Linear { .. } => Kind::Linear,
            _ => return None,
        };
        let of = |node: usize| {
            let mut units = groups.of_node[node].iter();
            let is_free = units.any(|&unit| groups.is_free(&groups.units[unit]));
            let full = graph.nodes[node].shape[0];
            if is_free { widths(full) } else { vec![full] }
        };
        let inputs = match kind {
            Kind::Depthwise(..) => vec![before],
            _ => of(input),
        };
        Some(Self {
            kind,
            size: [height, width],
            inputs,
            outputs: of(index),
        })
    }

    fn grid(&self, batch: usize, device: &Device) -> Result<Grid> {
        Grid::measured(&self.inputs, &self.outputs, |widths| {
            self.seconds(widths, batch, device)
        })
    }

    /// The shortest of some passes with these numbers of inputs and outputs.
    fn seconds(&self, widths: [usize; 2], batch: usize, device: &Device) -> Result<f64> {
        let [inputs, outputs] = widths;
        match self.kind {
            Kind::Conv(shape) => self.conv_seconds(shape, widths, batch, device),
            Kind::Depthwise(shape, multiplier) => {
                let inputs = outputs.div_ceil(multiplier);
                let shape = ConvShape {
                    groups: inputs,
                    ..shape
                };
                self.conv_seconds(shape, [inputs, inputs * multiplier], batch, device)
            }
            Kind::Linear => {
                let layer = LinearConfig::new(inputs, outputs)
                    .with_initializer(Initializer::Zeros)
                    .init(device);
                let input = Tensor::<2>::ones([batch, inputs], device);
                Latency::shortest_seconds(|| drop(layer.forward(input.clone())))
            }
        }
    }

    fn conv_seconds(
        &self,
        shape: ConvShape,
        [inputs, outputs]: [usize; 2],
        batch: usize,
        device: &Device,
    ) -> Result<f64> {
        let [high, wide] = shape.padding;
        let conv = Conv2dConfig::new([inputs, outputs], shape.kernel)
            .with_stride([shape.stride, shape.stride])
            .with_padding(PaddingConfig2d::Explicit(high, wide, high, wide))
            .with_groups(shape.groups)
            .with_initializer(Initializer::Zeros)
            .init(device);
        let [height, width] = self.size;
        let input = Tensor::<4>::ones([batch, inputs, height, width], device);
        Latency::shortest_seconds(|| drop(ConvLayer::new(&conv).relu().forward(input.clone())))
    }
}

/// A convolution without its width, which the grid has, nor that of a depthwise one.
fn shape_alone(shape: &ConvShape) -> ConvShape {
    ConvShape {
        width: 0,
        bias: true,
        ..*shape
    }
}

/// The widths at which an axis of so many channels is measured: multiples that pay, and all of it.
fn widths(full: usize) -> Vec<usize> {
    let part = |part: usize| (full * part).div_ceil(PARTS).next_multiple_of(PAYING);
    let parts = (1..=PARTS).map(|number| part(number).min(full));
    let mut widths: Vec<usize> = std::iter::once(PAYING.min(full)).chain(parts).collect();
    widths.sort_unstable();
    widths.dedup();
    widths
}

#[cfg(test)]
mod tests {
    use super::widths;

    #[test]
    fn widths_are_multiples_that_pay_and_all() {
        assert_eq!(widths(5), [5]);
        assert_eq!(widths(16), [8, 16]);
        assert_eq!(widths(64), [8, 16, 32, 40, 56, 64]);
        assert_eq!(widths(67), [8, 16, 32, 48, 56, 67]);
    }
}
