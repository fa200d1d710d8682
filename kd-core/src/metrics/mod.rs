//! Metrics of classifiers and of segmentations, counted on the host in 64 bits.

pub(crate) mod answer;
pub(crate) mod classification;
pub(crate) mod evaluate;
pub(crate) mod latency;
pub(crate) mod segmentation;
pub(crate) mod summary;

pub use classification::ClassificationMetrics;
pub use evaluate::{evaluate, evaluate_segmentation};
pub use latency::Latency;
pub use segmentation::SegmentationMetrics;
pub use summary::{ClassificationSummary, ConfusionMatrix, SegmentationSummary, TeacherComparison};
