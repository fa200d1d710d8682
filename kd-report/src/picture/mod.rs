//! Images side by side, as a PNG picture.

mod board;
mod font;
mod grid;
mod paint;

pub use board::{CAMVID_CLASSES, SegmentationBoard};
pub use grid::ImageRows;
