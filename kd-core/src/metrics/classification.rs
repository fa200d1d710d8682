//! Metrics of a classifier, counted on the host in 64 bits.

use crate::error::{Error, Result};
use crate::metrics::answer::{Answer, bin_index, divergence, rank};
use crate::metrics::summary::{ClassificationSummary, ConfusionMatrix, TeacherComparison};

/// Metrics of a classifier over any number of batches.
///
/// Logits come as `f32` on the host, row by row, `[batch_size, num_classes]`; everything is computed in
/// `f64`. Samples are added one after another, so the result depends on their order at most in the last
/// digits and on how they were cut into batches not at all.
///
/// With `p = softmax(logits)` of a sample and `n` samples:
///
/// ```text
/// accuracy        share of samples whose largest logit is that of the target
/// top-k accuracy  share of samples whose target is among the k largest logits
/// loss            1/n * sum -log p[target]                                       in nats
/// ece             sum over bins b of  |sum over b of (correct - confidence)| / n   with confidence = max p
/// class accuracy  share of the samples of a class that are right
/// balanced accuracy  mean of the class accuracies over the classes that have samples
/// agreement       share of samples for which student and teacher have the same largest logit
/// kl              1/n * sum over samples and classes of  q * (log q - log p)   in nats, q = the teacher's p
/// ```
///
/// The bins of the expected calibration error are equally wide, `(0, 1/bins], (1/bins, 2/bins], ...`. Of
/// equal logits the one with the lower class counts as the larger.
///
/// A sample with a logit that is NaN or infinite has no prediction: it counts as wrong, disagrees with the
/// teacher, is missing from the confusion matrix, and makes loss, calibration error and divergence NaN, so
/// that it cannot be overlooked. [`ClassificationSummary::non_finite`] counts such samples.
///
/// # Examples
///
/// ```
/// use kd_core::ClassificationMetrics;
///
/// let mut metrics = ClassificationMetrics::new(3)?;
/// metrics.add(&[2.0, 0.0, 1.0, /**/ 0.0, 0.0, 5.0], &[0, 1], None)?;
/// let summary = metrics.summary()?;
/// assert_eq!((summary.count, summary.accuracy), (2, 0.5));
/// # Ok::<(), kd_core::Error>(())
/// ```
///
/// # References
///
/// Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, arXiv:1706.04599,
/// equation 3: the expected calibration error, with 15 bins as there.
#[derive(Clone, Debug)]
pub struct ClassificationMetrics {
    classes: usize,
    top_k: usize,
    count: u64,
    non_finite: u64,
    correct_top_k: u64,
    loss: f64,
    bins: Vec<Bin>,
    /// Samples of each class.
    totals: Vec<u64>,
    confusion: ConfusionMatrix,
    teacher: Option<TeacherSums>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    correct: f64,
    confidence: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct TeacherSums {
    agreed: u64,
    kl: f64,
}

impl ClassificationMetrics {
    /// Nothing counted yet, for `classes` classes, with 15 bins of calibration and a top-k of 5 (or
    /// `classes`, if that is less).
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for fewer than 2 classes.
    pub fn new(classes: usize) -> Result<Self> {
        if classes < 2 {
            return Err(Error::config(
                "classes",
                format!("must be 2 or more, got {classes}"),
            ));
        }
        Ok(Self {
            classes,
            top_k: classes.min(5),
            count: 0,
            non_finite: 0,
            correct_top_k: 0,
            loss: 0.0,
            bins: vec![Bin::default(); 15],
            totals: vec![0; classes],
            confusion: ConfusionMatrix::new(classes),
            teacher: None,
        })
    }

    /// The same with another `k` for the top-k accuracy.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if `k` is 0 or above the number of classes, or if samples were added already.
    pub fn with_top_k(mut self, k: usize) -> Result<Self> {
        self.check_unused("top_k")?;
        if k == 0 || k > self.classes {
            let problem = format!(
                "must be 1 to the number of classes, {}, got {k}",
                self.classes
            );
            return Err(Error::config("top_k", problem));
        }
        self.top_k = k;
        Ok(self)
    }

    /// The same with another number of calibration bins.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if `bins` is 0 or above 1000, or if samples were added already.
    pub fn with_bins(mut self, bins: usize) -> Result<Self> {
        self.check_unused("bins")?;
        if !(1..=1000).contains(&bins) {
            return Err(Error::config(
                "bins",
                format!("must be 1 to 1000, got {bins}"),
            ));
        }
        self.bins = vec![Bin::default(); bins];
        Ok(self)
    }

    /// Adds a batch.
    ///
    /// Give the teacher's logits with every batch or with none. After an error nothing of the batch was
    /// added.
    ///
    /// # Shapes
    ///
    /// `logits` and `teacher`: `[batch_size, num_classes]` row by row; `targets`: `[batch_size]`, from 0.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if the lengths do not fit each other, [`Error::Config`] for a target that is no class
    /// or a teacher that comes and goes.
    pub fn add(
        &mut self,
        logits: &[f32],
        targets: &[usize],
        teacher: Option<&[f32]>,
    ) -> Result<()> {
        self.check_batch(logits, targets, teacher)?;
        for (sample, &target) in targets.iter().enumerate() {
            let row = sample * self.classes..(sample + 1) * self.classes;
            self.add_sample(
                &logits[row.clone()],
                target,
                teacher.map(|teacher| &teacher[row]),
            );
        }
        Ok(())
    }

    /// What was counted so far.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if no sample was added.
    pub fn summary(&self) -> Result<ClassificationSummary> {
        if self.count == 0 {
            return Err(Error::Shape {
                what: "metrics".into(),
                expected: "at least 1 sample".into(),
                found: "0".into(),
                remedy: "evaluate on a split that is not empty".into(),
            });
        }
        let n = self.count as f64;
        let gap = |bin: &Bin| (bin.correct - bin.confidence).abs();
        let ece = self.bins.iter().map(gap).sum::<f64>() / n;
        let class_accuracy = self.class_accuracy();
        let known: Vec<f64> = class_accuracy.iter().copied().flatten().collect();
        Ok(ClassificationSummary {
            balanced_accuracy: known.iter().sum::<f64>() / known.len() as f64,
            class_accuracy,
            count: self.count,
            non_finite: self.non_finite,
            accuracy: self.confusion.correct() as f64 / n,
            top_k: self.top_k,
            top_k_accuracy: self.correct_top_k as f64 / n,
            loss: self.loss / n,
            ece: if self.non_finite > 0 { f64::NAN } else { ece },
            teacher: self.teacher.map(|sums| TeacherComparison {
                agreement: sums.agreed as f64 / n,
                kl: sums.kl / n,
            }),
        })
    }

    /// The share of each class's samples that were right, `None` for a class without samples.
    fn class_accuracy(&self) -> Vec<Option<f64>> {
        let share = |(class, &total): (usize, &u64)| {
            let right = self.confusion.get(class, class) as f64;
            (total > 0).then(|| right / total as f64)
        };
        self.totals.iter().enumerate().map(share).collect()
    }

    /// The confusion matrix so far.
    pub fn confusion(&self) -> &ConfusionMatrix {
        &self.confusion
    }

    fn check_unused(&self, field: &str) -> Result<()> {
        match self.count {
            0 => Ok(()),
            n => Err(Error::config(
                field,
                format!("must be set before samples are added, has {n}"),
            )),
        }
    }

    fn check_batch(
        &self,
        logits: &[f32],
        targets: &[usize],
        teacher: Option<&[f32]>,
    ) -> Result<()> {
        let wanted = targets.len() * self.classes;
        let parts = [("logits", Some(logits)), ("teacher logits", teacher)];
        for (what, part) in parts
            .into_iter()
            .filter_map(|(what, part)| Some((what, part?)))
        {
            if part.len() != wanted {
                return Err(Error::Shape {
                    what: what.into(),
                    expected: format!("{} x {} values", targets.len(), self.classes),
                    found: format!("{}", part.len()),
                    remedy: "give one row of logits for each target".into(),
                });
            }
        }
        if let Some(bad) = targets.iter().find(|&&target| target >= self.classes) {
            let problem = format!(
                "must be below the number of classes, {}, got {bad}",
                self.classes
            );
            return Err(Error::config("targets", problem));
        }
        if self.count > 0 && self.teacher.is_some() != teacher.is_some() {
            let problem = "must be given with every batch or with none";
            return Err(Error::config("teacher logits", problem));
        }
        Ok(())
    }

    fn add_sample(&mut self, logits: &[f32], target: usize, teacher: Option<&[f32]>) {
        self.count += 1;
        self.totals[target] += 1;
        let student = Answer::of(logits);
        if let Some(answer) = &student {
            self.add_answer(answer, logits, target);
        } else {
            self.non_finite += 1;
            self.loss = f64::NAN;
        }
        if let Some(teacher) = teacher {
            let sums = self.teacher.get_or_insert_default();
            match (student, Answer::of(teacher)) {
                (Some(student), Some(teacher)) => {
                    sums.agreed += u64::from(student.class == teacher.class);
                    sums.kl += divergence(&teacher.log_p, &student.log_p);
                }
                _ => sums.kl = f64::NAN,
            }
        }
    }

    fn add_answer(&mut self, answer: &Answer, logits: &[f32], target: usize) {
        self.confusion.count(target, answer.class);
        self.correct_top_k += u64::from(rank(logits, target) < self.top_k);
        self.loss -= answer.log_p[target];
        let confidence = answer.log_p[answer.class].exp();
        let index = bin_index(confidence, self.bins.len());
        let bin = &mut self.bins[index];
        bin.confidence += confidence;
        bin.correct += f64::from(u8::from(answer.class == target));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(classes: usize, logits: &[f32], targets: &[usize]) -> ClassificationSummary {
        let mut metrics = ClassificationMetrics::new(classes).unwrap();
        metrics.add(logits, targets, None).unwrap();
        metrics.summary().unwrap()
    }

    fn near(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() <= 1e-12 * expected.abs().max(1.0),
            "{found} {expected}"
        );
    }

    #[test]
    fn two_samples_by_hand() {
        // p = (3/4, 1/4) and (1/2, 1/2): right with confidence 3/4, and by the tie rule wrong with confidence
        // 1/2.
        let made = summary(2, &[3_f32.ln(), 0.0, 7.0, 7.0], &[0, 1]);
        assert_eq!(
            (made.count, made.accuracy, made.top_k, made.top_k_accuracy),
            (2, 0.5, 2, 1.0)
        );
        let log_three = f64::from(3_f32.ln());
        let first = log_three.exp() / (log_three.exp() + 1.0);
        near(made.loss, f64::midpoint(-first.ln(), 2_f64.ln()));
        near(made.ece, f64::midpoint(1.0 - first, 0.5));
        assert_eq!(made.teacher, None);
    }

    #[test]
    fn of_equal_logits_the_lowest_class_is_first() {
        let logits = [1.0, 2.0, 2.0, 2.0];
        for (target, top_2) in [(0, 0.0), (1, 1.0), (2, 1.0), (3, 0.0)] {
            let mut metrics = ClassificationMetrics::new(4)
                .unwrap()
                .with_top_k(2)
                .unwrap();
            metrics.add(&logits, &[target], None).unwrap();
            let made = metrics.summary().unwrap();
            near(made.accuracy, if target == 1 { 1.0 } else { 0.0 });
            near(made.top_k_accuracy, top_2);
        }
    }

    /// By hand: class 0 has 3 samples, 2 of them right, one without a prediction; class 2 has 1, right.
    #[test]
    fn each_class_counts_alike_in_the_balanced_accuracy() {
        let nan = f32::NAN;
        let logits = [
            1.0, 0.0, 0.0, /**/ 1.0, 0.0, 0.0, /**/ nan, 0.0, 0.0, /**/ 0.0, 0.0,
            1.0,
        ];
        let made = summary(3, &logits, &[0, 0, 0, 2]);
        assert_eq!(made.class_accuracy, [Some(2.0 / 3.0), None, Some(1.0)]);
        near(made.balanced_accuracy, 5.0 / 6.0);
        near(made.accuracy, 0.75);
    }

    #[test]
    fn the_confusion_matrix_has_targets_as_rows() {
        let mut metrics = ClassificationMetrics::new(3).unwrap();
        metrics
            .add(&[0., 1., 0., 0., 1., 0., 9., 1., 0.], &[0, 1, 0], None)
            .unwrap();
        let confusion = metrics.confusion();
        assert_eq!(
            confusion.rows(),
            [vec![1, 1, 0], vec![0, 1, 0], vec![0, 0, 0]]
        );
        assert_eq!(
            (
                confusion.get(0, 1),
                confusion.get(1, 0),
                confusion.get(7, 0)
            ),
            (1, 0, 0)
        );
        assert_eq!(confusion.recalls(), [Some(0.5), Some(1.0), None]);
    }

    #[test]
    fn errors_of_one_bin_cancel_and_of_two_do_not() {
        // Both samples in the same bin of one: (1 - p) and (0 - p) add before the absolute value.
        let (logits, targets) = ([2.0, 0.0, 0.5, 0.0], [0, 1]);
        let p = |x: f64| x.exp() / (x.exp() + 1.0);
        let ece = |bins| {
            let mut metrics = ClassificationMetrics::new(2)
                .unwrap()
                .with_bins(bins)
                .unwrap();
            metrics.add(&logits, &targets, None).unwrap();
            metrics.summary().unwrap().ece
        };
        near(ece(1), (1.0 - p(2.0) - p(0.5)).abs() / 2.0);
        near(ece(10), f64::midpoint(1.0 - p(2.0), p(0.5)));
    }

    #[test]
    fn a_teacher_is_compared_in_nats() {
        let mut metrics = ClassificationMetrics::new(2).unwrap();
        metrics
            .add(&[0.0, 0.0, 1.0, 0.0], &[0, 0], Some(&[2.0, 0.0, 0.0, 1.0]))
            .unwrap();
        let compared = metrics.summary().unwrap().teacher.unwrap();
        near(compared.agreement, 0.5);
        let q = 2_f64.exp() / (2_f64.exp() + 1.0);
        let first = q * (2.0 * q).ln() + (1.0 - q) * (2.0 * (1.0 - q)).ln();
        let p = 1_f64.exp() / (1_f64.exp() + 1.0);
        let second = (1.0 - p) * ((1.0 - p) / p).ln() + p * (p / (1.0 - p)).ln();
        near(compared.kl, f64::midpoint(first, second));
    }

    #[test]
    fn a_logit_that_is_not_finite_cannot_be_overlooked() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut metrics = ClassificationMetrics::new(2).unwrap();
            metrics.add(&[1.0, 0.0], &[0], Some(&[1.0, 0.0])).unwrap();
            metrics.add(&[bad, 0.0], &[0], Some(&[1.0, 0.0])).unwrap();
            metrics.add(&[1.0, 0.0], &[0], Some(&[1.0, 0.0])).unwrap();
            let made = metrics.summary().unwrap();
            assert_eq!((made.count, made.non_finite), (3, 1));
            assert!(made.loss.is_nan() && made.ece.is_nan());
            near(made.accuracy, 2.0 / 3.0);
            let compared = made.teacher.unwrap();
            assert!(compared.kl.is_nan());
            near(compared.agreement, 2.0 / 3.0);
        }
    }

    #[test]
    fn a_bad_teacher_leaves_the_student_s_own_metrics_alone() {
        let mut metrics = ClassificationMetrics::new(2).unwrap();
        metrics
            .add(&[1.0, 0.0], &[0], Some(&[f32::NAN, 0.0]))
            .unwrap();
        let made = metrics.summary().unwrap();
        assert!(made.loss.is_finite() && made.non_finite == 0);
        assert!(made.teacher.unwrap().kl.is_nan());
    }

    #[test]
    fn huge_logits_stay_finite() {
        let mut metrics = ClassificationMetrics::new(2).unwrap();
        metrics.add(&[1e4, -1e4], &[1], Some(&[-1e4, 1e4])).unwrap();
        let made = metrics.summary().unwrap();
        near(made.loss, 2e4);
        near(made.teacher.unwrap().kl, 2e4);
    }

    #[test]
    fn a_summary_survives_json_even_when_nan() {
        let made = summary(2, &[f32::NAN, 0.0], &[0]);
        let text = serde_json::to_string(&made).unwrap();
        assert!(text.contains(r#""loss":null"#), "{text}");
        let back: ClassificationSummary = serde_json::from_str(&text).unwrap();
        assert!(back.loss.is_nan() && back.count == 1);
        let made = summary(3, &[0.1, 0.2, 0.3], &[0]);
        let text = serde_json::to_string(&made).unwrap();
        assert_eq!(
            serde_json::from_str::<ClassificationSummary>(&text).unwrap(),
            made
        );
    }

    #[test]
    fn what_cannot_be_counted_is_an_error_and_adds_nothing() {
        let mut metrics = ClassificationMetrics::new(2).unwrap();
        let text = |error: Error| error.to_string();
        assert!(text(metrics.summary().unwrap_err()).contains("at least 1 sample"));
        assert!(text(ClassificationMetrics::new(1).unwrap_err()).contains("must be 2 or more"));
        assert!(metrics.clone().with_top_k(3).is_err() && metrics.clone().with_top_k(0).is_err());
        assert!(metrics.clone().with_bins(0).is_err());
        assert!(text(metrics.add(&[0.0; 3], &[0], None).unwrap_err()).contains("1 x 2 values"));
        assert!(metrics.add(&[0.0; 2], &[0], Some(&[0.0])).is_err());
        let error = text(metrics.add(&[0.0; 4], &[0, 2], None).unwrap_err());
        assert!(
            error.contains("below the number of classes, 2, got 2"),
            "{error}"
        );
        assert!(metrics.summary().is_err());
        metrics.add(&[0.0; 2], &[0], None).unwrap();
        assert!(metrics.add(&[0.0; 2], &[0], Some(&[0.0; 2])).is_err());
        assert!(metrics.with_top_k(1).is_err());
    }
}
