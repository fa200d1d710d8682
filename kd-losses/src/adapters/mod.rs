//! Modules that are trained beside the student and make two feature maps comparable.

pub(crate) mod conv_norm;
mod linear_embed;
pub(crate) mod map_sizes;
mod normed_regressor;
mod regressor;
pub(crate) mod widths;
mod attention_fusion;
pub(crate) mod linear_embed;

pub(crate) use attention_fusion::trained_of;
pub use linear_embed::{EmbedNormalisation, LinearEmbed, LinearEmbedConfig};
pub use map_sizes::MapSizes;
pub use normed_regressor::{Nonlinearity, NormedRegressor, NormedRegressorConfig};
pub use regressor::{Projection, Regressor, RegressorConfig};
pub use attention_fusion::{AttentionFusion, AttentionFusionConfig, FusionDepth};
