//! Views of samples: which there are, what each looks like, and how a batch of them is made on the device.

mod augment;
mod policy;
mod render;
mod stored;

pub use augment::{Augment, ViewParams};
pub use policy::ViewPolicy;
pub(crate) use render::Renderer;
pub(crate) use stored::StoredRows;
