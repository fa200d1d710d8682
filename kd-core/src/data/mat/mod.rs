//! MATLAB level-5 MAT files, as far as data sets are kept in them: full numeric arrays, compressed or not.

pub(crate) mod body;
pub(crate) mod file;
pub(crate) mod variable;
