//! Modules that are trained beside the student and make two feature maps comparable.

mod attention_fusion;
pub(crate) mod conv_norm;
pub(crate) mod convolve;
pub(crate) mod linear_embed;
pub(crate) mod map_sizes;
mod normed_regressor;
mod regressor;
pub(crate) mod widths;

pub use attention_fusion::{AttentionFusion, AttentionFusionConfig, FusionDepth};
pub use linear_embed::{EmbedNormalisation, LinearEmbed, LinearEmbedConfig};
pub use map_sizes::MapSizes;
pub use normed_regressor::{Nonlinearity, NormedRegressor, NormedRegressorConfig};
pub use regressor::{Projection, Regressor, RegressorConfig};
