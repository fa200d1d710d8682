//! A teacher made of a network: frozen, its batch norms folded.

use burn::tensor::{Device, Tensor};

use crate::error::{Error, Result};
use crate::loader::batch::Batch;
use crate::network::cost::count_parameters;
use crate::network::frozen::{Frozen, network_hash};
use crate::network::output::NetworkOutput;
use crate::network::preprocessing::{NetworkInput, Preprocessing};
use crate::network::rows::{Rows, block_of_maps};
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
        let stages = if reads_head {
            self.network().stage_names().len()
        } else {
            taps.iter().flatten().max().map_or(0, |last| last + 1)
        };
        let pass = Pass::run(self.network(), &input, stages, reads_head);
        let dense = pass.head.as_ref().map(|(dense, _)| dense);
        let at = |tap: Option<usize>| match tap {
            Some(stage) => pass.maps.get(stage).cloned(),
            None => dense.cloned().map(Rows::into_map),
        };
        let maps = taps.into_iter().filter_map(at).collect();
        let output = pass.head.as_ref().filter(|_| requested.has_output());
        let output = output.map(|(_, output)| output.clone().into_output());
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

    fn classify_pixels(&self, dense: Tensor<4>) -> Result<Tensor<4>> {
        if N::Dense::IS_VECTOR || N::Output::IS_VECTOR {
            let problem =
                "is a classifier, whose head takes vectors; use a network for segmentation";
            return Err(Error::config("teacher", problem));
        }
        let shape = dense.sample_shape();
        let dense = N::Dense::from_rows(dense.into_rows(), &shape);
        Tensor::from_output(self.network().forward_head(dense).into_output())
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

/// The maps of the first stages and, where the head was run, the dense representation and the output.
struct Pass<N: TaskNetwork> {
    maps: Vec<Tensor<4>>,
    head: Option<(N::Dense, N::Output)>,
}

impl<N: TaskNetwork> Pass<N> {
    /// Runs the first stages of `network`, and its head if so wanted, with everything that multiplies
    /// matrices in blocks of one size, the last one filled up with copies of its last sample.
    ///
    /// A product of matrices sums in another order for another number of rows: on the CPU that begins at more
    /// than 512 features. Always the same number of rows gives a sample the same bits in every batch.
    /// Convolutions go sample by sample anyway.
    fn run(network: &N, input: &N::Input, stages: usize, head: bool) -> Self {
        if N::Input::MIXES_SAMPLES {
            let blocks = blocks(input.samples()).map(|(first, here)| {
                let block = input.block(first, here, HEAD_BLOCK);
                let maps = network.forward_maps(&block, stages);
                let head = head.then(|| run_head(network, &block, &maps));
                Self { maps, head }.first(here)
            });
            return Self::joined(blocks.collect());
        }
        let maps = network.forward_maps(input, stages);
        let head = head.then(|| head_in_blocks(network, input, &maps));
        Self { maps, head }
    }

    /// The first `count` samples.
    fn first(self, count: usize) -> Self {
        let maps = self.maps.into_iter();
        Self {
            maps: maps.map(|map| map.first(count)).collect(),
            head: self
                .head
                .map(|(dense, output)| (dense.first(count), output.first(count))),
        }
    }

    /// The passes of several blocks as one.
    fn joined(blocks: Vec<Self>) -> Self {
        let (mut maps, mut heads) = (Vec::new(), Vec::new());
        for block in blocks {
            maps.push(block.maps);
            heads.extend(block.head);
        }
        let stages = maps.first().map_or(0, Vec::len);
        let stage = |stage: usize| {
            let parts = maps.iter().map(|maps| maps[stage].clone());
            Tensor::joined(parts.collect())
        };
        let maps = (0..stages).map(stage).collect();
        let head = (!heads.is_empty()).then(|| joined_heads(heads));
        Self { maps, head }
    }
}

/// Blocks of at most [`HEAD_BLOCK`] samples: the first sample, and how many there are.
fn blocks(samples: usize) -> impl Iterator<Item = (usize, usize)> {
    let firsts = (0..samples).step_by(HEAD_BLOCK);
    firsts.map(move |first| (first, HEAD_BLOCK.min(samples - first)))
}

/// Dense representation and output for the maps of all stages.
fn run_head<N: TaskNetwork>(
    network: &N,
    input: &N::Input,
    maps: &[Tensor<4>],
) -> (N::Dense, N::Output) {
    let dense = network.forward_dense(input, maps);
    let output = network.forward_head(dense.clone());
    (dense, output)
}

/// The same in blocks, unless both are maps.
fn head_in_blocks<N: TaskNetwork>(
    network: &N,
    input: &N::Input,
    maps: &[Tensor<4>],
) -> (N::Dense, N::Output) {
    if !N::Dense::IS_VECTOR && !N::Output::IS_VECTOR {
        return run_head(network, input, maps);
    }
    let heads = blocks(input.samples()).map(|(first, here)| {
        let maps = block_of_maps(maps, first, here, HEAD_BLOCK);
        let block = input.block(first, here, HEAD_BLOCK);
        let (dense, output) = run_head(network, &block, &maps);
        (dense.first(here), output.first(here))
    });
    joined_heads(heads.collect())
}

fn joined_heads<D: Rows, O: Rows>(heads: Vec<(D, O)>) -> (D, O) {
    let (dense, outputs) = heads.into_iter().unzip();
    (D::joined(dense), O::joined(outputs))
}
