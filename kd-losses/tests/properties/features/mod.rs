//! Losses of feature maps and embeddings that train nothing.

mod hard_inputs; // large, equal and zero features
mod kdsvd; // singular vectors of two layers
mod relations; // zero at equality, never negative, blind for what the formula leaves out
mod teacher; // the teacher is a constant
