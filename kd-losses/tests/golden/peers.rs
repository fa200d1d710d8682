//! Targets and a prior of peers that learn together, against `fixtures/peers.py`: the distillation of every
//! peer towards the targets that they make, and the prior on the diversity of their predictions.

use crate::cases::Golden;
use crate::given::Given;
use crate::support::Outcome;
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use kd_losses::{
    KdclErrors, kdcl_general, kdcl_linear, kdcl_min_logit, kdcl_naive, prediction_diversification,
};

/// The logits of the peers, which all learn.
fn peers(given: &Given<'_>) -> Outcome<Vec<Tensor<2>>> {
    let names = (0..).map(|index| format!("peer{index}"));
    names
        .take_while(|name| given.has(name))
        .map(|name| given.student(&name))
        .collect()
}

/// The sum over peers of their distillation towards one target, T^2 KL, mean over samples.
///
/// In products with 1 / T: Burn's gradient of a division by a number is rounded to 32 bits.
fn distilled(given: &Given<'_>, peers: Vec<Tensor<2>>, target: Tensor<2>) -> Outcome<Tensor<1>> {
    let temperature = given.number("temperature")?;
    let log_softened = |logits: Tensor<2>| log_softmax(logits * temperature.recip(), 1);
    let log_p = log_softened(target).autodiff();
    let losses = peers.into_iter().map(|peer| {
        let divergence = log_p.clone().exp() * (log_p.clone() - log_softened(peer));
        divergence.sum_dim(1).mean() * (temperature * temperature)
    });
    let total = losses.reduce(|sum, loss| sum + loss);
    Ok(total.ok_or("no peers")?)
}

#[test]
fn kdcl_naive_is_as_the_formula_says() -> Outcome {
    Golden::read("kdcl_naive")?.check(8, |given| {
        let peers = peers(given)?;
        let target = kdcl_naive(&peers, given.ints("targets")?)?;
        distilled(given, peers, target)
    })
}

#[test]
fn kdcl_min_logit_is_as_the_formula_says() -> Outcome {
    Golden::read("kdcl_min_logit")?.check(8, |given| {
        let peers = peers(given)?;
        let target = kdcl_min_logit(&peers, given.ints("targets")?)?;
        distilled(given, peers, target)
    })
}

#[test]
fn kdcl_linear_finds_the_minimum_of_the_formula() -> Outcome {
    Golden::read("kdcl_linear")?.check(8, |given| {
        let peers = peers(given)?;
        let target = kdcl_linear(&peers, given.ints("targets")?, given.count("steps")?)?;
        distilled(given, peers, target)
    })
}

#[test]
fn kdcl_general_is_as_the_formula_says() -> Outcome {
    Golden::read("kdcl_general")?.check(10, |given| {
        let peers = peers(given)?;
        let held_out: Vec<Tensor<2>> = (0..peers.len())
            .map(|index| given.teacher(&format!("held_out{index}")))
            .collect::<Outcome<_>>()?;
        let labels = given.ints("held_out_targets")?;
        let mut errors = KdclErrors::new(peers.len())?;
        // In two batches, which makes no difference.
        for range in [0..2, 2..6] {
            let part: Vec<Tensor<2>> = held_out
                .iter()
                .map(|logits| logits.clone().slice(range.clone()))
                .collect();
            errors.add(&part, labels.clone().slice(range))?;
        }
        let target = kdcl_general(&peers, &errors.weights(given.number("ridge")?)?)?;
        distilled(given, peers, target)
    })
}

#[test]
fn prediction_diversification_is_as_the_formula_says() -> Outcome {
    Golden::read("prediction_diversification")?.check(9, |given| {
        let (targets, temperature) = (given.ints("targets")?, given.number("temperature")?);
        Ok(prediction_diversification(
            &peers(given)?,
            targets,
            temperature,
        )?)
    })
}
