//! Views of samples: their number, their augmentation, and their rendering on the device.

pub(crate) mod augment;
pub(crate) mod policy;
pub(crate) mod render;
pub(crate) mod stored;

pub use augment::{Augment, ViewParams};
pub use policy::ViewPolicy;
