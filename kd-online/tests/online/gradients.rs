//! Gradients of fusion, gates and attention: in every layer where there must be one, in none where not.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{NamedGradients, OptimizerConfig, StepContext, Trained};
use kd_online::{Combiner, CombinerSizes, LossInputs, OnlineConfig, OnlineLoss};

use crate::support::{Fixture, branches, branches_of, case_of, combiner_of, config, numbers};

/// The size of the gradient of each parameter of the combiner.
fn sizes(config: &OnlineConfig, combiner: &Combiner, epoch: usize) -> Vec<(String, f64)> {
    let branches = branches(config.branches, config.shared.as_deref(), 11);
    let input = Tensor::<4>::from_inner(input());
    let outputs = branches.forward(&[input]).unwrap();
    let targets = Tensor::from_data([0, 1, 2, 1], &Device::flex());
    let loss = OnlineLoss::new(config, 300).unwrap();
    let step = loss.forward(Some(combiner), &LossInputs::new(&outputs, &targets), epoch);
    let mut gradients = NamedGradients::new();
    gradients.collect("", combiner, &mut step.unwrap().total.backward());
    let size = |path: &str| {
        let gradient = gradients
            .get(path)
            .map(|gradient| numbers(&gradient.to_data()));
        let largest = gradient.unwrap_or_default().into_iter();
        (
            path.to_owned(),
            largest.fold(0.0_f64, |most, value| most.max(value.abs())),
        )
    };
    gradients.paths().map(size).collect()
}

fn input() -> Tensor<4> {
    let fixture = Fixture::read("steps");
    fixture.tensor("okdmde.view.0")
}

fn fresh(config: &OnlineConfig) -> Combiner {
    let branches = branches(config.branches, config.shared.as_deref(), 11);
    let outputs = branches.forward(&[input()]).unwrap();
    let sizes = CombinerSizes::of(&outputs[..config.peers()]).unwrap();
    let combiner = Combiner::new(&config.objective, sizes, 1, &Device::flex());
    combiner.unwrap().unwrap().train()
}

#[test]
fn every_layer_of_every_combiner_learns() {
    let fixture = Fixture::read("steps");
    let mut seen = 0;
    for case in &fixture.cases {
        let (name, config) = case_of(case);
        let gradients = fixture.part(&format!("{name}.grad.ensemble"));
        if gradients.is_empty() {
            continue;
        }
        // The formulas' own gradients, which those of the crate are compared with in `steps`.
        for (path, gradient) in &gradients {
            let largest = numbers(gradient)
                .into_iter()
                .fold(0.0_f64, |most, g| most.max(g.abs()));
            let frozen = name == "okddip-all";
            // A shift of all scores, or of what a norm takes away again, changes nothing.
            let lost = path == "fc.bias" && (name.starts_with("one") || name == "okdmde-one");
            assert!(
                (largest > 1e-7) != (frozen || lost),
                "{name}: {path} has {largest}"
            );
        }
        let parameters = fixture.part(&format!("{name}.param"));
        let branches = branches_of(&config, &parameters);
        let view = fixture.tensor(&format!("{name}.view.0"));
        assert!(
            combiner_of(&config, &branches, view, &parameters).is_some(),
            "{name}"
        );
        seen += 1;
    }
    assert!(seen >= 20, "{seen} cases with a combiner");
}

/// E5 of the specification: no gradient of the divergence.
#[test]
fn the_divergence_does_not_reach_a_gate() {
    let with = config("kind = \"okdmde\"\nshared = \"stem\"\nreduction = 2");
    let mut without = with.clone();
    without.kd_weight = 0.0;
    let gate = stepped(&with, fresh(&with));
    let (with, without) = (sizes(&with, &gate, 80), sizes(&without, &gate, 80));
    assert_eq!(with, without);
    assert!(!with.is_empty());
}

/// The combiner after one step of the optimizer.
fn stepped(config: &OnlineConfig, combiner: Combiner) -> Combiner {
    let branches = branches(config.branches, config.shared.as_deref(), 11);
    let outputs = branches.forward(&[Tensor::from_inner(input())]).unwrap();
    let targets = Tensor::from_data([0, 1, 2, 1], &Device::flex());
    let loss = OnlineLoss::new(config, 300).unwrap();
    let step = loss.forward(Some(&combiner), &LossInputs::new(&outputs, &targets), 80);
    let mut trained = Trained::new("ensemble", combiner, OptimizerConfig::default()).unwrap();
    let mut gradients = NamedGradients::new();
    trained.collect(&mut gradients, &mut step.unwrap().total.backward());
    let at = StepContext {
        step: 0,
        epoch: 0,
        step_in_epoch: 0,
        lr: 0.5,
        momentum: None,
    };
    trained.step(at, &gradients);
    trained.network().clone()
}

/// E5 of the specification: a gradient of the ensemble's own loss in every layer, after the first step.
#[test]
fn the_zero_layer_of_a_gate_blocks_the_others_for_one_step() {
    let config = config("kind = \"okdmde\"\nshared = \"stem\"\nreduction = 2");
    let fresh = fresh(&config);
    for (path, size) in sizes(&config, &fresh, 80) {
        let learns = path.starts_with("fc2.");
        assert!((size > 1e-6) == learns, "{path}: {size}");
    }
    let gate = stepped(&config, fresh);
    let after = sizes(&config, &gate, 80);
    assert_eq!(after.len(), 7);
    for (path, size) in after {
        assert!(size > 1e-9, "{path}: {size}");
    }
}

#[test]
fn detached_logits_leave_the_attention_its_gradient() {
    for detach in ["none", "peer-logits"] {
        let toml =
            format!("kind = \"okddip\"\nshared = \"stem\"\nreduction = 2\ndetach = \"{detach}\"");
        let config = config(&toml);
        let sizes = sizes(&config, &fresh(&config), 80);
        assert_eq!(sizes.len(), 2);
        for (path, size) in sizes {
            assert!(size > 1e-6, "{detach}: {path} has {size}");
        }
    }
}
