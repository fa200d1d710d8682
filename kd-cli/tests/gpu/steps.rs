//! One step of each method, and of each of its phases: the losses, and the weights after it.

use std::path::Path;

use kd_core::DeviceName;

use crate::compared::Compared;
use crate::devices::{gpu, gpu_name};
use crate::recipes::{RECIPES, compare, place, run};

/// Runs the recipe with all samples in one batch on both devices, into the folders `NAME-cpu` and `NAME-gpu`.
fn one_step(place: &Path, name: &str) {
    let set: &[&str] = match name {
        // Batches that are not full are left out.
        "stagewise" => &["train.batch_size=110"],
        "compact" => &["train.batch_size=512", "sparsify.batch_size=512"],
        // As many images as the bank has.
        "data-free" => &[
            "train.batch_size=128",
            "synthesis.generator_training.steps=1",
        ],
        _ => &["train.batch_size=512"],
    };
    let set: Vec<String> = set.iter().map(|&change| change.to_owned()).collect();
    run(place, name, &set, &format!("{name}-cpu"), DeviceName::Cpu);
    run(place, name, &set, &format!("{name}-gpu"), gpu_name());
}

#[test]
fn a_step_of_each_method_is_that_of_the_cpu() {
    gpu();
    let place = place();
    let mut losses = Compared::new("losses and metrics of a step", 1e-3);
    let mut weights = Compared::new("weights after a step", 1e-3);
    for name in RECIPES {
        losses.part(name, |losses| {
            one_step(place.path(), name);
            let runs = ["gpu", "cpu"].map(|device| place.path().join(format!("{name}-{device}")));
            compare(losses, &mut weights, name, [&runs[0], &runs[1]]);
        });
    }
    losses.end();
    weights.end();
}
