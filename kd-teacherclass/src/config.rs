//! The settings of the method.

use kd_core::{Error, OptimizerConfig, Result, Training};
use serde::{Deserialize, Serialize};

use crate::discriminator::Trunk;
use crate::split::SplitKind;

/// The table `[teacher-class]` of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TeacherClassConfig {
    /// The number of students, among which the teacher's dense vector is divided. The official code
    /// has 1, 2, 4 and 8; 4 is our choice of a default.
    #[cfg_attr(feature = "recipe", schemars(range(min = 1)))]
    pub students: usize,
    /// The student that alone is trained, from 0, without a head; all and the head without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<usize>,
    /// How the dense vector is divided among the students; by index as in the official code.
    pub split: SplitKind,
    /// Whether the joined chunks pass through a ReLU before the head, as in the official code. By default
    /// they do if the teacher's dense vector is nowhere negative on the first training samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relu: Option<bool>,
    /// The normalised error on held-out data above which a student counts as collapsed and is trained once
    /// more from another seed; 0.8, by inspection of the official runs and not the paper's.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub collapse: f64,
    /// The loss of a student.
    pub loss: ChunkLoss,
    /// Whether what the teacher says of the samples is computed once and kept in memory. Of masks the same
    /// goes for the features of the finished students, which are otherwise computed in each step of the head.
    pub keep: bool,
    /// The adversarial losses, where `loss` is one.
    #[serde(skip_serializing_if = "GanConfig::is_usual")]
    pub gan: GanConfig,
    /// The tuning of the head.
    pub head: HeadConfig,
}

/// The losses of a student.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ChunkLoss {
    /// The mean squared error.
    #[default]
    Mse,
    /// The mean squared error and a discriminator that tells the student's chunks from the teacher's; ours.
    GanDirect,
    /// The official code's adversarial loss, where the mean squared error is that of what the discriminator
    /// makes of the student's chunk. The head must be tuned.
    GanLiteral,
}

/// The adversarial losses: the table `[teacher-class.gan]`. Unless said otherwise values are those of the
/// official code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct GanConfig {
    /// The trunk of the discriminator.
    pub discriminator: Trunk,
    /// The learning rate of the discriminator's Adam; 0.0002.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub lr: f64,
    /// The weight of the student's adversarial term; 1, and 0.5 for IMDB.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub adversarial_weight: f64,
    /// The weight of the mean squared error; 1, and 0.5 for IMDB.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub mse_weight: f64,
    /// Steps of the student for each batch; 1, and 2 or 4 for some of its runs.
    #[cfg_attr(feature = "recipe", schemars(range(min = 1)))]
    pub student_steps: usize,
}

impl Default for GanConfig {
    fn default() -> Self {
        Self {
            discriminator: Trunk::Mnist,
            lr: 2e-4,
            adversarial_weight: 1.0,
            mse_weight: 1.0,
            student_steps: 1,
        }
    }
}

impl GanConfig {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    fn check(&self) -> Result<()> {
        let numbers = [
            ("lr", self.lr),
            ("adversarial_weight", self.adversarial_weight),
            ("mse_weight", self.mse_weight),
        ];
        for (field, value) in numbers {
            if !value.is_finite() || value <= 0.0 {
                return out_of_range(&format!("gan.{field}"), "finite and above 0", value);
            }
        }
        match self.student_steps {
            0 => out_of_range("gan.student_steps", "at least 1", 0.0),
            _ => Ok(()),
        }
    }
}

/// The error of a value of the table `[teacher-class]`.
fn out_of_range(field: &str, rule: &str, value: f64) -> Result<()> {
    let field = format!("teacher-class.{field}");
    Err(Error::config(field, format!("must be {rule}, got {value}")))
}

/// The tuning of the head on the features of the finished students: the table `[teacher-class.head]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HeadConfig {
    /// Passes over the training samples; with 0 the head is the teacher's as it was copied. The official code
    /// has 5 to 50, 10 for most.
    pub epochs: usize,
    /// The learning rate of Adam; 0.001 as in the official code.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub lr: f64,
    /// The share of features that is set to 0 in a step, the others scaled up; 0.5 as in the official code.
    /// Of masks whole channels of an image are.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0), extend("exclusiveMaximum" = 1)))]
    pub dropout: f64,
    /// The share of whole chunks that is set to 0 in a step, the others scaled up, which makes one head that
    /// bears missing students; 0, not in the paper.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0), extend("exclusiveMaximum" = 1)))]
    pub chunk_dropout: f64,
    /// What is added to the diagonal where heads are refitted for missing students, as a share of the mean
    /// variance of the features; 0.001, ours.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub ridge: f64,
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            lr: 1e-3,
            dropout: 0.5,
            chunk_dropout: 0.0,
            ridge: 1e-3,
        }
    }
}

impl Default for TeacherClassConfig {
    fn default() -> Self {
        Self {
            students: 4,
            only: None,
            split: SplitKind::Index,
            relu: None,
            collapse: 0.8,
            loss: ChunkLoss::Mse,
            gan: GanConfig::default(),
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

/// The training of a student that outputs a chunk for each pixel, ours: as [`student_training`], in batches
/// of 8 images.
pub fn segmentation_training() -> Training {
    let mut training = student_training();
    training.batch_size = 8;
    training.eval_batch_size = 8;
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
        self.gan.check()?;
        if self.loss == ChunkLoss::Mse && !self.gan.is_usual() {
            let problem = "has no effect, as `teacher-class.loss` is `mse`; set that to `gan-direct` or \
                           `gan-literal`, or leave the table out";
            return Err(Error::config("teacher-class.gan", problem));
        }
        if self.students == 0 {
            return out_of_range("students", "at least 1", 0.0);
        }
        if let Some(only) = self.only.filter(|&only| only >= self.students) {
            let problem = format!(
                "must be 0 to {}, got {only}: the class has {} students",
                self.students - 1,
                self.students
            );
            return Err(Error::config("teacher-class.only", problem));
        }
        if !self.collapse.is_finite() || self.collapse <= 0.0 {
            return out_of_range("collapse", "finite and above 0", self.collapse);
        }
        if !self.head.ridge.is_finite() || self.head.ridge <= 0.0 {
            return out_of_range("head.ridge", "finite and above 0", self.head.ridge);
        }
        if !self.head.lr.is_finite() || self.head.lr <= 0.0 {
            return out_of_range("head.lr", "finite and above 0", self.head.lr);
        }
        if self.relu == Some(true) && !self.split.keeps_units() {
            let problem = "is true, and `teacher-class.split` is `rotated`: directions have no sign of their \
                           own, so that a ReLU would lose half of them; leave it out";
            return Err(Error::config("teacher-class.relu", problem));
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
