//! Pictures of images side by side, as PNG files.

mod board;
mod font;
mod grid;
mod paint;

pub use board::{CAMVID_CLASSES, SegmentationBoard};
pub use grid::ImageRows;
pub(crate) use paint::thumbnail;
