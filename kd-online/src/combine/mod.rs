//! Combinations of all peers: ensembles, gates, attention.

pub(crate) mod attention;
pub(crate) mod combiner;
pub(crate) mod fusion;
pub(crate) mod gate;
