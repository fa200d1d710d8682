//! Runs as they are now: pages about them made from their folders alone, while they go on.

pub(crate) mod claims;
pub(crate) mod found;
mod lock;
pub(crate) mod overview;
pub(crate) mod page;
pub(crate) mod stamp;
