//! Banks of synthetic images: bytes, and the teacher's output for each.

mod config;
mod file;
mod images;
mod pixels;
mod source;
mod sources;

pub use config::BankConfig;
pub use images::{BANK_FILE, Bank};

pub(crate) use images::{ARTIFACT_IMAGES, bank_artifact};
pub(crate) use source::{BLOCK, ImageSource, pixel_range};
pub(crate) use sources::{FrozenGenerator, NoiseSource, OtherImages};
