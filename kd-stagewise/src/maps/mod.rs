//! Maps that are computed once: the teacher's for all phases, and those of the frozen stages for one.

mod cache;
mod compute;
mod store;
mod work;

pub(crate) use cache::{MapCache, PhaseMaps};
pub(crate) use store::MAPS_BATCH;
pub(crate) use work::PhaseWork;
