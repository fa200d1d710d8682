//! Losses of logits.

mod batch; // random batches, and what is checked of any divergence
mod divergences; // zero at equality, never negative, blind for shift and order
mod hard_inputs; // large, equal and zero logits
mod identities; // losses that equal another one
mod teacher; // the teacher is a constant, except where images are made
