//! The dependencies of a network's parts: the inputs that each reads of those before it, and its own
//! parameters.

use std::collections::BTreeSet;

use burn::tensor::{Device, Gradients, Tensor};
use kd_core::{
    Error, NamedGradients, NetworkInput, Result, Rows, StagedNetwork, TaskNetwork, detached_copy,
};

/// The inputs that a part of a network reads: the network's own, and maps of earlier stages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StageInputs {
    /// Whether it reads the network's input.
    pub(crate) input: bool,
    /// The stages whose maps it reads.
    pub(crate) maps: BTreeSet<usize>,
}

impl StageInputs {
    fn everything(stages: usize) -> Self {
        Self {
            input: true,
            maps: (0..stages).collect(),
        }
    }

    /// Whether nothing is read.
    pub(crate) fn is_nothing(&self) -> bool {
        !self.input && self.maps.is_empty()
    }
}

/// The dependencies of the parts of a network: its stages, the dense representation, the head.
#[derive(Clone, Debug)]
pub(crate) struct Dependencies {
    /// The inputs of each stage and, last, of the dense representation.
    inputs: Vec<StageInputs>,
    /// Whether the dense representation has parameters of its own; they belong to the head.
    pub(crate) dense_learns: bool,
}

impl Dependencies {
    /// Finds the dependencies of a network with the help of some samples of its input, on the plain device.
    ///
    /// The graph of the computation tells what a part reads: a tensor that is not in it has no gradient. What
    /// reaches a part on another way, as an index does, is found by taking it away: where that changes the
    /// result, the part is taken to read everything.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if two parts share a parameter, which cannot be trained in the one and frozen in the
    /// other.
    pub(crate) fn of<S: TaskNetwork>(student: &S, input: S::Input) -> Result<Self> {
        let probe = Probe::new(student, input);
        let names = student.stage_names();
        let mut parts: Vec<PartFacts> = (0..names.len())
            .map(|stage| {
                let run = |network: &S, input: &S::Input, maps: &[Tensor<4>]| {
                    network.forward_stage(stage, input, maps).into_rows()
                };
                probe.facts(stage, &run)
            })
            .collect();
        parts.push(probe.facts(names.len(), &dense_rows));
        let dense_learns = parts.last().is_some_and(|part| !part.parameters.is_empty());
        parts.push(probe.facts(names.len(), &head_rows));
        check_nothing_shared(&parts, &names)?;
        parts.truncate(names.len() + 1);
        Ok(Self {
            inputs: parts.into_iter().map(|part| part.inputs).collect(),
            dense_learns,
        })
    }

    /// The inputs that the stages `first..last` and, if `dense`, the dense representation read of what lies
    /// before `first`.
    pub(crate) fn before(&self, first: usize, last: usize, dense: bool) -> StageInputs {
        let mut joined = StageInputs::default();
        let ends = dense.then(|| self.inputs.len().saturating_sub(1));
        let parts = (first..last).chain(ends);
        for part in parts.filter_map(|part| self.inputs.get(part)) {
            joined.input |= part.input;
            let earlier = part.maps.iter().filter(|&&map| map < first);
            joined.maps.extend(earlier);
        }
        joined
    }
}

/// A batch of `batch_size` zeros in the shape of a sample's map, which takes no memory of its own: what
/// stands in the place of a map that is not read.
pub(crate) fn placeholder(shape: &[usize], batch_size: usize, device: &Device) -> Tensor<4> {
    let size = |axis: usize| shape.get(axis).copied().unwrap_or(1);
    Tensor::<4>::zeros([1, 1, 1, 1], device).expand([batch_size, size(0), size(1), size(2)])
}

/// The forward pass of a part of a network: its rows for an input and the maps of all stages before it.
type PartForward<'a, S> = dyn Fn(&S, &<S as StagedNetwork>::Input, &[Tensor<4>]) -> Tensor<2> + 'a;

fn dense_rows<S: TaskNetwork>(network: &S, input: &S::Input, maps: &[Tensor<4>]) -> Tensor<2> {
    network.forward_dense(input, maps).into_rows()
}

/// The head by itself: no gradient passes through it to the dense representation.
fn head_rows<S: TaskNetwork>(network: &S, input: &S::Input, maps: &[Tensor<4>]) -> Tensor<2> {
    let dense = network.forward_dense(input, maps);
    let shape = dense.sample_shape();
    let alone = S::Dense::from_rows(Tensor::from_inner(dense.into_rows().inner()), &shape);
    network.forward_head(alone).into_rows()
}

/// The inputs and the parameters of one part.
struct PartFacts {
    inputs: StageInputs,
    parameters: BTreeSet<String>,
}

fn check_nothing_shared(parts: &[PartFacts], names: &[String]) -> Result<()> {
    let shown = |part: usize| match names.get(part) {
        Some(name) => format!("stage `{name}`"),
        None => "the head".into(),
    };
    for (later, part) in parts.iter().enumerate() {
        for (earlier, before) in parts[..later.min(names.len())].iter().enumerate() {
            if let Some(shared) = part.parameters.intersection(&before.parameters).next() {
                let problem = format!(
                    "has a parameter, `{shared}`, that {} and {} both use; it cannot be frozen in the one \
                     and trained in the other",
                    shown(earlier),
                    shown(later)
                );
                return Err(Error::config("student", problem));
            }
        }
    }
    Ok(())
}

/// A network with an input and its maps, to run single parts of.
struct Probe<S: StagedNetwork> {
    student: S,
    plain: S,
    input: S::Input,
    maps: Vec<Tensor<4>>,
}

impl<S: TaskNetwork> Probe<S> {
    fn new(student: &S, input: S::Input) -> Self {
        // The copy goes away with what its batch norms make of the input.
        let student = detached_copy(student);
        let plain = student.valid();
        let maps = plain.forward_maps(&input, student.stage_names().len());
        Self {
            student,
            plain,
            input,
            maps,
        }
    }

    /// The facts of a part that may read the maps of the first `count` stages.
    fn facts(&self, count: usize, run: &PartForward<'_, S>) -> PartFacts {
        let input = self.input.clone().tracked();
        let earlier: Vec<Tensor<4>> = self.maps[..count]
            .iter()
            .map(|map| map.clone().tracked())
            .collect();
        let result = run(&self.student, &input, &earlier);
        // Without it there were no graph behind a part that reads nothing.
        let always = Tensor::<1>::zeros([1], &result.device()).require_grad();
        let mut gradients = (result.sum() + always).backward();
        let mut inputs = StageInputs {
            input: input.is_read(&gradients),
            maps: read_maps(&earlier, &gradients),
        };
        let mut named = NamedGradients::new();
        named.collect("", &self.student, &mut gradients);
        if !self.suffice(&inputs, count, run) {
            inputs = StageInputs::everything(count);
        }
        PartFacts {
            inputs,
            parameters: named.paths().map(str::to_owned).collect(),
        }
    }

    /// Whether a part gives the same bits with placeholders for all that it is not known to read.
    fn suffice(&self, inputs: &StageInputs, count: usize, run: &PartForward<'_, S>) -> bool {
        let samples = self.input.samples();
        let input = if inputs.input {
            self.input.clone()
        } else {
            self.input.placeholder(samples)
        };
        let kept = |(stage, map): (usize, &Tensor<4>)| {
            if inputs.maps.contains(&stage) {
                map.clone()
            } else {
                map.placeholder(samples)
            }
        };
        let maps: Vec<Tensor<4>> = self.maps[..count].iter().enumerate().map(kept).collect();
        let whole = run(&self.plain, &self.input, &self.maps[..count]).into_data();
        run(&self.plain, &input, &maps).into_data() == whole
    }
}

fn read_maps(maps: &[Tensor<4>], gradients: &Gradients) -> BTreeSet<usize> {
    let read = |(_, map): &(usize, &Tensor<4>)| map.is_read(gradients);
    let maps = maps.iter().enumerate();
    maps.filter(read).map(|(stage, _)| stage).collect()
}
