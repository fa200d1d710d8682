//! The loss of one step of every kind against `fixtures/steps.py`: each term, and the gradient of each
//! parameter.

use burn::module::Module;
use kd_core::NamedGradients;
use kd_online::{LossInputs, OnlineLoss};
use serde_json::Value;

use crate::support::{Fixture, Tiny, branches_of, case_of, close, combiner_of, numbers};

#[test]
fn every_loss_and_gradient_is_that_of_the_formulas() {
    let fixture = Fixture::read("steps");
    assert!(fixture.cases.len() >= 52, "{} cases", fixture.cases.len());
    for case in &fixture.cases {
        check(&fixture, case);
    }
}

fn check(fixture: &Fixture, case: &Value) {
    let (name, config) = case_of(case);
    let epoch = usize::try_from(case["epoch"].as_u64().unwrap()).unwrap();
    let views = case["views"].as_u64().unwrap();
    let parameters = fixture.part(&format!("{name}.param"));
    let branches = branches_of(&config, &parameters);
    let input = |view: u64| fixture.tensor::<4>(&format!("{name}.view.{view}"));
    let combiner = combiner_of(&config, &branches, input(0), &parameters);

    let inputs: Vec<_> = (0..views)
        .map(|view| burn::tensor::Tensor::from_inner(input(view)))
        .collect();
    let scaled = name == "cl-ilr";
    let outputs = if scaled {
        branches.forward_scaled(&inputs).unwrap()
    } else {
        branches.forward(&inputs).unwrap()
    };
    let targets = fixture.targets(&name);
    let averaged: Vec<_> = (0..config.branches)
        .filter(|index| fixture.get(&format!("{name}.averaged.{index}")).is_some())
        .map(|index| fixture.tensor::<2>(&format!("{name}.averaged.{index}")))
        .collect();
    let weights = fixture.get(&format!("{name}.peer_weights")).map(numbers);
    let teacher = fixture.get(&format!("{name}.teacher"));
    let teacher = teacher.map(|_| vec![fixture.tensor::<2>(&format!("{name}.teacher"))]);
    let classifiers: Vec<_> = branches.networks().iter().map(classifier).collect();

    let mut given = LossInputs::new(&outputs, &targets);
    given.averaged = (!averaged.is_empty()).then_some(&averaged);
    given.peer_weights = weights.as_deref();
    given.teacher = teacher.as_deref();
    given.classifiers = Some(&classifiers);
    let loss = OnlineLoss::new(&config, 2).unwrap();
    let step = loss.forward(combiner.as_ref(), &given, epoch).unwrap();

    let expected = fixture.part(&format!("{name}.term"));
    let names: Vec<&str> = step.terms.iter().map(|(term, _)| term.as_str()).collect();
    assert_eq!(names.len(), expected.len(), "{name}: terms {names:?}");
    for (term, value) in &step.terms {
        let found = numbers(&value.to_data());
        close(
            &format!("{name}: {term}"),
            &found,
            &numbers(&expected[term]),
            2e-5,
        );
    }

    let mut raw = step.total.backward();
    let mut gradients = NamedGradients::new();
    for (index, network) in branches.networks().iter().enumerate() {
        gradients.collect(&format!("branch-{index}"), network, &mut raw);
    }
    if let Some(combiner) = &combiner {
        gradients.collect("ensemble", combiner, &mut raw);
    }
    let expected = fixture.part(&format!("{name}.grad"));
    for (path, expected) in &expected {
        let expected = numbers(expected);
        let found = match gradients.get(path) {
            Some(gradient) => numbers(&gradient.to_data()),
            None => vec![0.0; expected.len()],
        };
        close(
            &format!("{name}: gradient of {path}"),
            &found,
            &expected,
            5e-5,
        );
    }
    // What the formulas do not know, the shared stages of the other branches, is reached by nothing.
    for path in gradients.paths() {
        assert!(expected.contains_key(path), "{name}: {path} has a gradient");
    }
}

/// The classifier of a network as [`kd_core::AffineHead`] finds it, `[features, num_classes]`.
fn classifier(network: &Tiny) -> burn::tensor::Tensor<2> {
    let device = network.devices().into_iter().next().unwrap();
    kd_core::AffineHead::of(network, 4, &device)
        .weight
        .transpose()
}
