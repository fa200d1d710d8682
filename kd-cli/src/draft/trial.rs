//! What a drafted training costs on this machine, measured.

use std::sync::atomic::AtomicBool;

use kd_core::Result;
use kd_recipe::{Machine, Methods};

use super::settings::Settings;
use crate::memory::available_memory;
use crate::progress::counted::Busy;

/// The share of the free memory that a run may take.
const MEMORY: f64 = 0.6;

/// Measures a step and an evaluation, by the check of the method; batches that do not fit into the memory
/// are halved.
pub(super) fn of_step(
    methods: &Methods,
    machine: &Machine,
    text: &str,
    settings: &mut Settings,
) -> Result<()> {
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
    let samples = check.measured["data"]["train_per_class"].as_array();
    let samples = samples.map_or(0, |counts| {
        counts
            .iter()
            .filter_map(serde_json::Value::as_u64)
            .sum::<u64>()
    });
    if let Some(free) = available_memory() {
        let (mut needed, free) = (needed, MEMORY * free as f64);
        while needed > free && settings.batch_size > 1 {
            settings.halve_batches(usize::try_from(samples).unwrap_or(usize::MAX));
            settings.measured[0] /= 2.0;
            needed /= 2.0;
        }
    }
    Ok(())
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
    let done = run.run(&folder, &AtomicBool::new(false), &mut ());
    drop(folder);
    // What is left of it is the system's to clean.
    drop(std::fs::remove_dir_all(&place));
    settings.measured = [done?.seconds, 0.0];
    drop(busy);
    Ok(())
}
