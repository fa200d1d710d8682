//! Targets that networks make for each other while they learn together, from the logits of all of them.

mod kdcl;
mod kdcl_general;
mod kdcl_linear;
mod stacked;

pub use kdcl::{kdcl_min_logit, kdcl_naive};
pub use kdcl_general::{KdclErrors, kdcl_general};
pub use kdcl_linear::kdcl_linear;
