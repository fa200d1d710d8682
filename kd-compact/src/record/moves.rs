//! Operations that move elements about: their labels are moved likewise.

use burn::backend::ir::{BaseOperationIr, PadModeIr, PadOpIr, SliceOpIr, TensorIr};

use super::labels::{Labels, blocks, with};
use super::operations::number;
use super::tracer::{Tracer, Value};
use crate::op::Op;

impl Tracer<'_> {
    /// An operation that moves elements; none if it is not known.
    pub(super) fn moved(&mut self, base: &BaseOperationIr) -> Option<()> {
        use BaseOperationIr as B;
        match base {
            B::Reshape(desc) => self.reshaped(&desc.input, &desc.out),
            B::Expand(desc) => {
                let shape = desc.out.shape.as_slice();
                self.relabelled(&desc.input, &desc.out, |labels| labels.expanded(shape))
            }
            B::SwapDims(desc) => {
                let mut axes: Vec<usize> = (0..desc.input.shape.as_slice().len()).collect();
                axes.swap(desc.dim1, desc.dim2);
                self.relabelled(&desc.input, &desc.out, |labels| labels.permuted(&axes))
            }
            B::Permute(desc) => {
                self.relabelled(&desc.input, &desc.out, |labels| labels.permuted(&desc.axes))
            }
            B::Flip(desc) => self.relabelled(&desc.input, &desc.out, |labels| {
                desc.axes.iter().fold(labels.clone(), |labels, &axis| {
                    let back: Vec<usize> = (0..labels.shape()[axis]).rev().collect();
                    labels.taken(axis, &back)
                })
            }),
            B::RepeatDim(desc) => self.relabelled(&desc.tensor, &desc.out, |labels| {
                Labels::joined(&vec![labels.clone(); desc.times], desc.dim)
            }),
            B::Slice(desc) => self.sliced(desc),
            B::Cat(desc) => {
                let parts = desc.tensors.iter().map(|part| self.labels(part));
                let parts: Option<Vec<Labels>> = parts.collect();
                self.put(&desc.out, Value::Map(Labels::joined(&parts?, desc.dim)))
            }
            B::Cast(desc) => self.relabelled(&desc.input, &desc.out, Labels::clone),
            B::Zeros(desc) => {
                let zeros = Labels::zeros(desc.out.shape.as_slice());
                self.put(&desc.out, Value::Map(zeros))
            }
            _ => None,
        }
    }

    /// Moves the labels of a map, or the places of a tensor of the network.
    fn relabelled(
        &mut self,
        input: &TensorIr,
        out: &TensorIr,
        moved: impl Fn(&Labels) -> Labels,
    ) -> Option<()> {
        let value = match self.value(input) {
            Value::Map(labels) => Value::Map(moved(&labels)),
            Value::Parameter(index, places) => Value::Parameter(index, moved(&places)),
            Value::Constant => Value::Constant,
        };
        self.put(out, value)
    }

    /// A reshape. Channels that it divides into groups go together across these, so that the same code is
    /// right when each group has lost the same channels.
    fn reshaped(&mut self, input: &TensorIr, out: &TensorIr) -> Option<()> {
        let shape = out.shape.as_slice();
        self.relabelled(input, out, |labels| labels.reshaped(shape))?;
        let Some(labels) = self.labels(out) else {
            return Some(());
        };
        let real: Vec<usize> = input
            .shape
            .as_slice()
            .iter()
            .copied()
            .filter(|&s| s != 1)
            .collect();
        for (_, after) in blocks(&real, shape) {
            let varying: Vec<usize> = after.filter(|&axis| labels.varies(axis)).collect();
            if let [groups, _, ..] = varying[..] {
                for (one, other) in labels.across(groups) {
                    self.tie(one, other);
                }
            }
        }
        Some(())
    }

    fn sliced(&mut self, desc: &SliceOpIr) -> Option<()> {
        let shape = desc.tensor.shape.as_slice().to_vec();
        let mut ranges = Vec::with_capacity(shape.len());
        for (axis, &size) in shape.iter().enumerate() {
            ranges.push(match desc.ranges.get(axis) {
                Some(slice) => indices(slice.start, slice.end, slice.step, size)?,
                None => (0..size).collect(),
            });
        }
        self.relabelled(&desc.tensor, &desc.out, |labels| {
            ranges
                .iter()
                .enumerate()
                .fold(labels.clone(), |labels, (axis, range)| {
                    if range.len() == labels.shape()[axis] && range.is_sorted() {
                        labels
                    } else {
                        labels.taken(axis, range)
                    }
                })
        })?;
        if let Some(labels) = self.labels(&desc.tensor) {
            for (axis, range) in ranges.iter().enumerate() {
                if range.len() < shape[axis] && labels.varies(axis) {
                    let taken = match (range.first(), range.last()) {
                        (Some(&first), Some(&last)) if last + 1 - first == range.len() => {
                            [first, last + 1]
                        }
                        _ => [0, 0],
                    };
                    let place = (desc.tensor.id, axis);
                    let slices = self
                        .slices
                        .entry(place)
                        .or_insert((labels.clone(), Vec::new()));
                    slices.1.push(taken);
                }
            }
        }
        Some(())
    }

    /// Channels in equal slices live and die together; those in others stay.
    pub(super) fn tie_slices(&mut self) {
        for ((_, axis), (labels, mut ranges)) in std::mem::take(&mut self.slices) {
            ranges.sort_unstable();
            ranges.dedup();
            let size = labels.shape()[axis];
            let width = ranges[0][1] - ranges[0][0];
            let equal = ranges
                .iter()
                .enumerate()
                .all(|(at, &range)| range == [at * width, (at + 1) * width] && width > 0);
            if !equal || ranges.len() * width != size {
                self.keep_all(&labels, "a slice takes channels by their places");
                continue;
            }
            let part = |range: &[usize; 2]| {
                labels
                    .taken(axis, &(range[0]..range[1]).collect::<Vec<_>>())
                    .all()
            };
            let first = part(&ranges[0]);
            for range in &ranges[1..] {
                for (&one, other) in first.iter().zip(part(range)) {
                    self.tie(one, other);
                }
            }
        }
    }

    /// Zeros around a map, or before and after its channels.
    pub(super) fn padded(&mut self, desc: &PadOpIr) -> Option<()> {
        let labels = self.labels(&desc.input)?;
        match desc.mode {
            PadModeIr::Constant(value) if number(value) == 0.0 => {}
            _ => return None,
        }
        let skipped = labels.shape().len().checked_sub(desc.padding.len())?;
        let mut padded = labels;
        let mut borders = false;
        for (axis, &(before, after)) in desc.padding.iter().enumerate() {
            let axis = skipped + axis;
            let [wide, before, after] = [padded.shape()[axis] + before + after, before, after];
            if !padded.varies(axis) {
                borders |= before + after > 0;
                let shape = with(padded.shape(), axis, wide);
                padded = padded.taken(axis, &[0]).expanded(&shape);
                continue;
            }
            let zeros = |size: usize| Labels::zeros(&with(padded.shape(), axis, size));
            padded = Labels::joined(&[zeros(before), padded.clone(), zeros(after)], axis);
        }
        if borders {
            return self.each(Op::Pool(None), &padded, &desc.out);
        }
        self.put(&desc.out, Value::Map(padded))
    }
}

/// The indices that a slice takes, in order.
fn indices(start: isize, end: Option<isize>, step: isize, size: usize) -> Option<Vec<usize>> {
    let whole = isize::try_from(size).ok()?;
    let place = |at: isize| {
        if at < 0 {
            (at + whole).max(0)
        } else {
            at.min(whole)
        }
    };
    let (start, end) = (place(start), end.map_or(whole, place));
    let count = usize::try_from(end - start).unwrap_or(0);
    let taken: Vec<usize> = (usize::try_from(start).ok()?..).take(count).collect();
    let stride = step.unsigned_abs().max(1);
    Some(match step {
        1.. => taken.into_iter().step_by(stride).collect(),
        _ => taken.into_iter().rev().step_by(stride).collect(),
    })
}
