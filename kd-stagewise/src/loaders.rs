//! The loaders of a run: all phases share the samples of a role on the device.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use kd_core::{Draws, Error, Loader, LoaderConfig, Result, TaskNetwork, Training};

use crate::Stagewise;
use crate::data::Role;

/// A loader of each role that was needed so far; those of the phases are made from it.
#[derive(Debug, Default)]
pub(crate) struct Loaders(Mutex<BTreeMap<Role, Loader>>);

impl<S: TaskNetwork> Stagewise<S> {
    /// The batches of a role in phase `index`: those to train on are shuffled, and a batch that is not full
    /// is left out.
    pub(crate) fn phase_loader(
        &self,
        role: Role,
        training: &Training,
        index: usize,
    ) -> Result<Loader> {
        if !role.is_trained_on() {
            return self.ordered_loader(role, training.eval_batch_size);
        }
        let samples = self.data.samples(role)?.len();
        if samples < training.batch_size {
            let problem = format!(
                "is {} and there are {samples} samples to train on: not one batch is full, and a batch that \
                 is not full is \
                 left out; make it smaller",
                training.batch_size
            );
            return Err(Error::config("train.batch_size", problem));
        }
        let config = LoaderConfig {
            seed: Draws::new(self.seed, "phase", index as u64, 0).bits(),
            drop_last: true,
            ..self.with_views(role, LoaderConfig::new(training.batch_size))
        };
        self.loader(role, config)
    }

    /// All views of the samples of a role, in order.
    pub(crate) fn ordered_loader(&self, role: Role, batch_size: usize) -> Result<Loader> {
        let config = self.with_views(role, LoaderConfig::ordered(batch_size));
        self.loader(role, config)
    }

    /// Samples that are trained on have the views of the data, the others one view.
    fn with_views(&self, role: Role, config: LoaderConfig) -> LoaderConfig {
        if !role.is_trained_on() {
            return config;
        }
        LoaderConfig {
            bank_seed: self.bank_seed,
            views: self.data.views,
            augment: self.data.augment.clone(),
            ..config
        }
    }

    fn loader(&self, role: Role, config: LoaderConfig) -> Result<Loader> {
        let loaders = &self.loaders.0;
        let mut loaders = loaders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loader) = loaders.get(&role) {
            return loader.reconfigured(config);
        }
        let samples = self.data.samples(role)?.clone();
        let first = Loader::new(samples, config.clone(), &self.device)?;
        let made = first.reconfigured(config)?;
        loaders.insert(role, first);
        Ok(made)
    }
}
