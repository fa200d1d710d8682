//! The `kd` command, one recipe of each method, on the device under test and on the CPU.

use std::fs;

use serde_json::Value;

use crate::compared::Compared;
use crate::devices::{gpu, gpu_name};
use crate::recipes::{RECIPES, fill};
use support::Place;

/// The built `kd`, as the tests of the command have it.
#[path = "../command/support.rs"]
#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

/// How far metrics of a few steps may be apart, on a scale of 1: a sample in a hundred may change sides.
const APART: f64 = 0.03;

/// The last evaluation of a run, which ends with an object on its last line.
fn metrics(place: &Place, recipe: &str, out: &str, device: &str) -> Value {
    let verb = if recipe.starts_with("train") || recipe == "text-teacher" {
        "train"
    } else {
        "distill"
    };
    let file = format!("{recipe}.toml");
    let args = [verb, &file, "--out", out, "--device", device, "--json"];
    let (said, _) = place.done(&args);
    let outcome: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    outcome["metrics"].clone()
}

fn place() -> Place {
    let place = Place::new();
    fill(&place.path(""));
    for (recipe, out) in [("train", "teacher"), ("text-teacher", "text-teacher")] {
        metrics(&place, recipe, out, "cpu");
    }
    place
}

#[test]
fn recipes_of_all_methods_end_as_on_the_cpu() {
    gpu();
    let place = place();
    let device = gpu_name().to_string();
    let mut compared = Compared::new("last evaluations of commands", APART);
    for recipe in RECIPES {
        compared.part(recipe, |compared| {
            let expected = metrics(&place, recipe, &format!("{recipe}-cpu"), "cpu");
            let found = metrics(&place, recipe, &format!("{recipe}-gpu"), &device);
            for (name, expected) in expected.as_object().unwrap() {
                let (found, expected) = (found[name].as_f64(), expected.as_f64());
                let (found, expected) = (found.unwrap(), expected.unwrap());
                let off = (found - expected).abs() / expected.abs().max(1.0);
                compared.difference(format!("{recipe} {name}"), off);
            }
        });
    }
    compared.end();
}

#[test]
fn a_run_that_was_killed_goes_on() {
    gpu();
    let place = place();
    let device = gpu_name().to_string();
    let args = ["train", "train.toml", "--device", &device];
    let set = [
        "--set",
        "train.checkpoint_every=1",
        "--set",
        "train.batch_size=16",
    ];
    let whole = [&args[..], &set[..], &["--out", "whole"]].concat();
    let parts = [&args[..], &set[..], &["--out", "parts"]].concat();
    place.done(&whole);
    let mut running = place.spawn(&parts);
    running.wait_for_step(&place.path("parts"), 2);
    running.kill();
    assert!(!place.path("parts/outcome.json").exists());
    place.done(&["resume", "parts"]);
    // Another process may have chosen other kernels, so the bytes are not the same.
    let networks = ["whole", "parts"].map(|run| place.path(run).join("model/model.safetensors"));
    let [whole, parts] = networks.map(|file| kd_core::read_tensors(&file).unwrap());
    let mut compared = Compared::new("weights of a run that was killed", 1e-3);
    compared.tensors("resumed", &parts, &whole);
    compared.end();
    let log = fs::read_to_string(place.path("parts/metrics.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
}
