//! The class by itself, its runs, and its recipe.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

/// The merged class: joined, folded, kept in a folder, additive.
mod class;
/// Classes that output a class for each pixel.
mod pixels;
/// Recipes: run, checked, reported, refused.
mod recipes;
/// Runs: stopped at every step, kept and live, students alone, collapse.
mod runs;
/// One student's step against float64.
mod steps;
/// Teacher, data and students of the tests.
mod support;
