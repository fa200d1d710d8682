//! Cutting channels: groups, surgery, penalty, budget, runs, recipes.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]
#![expect(clippy::float_cmp, reason = "counts, and shares of equal counts")]

/// Budgets: met, as closely as channels allow, or refused.
mod budget;
/// Cut networks of kd-models against masked ones.
mod cuts;
/// A network of the tests' own with attention, a shuffle, halves and an unknown norm.
mod gated;
/// `MorphNet`'s golden values.
mod golden;
/// Graphs by hand, against which recorded ones are held.
mod hand;
/// Budgets in milliseconds.
mod latency;
/// A network of the tests' own.
mod own;
/// The penalty against float64 references.
mod penalty;
/// Statistics of norms taken anew.
mod recalibrate;
/// Recipes: run, checked, reported, refused.
mod recipes;
/// Graphs recorded from a forward pass.
mod recorded;
/// Runs: stopped at every step, budgets, baselines.
mod runs;
