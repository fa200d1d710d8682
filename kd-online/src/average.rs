//! Averaged students: exponential moving averages of the weights of branches.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Tensor;
use kd_core::{
    Classifier, Names, PhaseState, Result, Tensors, change_parameters, detached_copy, export,
    import,
};

use crate::branches::{is_below_any, is_running_statistic, shared_paths, whole_tensors};

/// Copies of branches whose weights follow them slowly.
///
/// ```text
/// average = decay * average + (1 - decay) * weights      decay = min(1 - 1 / (step + 1), the setting)
/// ```
///
/// So the first steps are averaged as they are. Where the averages are targets they are run as in training,
/// so that their batch norms have statistics of their own, as in the code of PCL; otherwise their statistics
/// follow those of the branches as the weights do.
#[derive(Clone, Debug)]
pub(crate) struct Averages<N> {
    networks: Vec<N>,
    shared: usize,
    /// Whether the running statistics are averaged as well.
    statistics: bool,
    decay: f64,
}

impl<N: Classifier> Averages<N> {
    /// Averages that begin as `networks`, which are on the autodiff form of their device.
    pub(crate) fn new(networks: &[&N], shared: usize, statistics: bool, decay: f64) -> Self {
        // Without gradients, but with the batch norms of a network in training.
        let copy = |network: &&N| detached_copy(*network).no_grad();
        Self {
            networks: networks.iter().map(copy).collect(),
            shared,
            statistics,
            decay,
        }
    }

    pub(crate) fn networks(&self) -> Vec<&N> {
        self.networks.iter().collect()
    }

    /// Moves the averages towards `networks`, after step `step`, from 0.
    pub(crate) fn follow(&mut self, networks: &[&N], step: usize) {
        let decay = self.decay.min(1.0 - 1.0 / (step as f64 + 1.0));
        let averages = std::mem::take(&mut self.networks).into_iter();
        let moved = averages.zip(networks).enumerate();
        let shared = shared_paths(networks[0], self.shared);
        self.networks = moved
            .map(|(index, (average, network))| {
                let mut weights = tensors_on_device(*network);
                change_parameters(average, |path, old| {
                    let unused = index > 0 && is_below_any(path, &shared);
                    if unused || (is_running_statistic(path) && !self.statistics) {
                        return None;
                    }
                    let new = weights.remove(path)?;
                    Some(old * decay + new * (1.0 - decay))
                })
            })
            .collect();
    }

    /// Puts the averages into a state as `average-N`, what is shared once.
    pub(crate) fn put(&self, first: usize, state: &mut PhaseState) {
        for (index, network) in self.networks.iter().enumerate() {
            let mut tensors = export(network, Names::Burn);
            if index > 0 {
                let paths = shared_paths(network, self.shared);
                tensors.retain(|path, _| !is_below_any(path, &paths));
            }
            state.put(&part(first + index), tensors);
        }
    }

    /// Takes back what [`Averages::put`] has put there.
    pub(crate) fn restore(&mut self, first: usize, state: &PhaseState) -> Result<()> {
        for (index, network) in self.networks.iter_mut().enumerate() {
            let mut tensors = export(network, Names::Burn);
            tensors.extend(state.part(&part(first + index)));
            *network = import(network, &tensors, Names::Burn, "checkpoint")?;
        }
        Ok(())
    }

    /// Adds the averages to a result as whole networks, `average-N/...`.
    pub(crate) fn add_result(&self, first: usize, result: &mut Tensors) {
        for (index, network) in self.networks.iter().enumerate() {
            let part = part(first + index);
            let trunk = &self.networks[0];
            let whole = whole_tensors(trunk, network, self.shared, Names::PyTorch);
            let named = whole.into_iter();
            result.extend(named.map(|(name, data)| (format!("{part}/{name}"), data)));
        }
    }
}

fn part(index: usize) -> String {
    format!("average-{index}")
}

/// The tensors of `network` by their paths in Burn's names, flattened, on the plain form of their device.
fn tensors_on_device<N: Module>(network: &N) -> BTreeMap<String, Tensor<1>> {
    let mut tensors = BTreeMap::new();
    // Reading alone: nothing is changed.
    let _unchanged = change_parameters(network.valid(), |path, values| {
        tensors.insert(path.to_owned(), values);
        None
    });
    tensors
}
