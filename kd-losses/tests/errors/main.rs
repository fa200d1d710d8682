//! The words of every error: what is wrong, where, and what to do about it.

#[path = "../support/mod.rs"]
mod support;

mod baselines; // cross-entropy, soft targets, hints, attention transfer, the regressor
mod combination; // schedules and weighted sums
mod crd; // contrastive representation distillation and its memory
mod dense; // losses of maps with a prediction at each position
mod features; // losses of feature maps and embeddings that train nothing
mod info_nce; // the contrastive bound on mutual information
mod logits; // losses of the networks' outputs
mod peers; // targets that peers make for each other, diversification of their predictions
mod priors; // regularisers, and priors on images and predictions
mod reviewkd; // knowledge review and its fusion
mod semckd; // semantic calibration
mod trained_parts; // adapters, and losses with trained parts
