//! What each part of a network reads of what came before it, and which parameters it has.

use std::collections::BTreeSet;

use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{Draws, Error, NamedGradients, Result, StagedNetwork, detached_copy};

use crate::rows::Rows;

/// The network's input and the maps that a part of a network reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Whether it reads the network's input.
    pub(crate) input: bool,
    /// The stages whose maps it reads.
    pub(crate) maps: BTreeSet<usize>,
}

impl Reads {
    fn everything(stages: usize) -> Self {
        Self {
            input: true,
            maps: (0..stages).collect(),
        }
    }
}

/// The parts of a network: its stages, the dense representation, the head.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// What each stage reads and, last, what the dense representation reads.
    pub(crate) reads: Vec<Reads>,
    /// Whether the dense representation has parameters of its own; they belong to the head.
    pub(crate) dense_learns: bool,
}

impl Parts {
    /// What the stages `first..last` and, if `dense`, the dense representation read of what lies before `first`.
    pub(crate) fn before(&self, first: usize, last: usize, dense: bool) -> Reads {
        let mut joined = Reads::default();
        let ends = dense.then(|| self.reads.len().saturating_sub(1));
        let parts = (first..last).chain(ends);
        for part in parts.filter_map(|part| self.reads.get(part)) {
            joined.input |= part.input;
            joined
                .maps
                .extend(part.maps.iter().filter(|&&map| map < first));
        }
        joined
    }
}

/// A batch of `batch_size` zeros in the shape of a sample's part, which takes no memory of its own: what stands in the place of a map
/// that nobody reads.
pub(crate) fn placeholder(shape: &[usize], batch_size: usize, device: &Device) -> Tensor<4> {
    let size = |axis: usize| shape.get(axis).copied().unwrap_or(1);
    Tensor::<4>::zeros([1, 1, 1, 1], device).expand([batch_size, size(0), size(1), size(2)])
}

/// One look at a part, through the graph of its computation.
struct Look {
    reads: Reads,
    parameters: BTreeSet<String>,
}

/// Takes a network apart.
///
/// The graph of the computation tells what a part reads: a tensor that is not in it has no gradient. What reaches a part on another way,
/// as an index does, is found by taking it away: where that changes the result, the part is taken to read everything.
///
/// # Errors
///
/// [`Error::Config`] if two parts share a parameter, which cannot be trained in the one and frozen in the other.
pub(crate) fn take_apart<S>(student: &S, shape: [usize; 3], device: &Device) -> Result<Parts>
where
    S: StagedNetwork<Input = Tensor<4>, Map = Tensor<4>, Dense: Rows, Output: Rows>,
{
    let probe = Probe::new(student, shape, device);
    let names = student.stage_names();
    let mut looks = Vec::new();
    for stage in 0..names.len() {
        let run = |network: &S, input: &Tensor<4>, maps: &[Tensor<4>]| {
            network.forward_stage(stage, input, maps).into_rows()
        };
        looks.push(probe.look(stage, &run));
    }
    let dense = |network: &S, input: &Tensor<4>, maps: &[Tensor<4>]| {
        network.forward_dense(input, maps).into_rows()
    };
    looks.push(probe.look(names.len(), &dense));
    let dense_learns = looks.last().is_some_and(|look| !look.parameters.is_empty());
    let head = |network: &S, input: &Tensor<4>, maps: &[Tensor<4>]| {
        let dense = network.forward_dense(input, maps);
        let shape = dense.sample_shape();
        let alone = S::Dense::from_rows(Tensor::from_inner(dense.into_rows().inner()), &shape);
        network.forward_head(alone).into_rows()
    };
    looks.push(probe.look(names.len(), &head));

    let shown = |part: usize| match names.get(part) {
        Some(name) => format!("stage `{name}`"),
        None => "the head".into(),
    };
    for (later, look) in looks.iter().enumerate() {
        for (earlier, before) in looks[..later.min(names.len())].iter().enumerate() {
            if let Some(shared) = look.parameters.intersection(&before.parameters).next() {
                let problem = format!(
                    "has a parameter, `{shared}`, that {} and {} both use; it cannot be frozen in the one and trained in the other",
                    shown(earlier),
                    shown(later)
                );
                return Err(Error::config("student", problem));
            }
        }
    }
    looks.truncate(names.len() + 1);
    Ok(Parts {
        reads: looks.into_iter().map(|look| look.reads).collect(),
        dense_learns,
    })
}

/// A part of a network: its rows for an input and the maps of all stages before it.
type Part<'a, S> = dyn Fn(&S, &Tensor<4>, &[Tensor<4>]) -> Tensor<2> + 'a;

/// What parts are looked at with.
struct Probe<S> {
    student: S,
    plain: S,
    input: Tensor<4>,
    maps: Vec<Tensor<4>>,
}

impl<S> Probe<S>
where
    S: StagedNetwork<Input = Tensor<4>, Map = Tensor<4>>,
{
    #[expect(clippy::cast_possible_truncation, reason = "noise")]
    fn new(student: &S, [channels, height, width]: [usize; 3], device: &Device) -> Self {
        // The copy goes away with what its batch norms make of noise.
        let student = detached_copy(student);
        let plain = student.valid();
        let device = device.clone().inner();
        let mut draws = Draws::new(0, "probe", 0, 0);
        let noise = (0..2 * channels * height * width).map(|_| draws.normal() as f32);
        let noise = TensorData::new(noise.collect::<Vec<f32>>(), [2, channels, height, width]);
        let input = Tensor::<4>::from_data(noise, &device);
        let maps = plain.forward_maps(&input, student.stage_names().len());
        Self {
            student,
            plain,
            input,
            maps,
        }
    }

    fn look(&self, count: usize, run: &Part<'_, S>) -> Look {
        let leaf = |map: &Tensor<4>| Tensor::from_inner(map.clone()).require_grad();
        let input = leaf(&self.input);
        let earlier: Vec<Tensor<4>> = self.maps[..count].iter().map(leaf).collect();
        // Without it there were no graph behind a part that reads nothing.
        let always = Tensor::<1>::zeros([1], &input.device()).require_grad();
        let result = run(&self.student, &input, &earlier);
        let mut gradients = (result.sum() + always).backward();
        let mut reads = Reads {
            input: input.grad(&gradients).is_some(),
            maps: earlier
                .iter()
                .enumerate()
                .filter(|(_, map)| map.grad(&gradients).is_some())
                .map(|(stage, _)| stage)
                .collect(),
        };
        let mut named = NamedGradients::new();
        named.collect("", &self.student, &mut gradients);
        if !self.suffice(&reads, count, run) {
            reads = Reads::everything(count);
        }
        Look {
            reads,
            parameters: named.paths().map(str::to_owned).collect(),
        }
    }

    /// Whether a part gives the same bits with placeholders for all that it is not known to read.
    fn suffice(&self, reads: &Reads, count: usize, run: &Part<'_, S>) -> bool {
        let device = self.input.device();
        let taken_away = |map: &Tensor<4>| placeholder(&map.dims()[1..], map.dims()[0], &device);
        let kept = |(stage, map): (usize, &Tensor<4>)| {
            if reads.maps.contains(&stage) {
                map.clone()
            } else {
                taken_away(map)
            }
        };
        let input = if reads.input {
            self.input.clone()
        } else {
            taken_away(&self.input)
        };
        let maps: Vec<Tensor<4>> = self.maps[..count].iter().enumerate().map(kept).collect();
        let whole = run(&self.plain, &self.input, &self.maps[..count]).into_data();
        run(&self.plain, &input, &maps).into_data() == whole
    }
}
