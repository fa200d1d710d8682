//! Losses that remember.

use super::Kind;

pub(super) const KINDS: &[Kind] = &[];
