//! Batches in an order that is known beforehand.

mod batches;
mod config;
mod feed;

pub use batches::{Batch, Epoch, Loader};
pub use config::LoaderConfig;
