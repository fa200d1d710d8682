//! The chunks of a dense vector: which units each student learns.

mod division;
mod eigen;
mod statistics;

use kd_core::{Error, Result};

pub use division::{Division, SplitKind};
pub use statistics::DenseStatistics;

/// Neighbouring targets: those of one student. By index they are units of the teacher's dense vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The student.
    pub student: usize,
    /// The first target.
    pub start: usize,
    /// The number of targets.
    pub length: usize,
}

/// The least units of a chunk: a classifier of fewer "classes" is none.
const LEAST: usize = 2;

/// `features` units cut by their index into a chunk for each of `students`, first to last.
///
/// If `students` does not divide `features`, the first chunks are one unit longer than the last ones.
///
/// ```
/// let chunks = kd_teacherclass::split_by_index(10, 4)?;
/// let lengths: Vec<usize> = chunks.iter().map(|chunk| chunk.length).collect();
/// assert_eq!(lengths, [3, 3, 2, 2]);
/// assert_eq!(chunks[2].start, 6);
/// # Ok::<(), kd_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Config`] for no student, or so many that a chunk has fewer than two units.
pub fn split_by_index(features: usize, students: usize) -> Result<Vec<Chunk>> {
    if students == 0 || features / students < LEAST {
        let most = features / LEAST;
        let problem = format!(
            "must be 1 to {most}, got {students}: the teacher's dense vector has {features} units, and each \
             student needs at least {LEAST} of them"
        );
        return Err(Error::config("teacher-class.students", problem));
    }
    let (length, longer) = (features / students, features % students);
    let mut start = 0;
    let chunk = |student| {
        let length = length + usize::from(student < longer);
        start += length;
        Chunk {
            student,
            start: start - length,
            length,
        }
    };
    Ok((0..students).map(chunk).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_follow_each_other_and_differ_by_at_most_one() {
        for (features, students) in [(256, 1), (256, 8), (64, 3), (10, 4), (8, 4)] {
            let chunks = split_by_index(features, students).unwrap_or_default();
            assert_eq!(chunks.len(), students);
            let mut next = 0;
            for chunk in &chunks {
                assert_eq!(chunk.start, next);
                assert!(chunk.length.abs_diff(features / students) <= 1);
                next += chunk.length;
            }
            assert_eq!(next, features);
        }
    }

    #[test]
    fn too_many_students_are_refused_in_words() {
        let problem = |students| split_by_index(8, students).map_err(|error| error.to_string());
        let expected = "`teacher-class.students` must be 1 to 4, got 5: the teacher's dense vector has 8 \
                        units, and each student needs at least 2 of them";
        assert_eq!(problem(5), Err(expected.to_owned()));
        assert!(problem(0).is_err() && problem(4).is_ok());
    }
}
