//! Who is asked.

use std::fmt;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use kd_core::{
    Error, Frozen, ImageClassifier, Normalisation, Result, Trace, count_parameters, network_hash,
};

use crate::Ensemble;
use crate::kinds::{DENSE, as_map};

/// What a teacher is asked for in every step: its logits, and the maps at the taps that the losses read.
///
/// The losses say it once, before the first step; see [`Offline::asked`](crate::Offline::asked). So a teacher keeps no
/// map that nobody reads, and it is known beforehand what a cache of its answers must hold.
pub type Taps = Vec<String>;

/// What a teacher says of a batch.
#[derive(Clone, Debug)]
pub struct Answer {
    /// `[batch_size, num_classes]`.
    pub logits: Tensor<2>,
    /// The maps at the taps that were asked for, in that order, each `[batch_size, channels, height, width]`.
    pub maps: Vec<Tensor<4>>,
}

/// A teacher: something that never changes and says of pixels what its taps and its head give.
///
/// Its own trait, and object-safe, so that teachers of different architectures, with different normalisation, stand
/// side by side. [`FrozenTeacher`] makes one of any classifier.
///
/// What it says of a sample must be a function of that sample alone, not of the batch that it stands in: answers are stored
/// and read back in other batches.
pub trait Teacher: fmt::Debug {
    /// Everything there is to see on the way through the teacher.
    ///
    /// # Shapes
    ///
    /// `pixels`: `[batch_size, channels, height, width]` in `[0, 1]`, on the plain device.
    ///
    /// # Errors
    ///
    /// If the pixels do not fit the teacher.
    fn look(&self, pixels: Tensor<4>) -> Result<Trace<Tensor<4>, Tensor<2>, Tensor<2>>>;

    /// The index of the map that the tap `name` reads.
    ///
    /// # Errors
    ///
    /// For a name that the teacher does not have.
    fn tap(&self, name: &str) -> Result<usize>;

    /// The SHA-256 of what it is: weights, running statistics, normalisation.
    fn hash(&self) -> String;

    /// What it does to pixels first, if that is a normalisation by channel; a check tries others in its place.
    fn normalisation(&self) -> Option<&Normalisation> {
        None
    }

    /// What its head says of dense representations that are not its own. The head is a constant, but gradients pass through it
    /// to `dense`.
    ///
    /// # Shapes
    ///
    /// - `dense`: `[batch_size, features]`, on either form of the device
    /// - result: logits `[batch_size, num_classes]`
    ///
    /// # Errors
    ///
    /// If the teacher does not lend its head, which is so where it is not said otherwise.
    fn classify(&self, dense: Tensor<2>) -> Result<Tensor<2>> {
        drop(dense);
        let problem = "is a teacher that does not lend its head; use a `FrozenTeacher`";
        Err(Error::config("teacher", problem))
    }

    /// The number of its learnable parameters, if it is known.
    fn parameters(&self) -> Option<u64> {
        None
    }

    /// The logits and the maps at `taps`, each a stage or `dense`, what goes into the head, as `[batch_size, features, 1, 1]`.
    ///
    /// # Shapes
    ///
    /// `pixels`: `[batch_size, channels, height, width]` in `[0, 1]`, on the plain device.
    ///
    /// # Errors
    ///
    /// If the pixels do not fit the teacher, or it has no such tap.
    fn answer(&self, pixels: Tensor<4>, taps: &[String]) -> Result<Answer> {
        let seen = self.look(pixels)?;
        let maps = taps
            .iter()
            .map(|tap| match self.tap(tap) {
                Ok(stage) => {
                    let map = seen.maps.get(stage).cloned();
                    map.ok_or_else(|| Error::unknown_name("tap", tap, []))
                }
                Err(_) if tap == DENSE => Ok(as_map(seen.dense.clone())),
                Err(error) => Err(error),
            })
            .collect::<Result<_>>()?;
        Ok(Answer {
            logits: seen.output,
            maps,
        })
    }
}

/// Samples that go through a teacher's head together.
const HEAD_BLOCK: usize = 16;

/// A frozen classifier with its own normalisation, its batch norms folded where it knows how
/// ([`StagedNetwork::fold_norms`](kd_core::StagedNetwork::fold_norms)).
#[derive(Debug)]
pub struct FrozenTeacher<N> {
    network: Frozen<N>,
    normalisation: Normalisation,
    /// Of the network before it was folded.
    hash: String,
}

impl<N: ImageClassifier> FrozenTeacher<N> {
    /// A frozen copy of `network`, moved to the plain form of `device`.
    pub fn new(network: &N, normalisation: Normalisation, device: &Device) -> Self {
        let hash = network_hash(network, &normalisation);
        let network = network.valid().to_device(&device.clone().inner());
        Self {
            network: Frozen::folded(&network),
            normalisation,
            hash,
        }
    }

    /// The network as it is asked.
    pub fn network(&self) -> &N {
        self.network.network()
    }
}

impl<N: ImageClassifier> Teacher for FrozenTeacher<N> {
    fn look(&self, pixels: Tensor<4>) -> Result<Trace<Tensor<4>, Tensor<2>, Tensor<2>>> {
        let input = self.normalisation.apply(pixels)?;
        forward_in_blocks(self.network.network(), &input)
    }

    fn tap(&self, name: &str) -> Result<usize> {
        let stages = self.network.network().stage_names();
        let place = stages.iter().position(|stage| stage == name);
        place.ok_or_else(|| {
            let known = stages.iter().map(String::as_str).chain([DENSE]);
            Error::unknown_name("tap", name, known)
        })
    }

    fn normalisation(&self) -> Option<&Normalisation> {
        Some(&self.normalisation)
    }

    fn classify(&self, dense: Tensor<2>) -> Result<Tensor<2>> {
        Ok(self.network.network().forward_head(dense))
    }

    fn parameters(&self) -> Option<u64> {
        Some(count_parameters(self.network.network()))
    }

    fn hash(&self) -> String {
        self.hash.clone()
    }
}

/// The forward pass with the dense representation and the head computed in blocks of one size, the last one filled up with
/// copies of its last sample.
///
/// A product of matrices sums in another order for another number of rows: on the CPU that begins at more than 512 features.
/// Always the same number of rows gives a sample the same bits in every batch. Convolutions go sample by sample anyway.
fn forward_in_blocks<N: ImageClassifier>(
    network: &N,
    input: &Tensor<4>,
) -> Result<Trace<Tensor<4>, Tensor<2>, Tensor<2>>> {
    let samples = input.dims()[0];
    if samples == 0 {
        return Err(Error::Shape {
            what: "batch for a teacher".into(),
            expected: "at least one sample".into(),
            found: "none".into(),
            remedy: "leave empty batches out".into(),
        });
    }
    let maps = network.forward_maps(input, network.stage_names().len());
    let (mut dense, mut output) = (Vec::new(), Vec::new());
    for first in (0..samples).step_by(HEAD_BLOCK) {
        let here = HEAD_BLOCK.min(samples - first);
        let block = |all: &Tensor<4>| {
            if here == HEAD_BLOCK {
                return all.clone().narrow(0, first, HEAD_BLOCK);
            }
            let last = all.clone().narrow(0, samples - 1, 1);
            let filling = last.repeat_dim(0, HEAD_BLOCK - here);
            Tensor::cat(vec![all.clone().narrow(0, first, here), filling], 0)
        };
        let maps: Vec<Tensor<4>> = maps.iter().map(block).collect();
        let wide = network.forward_dense(&block(input), &maps);
        output.push(network.forward_head(wide.clone()).narrow(0, 0, here));
        dense.push(wide.narrow(0, 0, here));
    }
    Ok(Trace {
        maps,
        dense: Tensor::cat(dense, 0),
        output: Tensor::cat(output, 0),
    })
}

/// A stand-in for a teacher that could not be read, so that the rest of a method can still be looked at; see
/// [`Offline::diagnose`](crate::Offline::diagnose). It answers nothing.
#[derive(Clone, Debug)]
pub struct MissingTeacher {
    /// Which teacher it stands for.
    pub name: String,
}

impl MissingTeacher {
    fn error<T>(&self) -> Result<T> {
        let problem = "could not be read and cannot be asked";
        Err(Error::config(self.name.clone(), problem))
    }
}

impl Teacher for MissingTeacher {
    fn look(&self, _pixels: Tensor<4>) -> Result<Trace<Tensor<4>, Tensor<2>, Tensor<2>>> {
        self.error()
    }

    fn tap(&self, _name: &str) -> Result<usize> {
        self.error()
    }

    fn hash(&self) -> String {
        String::new()
    }
}

/// One `[batch_size, num_classes]` of logits for several teachers.
///
/// In probability space these are `temperature * ln(mean over teachers of softmax(logits / temperature))`, whose softmax
/// at that temperature is the mean of the teachers'.
pub(crate) fn average(
    logits: &[Tensor<2>],
    ensemble: Ensemble,
    temperature: f64,
) -> Option<Tensor<2>> {
    let count = logits.len() as f64;
    match (logits, ensemble) {
        ([], _) => None,
        ([one], _) => Some(one.clone()),
        (several, Ensemble::Logits) => {
            let sum = several.iter().cloned().reduce(|sum, next| sum + next)?;
            Some(sum.div_scalar(count))
        }
        (several, Ensemble::Probabilities) => {
            let logs: Vec<Tensor<2>> = several
                .iter()
                .map(|logits| log_softmax(logits.clone().div_scalar(temperature), 1))
                .collect();
            // ln of the mean, with the largest taken out so that no exponential underflows.
            let largest = logs.iter().cloned().reduce(Tensor::max_pair)?;
            let sum = logs
                .into_iter()
                .map(|log| (log - largest.clone()).exp())
                .reduce(|sum, next| sum + next)?;
            Some((sum.div_scalar(count).log() + largest).mul_scalar(temperature))
        }
    }
}
