//! Views of samples: which there are, what each looks like, and how a batch of them is made on the device.

pub(crate) mod augment;
pub(crate) mod policy;
pub(crate) mod render;
pub(crate) mod stored;

pub use augment::{Augment, ViewParams};
pub use policy::ViewPolicy;
