//! A frozen network: off the autodiff graph, its training behaviour off.

use burn::module::Module;
use burn::tensor::TensorData;

use crate::network::preprocessing::Preprocessing;
use crate::network::staged::StagedNetwork;
use crate::network::tensors::{Names, export, hash_tensors};

/// A network that will never change: off the autodiff graph, its training behaviour off.
///
/// This is how a teacher is held. [`Module::no_grad`] would not do: it leaves batch norms updating their
/// running statistics. The copy shares nothing with the network that it was made from, not even the running
/// statistics, which a plain `clone` of a Burn module does share.
#[derive(Clone, Debug)]
pub struct Frozen<N>(N);

impl<N: Module> Frozen<N> {
    /// A frozen copy of `network`, on the plain (not autodiff) form of its device.
    pub fn new(network: &N) -> Self {
        Self(network.valid())
    }

    /// A frozen copy of `network` in the form that is run fastest: see [`StagedNetwork::fold_norms`].
    pub fn folded(network: &N) -> Self
    where
        N: StagedNetwork,
    {
        Self(network.fold_norms())
    }

    /// The frozen network.
    pub fn network(&self) -> &N {
        &self.0
    }
}

/// The SHA-256, in hexadecimal, of what a network is: weights, running statistics and the preprocessing of
/// its input.
///
/// Caches of a network's answers and the inputs of a run go by it.
pub fn network_hash<M: Module>(network: &M, preprocessing: &Preprocessing) -> String {
    let mut tensors = export(network, Names::PyTorch);
    match preprocessing {
        Preprocessing::Images(normalisation) => {
            for (name, values) in [("mean", &normalisation.mean), ("std", &normalisation.std)] {
                let data = TensorData::new(values.clone(), [values.len()]);
                tensors.insert(format!("normalisation/{name}"), data);
            }
        }
        Preprocessing::Tokens => {
            let data = TensorData::new(vec![1_u8], [1]);
            tensors.insert("preprocessing/tokens".into(), data);
        }
        Preprocessing::Text(tokenizer) => {
            let sha256 = tokenizer.sha256().as_bytes();
            let data = TensorData::new(sha256.to_vec(), [sha256.len()]);
            tensors.insert("preprocessing/tokenizer".into(), data);
        }
    }
    hash_tensors(&tensors)
}
