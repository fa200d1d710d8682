//! Regularisers, and priors on synthetic images and on predictions.

use crate::catalogue::LossInfo;

pub(crate) const CATALOGUE: &[&LossInfo] = &[];
