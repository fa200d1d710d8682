//! Properties of every loss for any input: zero at equality, never negative, which changes of the input
//! change nothing, finite on hard inputs, a teacher that is a constant, modules that depend on their seed
//! alone.

#[path = "../support/mod.rs"]
mod support;

mod across_layers; // losses between several layers: knowledge review, semantic calibration
mod baselines; // cross-entropy, soft targets, hints, attention transfer
mod combination; // weights that change with time, and sums of named terms
mod contrastive; // CRD and its memory, InfoNCE
mod dense; // losses of maps with a prediction at each position
mod features; // losses of feature maps and embeddings that train nothing
mod logits; // losses of the networks' outputs
mod peers; // targets that peers make for each other
mod priors; // regularisers, and priors on images and predictions
mod trained_parts; // adapters, and losses with trained parts

use burn::tensor::Tensor;
use kd_losses::Error;
use proptest::prelude::*;

/// A number of random cases, of which none is written to a file when it fails.
fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        cases: count,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// An error of a loss as the failure of a random case.
fn failed(error: Error) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

/// The value of a loss in a random case.
fn value(loss: Result<Tensor<1>, Error>) -> Result<f64, TestCaseError> {
    Ok(loss.map_err(failed)?.into_scalar::<f64>())
}
