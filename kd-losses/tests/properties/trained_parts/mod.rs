//! Adapters and losses with trained parts.

mod formulas; // the values that their formulas imply
mod gradients; // the parameters and positions that a term trains
mod modules; // hard inputs, the teacher, seeds, counts of parameters
mod regressor; // the regressor of hints
