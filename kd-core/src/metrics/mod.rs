//! How good a classifier is, counted on the host in 64 bits.

mod answer;
mod classification;
mod summary;

pub use classification::ClassificationMetrics;
pub use summary::{ClassificationSummary, ConfusionMatrix, TeacherComparison};
