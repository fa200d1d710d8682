//! kd on a GPU beside kd on the CPU: a module a subject. `scripts/test-gpu.sh` runs it.
//!
//! The device under test is the one that `KD_TEST_DEVICE` names, `cuda` or `wgpu`, or else the one that this
//! build has. A GPU adds up in another order than the CPU, so each comparison has a tolerance; those of
//! whole numbers have none.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot be set up has failed, and the largest differences are part of the result"
)]

/// Kept answers of teachers.
mod caches;
/// The `kd` command, one recipe of each method.
mod command;
/// Numbers of two devices side by side.
mod compared;
/// The device under test, and the CPU.
mod devices;
/// Every loss of the catalogue, its value and its gradients.
mod losses;
/// Confusion matrices and sums of metrics.
mod metrics;
/// A narrow network of each family: its maps, its logits, its gradients.
mod networks;
/// The recipes of the runs, one of each method.
mod recipes;
/// Runs stopped and gone on with.
mod resumed;
/// One step of each method: losses, and weights after it.
mod steps;
/// Batches: kept on the device and streamed, views, token ids.
mod views;
