//! Values and gradients of every loss against numbers that scripts compute in 64-bit floats from the papers'
//! formulas (`fixtures/*.py`), and the catalogue against its table in the README.

#[path = "../support/mod.rs"]
mod support;

mod across_layers; // losses between several layers: knowledge review, semantic calibration
mod baselines; // cross-entropy, soft targets, hints with a regressor, attention transfer
mod cases; // reads the cases of a fixture and runs a loss on each
mod catalogue; // entries that are whole, and the table in the README
mod contrastive; // CRD with its memory, InfoNCE
mod dense; // losses of maps with a prediction at each position
mod features; // losses of feature maps and embeddings that train nothing
mod finite_differences; // gradients of the baselines against differences of plain loops
mod given; // one case: its inputs, constants, parameters and expected gradients
mod logits; // losses of the networks' outputs
mod peers; // targets that peers make for each other, diversification of their predictions
mod priors; // regularisers, and priors on images and predictions
mod trained_parts; // adapters, and losses with trained parts
mod worked_examples; // a small example of the priors, worked out by hand
