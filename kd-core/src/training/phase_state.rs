//! The state of a phase: what a checkpoint holds.

use std::collections::BTreeMap;

use burn::tensor::{Device, TensorData};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::network::tensors::Tensors;
use crate::training::optim::Optimizer;

/// Everything a phase must get back to go on bit for bit.
#[derive(Clone, Debug, Default)]
pub struct PhaseState {
    /// Weights, running statistics, optimizer moments, ...
    pub tensors: Tensors,
    /// Counters and other plain values.
    pub values: BTreeMap<String, Value>,
}

impl PhaseState {
    /// Adds `tensors` under `prefix/`.
    pub fn put(&mut self, prefix: &str, tensors: Tensors) {
        let named = tensors.into_iter();
        self.tensors
            .extend(named.map(|(name, data)| (format!("{prefix}/{name}"), data)));
    }

    /// The tensors that were put under `prefix/`, by the names they had.
    pub fn part(&self, prefix: &str) -> Tensors {
        let inside = |(name, data): (&String, &TensorData)| {
            let name = name.strip_prefix(prefix)?.strip_prefix('/')?;
            Some((name.to_owned(), data.clone()))
        };
        self.tensors.iter().filter_map(inside).collect()
    }

    /// Adds the moments and step counts of `optimizer` under `prefix`.
    pub fn put_optimizer(&mut self, prefix: &str, optimizer: &Optimizer) {
        let (moments, steps) = optimizer.state();
        self.put(prefix, moments);
        self.values
            .insert(format!("{prefix}_steps"), serde_json::json!(steps));
    }

    /// Gives `optimizer` back what was put under `prefix`.
    ///
    /// # Errors
    ///
    /// [`Error::Method`] if its steps are not there or not numbers.
    pub fn restore_optimizer(
        &self,
        prefix: &str,
        optimizer: &mut Optimizer,
        device: &Device,
    ) -> Result<()> {
        let steps = self.values.get(&format!("{prefix}_steps")).cloned();
        let steps = serde_json::from_value(steps.unwrap_or_default())
            .map_err(|error| Error::method("optimizer steps of the checkpoint", error))?;
        optimizer.restore(&self.part(prefix), &steps, device);
        Ok(())
    }
}
