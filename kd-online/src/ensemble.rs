//! The ensemble at inference: all branches, what they share run once, and what combines them.

use burn::tensor::Tensor;
use kd_core::{Classifier, Result};

use crate::branches::{BranchOutput, Branches};
use crate::combine::combiner::{Combination, Combiner};
use crate::config::OnlineConfig;

/// Trained branches as one predictor.
#[derive(Clone, Debug)]
pub struct Ensemble<N> {
    branches: Branches<N>,
    combiner: Option<Combiner>,
    combination: Combination,
    peers: usize,
}

/// The output of an ensemble.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EnsembleOutput {
    /// The logits of each branch, a leader last, `[batch_size, num_classes]`.
    pub branches: Vec<Tensor<2>>,
    /// The mean of the peers' logits, a leader left out, `[batch_size, num_classes]`.
    pub mean: Tensor<2>,
    /// The logits of gate, attention or classifier; none for an objective that has none.
    pub combined: Option<Tensor<2>>,
}

impl EnsembleOutput {
    /// The prediction of the ensemble: combined as it was trained, otherwise the mean.
    pub fn logits(self) -> Tensor<2> {
        self.combined.unwrap_or(self.mean)
    }
}

impl<N: Classifier> Branches<N> {
    /// The branches as one predictor, with what a run under `config` has trained to combine them:
    /// [`Online::combiner_of`](crate::Online::combiner_of).
    #[must_use]
    pub fn into_ensemble(self, config: &OnlineConfig, combiner: Option<Combiner>) -> Ensemble<N> {
        let networks = self.networks().iter().map(burn::module::Module::valid);
        let networks: Vec<N> = networks.collect();
        Ensemble {
            peers: config.peers().min(self.len()),
            branches: self.with_networks(networks),
            combiner: combiner.map(|combiner| burn::module::Module::valid(&combiner)),
            combination: Combination::of(&config.objective),
        }
    }
}

impl<N: Classifier> Ensemble<N> {
    /// The branches.
    pub fn branches(&self) -> &Branches<N> {
        &self.branches
    }

    /// The logits of branches and ensemble.
    ///
    /// # Errors
    ///
    /// None that inputs of the networks' own shape can cause.
    pub fn forward(&self, input: &N::Input) -> Result<EnsembleOutput> {
        let outputs = self.branches.forward(std::slice::from_ref(input))?;
        let peers = &outputs[..self.peers];
        let ensembled = self.combination.apply(self.combiner.as_ref(), peers);
        let mean = Combination::Mean.apply(None, peers).logits;
        let logits = |output: BranchOutput| output.logits;
        let combined = ensembled
            .logits
            .filter(|_| self.combination != Combination::Mean);
        let first = outputs[0].logits.clone();
        Ok(EnsembleOutput {
            mean: mean.unwrap_or(first),
            combined,
            branches: outputs.into_iter().map(logits).collect(),
        })
    }
}
