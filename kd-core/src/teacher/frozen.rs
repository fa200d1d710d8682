//! A teacher made of a network: frozen, its batch norms folded.

use burn::tensor::{Device, Tensor};

use crate::error::{Error, Result};
use crate::loader::batch::Batch;
use crate::network::cost::count_parameters;
use crate::network::frozen::{Frozen, network_hash};
use crate::network::output::NetworkOutput;
use crate::network::preprocessing::{NetworkInput, Preprocessing};
use crate::network::rows::{Rows, block_of_maps};
use crate::network::staged::Trace;
use crate::network::task_network::TaskNetwork;
use crate::network::tensors::{Names, Tensors, export};
use crate::teacher::answer::{Answer, DENSE_TAP, Requested};
use crate::teacher::contract::Teacher;

/// Samples that go through a teacher's head together.
const HEAD_BLOCK: usize = 16;

/// A frozen network with its own preprocessing, its batch norms folded where it knows how
/// ([`StagedNetwork::fold_norms`](crate::StagedNetwork::fold_norms)), or left as they were trained.
#[derive(Debug)]
pub struct FrozenTeacher<N> {
    network: Frozen<N>,
    preprocessing: Preprocessing,
    /// Of the network before it was folded.
    hash: String,
    /// The tensors of each stage before they were folded.
    stages: Vec<Tensors>,
}

impl<N: TaskNetwork> FrozenTeacher<N> {
    /// A frozen copy of `network`, moved to the plain form of `device`.
    pub fn new(network: &N, preprocessing: impl Into<Preprocessing>, device: &Device) -> Self {
        Self::frozen(network, preprocessing.into(), device, Frozen::folded)
    }

    /// The same with its batch norms as they were trained, for a method that reads what goes into them.
    pub fn unfolded(network: &N, preprocessing: impl Into<Preprocessing>, device: &Device) -> Self {
        Self::frozen(network, preprocessing.into(), device, Frozen::new)
    }

    fn frozen(
        network: &N,
        preprocessing: Preprocessing,
        device: &Device,
        freeze: fn(&N) -> Frozen<N>,
    ) -> Self {
        let hash = network_hash(network, &preprocessing);
        let network = network.valid().to_device(&device.clone().inner());
        let all = export(&network, Names::Burn);
        let stages = (0..network.stage_names().len())
            .map(|stage| stage_tensors(&network, &all, stage))
            .collect();
        Self {
            network: freeze(&network),
            preprocessing,
            hash,
            stages,
        }
    }

    /// The network as it answers.
    pub fn network(&self) -> &N {
        self.network.network()
    }

    /// The stage that a tap reads, or none for the dense representation.
    fn tap(&self, name: &str) -> Result<Option<usize>> {
        let stages = self.network().stage_names();
        match stages.iter().position(|stage| stage == name) {
            Some(stage) => Ok(Some(stage)),
            None if name == DENSE_TAP => Ok(None),
            None => {
                let known = stages.iter().map(String::as_str).chain([DENSE_TAP]);
                Err(Error::unknown_name("tap", name, known))
            }
        }
    }
}

impl<N: TaskNetwork> Teacher for FrozenTeacher<N> {
    fn stage_names(&self) -> Vec<String> {
        self.network().stage_names()
    }

    fn answer(&self, batch: &Batch, requested: &Requested) -> Result<Answer> {
        let taps = requested.taps().iter().map(|tap| self.tap(tap));
        let taps = taps.collect::<Result<Vec<_>>>()?;
        let input: N::Input = self.preprocessing.input(batch)?;
        if input.samples() == 0 {
            return Err(Error::Shape {
                what: "batch for a teacher".into(),
                expected: "at least one sample".into(),
                found: "none".into(),
                remedy: "leave empty batches out".into(),
            });
        }
        let reads_head = requested.has_output() || taps.contains(&None);
        if !reads_head {
            let count = taps.iter().flatten().max().map_or(0, |last| last + 1);
            let maps = self.network().forward_maps(&input, count);
            let at = |tap: &Option<usize>| tap.and_then(|stage| maps.get(stage).cloned());
            return Ok(Answer::new(None, taps.iter().filter_map(at).collect()));
        }
        let trace = forward_in_blocks(self.network(), &input);
        let at = |tap: Option<usize>| match tap {
            Some(stage) => trace.maps[stage].clone(),
            None => trace.dense.clone().into_map(),
        };
        let maps = taps.into_iter().map(at).collect();
        let output = requested
            .has_output()
            .then(|| trace.output.clone().into_output());
        Ok(Answer::new(output, maps))
    }

    fn hash(&self) -> String {
        self.hash.clone()
    }

    fn preprocessing(&self) -> Option<&Preprocessing> {
        Some(&self.preprocessing)
    }

    fn classify(&self, dense: Tensor<2>) -> Result<Tensor<2>> {
        if !N::Dense::IS_VECTOR {
            let problem = "is a segmentation network, whose head takes maps; use a classifier";
            return Err(Error::config("teacher", problem));
        }
        let shape = dense.sample_shape();
        let dense = N::Dense::from_rows(dense, &shape);
        self.network().forward_head(dense).into_output().logits()
    }

    fn parameters(&self) -> Option<u64> {
        Some(count_parameters(self.network()))
    }

    fn stage_tensors(&self, stage: usize) -> Option<Tensors> {
        self.stages.get(stage).cloned()
    }
}

/// The tensors of `all` that belong to a stage of `network`, in Burn's names.
pub fn stage_tensors<N: TaskNetwork>(network: &N, all: &Tensors, stage: usize) -> Tensors {
    let paths = network.stage_parameters(stage);
    let belongs = |name: &str| paths.iter().any(|path| is_below(name, path));
    let named = all.iter().filter(|(name, _)| belongs(name));
    named
        .map(|(name, data)| (name.clone(), data.clone()))
        .collect()
}

/// Whether `name` is `path` or something in it.
fn is_below(name: &str, path: &str) -> bool {
    name.strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The forward pass with a dense vector and its head computed in blocks of one size, the last one filled up
/// with copies of its last sample.
///
/// A product of matrices sums in another order for another number of rows: on the CPU that begins at more
/// than 512 features. Always the same number of rows gives a sample the same bits in every batch.
/// Convolutions go sample by sample anyway.
fn forward_in_blocks<N: TaskNetwork>(
    network: &N,
    input: &N::Input,
) -> Trace<Tensor<4>, N::Dense, N::Output> {
    let maps = network.forward_maps(input, network.stage_names().len());
    if !N::Dense::IS_VECTOR {
        let dense = network.forward_dense(input, &maps);
        let output = network.forward_head(dense.clone());
        return Trace {
            maps,
            dense,
            output,
        };
    }
    let samples = input.samples();
    let (mut dense, mut output) = (Vec::new(), Vec::new());
    for first in (0..samples).step_by(HEAD_BLOCK) {
        let here = HEAD_BLOCK.min(samples - first);
        let maps = block_of_maps(&maps, first, here, HEAD_BLOCK);
        let wide = network.forward_dense(&input.block(first, here, HEAD_BLOCK), &maps);
        output.push(network.forward_head(wide.clone()).first(here));
        dense.push(wide.first(here));
    }
    Trace {
        maps,
        dense: N::Dense::joined(dense),
        output: N::Output::joined(output),
    }
}
