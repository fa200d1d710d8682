//! Cutting channels: groups, surgery, penalty, budget, runs, recipes.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]
#![expect(clippy::float_cmp, reason = "counts, and shares of equal counts")]

/// Budgets: met, as closely as channels allow, or refused.
mod budget;
/// Cut networks of kd-models against masked ones.
mod cuts;
/// `MorphNet`'s golden values.
mod golden;
/// A network of the tests' own.
mod own;
/// The penalty against float64 references.
mod penalty;
/// Statistics of norms taken anew.
mod recalibrate;
/// Recipes: run, checked, reported, refused.
mod recipes;
/// Runs: stopped at every step, budgets, baselines.
mod runs;
