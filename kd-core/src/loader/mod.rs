//! The loader: batches in an order that is a function of seed and epoch.

pub(crate) mod batch;
pub(crate) mod batches;
pub(crate) mod config;
pub(crate) mod feed;

pub use batch::{Batch, BatchSource, Samples};
pub use batches::{Epoch, Loader};
pub use config::{FEW, LoaderConfig};
