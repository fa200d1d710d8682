//! Optimizers, phases and the runner.

#[path = "../support/mod.rs"]
mod support;

/// Several networks in a phase, skipped phases, phases without steps, sequences.
mod contracts;
/// Optimizers and schedules against PyTorch.
mod optimizers;
/// Runner: checkpoints, resume, selection, errors.
mod runner;
