//! The networks: against PyTorch, against published figures, and against the contracts of kd-core.
#![expect(clippy::unwrap_used, reason = "tests")]

mod affine_head;
mod contract;
mod counts;
mod fold;
mod initial_weights;
mod names;
mod parity;
mod skd;
mod unet;
