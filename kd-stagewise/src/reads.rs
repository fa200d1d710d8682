//! What a stage reads of what came before it.

use std::collections::BTreeSet;

use burn::tensor::{Device, Tensor};
use kd_core::{StagedNetwork, detached_copy};

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
    /// What the stages `first..` of a part and, if `dense`, the dense representation read of what lies before `first`.
    pub(crate) fn before(all: &[Self], first: usize, last: usize, dense: bool) -> Self {
        let mut joined = Self::default();
        let ends = dense.then(|| all.len().saturating_sub(1));
        for part in (first..last).chain(ends).filter_map(|stage| all.get(stage)) {
            joined.input |= part.input;
            joined
                .maps
                .extend(part.maps.iter().filter(|&&map| map < first));
        }
        joined
    }
}

/// What each stage reads and, last, what the dense representation reads.
///
/// The graph of the computation tells: a tensor that a stage does not read has no gradient. So a network needs not declare
/// it, and it cannot be declared wrongly.
pub(crate) fn discover<S>(student: &S, shape: [usize; 3], device: &Device) -> Vec<Reads>
where
    S: StagedNetwork<Input = Tensor<4>, Map = Tensor<4>, Dense: Rows>,
{
    let device = device.clone().autodiff();
    // The copy goes away with what its batch norms make of zeros.
    let student = detached_copy(student);
    let [channels, height, width] = shape;
    let input = Tensor::<4>::zeros([2, channels, height, width], &device);
    let stages = student.stage_names().len();
    let maps: Vec<Tensor<4>> = student
        .forward_maps(&input, stages)
        .into_iter()
        .map(|map| Tensor::from_inner(map.inner()))
        .collect();
    let look = |count: usize, run: &dyn Fn(&Tensor<4>, &[Tensor<4>]) -> Tensor<1>| {
        let input = input.clone().require_grad();
        let earlier: Vec<Tensor<4>> = maps[..count]
            .iter()
            .map(|map| map.clone().require_grad())
            .collect();
        // Without it there were no graph behind a part that reads nothing.
        let always = Tensor::<1>::zeros([1], &device).require_grad();
        let gradients = (run(&input, &earlier) + always).backward();
        Reads {
            input: input.grad(&gradients).is_some(),
            maps: earlier
                .iter()
                .enumerate()
                .filter(|(_, map)| map.grad(&gradients).is_some())
                .map(|(stage, _)| stage)
                .collect(),
        }
    };
    let mut all: Vec<Reads> = (0..stages)
        .map(|stage| {
            look(stage, &|input, earlier| {
                student.forward_stage(stage, input, earlier).sum()
            })
        })
        .collect();
    all.push(look(stages, &|input, maps| {
        student.forward_dense(input, maps).total()
    }));
    all
}
