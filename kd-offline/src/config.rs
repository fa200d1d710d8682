//! What a recipe says of the losses and the teachers.

use kd_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// One term of the weighted sum that the student minimises: an entry of `[[losses]]` in a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum LossConfig {
    /// Cross-entropy with the labels; see [`kd_losses::cross_entropy`](kd_losses::cross_entropy()).
    CrossEntropy {
        /// The weight of the term.
        #[serde(default = "one")]
        weight: f64,
        /// Share of the target taken from the label and spread over all classes, in `[0, 1)`.
        #[serde(default)]
        label_smoothing: f64,
    },
    /// Hinton's distillation with its factor `temperature^2`; see [`kd_losses::soft_target`](kd_losses::soft_target()).
    Kd {
        /// The weight of the term.
        #[serde(default = "one")]
        weight: f64,
        /// The temperature, above 0; 4 where a recipe says nothing.
        #[serde(default = "temperature")]
        temperature: f64,
    },
    /// The student's map against a teacher's; see [`kd_losses::hint`](kd_losses::hint()).
    Hint {
        /// The weight of the term.
        #[serde(default = "one")]
        weight: f64,
        /// The student's tap.
        student_tap: String,
        /// The teacher's tap; the student's where a recipe says nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        teacher_tap: Option<String>,
        /// Which teacher, from 0.
        #[serde(default)]
        teacher: usize,
        /// Whether a learned 1x1 convolution stands between the two.
        #[serde(default)]
        regressor: Widths,
        /// What to do with maps of different size.
        #[serde(default = "sizes")]
        map_sizes: kd_losses::MapSizes,
    },
    /// Attention transfer; see [`kd_losses::attention_transfer`](kd_losses::attention_transfer()).
    AttentionTransfer {
        /// The weight of the sum over the taps.
        #[serde(default = "attention_weight")]
        weight: f64,
        /// The student's taps.
        student_taps: Vec<String>,
        /// The teacher's taps, one for each of the student's; the same names where a recipe says nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        teacher_taps: Option<Vec<String>>,
        /// Which teacher, from 0.
        #[serde(default)]
        teacher: usize,
        /// How the difference of two maps becomes a number.
        #[serde(default = "distance")]
        distance: kd_losses::AttentionDistance,
    },
}

/// Whether a learned 1x1 convolution maps the student's channels to the teacher's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Widths {
    /// Never: maps of different width are an error.
    None,
    /// Where the widths differ.
    #[default]
    WhenWidthsDiffer,
    /// Always.
    Always,
}

/// In which space several teachers are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ensemble {
    /// The mean of their logits.
    #[default]
    Logits,
    /// The mean of their softened probabilities, at the temperature of the loss.
    Probabilities,
}

fn one() -> f64 {
    1.0
}

fn temperature() -> f64 {
    kd_losses::SoftTargetLossConfig::new().temperature
}

fn attention_weight() -> f64 {
    kd_losses::AttentionTransferLoss::USUAL_WEIGHT
}

fn distance() -> kd_losses::AttentionDistance {
    kd_losses::AttentionTransferLossConfig::new().distance
}

fn sizes() -> kd_losses::MapSizes {
    kd_losses::MapSizes::MustMatch
}

impl LossConfig {
    /// Cross-entropy with weight 1 and no smoothing.
    pub fn cross_entropy(weight: f64) -> Self {
        Self::CrossEntropy {
            weight,
            label_smoothing: 0.0,
        }
    }

    /// Hinton's distillation.
    pub fn kd(weight: f64, temperature: f64) -> Self {
        Self::Kd {
            weight,
            temperature,
        }
    }

    /// Every kind there is, as a recipe calls it, with a line of what it does.
    pub fn kinds() -> &'static [(&'static str, &'static str)] {
        &[
            (
                "cross-entropy",
                "cross-entropy with the labels, with label smoothing",
            ),
            (
                "kd",
                "KL divergence from the teacher's softened probabilities (Hinton et al. 2015)",
            ),
            (
                "hint",
                "mean squared difference of two feature maps, with a learned regressor (FitNets, 2015)",
            ),
            (
                "attention-transfer",
                "difference of normalised attention maps (Zagoruyko and Komodakis 2017)",
            ),
        ]
    }

    /// The name under which the term is logged.
    pub fn name(&self) -> String {
        match self {
            Self::CrossEntropy { .. } => "cross_entropy".into(),
            Self::Kd { .. } => "kd".into(),
            Self::Hint { student_tap, .. } => format!("hint_{student_tap}"),
            Self::AttentionTransfer { .. } => "attention_transfer".into(),
        }
    }

    pub(crate) fn weight(&self) -> f64 {
        match self {
            Self::CrossEntropy { weight, .. }
            | Self::Kd { weight, .. }
            | Self::Hint { weight, .. }
            | Self::AttentionTransfer { weight, .. } => *weight,
        }
    }

    /// The teacher that the term asks, if it asks a particular one.
    fn asks(&self) -> Option<usize> {
        match self {
            Self::CrossEntropy { .. } => None,
            Self::Kd { .. } => Some(0),
            Self::Hint { teacher, .. } | Self::AttentionTransfer { teacher, .. } => Some(*teacher),
        }
    }

    /// Checks what can be checked without a network, for the loss at `index` and so many teachers.
    pub(crate) fn check(&self, index: usize, teachers: usize) -> Result<()> {
        let field = |name: &str| format!("losses.{index}.{name}");
        let weight = self.weight();
        if !weight.is_finite() || weight < 0.0 {
            let problem = format!("must be finite and not negative, got {weight}");
            return Err(Error::config(field("weight"), problem));
        }
        if let Some(teacher) = self.asks().filter(|&teacher| teacher >= teachers) {
            let problem = match teachers {
                0 => "needs a teacher; add one under `[[teachers]]`".into(),
                1 => format!("is {teacher}, but there is only 1 teacher, counted from 0"),
                _ => {
                    format!("is {teacher}, but there are only {teachers} teachers, counted from 0")
                }
            };
            return Err(Error::config(field("teacher"), problem));
        }
        match self {
            Self::CrossEntropy {
                label_smoothing: s, ..
            } if !(0.0..1.0).contains(s) => Err(Error::config(
                field("label_smoothing"),
                format!("must be at least 0 and below 1, got {s}"),
            )),
            Self::Kd { temperature: t, .. } if !t.is_finite() || *t <= 0.0 => Err(Error::config(
                field("temperature"),
                format!("must be finite and above 0, got {t}; the papers use 1 to 20"),
            )),
            Self::AttentionTransfer {
                student_taps,
                teacher_taps,
                ..
            } => {
                let count = teacher_taps.as_ref().map_or(student_taps.len(), Vec::len);
                if student_taps.is_empty() || count != student_taps.len() {
                    let problem = format!(
                        "needs as many teacher taps as student taps, at least one, got {count} and {}",
                        student_taps.len()
                    );
                    return Err(Error::config(field("teacher_taps"), problem));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
