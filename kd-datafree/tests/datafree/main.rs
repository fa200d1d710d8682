//! Tests of data-free distillation.
#![expect(clippy::unwrap_used, reason = "tests")]

// Findings of settings and of a method.
mod findings;
// The generator: its size, its output, the fold against the plain way, training and inference.
mod generator;
// Generator and student in turns: what moves, what is learnt, mistakes.
mod joint;
// A pool that grows while the student learns: what moves, what is found, mistakes.
mod pool;
// Runs that are stopped at every step, and within their phases.
mod resume;
// A small teacher with batch norms, a small student and short runs.
mod support;
// The teacher: gradients, norms that nobody sees, preprocessing, hash.
mod teacher;
// A generator phase and a student phase: what moves and what does not, seeds, the bank, mistakes.
mod two_phases;
