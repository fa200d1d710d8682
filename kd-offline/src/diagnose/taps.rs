//! Which maps are compared, and whether they fit.

use serde::Serialize;

use crate::LossConfig;
use crate::terms::Seen;

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
    /// Parameters of the regressor between them; nothing if there is none.
    pub regressor: Option<usize>,
}

/// The taps that a loss compares: the student's, and which teacher's.
pub(super) fn compared(loss: &LossConfig) -> Vec<(&str, usize, &str)> {
    match loss {
        LossConfig::Hint {
            student_tap,
            teacher_tap,
            teacher,
            ..
        } => vec![(
            student_tap,
            *teacher,
            teacher_tap.as_ref().unwrap_or(student_tap),
        )],
        LossConfig::AttentionTransfer {
            student_taps,
            teacher_taps,
            teacher,
            ..
        } => {
            let theirs = teacher_taps.as_ref().unwrap_or(student_taps);
            let pairs = student_taps.iter().zip(theirs);
            pairs
                .map(|(ours, theirs)| (ours.as_str(), *teacher, theirs.as_str()))
                .collect()
        }
        LossConfig::CrossEntropy { .. } | LossConfig::Kd { .. } => Vec::new(),
    }
}

/// Channels, height and width of the map at `stage`.
pub(super) fn map_at(seen: &Seen, stage: usize) -> Option<[usize; 3]> {
    let [_, channels, height, width] = seen.maps.get(stage)?.dims();
    Some([channels, height, width])
}
