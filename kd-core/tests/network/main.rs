//! Networks, teachers, caches of their answers, and metrics.

#[path = "../support/mod.rs"]
mod support;

/// Files of answers by view and sample.
mod cache;
/// A network of your own, and the traps of Burn that are closed.
mod contract;
/// Properties of the classification metrics.
mod metrics_properties;
/// Intersection over union, counted.
mod segmentation_metrics;
