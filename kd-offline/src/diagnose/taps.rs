//! Which maps are compared, and whether they fit.

use serde::Serialize;

use crate::kinds::{DENSE, Seen};

/// Two maps that a loss compares.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TapPair {
    /// The loss, by the name under which it is logged.
    pub loss: String,
    /// The student's tap.
    pub student_tap: String,
    /// Channels, height and width of the student's map; nothing if it has no such tap.
    pub student_map: Option<[usize; 3]>,
    /// Which teacher, from 0.
    pub teacher: usize,
    /// The teacher's tap.
    pub teacher_tap: String,
    /// Channels, height and width of the teacher's map; nothing if it has no such tap.
    pub teacher_map: Option<[usize; 3]>,
    /// Parameters of what is trained between them, or of all that is trained for the loss where that belongs to no pair; nothing if there
    /// is nothing to train.
    pub regressor: Option<usize>,
}

/// Channels, height and width of the map at `tap`, which is the stage that was found for it, or the dense representation.
pub(super) fn map_at(seen: &Seen, tap: &str, stage: Option<usize>) -> Option<[usize; 3]> {
    let Some(stage) = stage else {
        return (tap == DENSE).then(|| [seen.dense.dims()[1], 1, 1]);
    };
    let [_, channels, height, width] = seen.maps.get(stage)?.dims();
    Some([channels, height, width])
}
