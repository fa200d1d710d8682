//! The cost of a drafted training on this machine, measured.

use std::sync::atomic::AtomicBool;

use kd_core::{CountedWork, Observer, PhaseOutcome, Result, tell_counted};
use kd_recipe::{Machine, Methods};
use serde_json::Value;

use super::settings::Settings;
use crate::memory::available_memory;
use crate::progress::counted::Busy;

/// The share of the free memory that a run may take.
const MEMORY: f64 = 0.6;

/// Measures a step, an evaluation and the gradients of losses, by the check of the method; batches that do
/// not fit into the memory are halved. Gives the number of samples that are trained on.
pub(super) fn of_step(
    methods: &Methods,
    machine: &Machine,
    text: &str,
    settings: &mut Settings,
) -> Result<usize> {
    let busy = Busy::new("measuring a step");
    let check = methods
        .read("the drafted recipe", text, &[])?
        .check(machine)?;
    drop(busy);
    let costs = &check.measured["costs"];
    let seconds = |name: &str| costs["time"][name].as_f64().unwrap_or(0.0);
    let evaluation = seconds("evaluation");
    settings.measured = [seconds("step"), evaluation];
    let needed: f64 = costs["memory"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, size)| size.as_f64())
        .sum();
    let counts = check.measured["data"]["train_per_class"]
        .as_array()
        .into_iter()
        .flatten();
    let samples: u64 = counts.filter_map(Value::as_u64).sum();
    let samples = usize::try_from(samples).unwrap_or(usize::MAX);
    if let Some(times) = features_to_labels(&check.measured["losses"]["terms"]) {
        settings.balance_features(times);
    }
    if let Some(free) = available_memory() {
        let (mut needed, free) = (needed, MEMORY * free as f64);
        while needed > free && settings.batch_size > 1 {
            settings.halve_batches(samples);
            settings.measured[0] /= 2.0;
            needed /= 2.0;
        }
    }
    Ok(samples)
}

/// How many times as large as that of the labels the weighted gradient of a loss of features is.
fn features_to_labels(terms: &Value) -> Option<f64> {
    let gradient = |name: &str| {
        let term = terms.as_array()?.iter().find(|term| term["name"] == name)?;
        Some(term["gradient"].as_f64()? * term["weight"].as_f64()?)
    };
    Some(gradient("sp")? / gradient("cross_entropy")?)
}

/// Counts the phases of a trial.
#[derive(Default)]
struct Phases {
    done: usize,
    all: usize,
}

impl Observer for Phases {
    fn run_started(&mut self, phases: &[String]) {
        self.all = phases.len();
        self.tell();
    }

    fn phase_done(&mut self, _outcome: &PhaseOutcome) {
        self.done += 1;
        self.tell();
    }
}

impl Phases {
    fn tell(&self) {
        tell_counted(CountedWork {
            what: "measuring an epoch",
            unit: "phases",
            done: self.done as u64,
            total: self.all as u64,
        });
    }
}

/// Measures an epoch of all phases, by a run of one that is thrown away.
pub(super) fn of_run(
    methods: &Methods,
    machine: &Machine,
    text: &str,
    settings: &mut Settings,
) -> Result<()> {
    let busy = Busy::new("measuring an epoch");
    let place = std::env::temp_dir().join(format!("kd-trial-{}", std::process::id()));
    let run = methods
        .read("the drafted recipe", text, &[])?
        .prepare(machine)?;
    let folder = run.begin(&place)?;
    let done = run.run(&folder, &AtomicBool::new(false), &mut Phases::default());
    drop(folder);
    // What is left of it is the system's to clean.
    drop(std::fs::remove_dir_all(&place));
    settings.measured = [done?.seconds, 0.0];
    drop(busy);
    Ok(())
}
