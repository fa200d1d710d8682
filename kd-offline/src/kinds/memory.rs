//! Losses with a memory of earlier batches.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use burn::tensor::{Gradients, Tensor};
use kd_core::{
    Error, NamedGradients, Names, Optimizer, Result, Tensors, count_parameters, export, import,
};
use kd_losses::{CrdEmbeddings, CrdLossConfig, CrdMemory, CrdSamples};

use super::{
    Binder, BoundLoss, LossKind, Pair, Problem, Reads, TermInputs, below, constant_error, json,
};
use crate::LossConfig;

pub(super) const KINDS: &[LossKind] = &[LossKind::new::<CrdLossConfig>(
    "crd",
    Reads::ONE,
    || json(CrdLossConfig::new()),
    |loss, binder| Ok(Box::new(Contrast::bind(loss, binder)?)),
)];

/// Contrastive representation distillation with its memory.
#[derive(Debug)]
struct Contrast {
    embeddings: CrdEmbeddings,
    memory: Mutex<CrdMemory>,
    pair: Pair,
    /// The row of each sample in the memory.
    places: BTreeMap<u32, usize>,
}

impl Contrast {
    fn bind(loss: &LossConfig, binder: &mut Binder<'_>) -> Result<Self> {
        let config = loss.settings::<CrdLossConfig>()?;
        let pairs = binder.pairs(loss)?;
        let [pair] = pairs.as_slice() else {
            let problem = "must be one tap, such as `dense`";
            return Err(Error::config("student_taps", problem));
        };
        let [ours, theirs] = pair.features();
        let embeddings = config
            .init(ours, theirs, binder.module_seed(0), binder.device)
            .map_err(constant_error)?;
        let labels: Vec<usize> = binder
            .ids
            .iter()
            .map(|&id| {
                binder
                    .labels
                    .get(id as usize)
                    .map_or(0, |&label| label.into())
            })
            .collect();
        let samples = CrdSamples::Labels(&labels);
        let device = binder.device.clone().inner();
        let memory = config
            .init_memory(samples, binder.draw_seed(), &device)
            .map_err(constant_error)?;
        Ok(Self {
            embeddings,
            memory: Mutex::new(memory),
            pair: *pair,
            places: binder.ids.iter().copied().zip(0..).collect(),
        })
    }

    fn memory(&self) -> CrdMemory {
        self.memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl BoundLoss for Contrast {
    fn value(&self, inputs: &TermInputs<'_>) -> Result<Tensor<1>, Problem> {
        let place = |id: &u32| {
            let place = self.places.get(id).copied();
            place.ok_or_else(|| format!("sample {id} is not in the memory"))
        };
        let places = inputs
            .ids
            .iter()
            .map(place)
            .collect::<Result<Vec<_>, _>>()?;
        let (ours, theirs) = inputs.vectors(&self.pair);
        let embeddings = &self.embeddings;
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let value = if inputs.trial {
            embeddings.forward(ours, theirs, &places, inputs.step, &mut memory.clone())?
        } else {
            embeddings.forward(ours, theirs, &places, inputs.step, &mut memory)?
        };
        Ok(value)
    }

    fn parameters(&self) -> u64 {
        count_parameters(&self.embeddings)
    }

    fn collect(&self, prefix: &str, into: &mut NamedGradients, raw: &mut Gradients) {
        into.collect(prefix, &self.embeddings, raw);
    }

    fn step(
        &mut self,
        prefix: &str,
        optimizer: &mut Optimizer,
        lr: f64,
        gradients: &NamedGradients,
    ) {
        self.embeddings = optimizer.step(prefix, self.embeddings.clone(), lr, gradients);
    }

    fn state(&self) -> Tensors {
        let weights = export(&self.embeddings, Names::Burn).into_iter();
        let weights = weights.map(|(name, data)| (format!("0/{name}"), data));
        let memory = self.memory().state().into_iter();
        let memory = memory.map(|(name, data)| (format!("memory/{name}"), data));
        weights.chain(memory).collect()
    }

    fn restore(&mut self, state: &Tensors) -> Result<()> {
        let weights = below(state, "0/");
        self.embeddings = import(&self.embeddings, &weights, Names::Burn, "checkpoint")?;
        let mut memory = self.memory();
        memory
            .restore(below(state, "memory/").into_iter().collect())
            .map_err(|error| Error::method("the memory of the checkpoint", error))?;
        self.memory = Mutex::new(memory);
        Ok(())
    }
}
