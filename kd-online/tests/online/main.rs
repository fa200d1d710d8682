//! Online distillation: every objective against a float64 reference, its exact properties, refused inputs,
//! resume.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests, which clippy does not take for tests"
)]

mod support;

/// Threads that public types can go to.
mod auto_traits;
/// Equalities to the last bit, or to rounding, whatever the weights.
mod exact;
/// Gradients of gates and attention: where they must be, and where they must not.
mod gradients;
/// The measures of an evaluation against plain loops.
mod measured;
/// Views of a sample, teachers, caches, averaged students.
mod options;
/// Recipes: runs, model folders, reports, checks.
mod recipes;
/// Inputs that are refused, in words.
mod refused;
/// Whole runs of two steps of every kind, against the fixture.
mod runs;
/// Settings as a recipe has them.
mod settings;
/// The loss of one step of every kind, its terms and gradients, against the fixture.
mod steps;
/// A run that is stopped at every step.
mod stopped;
/// Students and ensembles made of a run's result; parameters and costs.
mod students;
/// The worked examples of the specification, typed in.
mod worked_examples;
