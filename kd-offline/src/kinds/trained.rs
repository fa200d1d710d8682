//! Losses with parts that are trained beside the student.

use super::Kind;

pub(super) const KINDS: &[Kind] = &[];
