//! MATLAB level-5 MAT files, as far as data sets are kept in them: full numeric arrays, compressed or not.

mod body;
mod file;
mod variable;

pub(super) use file::MatFile;
pub(super) use variable::{Class, NOT_PUBLISHED, Variable};
