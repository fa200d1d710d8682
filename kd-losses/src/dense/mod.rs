//! Losses of dense prediction.

use crate::catalogue::LossInfo;

pub(crate) const CATALOGUE: &[&LossInfo] = &[];
