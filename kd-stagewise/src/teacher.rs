//! The teacher of a stagewise run: maps at its stages, and what its head says.

use std::fmt;

use burn::tensor::{Device, Tensor};
use kd_core::{Error, Frozen, Names, Normalisation, Result, Tensors, export, network_hash};

use crate::{Prediction, Rows, StageNetwork};

/// Something that never changes and says of pixels what its stages and its head give.
///
/// It is object-safe, so that teacher and student may be of different types; [`FrozenStages`] makes one of any network.
///
/// What it says of a sample must be a function of that sample alone, not of the batch that it stands in: answers are kept
/// and used in other batches.
pub trait StageTeacher<O: Prediction>: fmt::Debug {
    /// The names of its stages, first to last.
    fn stage_names(&self) -> Vec<String>;

    /// The maps of its first `count` stages; later stages are not run.
    ///
    /// # Shapes
    ///
    /// `pixels`: `[batch_size, channels, height, width]` in `[0, 1]`, on the plain device.
    ///
    /// # Errors
    ///
    /// If the pixels do not fit the teacher.
    fn maps(&self, pixels: Tensor<4>, count: usize) -> Result<Vec<Tensor<4>>>;

    /// What its head says.
    ///
    /// # Errors
    ///
    /// If the pixels do not fit the teacher.
    fn output(&self, pixels: Tensor<4>) -> Result<O>;

    /// The SHA-256 of what it is: weights, running statistics, normalisation.
    fn hash(&self) -> String;

    /// The tensors of stage `stage` by their whole paths in Burn's names, to be copied into a student's stage of the same names and
    /// shapes. None where it does not lend them.
    fn stage_tensors(&self, _stage: usize) -> Option<Tensors> {
        None
    }
}

/// A frozen network with its own normalisation, its batch norms folded where it knows how
/// ([`StagedNetwork::fold_norms`](kd_core::StagedNetwork::fold_norms)).
#[derive(Debug)]
pub struct FrozenStages<N> {
    network: Frozen<N>,
    normalisation: Normalisation,
    /// Of the network before it was folded.
    hash: String,
    /// The tensors of each stage before they were folded.
    stages: Vec<Tensors>,
}

impl<N: StageNetwork> FrozenStages<N> {
    /// A frozen copy of `network`, moved to the plain form of `device`.
    pub fn new(network: &N, normalisation: Normalisation, device: &Device) -> Self {
        let hash = network_hash(network, &normalisation);
        let network = network.valid().to_device(&device.clone().inner());
        let stages = (0..network.stage_names().len())
            .map(|stage| stage_tensors(&network, stage))
            .collect();
        Self {
            network: Frozen::folded(&network),
            normalisation,
            hash,
            stages,
        }
    }

    /// The network as it is asked.
    pub fn network(&self) -> &N {
        self.network.network()
    }
}

/// Samples that go through a teacher's head together.
const HEAD_BLOCK: usize = 16;

/// The head in blocks of one size, the last one filled up with copies of its last sample.
///
/// A product of matrices sums in another order for another number of rows; always the same number gives a sample the same bits
/// in every batch.
fn head_in_blocks<N: StageNetwork>(network: &N, dense: N::Dense) -> N::Output {
    let shape = dense.sample_shape();
    if shape.len() > 1 {
        // A head on maps is a convolution, which goes sample by sample anyway.
        return network.forward_head(dense);
    }
    let rows = dense.into_rows();
    let [samples, _numbers] = rows.dims();
    let mut made = Vec::new();
    let mut shape_made = Vec::new();
    for first in (0..samples).step_by(HEAD_BLOCK) {
        let here = HEAD_BLOCK.min(samples - first);
        let mut block = rows.clone().narrow(0, first, here);
        if here < HEAD_BLOCK {
            let last = rows.clone().narrow(0, samples - 1, 1);
            block = Tensor::cat(vec![block, last.repeat_dim(0, HEAD_BLOCK - here)], 0);
        }
        let output = network.forward_head(N::Dense::from_rows(block, &shape));
        shape_made = output.sample_shape();
        made.push(output.into_rows().narrow(0, 0, here));
    }
    N::Output::from_rows(Tensor::cat(made, 0), &shape_made)
}

/// The tensors of a stage, in Burn's names.
pub(crate) fn stage_tensors<N: StageNetwork>(network: &N, stage: usize) -> Tensors {
    let paths = network.stage_parameters(stage);
    let belongs = |name: &str| paths.iter().any(|path| is_below(name, path));
    let all = export(network, Names::Burn).into_iter();
    all.filter(|(name, _)| belongs(name)).collect()
}

/// Whether `name` is `path` or something in it.
fn is_below(name: &str, path: &str) -> bool {
    name.strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl<N: StageNetwork> StageTeacher<N::Output> for FrozenStages<N> {
    fn stage_names(&self) -> Vec<String> {
        self.network().stage_names()
    }

    fn maps(&self, pixels: Tensor<4>, count: usize) -> Result<Vec<Tensor<4>>> {
        let input = self.normalisation.apply(pixels)?;
        Ok(self.network().forward_maps(&input, count))
    }

    fn output(&self, pixels: Tensor<4>) -> Result<N::Output> {
        let input = self.normalisation.apply(pixels)?;
        let network = self.network();
        if input.dims()[0] == 0 {
            return Err(Error::Shape {
                what: "batch for a teacher".into(),
                expected: "at least one sample".into(),
                found: "none".into(),
                remedy: "leave empty batches out".into(),
            });
        }
        let maps = network.forward_maps(&input, network.stage_names().len());
        Ok(head_in_blocks(
            network,
            network.forward_dense(&input, &maps),
        ))
    }

    fn hash(&self) -> String {
        self.hash.clone()
    }

    fn stage_tensors(&self, stage: usize) -> Option<Tensors> {
        self.stages.get(stage).cloned()
    }
}
