//! Layers with tensors of the network: convolutions, norms, linear layers; and poolings.

use burn::backend::ir::{
    BatchNormOpIr, Conv2dOpIr, InterpolateModeIr, ModuleOperationIr, TensorIr,
};

use super::labels::{Label, Labels};
use super::tracer::{Tracer, Value, sides};
use crate::op::{ConvShape, Op};

impl Tracer<'_> {
    /// An operation of a layer; none if it is not known.
    pub(super) fn layer(&mut self, module: &ModuleOperationIr) -> Option<()> {
        use ModuleOperationIr as M;
        match module {
            M::Conv2d(desc) => self.conv(desc),
            M::BatchNorm(desc) => self.norm(desc),
            M::Linear(desc) => self.linear([&desc.x, &desc.weight, &desc.out], desc.bias.as_ref()),
            M::MaxPool2d(desc) => self.pool(&desc.x, &desc.out, Some(1.0)),
            M::AdaptiveAvgPool2d(desc) => self.pool(&desc.x, &desc.out, Some(1.0)),
            M::AvgPool2d(desc) => {
                // Zeros around the map are part of the mean.
                let whole = !desc.count_include_pad || desc.padding == [0, 0];
                self.pool(
                    &desc.x,
                    &desc.out,
                    (whole && !desc.ceil_mode).then_some(1.0),
                )
            }
            M::Interpolate(desc) => {
                let whole = !matches!(desc.options.mode, InterpolateModeIr::Lanczos3);
                self.pool(&desc.x, &desc.out, whole.then_some(1.0))
            }
            _ => None,
        }
    }

    /// A tensor of the network as it is, by its number; `field` is the end of its name.
    fn field(&self, tensor: &TensorIr, field: &str) -> Option<(usize, String)> {
        let Value::Parameter(index, places) = self.value(tensor) else {
            return None;
        };
        let named = &self.recorded.tensors[index];
        let path = named.name.strip_suffix(field)?.strip_suffix('.')?;
        let as_it_is = places.is_places(&named.shape) && !named.transposed;
        as_it_is.then(|| (index, path.to_owned()))
    }

    /// Takes the tensors of one layer, each with its field.
    fn take_all(&mut self, fields: &[(&TensorIr, &str)]) -> Option<String> {
        let found: Option<Vec<(usize, String)>> = fields
            .iter()
            .map(|(tensor, field)| self.field(tensor, field))
            .collect();
        let found = found?;
        let path = &found.first()?.1;
        let is_one = found
            .iter()
            .all(|(index, other)| other == path && !self.is_used(*index));
        if !is_one {
            self.share(path);
            return None;
        }
        for (index, _) in &found {
            self.take(*index)?;
        }
        Some(path.clone())
    }

    /// A layer that is run twice: what it read and made the first time stays, too.
    fn share(&mut self, path: &str) {
        let nodes = self.graph.nodes.iter();
        let first = nodes
            .enumerate()
            .find(|(_, node)| node.op.path() == Some(path));
        let Some((node, input)) = first.map(|(index, node)| (index, node.inputs[0])) else {
            return;
        };
        for node in [node, input] {
            for channel in 0..self.graph.nodes[node].shape[0] {
                self.keep(node, channel, &format!("`{path}` is run twice"));
            }
        }
    }

    fn conv(&mut self, desc: &Conv2dOpIr) -> Option<()> {
        let row = self.labels(&desc.x)?.row(1)?;
        let mut fields = vec![(&desc.weight, "weight")];
        fields.extend(desc.bias.as_ref().map(|bias| (bias, "bias")));
        let path = self.take_all(&fields)?;
        let input = self.node_of(&row, None);
        let out = desc.out.shape.as_slice();
        let kernel = desc.weight.shape.as_slice();
        let shape = ConvShape {
            width: out[1],
            kernel: [kernel[2], kernel[3]],
            stride: desc.options.stride[0],
            padding: desc
                .options
                .padding
                .map(|(before, after)| before.max(after)),
            groups: desc.options.groups,
            bias: desc.bias.is_some(),
        };
        let op = Op::Conv {
            path: path.clone(),
            shape,
        };
        let node = self.push_layer(&path, op, input, [out[1], out[2], out[3]]);
        self.put_node(&desc.out, node, 1)
    }

    fn norm(&mut self, desc: &BatchNormOpIr) -> Option<()> {
        let row = self.labels(&desc.x)?.row(1)?;
        let path = self.take_all(&[
            (&desc.gamma, "weight"),
            (&desc.beta, "bias"),
            (&desc.mean, "running_mean"),
            (&desc.variance, "running_var"),
        ])?;
        let input = self.node_of(&row, None);
        let out = desc.out.shape.as_slice();
        let [height, width] = sides(out);
        let op = Op::Norm { path: path.clone() };
        let node = self.push_layer(&path, op, input, [out[1], height, width]);
        self.put_node(&desc.out, node, 1)
    }

    /// `out = x weight`, of features along the last axis.
    pub(super) fn linear(
        &mut self,
        [x, weight, out]: [&TensorIr; 3],
        bias: Option<&TensorIr>,
    ) -> Option<()> {
        let axis = x.shape.as_slice().len() - 1;
        let row = self.labels(x)?.row(axis)?;
        let Value::Parameter(index, places) = self.value(weight) else {
            return None;
        };
        let named = &self.recorded.tensors[index];
        // PyTorch's words have the outputs first.
        let outputs_first = if named.transposed {
            places.is_places(&named.shape)
        } else {
            let last = places.shape().len().checked_sub(1)?;
            let mut axes: Vec<usize> = (0..=last).collect();
            axes.swap(last.checked_sub(1)?, last);
            places.permuted(&axes).is_places(&named.shape)
        };
        let path = named.name.strip_suffix(".weight")?.to_owned();
        if !outputs_first || named.shape.len() != 2 {
            return None;
        }
        if self.is_used(index) {
            self.share(&path);
            return None;
        }
        if let Some(bias) = bias {
            let (bias, of) = self.field(bias, "bias")?;
            (of == path).then(|| self.take(bias))??;
        }
        self.take(index)?;
        let input = self.node_of(&row, None);
        let shape = out.shape.as_slice();
        let axis = shape.len() - 1;
        let rows = shape[..axis].iter().product();
        let op = Op::Linear {
            path: path.clone(),
            bias: bias.is_some(),
        };
        let node = self.push_layer(&path, op, input, [shape[axis], rows, 1]);
        self.put_node(out, node, axis)
    }

    /// A bias that is added to what a layer has just made.
    pub(super) fn bias(&mut self, map: &Labels, added: &TensorIr, out: &TensorIr) -> Option<()> {
        let Value::Parameter(index, places) = self.value(added) else {
            return None;
        };
        let width = places.shape().iter().copied().max()?;
        let of = self.recorded.tensors[index]
            .name
            .strip_suffix(".bias")?
            .to_owned();
        if !places.is_places(&[width]) || self.is_used(index) {
            return None;
        }
        let new = map.shape().len().checked_sub(places.shape().len())?;
        let axis = new + places.shape().iter().position(|&size| size == width)?;
        let node = self.whole(&map.row(axis)?)?;
        match &mut self.graph.nodes[node].op {
            Op::Linear { path, bias } if !*bias && *path == of => *bias = true,
            Op::Conv { path, shape } if !shape.bias && *path == of => shape.bias = true,
            _ => return None,
        }
        self.take(index)?;
        self.put(out, Value::Map(map.clone()))
    }

    /// Something within the channels of a map.
    fn pool(&mut self, x: &TensorIr, out: &TensorIr, factor: Option<f64>) -> Option<()> {
        let row = self.labels(x)?.row(1)?;
        let labels = Labels::channels(row, out.shape.as_slice(), 1);
        self.each(Op::Pool(factor), &labels, out)
    }

    /// An operation on every channel among `labels`, which are those of what it makes.
    pub(super) fn each(&mut self, op: Op, labels: &Labels, out: &TensorIr) -> Option<()> {
        let keeps_zero = match &op {
            Op::Each(function) => function.keeps_zero(),
            _ => true,
        };
        let mut row = labels.distinct();
        if row.is_empty() || !keeps_zero && labels.has_zero() {
            row.push(0);
        }
        let input = self.node_of(&row, None);
        let [height, width] = sides(labels.shape());
        let node = self.push(op, vec![input], [row.len(), height, width]);
        let new: std::collections::HashMap<Label, Label> = row
            .iter()
            .enumerate()
            .map(|(at, &label)| (label, self.label_of(node, at)))
            .collect();
        let labels = labels.mapped(|label| new.get(&label).copied().unwrap_or(0));
        self.put(out, Value::Map(labels))
    }

    fn put_node(&mut self, out: &TensorIr, node: usize, axis: usize) -> Option<()> {
        let labels = self.of_node(node, out.shape.as_slice(), axis);
        self.put(out, Value::Map(labels))
    }
}
