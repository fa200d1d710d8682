//! The predictions of a student and its teacher for each sample.

use std::collections::BTreeSet;

use kd_core::{ClassificationMetrics, ClassificationSummary, ConfusionMatrix};

use crate::Result;

/// Samples of a kind that a report shows.
pub(super) const SHOWN: usize = 10;

/// The predictions of a student, and of its teacher if it has one, for held-out samples.
///
/// # Examples
///
/// ```
/// use kd_report::Predictions;
///
/// let mut predictions = Predictions::new(2)?;
/// // Two samples: the student has both right, the teacher only the first.
/// predictions.add(&[7, 8], &[0, 1], &[2.0, 0.0, 0.0, 3.0], Some(&[1.0, 0.0, 2.0, 0.0]))?;
/// assert_eq!(predictions.student_beats_teacher()[0].id, 8);
/// # Ok::<(), kd_report::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Predictions {
    pub(super) classes: usize,
    metrics: ClassificationMetrics,
    teacher: Option<ClassificationMetrics>,
    pub(super) samples: Vec<Sample>,
}

/// The predictions for a sample.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// The number of the sample in its data set.
    pub id: usize,
    /// Its class.
    pub target: usize,
    /// The student's answer; none if a logit was not finite.
    pub student: Option<Answer>,
    /// The teacher's.
    pub teacher: Option<Answer>,
}

/// An answer to a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// The class of the largest logit.
    pub class: usize,
    /// The probability of that class.
    pub confidence: f64,
    /// The probability of the true class.
    pub of_target: f64,
}

impl Predictions {
    /// No predictions yet, of `classes` classes.
    ///
    /// # Errors
    ///
    /// For fewer than 2 classes.
    pub fn new(classes: usize) -> Result<Self> {
        Ok(Self {
            classes,
            metrics: ClassificationMetrics::new(classes)?,
            teacher: None,
            samples: Vec::new(),
        })
    }

    /// Adds a batch; give the teacher's logits with every batch or with none.
    ///
    /// # Shapes
    ///
    /// `ids` and `targets`: `[batch_size]`; `logits` and `teacher`: `[batch_size, num_classes]` row by row.
    ///
    /// # Errors
    ///
    /// As [`ClassificationMetrics::add`], and [`Error::Length`](crate::Error::Length) if there is not one id
    /// for each target.
    pub fn add(
        &mut self,
        ids: &[usize],
        targets: &[usize],
        logits: &[f32],
        teacher: Option<&[f32]>,
    ) -> Result<()> {
        if ids.len() != targets.len() {
            return Err(crate::Error::Length {
                what: "ids of samples".into(),
                expected: targets.len(),
                found: ids.len(),
                remedy: "give one for each target".into(),
            });
        }
        self.metrics.add(logits, targets, teacher)?;
        if let Some(teacher) = teacher {
            let metrics = match self.teacher.take() {
                Some(metrics) => metrics,
                None => ClassificationMetrics::new(self.classes)?,
            };
            self.teacher.insert(metrics).add(teacher, targets, None)?;
        }
        for (sample, (&id, &target)) in ids.iter().zip(targets).enumerate() {
            let row = sample * self.classes..(sample + 1) * self.classes;
            self.samples.push(Sample {
                id,
                target,
                student: Answer::of(&logits[row.clone()], target),
                teacher: teacher.and_then(|teacher| Answer::of(&teacher[row], target)),
            });
        }
        Ok(())
    }

    /// The student's metrics, compared with the teacher if there is one.
    ///
    /// # Errors
    ///
    /// Without a sample.
    pub fn student(&self) -> Result<ClassificationSummary> {
        Ok(self.metrics.summary()?)
    }

    /// The teacher's metrics, if there is one.
    ///
    /// # Errors
    ///
    /// Without a sample.
    pub fn teacher(&self) -> Result<Option<ClassificationSummary>> {
        let summary = self.teacher.as_ref().map(ClassificationMetrics::summary);
        Ok(summary.transpose()?)
    }

    /// The student's confusion matrix.
    pub fn confusion(&self) -> &ConfusionMatrix {
        self.metrics.confusion()
    }

    /// The teacher's confusion matrix, if there is one.
    pub fn teacher_confusion(&self) -> Option<&ConfusionMatrix> {
        self.teacher.as_ref().map(ClassificationMetrics::confusion)
    }

    /// The samples that the student has right and the teacher wrong, those first for which the true class is
    /// more probable to the student than to the teacher by most.
    pub fn student_beats_teacher(&self) -> Vec<&Sample> {
        self.disagreements(|sample| (sample.student, sample.teacher))
    }

    /// The samples that the teacher has right and the student wrong, the clearest first.
    pub fn teacher_beats_student(&self) -> Vec<&Sample> {
        self.disagreements(|sample| (sample.teacher, sample.student))
    }

    /// The samples that the student has wrong, those first of which it is surest.
    pub fn surest_and_wrong(&self) -> Vec<&Sample> {
        let wrong = self.samples.iter().filter_map(|sample| {
            let answer = sample
                .student
                .filter(|answer| answer.class != sample.target)?;
            Some((answer.confidence, sample))
        });
        let mut found: Vec<(f64, &Sample)> = wrong.collect();
        found.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.id.cmp(&other.1.id)));
        found.into_iter().map(|(_, sample)| sample).collect()
    }

    /// The numbers of the samples that a report shows with their images, if it is given them.
    pub fn shown(&self) -> BTreeSet<usize> {
        let groups = [
            self.student_beats_teacher(),
            self.teacher_beats_student(),
            self.surest_and_wrong(),
        ];
        let first = groups.iter().flat_map(|group| group.iter().take(SHOWN));
        first.map(|sample| sample.id).collect()
    }

    fn disagreements(
        &self,
        sides: impl Fn(&Sample) -> (Option<Answer>, Option<Answer>),
    ) -> Vec<&Sample> {
        let lead = |sample: &Sample| match sides(sample) {
            (Some(right), Some(wrong)) if right.class == sample.target => {
                (wrong.class != sample.target).then_some(right.of_target - wrong.of_target)
            }
            _ => None,
        };
        let mut found: Vec<(f64, &Sample)> = self
            .samples
            .iter()
            .filter_map(|sample| Some((lead(sample)?, sample)))
            .collect();
        found.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.id.cmp(&other.1.id)));
        found.into_iter().map(|(_, sample)| sample).collect()
    }
}

impl Answer {
    fn of(logits: &[f32], target: usize) -> Option<Self> {
        if logits.iter().any(|logit| !logit.is_finite()) {
            return None;
        }
        let mut class = 0;
        for (candidate, logit) in logits.iter().enumerate() {
            if *logit > logits[class] {
                class = candidate;
            }
        }
        let largest = f64::from(logits[class]);
        let power = |class: usize| (f64::from(logits[class]) - largest).exp();
        let sum: f64 = (0..logits.len()).map(power).sum();
        Some(Self {
            class,
            confidence: 1.0 / sum,
            of_target: power(target) / sum,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> Predictions {
        let mut said = Predictions::new(2).unwrap();
        let student = [
            1.0, 0.0, /**/ 0.0, 2.0, /**/ 3.0, 0.0, /**/ 0.0, 9.0,
        ];
        let teacher = [
            0.0, 1.0, /**/ 9.0, 0.0, /**/ 1.0, 0.0, /**/ 4.0, 0.0,
        ];
        said.add(&[10, 11, 12, 13], &[0, 1, 1, 0], &student, Some(&teacher))
            .unwrap();
        said
    }

    #[test]
    fn the_clearest_sample_is_first() {
        let said = said();
        let ids =
            |samples: Vec<&Sample>| samples.iter().map(|sample| sample.id).collect::<Vec<_>>();
        assert_eq!(ids(said.student_beats_teacher()), [11, 10]);
        assert_eq!(ids(said.teacher_beats_student()), [13]);
        let first = said.samples[1].student.unwrap();
        let right = 1.0 / (1.0 + (-2_f64).exp());
        assert_eq!(first.class, 1);
        assert!(
            (first.confidence - right).abs() < 1e-12 && (first.of_target - right).abs() < 1e-12
        );
    }

    #[test]
    fn the_surest_mistake_is_first() {
        let said = said();
        let wrong: Vec<usize> = said
            .surest_and_wrong()
            .iter()
            .map(|sample| sample.id)
            .collect();
        assert_eq!(wrong, [13, 12]);
        assert_eq!(said.shown(), BTreeSet::from([10, 11, 12, 13]));
    }

    #[test]
    fn both_are_measured() {
        let said = said();
        let (student, teacher) = (said.student().unwrap(), said.teacher().unwrap().unwrap());
        let agreement = student.teacher.unwrap().agreement;
        let shares = (student.accuracy, teacher.accuracy, agreement);
        assert_eq!(shares, (0.5, 0.25, 0.25));
        assert_eq!(said.confusion().get(1, 0), 1);
        assert_eq!(said.teacher_confusion().unwrap().get(1, 0), 2);
    }

    #[test]
    fn an_answer_that_is_not_finite_beats_nobody() {
        let mut said = Predictions::new(2).unwrap();
        let logits = [f32::NAN, 1.0];
        said.add(&[0], &[1], &logits, Some(&[1.0, 0.0])).unwrap();
        assert!(said.student_beats_teacher().is_empty() && said.samples[0].student.is_none());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut said = Predictions::new(2).unwrap();
        assert_eq!(
            said.add(&[], &[1], &[0.0, 0.0], None)
                .unwrap_err()
                .to_string(),
            "ids of samples: expected 1 entries, got 0; give one for each target"
        );
        assert!(said.add(&[0], &[2], &[0.0, 0.0], None).is_err());
        assert!(said.add(&[0], &[1], &[0.0], None).is_err());
        assert!(said.student().is_err());
    }
}
