//! The report of a run, put together from its folder and, where they can be read again, its data and
//! networks.

pub(crate) mod page;
mod predictions;
mod segmentation;
pub(crate) mod subject;
