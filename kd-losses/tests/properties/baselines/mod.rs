//! Cross-entropy, soft targets, hints and attention transfer.

mod formulas; // what their formulas imply for any input
mod teacher; // the teacher is a constant
