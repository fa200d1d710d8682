//! Labels of a tensor's elements, moved about as the tensor is: strided, so that what is the same at all
//! pixels is held once.

use std::collections::HashSet;
use std::rc::Rc;

/// 0 for a zero, another number for each channel of each node.
pub(super) type Label = u32;

/// A label for each element of a tensor.
#[derive(Clone, Debug)]
pub(super) struct Labels {
    shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    /// None where each element is labelled by its own place in the whole.
    data: Option<Rc<[Label]>>,
}

impl Labels {
    /// Those of `row` along an axis, the same along all others.
    pub(super) fn channels(row: Vec<Label>, shape: &[usize], axis: usize) -> Self {
        let mut strides = vec![0; shape.len()];
        strides[axis] = 1;
        Self {
            shape: shape.to_vec(),
            strides,
            offset: 0,
            data: Some(row.into()),
        }
    }

    /// Zeros.
    pub(super) fn zeros(shape: &[usize]) -> Self {
        Self {
            shape: shape.to_vec(),
            strides: vec![0; shape.len()],
            offset: 0,
            data: Some([0].into()),
        }
    }

    /// Of each element its own place, row by row.
    pub(super) fn places(shape: &[usize]) -> Self {
        Self {
            shape: shape.to_vec(),
            strides: row_major(shape),
            offset: 0,
            data: None,
        }
    }

    /// These labels, one behind the other.
    pub(super) fn plain(all: Vec<Label>, shape: &[usize]) -> Self {
        Self {
            data: Some(all.into()),
            ..Self::places(shape)
        }
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether these are the places of a tensor of this shape, in order.
    pub(super) fn is_places(&self, shape: &[usize]) -> bool {
        let real = |shape: &[usize]| shape.iter().copied().filter(|&size| size != 1).collect();
        let (mine, wanted): (Vec<usize>, Vec<usize>) = (real(&self.shape), real(shape));
        let strides = self.strides.iter().zip(&self.shape);
        let strides: Vec<usize> = strides
            .filter(|(_, size)| **size != 1)
            .map(|(s, _)| *s)
            .collect();
        self.data.is_none() && self.offset == 0 && mine == wanted && strides == row_major(&wanted)
    }

    fn label(&self, place: usize) -> Label {
        match &self.data {
            Some(data) => data[place],
            None => Label::try_from(place).unwrap_or(Label::MAX),
        }
    }

    /// All labels, row by row.
    pub(super) fn all(&self) -> Vec<Label> {
        let mut places = vec![self.offset];
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            let inner = |place: usize| (0..size).map(move |index| place + index * stride);
            places = places.into_iter().flat_map(inner).collect();
        }
        places.into_iter().map(|place| self.label(place)).collect()
    }

    /// The labels along an axis, if they are the same at all places of the others.
    pub(super) fn row(&self, axis: usize) -> Option<Vec<Label>> {
        let others = (0..self.shape.len()).filter(|&other| other != axis);
        for other in others {
            if self.varies(other) {
                return None;
            }
        }
        let places = (0..self.shape[axis]).map(|index| self.offset + index * self.strides[axis]);
        Some(places.map(|place| self.label(place)).collect())
    }

    /// Whether labels differ along an axis.
    pub(super) fn varies(&self, axis: usize) -> bool {
        if self.shape[axis] <= 1 || self.strides[axis] == 0 {
            return false;
        }
        let slice = |index: usize| {
            let mut slice = self.collapsed();
            slice.shape[axis] = 1;
            slice.offset += index * self.strides[axis];
            slice.all()
        };
        let first = slice(0);
        (1..self.shape[axis]).any(|index| slice(index) != first)
    }

    /// The pairs of labels that stand at one place in the first and in another slice along an axis.
    pub(super) fn across(&self, axis: usize) -> Vec<(Label, Label)> {
        let slice = |index: usize| {
            let mut slice = self.collapsed();
            slice.shape[axis] = 1;
            slice.offset += index * self.strides[axis];
            slice.all()
        };
        let first = slice(0);
        let others = (1..self.shape[axis]).flat_map(slice);
        first.iter().copied().cycle().zip(others).collect()
    }

    /// Whether there is a zero.
    pub(super) fn has_zero(&self) -> bool {
        self.collapsed().all().contains(&0)
    }

    /// With one element along the axes of which all elements are one.
    fn collapsed(&self) -> Self {
        let axes = self.shape.iter().zip(&self.strides);
        Self {
            shape: axes
                .map(|(&size, &stride)| if stride == 0 { size.min(1) } else { size })
                .collect(),
            ..self.clone()
        }
    }

    /// In another shape of as many elements.
    pub(super) fn reshaped(&self, shape: &[usize]) -> Self {
        match self.view(shape) {
            Some(strides) => Self {
                shape: shape.to_vec(),
                strides,
                ..self.clone()
            },
            None => Self::plain(self.all(), shape),
        }
    }

    /// Strides in another shape, where nothing has to be copied.
    fn view(&self, shape: &[usize]) -> Option<Vec<usize>> {
        let old = self.shape.iter().copied().zip(self.strides.iter().copied());
        let old: Vec<(usize, usize)> = old.filter(|(size, _)| *size != 1).collect();
        let mut strides = vec![0; shape.len()];
        for (before, after) in blocks(&old.iter().map(|axis| axis.0).collect::<Vec<_>>(), shape) {
            let axes = &old[before];
            let joined = axes
                .array_windows()
                .all(|[one, next]| one.1 == next.0 * next.1);
            if !joined {
                return None;
            }
            let mut stride = axes.last().map_or(0, |axis| axis.1);
            for axis in after.rev() {
                strides[axis] = stride;
                stride *= shape[axis];
            }
        }
        Some(strides)
    }

    /// With the axes in another order.
    pub(super) fn permuted(&self, axes: &[usize]) -> Self {
        Self {
            shape: axes.iter().map(|&axis| self.shape[axis]).collect(),
            strides: axes.iter().map(|&axis| self.strides[axis]).collect(),
            ..self.clone()
        }
    }

    /// The elements at these indices of an axis, in their order.
    pub(super) fn taken(&self, axis: usize, indices: &[usize]) -> Self {
        let shape = with(&self.shape, axis, indices.len());
        if let (Some(row), true) = (self.row(axis), self.data.is_some()) {
            let row = indices.iter().map(|&index| row[index]).collect();
            return Self::channels(row, &shape, axis);
        }
        let [first, rest @ ..] = indices else {
            return Self::zeros(&shape);
        };
        let step = rest.first().map_or(1, |next| next.wrapping_sub(*first));
        let even = indices
            .array_windows()
            .all(|[one, next]| next.wrapping_sub(*one) == step);
        if rest.is_empty() || even && step < self.shape[axis] {
            let mut strides = self.strides.clone();
            strides[axis] *= step;
            return Self {
                shape,
                strides,
                offset: self.offset + first * self.strides[axis],
                data: self.data.clone(),
            };
        }
        let parts: Vec<Self> = indices
            .iter()
            .map(|index| self.taken(axis, &[*index]))
            .collect();
        Self::joined(&parts, axis)
    }

    /// In a larger shape: what has one element along an axis is repeated.
    pub(super) fn expanded(&self, shape: &[usize]) -> Self {
        let new = shape.len() - self.shape.len();
        let axes = self.shape.iter().zip(&self.strides).zip(&shape[new..]);
        let strides =
            axes.map(|((&mine, &stride), &wanted)| if mine == wanted { stride } else { 0 });
        Self {
            strides: vec![0; new].into_iter().chain(strides).collect(),
            shape: shape.to_vec(),
            ..self.clone()
        }
    }

    /// One behind the other along an axis.
    pub(super) fn joined(parts: &[Self], axis: usize) -> Self {
        let size = parts.iter().map(|part| part.shape[axis]).sum();
        let shape = with(&parts[0].shape, axis, size);
        let rows: Option<Vec<Vec<Label>>> = parts.iter().map(|part| part.row(axis)).collect();
        if let Some(rows) = rows {
            return Self::channels(rows.concat(), &shape, axis);
        }
        let inner = |part: &Self| part.shape[axis..].iter().product::<usize>();
        let whole: Vec<Vec<Label>> = parts.iter().map(Self::all).collect();
        let outer: usize = shape[..axis].iter().product();
        let mut all = Vec::with_capacity(shape.iter().product());
        for place in 0..outer {
            for (part, labels) in parts.iter().zip(&whole) {
                let size = inner(part);
                all.extend_from_slice(&labels[place * size..(place + 1) * size]);
            }
        }
        Self::plain(all, &shape)
    }

    /// Each label changed.
    pub(super) fn mapped(&self, map: impl Fn(Label) -> Label) -> Self {
        let data = self.data.as_ref();
        let data = data.map(|data| data.iter().map(|&label| map(label)).collect());
        Self {
            data,
            ..self.clone()
        }
    }

    /// The labels that there are, but 0, each once, in the order in which they come.
    pub(super) fn distinct(&self) -> Vec<Label> {
        let mut seen = HashSet::from([0]);
        let all = self.collapsed().all().into_iter();
        all.filter(|&label| seen.insert(label)).collect()
    }
}

/// The strides of a tensor that lies row by row.
fn row_major(shape: &[usize]) -> Vec<usize> {
    let after = |axis: usize| shape[axis + 1..].iter().product();
    (0..shape.len()).map(after).collect()
}

/// A shape with another size of one axis.
pub(super) fn with(shape: &[usize], axis: usize, size: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    shape[axis] = size;
    shape
}

type Axes = std::ops::Range<usize>;

/// The axes of one shape and of another that hold the same elements, block by block; axes of one element may
/// stand in none.
pub(super) fn blocks(old: &[usize], new: &[usize]) -> Vec<(Axes, Axes)> {
    let (mut found, mut before, mut after) = (Vec::new(), 0, 0);
    while before < old.len() && after < new.len() {
        let (first_before, first_after) = (before, after);
        let (mut left, mut right) = (old[before], new[after]);
        (before, after) = (before + 1, after + 1);
        while left != right {
            if left < right && before < old.len() {
                left *= old[before];
                before += 1;
            } else if right < left && after < new.len() {
                right *= new[after];
                after += 1;
            } else {
                return found;
            }
        }
        found.push((first_before..before, first_after..after));
    }
    found
}
