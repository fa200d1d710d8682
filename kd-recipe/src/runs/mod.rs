//! Runs that are there: found below a folder, and two of them compared.

pub(crate) mod compared;
pub(crate) mod found;
