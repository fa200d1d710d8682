//! Operations that compute: functions of single numbers, sums and products, reductions, matrix products.

use std::collections::HashMap;

use burn::backend::ir::{FloatOperationIr, NumericOperationIr, OperationIr, TensorIr};

use super::labels::{Label, Labels};
use super::operations::{elementwise, join, number, reduction};
use super::tracer::{Tracer, Value, sides};
use crate::function::Function;
use crate::op::{Join, Op};

impl Tracer<'_> {
    /// An operation that computes; none if it is not known.
    pub(super) fn computed(&mut self, operation: &OperationIr) -> Option<()> {
        if let Some((input, out, function)) = elementwise(operation) {
            let labels = self.labels(input)?;
            return self.each(Op::Each(function), &labels, out);
        }
        if let Some((kind, [lhs, rhs, out])) = join(operation) {
            return self.joined(kind, [lhs, rhs], out);
        }
        if let Some((input, out, axes, factor)) = reduction(operation) {
            return self.reduced(input, out, &axes, factor);
        }
        match operation {
            OperationIr::NumericFloat(_, NumericOperationIr::Pad(desc)) => self.padded(desc),
            OperationIr::Float(_, FloatOperationIr::Matmul(desc)) => {
                self.linear([&desc.lhs, &desc.rhs, &desc.out], None)
            }
            OperationIr::NumericFloat(_, NumericOperationIr::Full(desc)) => {
                let is_zero = number(desc.value) == 0.0;
                let zeros = || Value::Map(Labels::zeros(desc.out.shape.as_slice()));
                self.put(&desc.out, if is_zero { zeros() } else { Value::Constant })
            }
            _ => None,
        }
    }

    fn joined(&mut self, kind: Join, sides: [&TensorIr; 2], out: &TensorIr) -> Option<()> {
        match sides.map(|side| self.labels(side)) {
            [Some(one), Some(other)] => self.both(kind, [&one, &other], out),
            [Some(map), None] => self.with_constant(kind, &map, sides[1], out),
            [None, Some(map)] if kind != Join::Difference => {
                self.with_constant(kind, &map, sides[0], out)
            }
            _ => None,
        }
    }

    /// A map with a bias, or with one number that the network does not learn.
    fn with_constant(
        &mut self,
        kind: Join,
        map: &Labels,
        other: &TensorIr,
        out: &TensorIr,
    ) -> Option<()> {
        if kind == Join::Sum && self.bias(map, other, out).is_some() {
            return Some(());
        }
        let is_number = other.shape.as_slice().iter().product::<usize>() == 1;
        let is_constant = matches!(self.value(other), Value::Constant);
        let function = Function::Other {
            keeps_zero: kind == Join::Product,
        };
        let function = (is_number && is_constant).then_some(function)?;
        let map = map.expanded(out.shape.as_slice());
        self.each(Op::Each(function), &map, out)
    }

    /// Two maps, element by element: one channel for each pair of channels that meet.
    fn both(&mut self, kind: Join, maps: [&Labels; 2], out: &TensorIr) -> Option<()> {
        let shape = out.shape.as_slice();
        let maps = maps.map(|map| map.expanded(shape));
        let axis = usize::from(shape.len() > 1);
        let rows = maps.each_ref().map(|map| map.row(axis));
        let ([one, other], is_row) = match rows {
            [Some(one), Some(other)] => ([one, other], true),
            _ => (maps.map(|map| map.all()), false),
        };
        let mut numbers = HashMap::new();
        let mut pairs: [Vec<Label>; 2] = [Vec::new(), Vec::new()];
        let mut made = Vec::with_capacity(one.len());
        for pair in one.into_iter().zip(other) {
            let is_zero = match kind {
                Join::Product => pair.0 == 0 || pair.1 == 0,
                Join::Sum | Join::Difference => pair == (0, 0),
            };
            made.push((!is_zero).then(|| {
                *numbers.entry(pair).or_insert_with(|| {
                    pairs[0].push(pair.0);
                    pairs[1].push(pair.1);
                    pairs[0].len() - 1
                })
            }));
        }
        if pairs[0].is_empty() {
            return self.put(out, Value::Map(Labels::zeros(shape)));
        }
        let node = self.join(kind, &pairs, sides(shape));
        let label = |at: Option<usize>| at.map_or(0, |at| self.label_of(node, at));
        let labels: Vec<Label> = made.into_iter().map(label).collect();
        let labels = if is_row {
            Labels::channels(labels, shape, axis)
        } else {
            Labels::plain(labels, shape)
        };
        self.put(out, Value::Map(labels))
    }

    /// The node of a sum or product of two rows; the one that needs zeros is the shortcut of the other.
    fn join(&mut self, kind: Join, rows: &[Vec<Label>; 2], [height, width]: [usize; 2]) -> usize {
        let first_has_zeros = rows[0].contains(&0);
        let [plain, shortcut] = if first_has_zeros { [1, 0] } else { [0, 1] };
        let mut inputs = [0, 0];
        inputs[plain] = self.node_of(&rows[plain], None);
        inputs[shortcut] = self.node_of(&rows[shortcut], Some(inputs[plain]));
        let shape = [rows[0].len(), height, width];
        self.push(Op::Join(kind), inputs.to_vec(), shape)
    }

    /// A mean or sum along axes that hold no channels.
    fn reduced(
        &mut self,
        input: &TensorIr,
        out: &TensorIr,
        axes: &[usize],
        factor: f64,
    ) -> Option<()> {
        let mut labels = self.labels(input)?;
        for &axis in axes {
            if labels.varies(axis) {
                return None;
            }
            labels = labels.taken(axis, &[0]);
        }
        let labels = labels.reshaped(out.shape.as_slice());
        self.each(Op::Pool(Some(factor)), &labels, out)
    }
}
