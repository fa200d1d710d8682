//! How good a network is, counted on the host in 64 bits.

mod answer;
mod classification;
mod segmentation;
mod summary;

pub use classification::ClassificationMetrics;
pub use segmentation::SegmentationMetrics;
pub use summary::{ClassificationSummary, ConfusionMatrix, SegmentationSummary, TeacherComparison};
