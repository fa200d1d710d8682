//! Segmentations side by side, as a PNG picture.

mod board;
mod font;

pub use board::{CAMVID_CLASSES, SegmentationBoard};
