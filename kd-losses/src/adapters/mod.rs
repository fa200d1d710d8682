//! Modules that are trained beside the student and make two feature maps comparable.

mod regressor;

pub use regressor::{MapSizes, Projection, Regressor, RegressorConfig};
