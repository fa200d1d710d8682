//! The settings of the method.

use kd_core::{Error, OptimizerConfig, Result, Training};
use serde::{Deserialize, Serialize};

/// The table `[teacher-class]` of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TeacherClassConfig {
    /// The number of students, among which the teacher's dense vector is divided by index. The official code
    /// has 1, 2, 4 and 8; 4 is our choice of a default.
    pub students: usize,
    /// Whether the joined chunks pass through a ReLU before the head, as in the official code. By default
    /// they do if the teacher's dense vector is nowhere negative on the first training samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relu: Option<bool>,
    /// The normalised error on held-out data above which a student counts as collapsed and is trained once
    /// more from another seed; 0.8, by inspection of the official runs and not the paper's.
    pub collapse: f64,
    /// Whether what the teacher says of the samples is computed once and kept in memory.
    pub keep: bool,
    /// The tuning of the head.
    pub head: HeadConfig,
}

/// The tuning of the head on the features of the finished students: the table `[teacher-class.head]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HeadConfig {
    /// Passes over the training samples; with 0 the head is the teacher's as it was copied. The official code
    /// has 5 to 50, 10 for most.
    pub epochs: usize,
    /// The learning rate of Adam; 0.001 as in the official code.
    pub lr: f64,
    /// The share of features that is set to 0 in a step, the others scaled up; 0.5 as in the official code.
    pub dropout: f64,
    /// The share of whole chunks that is set to 0 in a step, the others scaled up, which makes one head that
    /// bears missing students; 0, not in the paper.
    pub chunk_dropout: f64,
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            lr: 1e-3,
            dropout: 0.5,
            chunk_dropout: 0.0,
        }
    }
}

impl Default for TeacherClassConfig {
    fn default() -> Self {
        Self {
            students: 4,
            relu: None,
            collapse: 0.8,
            keep: true,
            head: HeadConfig::default(),
        }
    }
}

/// The training of a student in the official code: Adam with rate 0.001, batches of 128, 10 epochs.
pub fn student_training() -> Training {
    let mut training = Training::for_epochs(10);
    training.batch_size = 128;
    training.lr = 1e-3;
    training.optimizer = OptimizerConfig::adam();
    training
}

impl TeacherClassConfig {
    /// Settings for so many students.
    pub fn of(students: usize) -> Self {
        Self {
            students,
            ..Self::default()
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for the first value out of range.
    pub fn check(&self) -> Result<()> {
        let out_of_range = |field: &str, rule: &str, value: f64| {
            let field = format!("teacher-class.{field}");
            Err(Error::config(field, format!("must be {rule}, got {value}")))
        };
        if self.students == 0 {
            return out_of_range("students", "at least 1", 0.0);
        }
        if !self.collapse.is_finite() || self.collapse <= 0.0 {
            return out_of_range("collapse", "finite and above 0", self.collapse);
        }
        if !self.head.lr.is_finite() || self.head.lr <= 0.0 {
            return out_of_range("head.lr", "finite and above 0", self.head.lr);
        }
        let shares = [
            ("head.dropout", self.head.dropout),
            ("head.chunk_dropout", self.head.chunk_dropout),
        ];
        for (field, share) in shares {
            if !(0.0..1.0).contains(&share) {
                return out_of_range(field, "at least 0 and below 1", share);
            }
        }
        Ok(())
    }
}
