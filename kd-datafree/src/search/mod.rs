//! Searches for a batch of images: by descent on pixels, or on a generator and its noise.

mod finder;
mod generator;
mod pixels;
mod weights;

pub use generator::{GeneratorSearch, Start};
pub use pixels::PixelSearch;

pub(crate) use finder::Finder;
pub(crate) use pixels::even_targets;
