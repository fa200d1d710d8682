//! Summaries of metrics, in forms that can be stored.

use serde::{Deserialize, Deserializer, Serialize};

/// What was counted, in numbers that can be stored.
///
/// In JSON a number that is not finite is `null`, and `null` is read back as NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClassificationSummary {
    /// Samples.
    pub count: u64,
    /// Samples with a logit that is NaN or infinite.
    pub non_finite: u64,
    /// Share of samples classified correctly, 0 to 1.
    pub accuracy: f64,
    /// The share of each class's samples that were classified correctly, in label order; `None` for a class
    /// without samples.
    #[serde(default)]
    pub class_accuracy: Vec<Option<f64>>,
    /// The mean of `class_accuracy` over the classes that have one: each class counts alike, however few its
    /// samples are.
    #[serde(default = "not_a_number", deserialize_with = "null_is_nan")]
    pub balanced_accuracy: f64,
    /// The `k` of `top_k_accuracy`.
    pub top_k: usize,
    /// Share of samples whose target is among the `top_k` largest logits, 0 to 1.
    pub top_k_accuracy: f64,
    /// Mean cross-entropy in nats.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// Expected calibration error, 0 to 1.
    #[serde(deserialize_with = "null_is_nan")]
    pub ece: f64,
    /// How the classifier compares with its teacher, where teacher logits were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherComparison>,
}

/// How a student's answers compare with its teacher's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TeacherComparison {
    /// Share of samples on which both have the same largest logit, 0 to 1.
    pub agreement: f64,
    /// Mean divergence `KL(teacher || student)` in nats.
    #[serde(deserialize_with = "null_is_nan")]
    pub kl: f64,
}

/// What was counted of a segmentation, in numbers that can be stored; all are finite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SegmentationSummary {
    /// Images.
    pub images: u64,
    /// Pixels that have a class.
    pub pixels: u64,
    /// Pixels without a class, which are left out of everything but `miou_compat`.
    pub void_pixels: u64,
    /// Pixels with a logit that is NaN or infinite, those without a class among them.
    pub non_finite: u64,
    /// Share of the pixels with a class that were recognised, 0 to 1.
    pub pixel_accuracy: f64,
    /// Intersection over union of each class over all images, 0 to 1; `None` for one that is neither in the
    /// masks nor predicted where there is a class.
    pub class_iou: Vec<Option<f64>>,
    /// Mean of `class_iou` over the classes that have one.
    pub mean_iou: f64,
    /// The mean of `class_iou` as the code of the paper on stagewise distillation has it; to compare with its
    /// numbers only.
    pub miou_compat: f64,
}

/// How often samples of one class were taken for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfusionMatrix {
    /// One row for each true class, in it one column for each predicted class.
    rows: Vec<Vec<u64>>,
}

impl ConfusionMatrix {
    /// The counts: one row for each true class, in it one column for each predicted class.
    pub fn rows(&self) -> &[Vec<u64>] {
        &self.rows
    }

    /// How many samples of class `target` were taken for `predicted`; 0 for a class there is not.
    pub fn get(&self, target: usize, predicted: usize) -> u64 {
        self.rows
            .get(target)
            .and_then(|row| row.get(predicted))
            .copied()
            .unwrap_or(0)
    }

    /// The share of each class's samples that were recognised, `None` for a class without samples.
    pub fn recalls(&self) -> Vec<Option<f64>> {
        let recall = |(class, row): (usize, &Vec<u64>)| {
            let total: u64 = row.iter().sum();
            (total > 0).then(|| row[class] as f64 / total as f64)
        };
        self.rows.iter().enumerate().map(recall).collect()
    }

    pub(super) fn new(classes: usize) -> Self {
        Self {
            rows: vec![vec![0; classes]; classes],
        }
    }

    pub(super) fn of(rows: Vec<Vec<u64>>) -> Self {
        Self { rows }
    }

    pub(super) fn count(&mut self, target: usize, predicted: usize) {
        self.rows[target][predicted] += 1;
    }

    pub(super) fn correct(&self) -> u64 {
        (0..self.rows.len())
            .map(|class| self.rows[class][class])
            .sum()
    }
}

fn not_a_number() -> f64 {
    f64::NAN
}

fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
