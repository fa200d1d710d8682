//! Procedures: stagewise distillation, and what the paper compares it with.

use kd_core::{Error, Result};
use serde::Serialize;

mod phases;
mod read;

/// The procedure by which a student is trained: stage by stage, or as one of those that the paper compares
/// with.
///
/// In a recipe it is a word, `"skd"`, or a table where constants are to be changed,
/// `{ kind = "attention-transfer", beta = 1000.0 }`. All of them go through the same phases, selection,
/// schedule and data.
///
/// The sources are the public code of the paper (IvLabs/stagewise-knowledge-distillation, 2020-10-19) where a
/// variant is called `code`, and the original papers elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Procedure {
    /// Stagewise distillation: a phase for each stage, which learns the teacher's map without labels while
    /// all before it is frozen, and one for the head, which learns the labels.
    /// `L_k = mean over all elements of (S_k - T_k)^2`.
    Skd {},
    /// Labels alone, everything at once.
    NoTeacher {},
    /// Everything at once: `(cross-entropy + sum of L_k over all K stages) / (K + 1)`.
    Simultaneous {},
    /// `FitNets` as the paper's public code has it: the stages up to each guided one learn its map, then are
    /// frozen; the rest learns the labels. No regressor, no soft targets.
    FitnetsCode {
        /// The guided stages, front to back; `layer2`, and for a U-Net `decoder2` also, where there are none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        guided: Vec<String>,
    },
    /// `FitNets` as its paper (1412.6550) has it: the stages up to the guided one learn, through a learned
    /// 1x1 regressor, half the squared distance to the teacher's map; then the whole student learns labels
    /// and soft targets.
    Fitnets {
        /// The guided stage; `layer2` where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        guided: Option<String>,
        /// The weight of the labels; the rest is that of the soft targets.
        alpha: f64,
        /// The temperature of the soft targets.
        temperature: f64,
    },
    /// Attention transfer (1612.03928), everything at once:
    /// `(cross-entropy + beta * sum of distances) / (number of maps + 1)` over all stages but the first.
    AttentionTransfer {
        /// The weight of the attention maps: 1 in the public code, about 1000 in the authors' own.
        beta: f64,
    },
    /// FSP as the paper's public code has it: flow matrices between neighbouring stages, the larger map
    /// pooled by averages, the mean over their entries and over the pairs; then the whole student learns the
    /// labels.
    FspCode {},
    /// FSP as its paper (CVPR 2017) has it: max pooling, the sum over the entries; then the labels.
    Fsp {},
    /// Hinton's distillation, everything at once: `alpha * cross-entropy + (1 - alpha) * T^2 KL`.
    Hinton {
        /// The weight of the labels; the rest is that of the soft targets.
        alpha: f64,
        /// The temperature.
        temperature: f64,
    },
    /// A control: the head alone learns the labels on stages that stay as they were drawn.
    RandomTrunk {},
}

impl Default for Procedure {
    fn default() -> Self {
        Self::Skd {}
    }
}

impl Procedure {
    /// The names of all procedures, as recipes have them.
    pub const KINDS: [&'static str; 10] = [
        "skd",
        "no-teacher",
        "simultaneous",
        "fitnets-code",
        "fitnets",
        "attention-transfer",
        "fsp-code",
        "fsp",
        "hinton",
        "random-trunk",
    ];

    /// The procedure of this name with its usual constants.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] with the nearest.
    pub fn of(kind: &str) -> Result<Self> {
        Ok(match kind {
            "skd" => Self::Skd {},
            "no-teacher" => Self::NoTeacher {},
            "simultaneous" => Self::Simultaneous {},
            "fitnets-code" => Self::FitnetsCode { guided: Vec::new() },
            // 0.1 and 4: the usual setting of later comparisons; FitNets itself lets its weight fall.
            "fitnets" => Self::Fitnets {
                guided: None,
                alpha: 0.1,
                temperature: 4.0,
            },
            "attention-transfer" => Self::AttentionTransfer { beta: 1.0 },
            "fsp-code" => Self::FspCode {},
            "fsp" => Self::Fsp {},
            // The constants of the public code, in the standard form of the loss.
            "hinton" => Self::Hinton {
                alpha: 0.2,
                temperature: 20.0,
            },
            "random-trunk" => Self::RandomTrunk {},
            _ => return Err(Error::unknown_name("procedure", kind, Self::KINDS)),
        })
    }

    /// Its name, as recipes have it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Skd {} => "skd",
            Self::NoTeacher {} => "no-teacher",
            Self::Simultaneous {} => "simultaneous",
            Self::FitnetsCode { .. } => "fitnets-code",
            Self::Fitnets { .. } => "fitnets",
            Self::AttentionTransfer { .. } => "attention-transfer",
            Self::FspCode {} => "fsp-code",
            Self::Fsp {} => "fsp",
            Self::Hinton { .. } => "hinton",
            Self::RandomTrunk {} => "random-trunk",
        }
    }

    /// Whether it learns from a teacher.
    pub fn needs_teacher(&self) -> bool {
        !matches!(self, Self::NoTeacher {} | Self::RandomTrunk {})
    }
}
