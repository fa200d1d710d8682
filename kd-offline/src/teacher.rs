//! Who is asked.

use std::fmt;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{Frozen, ImageClassifier, Names, Normalisation, Result, Trace, export, hash_tensors};

use crate::Ensemble;

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

    /// The logits and the maps at `taps`.
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
            .map(|tap| Ok(seen.maps[self.tap(tap)?].clone()))
            .collect::<Result<_>>()?;
        Ok(Answer {
            logits: seen.output,
            maps,
        })
    }
}

/// A frozen classifier with its own normalisation.
#[derive(Debug)]
pub struct FrozenTeacher<N> {
    network: Frozen<N>,
    normalisation: Normalisation,
}

impl<N: ImageClassifier> FrozenTeacher<N> {
    /// A frozen copy of `network`, moved to the plain form of `device`.
    pub fn new(network: &N, normalisation: Normalisation, device: &Device) -> Self {
        let network = network.valid().to_device(&device.clone().inner());
        Self {
            network: Frozen::new(&network),
            normalisation,
        }
    }

    /// The network.
    pub fn network(&self) -> &N {
        self.network.network()
    }
}

impl<N: ImageClassifier> Teacher for FrozenTeacher<N> {
    fn look(&self, pixels: Tensor<4>) -> Result<Trace<Tensor<4>, Tensor<2>, Tensor<2>>> {
        let input = self.normalisation.apply(pixels)?;
        Ok(self.network.network().forward_traced(&input))
    }

    fn tap(&self, name: &str) -> Result<usize> {
        self.network.network().tap(name)
    }

    fn hash(&self) -> String {
        let mut tensors = export(self.network.network(), Names::PyTorch);
        for (name, values) in [
            ("mean", &self.normalisation.mean),
            ("std", &self.normalisation.std),
        ] {
            let data = TensorData::new(values.clone(), [values.len()]);
            tensors.insert(format!("normalisation/{name}"), data);
        }
        hash_tensors(&tensors)
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
