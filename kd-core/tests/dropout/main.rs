//! Layers that draw on the device while a phase trains, as dropout does. A binary of its own: Burn's CPU
//! backend has one generator for the process, from which other tests draw initial weights.

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use burn::nn::DropoutConfig;
use burn::tensor::{Device, Tensor};
use kd_core::testing::{run, run_folder, same_run, stopped_at_every_step};
use kd_core::{
    EpochLog, LossTerms, Method, Metrics, NamedGradients, OptimizerConfig, Phase, PhaseState, Plan,
    Result, RunFolder, StepContext, Tensors, Trained, Training,
};

use support::{Small, accuracy, loss};

/// A network with a dropout layer under training.
struct Dropping {
    network: Trained<Small>,
    plan: Plan,
    /// Whether the runner is told where the layer draws.
    told: bool,
}

impl Phase for Dropping {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn draws_on(&self) -> Option<(Device, u64)> {
        self.told.then(|| (Device::flex(), 11))
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let dropout = DropoutConfig::new(0.5).init();
        let device = Device::flex().autodiff();
        let factor = dropout.forward(Tensor::<1>::ones([64], &device)).mean();
        let total = loss(self.network.network(), 0, at.step) * factor;
        let mut gradients = NamedGradients::new();
        self.network
            .collect(&mut gradients, &mut total.clone().backward());
        self.network.step(at, &gradients);
        Ok(vec![("total".into(), total.inner())])
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let accuracy = accuracy(&self.network.valid(), 0);
        Ok(BTreeMap::from([("accuracy".to_owned(), accuracy)]))
    }

    fn result(&self) -> Tensors {
        self.network.result()
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        self.network.put(&mut state);
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.network.restore(state)
    }
}

/// Phases whose networks draw.
struct DroppingMethod {
    phases: Vec<&'static str>,
    told: bool,
}

/// Both phases.
fn both(told: bool) -> DroppingMethod {
    DroppingMethod {
        phases: vec!["first", "second"],
        told,
    }
}

impl Method for DroppingMethod {
    fn phases(&self) -> Vec<String> {
        self.phases.iter().map(|&name| name.to_owned()).collect()
    }

    fn start(&self, _index: usize, _earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        let mut training = Training::default();
        training.steps = Some(5);
        let network = Small::new(&Device::flex().autodiff());
        Ok(Box::new(Dropping {
            network: Trained::new("network", network, OptimizerConfig::adam())?,
            plan: training.plan(2, None)?,
            told: self.told,
        }))
    }
}

// One test: the generator is that of the process.
#[test]
fn runs_with_dropout_are_resumed_and_made_of_parts() {
    stopped_at_every_step(|| both(true)).unwrap();
    // Without a seed for each step the two differ: the test can fail.
    let disturbed = stopped_at_every_step(|| {
        Device::flex().seed(3);
        both(false)
    });
    assert!(disturbed.is_err());

    let places = [(); 5].map(|()| tempfile::tempdir().unwrap());
    let [one, other, first, second, merged] = &places;
    let losses = |place: &tempfile::TempDir| {
        run(&both(true), place.path()).unwrap();
        let epochs = EpochLog::read_all(place.path()).unwrap();
        let totals = epochs.iter().map(|epoch| epoch.train["total"].to_bits());
        totals.collect::<Vec<u64>>()
    };
    let totals = losses(one);
    assert_eq!(totals, losses(other));
    // Both phases begin with the same weights and draw differently.
    assert_ne!(totals[0], totals[3]);

    // Finished phases of other runs are taken over.
    for (name, place) in [("first", first), ("second", second)] {
        let part = DroppingMethod {
            phases: vec![name],
            told: true,
        };
        run(&part, place.path()).unwrap();
    }
    let open = |place: &tempfile::TempDir| run_folder(place.path()).unwrap();
    let folder = open(merged);
    folder.take_over(&[open(first), open(second)]).unwrap();
    assert_eq!(folder.outcome("second").unwrap().unwrap().steps, 5);
    assert!(folder.outcome("other").unwrap().is_none());
    let again = folder.take_over(&[open(first)]).unwrap_err().to_string();
    assert!(again.contains("has been begun already"), "{again}");
    drop(folder);
    assert_eq!(run(&both(true), merged.path()).unwrap().len(), 2);
    same_run(one.path(), merged.path()).unwrap();
}
