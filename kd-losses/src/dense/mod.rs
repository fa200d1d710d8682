//! Losses of dense prediction.

use crate::catalogue::LossInfo;

mod cwd;
mod pair_wise;
mod pixel_cross_entropy;
mod pixel_wise;

pub use cwd::{CwdLoss, CwdLossConfig, cwd};
pub use pair_wise::{PairWiseAffinityLoss, PairWiseAffinityLossConfig, pair_wise_affinity};
pub use pixel_cross_entropy::pixel_cross_entropy;
pub use pixel_wise::{PixelWiseLoss, PixelWiseLossConfig, pixel_wise};

pub(crate) const CATALOGUE: &[&LossInfo] = &[&cwd::INFO, &pixel_wise::INFO, &pair_wise::INFO];
