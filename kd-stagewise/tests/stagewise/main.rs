//! Stagewise distillation on small networks and real images.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that cannot be set up has failed; labels are small; equal numbers are meant to be equal"
)]

mod scenes;
mod support;

/// Runs that are stopped and gone on with.
mod interrupted;
/// Maps that are computed once.
mod maps;
/// The changes that a stage makes, and those that it does not make.
mod mechanics;
/// Errors for settings and data that cannot be used.
mod mistakes;
/// Work that is done once.
mod once;
/// An independent computation of stages and baselines in PyTorch.
mod pytorch;
