//! Losses of feature maps and of dense representations.

use crate::catalogue::LossInfo;

mod attention_transfer;
pub(crate) mod hint;

pub use attention_transfer::{
    AttentionDistance, AttentionTransferLoss, AttentionTransferLossConfig, attention_transfer,
};
pub use hint::hint;

pub(crate) const CATALOGUE: &[&LossInfo] = &[&hint::INFO, &attention_transfer::INFO];
