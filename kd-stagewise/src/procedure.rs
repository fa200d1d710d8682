//! Which phases a run has, and what each of them trains on what.

use std::ops::Range;

use kd_core::{Error, Result, nearest};
use kd_losses::FspPooling;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::objective::{Objective, Term};

/// How a student is trained: stage by stage, or as one of the procedures that the paper compares with.
///
/// In a recipe it is a word, or a table where constants are to be changed: `"skd"`,
/// `{ kind = "attention-transfer", beta = 1000.0 }`. All of them go through the same phases, selection, schedule and data.
///
/// The sources are the public code of the paper (IvLabs/stagewise-knowledge-distillation, 2020-10-19) where a variant is called
/// `code`, and the original papers elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Procedure {
    /// Stagewise distillation: a phase for each stage, which learns the teacher's map without labels while all before it is frozen,
    /// and one for the head, which learns the labels. `L_k = mean over all elements of (S_k - T_k)^2`.
    Skd {},
    /// Labels alone, everything at once.
    NoTeacher {},
    /// Everything at once: `(cross-entropy + sum of L_k over all K stages) / (K + 1)`.
    Simultaneous {},
    /// `FitNets` as the paper's public code has it: the stages up to each guided one learn its map, then are frozen; the rest learns
    /// the labels. No regressor, no soft targets.
    FitnetsCode {
        /// The guided stages, front to back; `layer2`, and for a U-Net `decoder2` also, where there are none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        guided: Vec<String>,
    },
    /// `FitNets` as its paper (1412.6550) has it: the stages up to the guided one learn, through a learned 1x1 regressor, half the
    /// squared distance to the teacher's map; then the whole student learns labels and soft targets.
    Fitnets {
        /// The guided stage; `layer2` where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        guided: Option<String>,
        /// The weight of the labels; the rest is that of the soft targets.
        alpha: f64,
        /// The temperature of the soft targets.
        temperature: f64,
    },
    /// Attention transfer (1612.03928), everything at once: `(cross-entropy + beta * sum of distances) / (number of maps + 1)` over
    /// all stages but the first.
    AttentionTransfer {
        /// The weight of the attention maps: 1 in the public code, about 1000 in the authors' own.
        beta: f64,
    },
    /// FSP as the paper's public code has it: flow matrices between neighbouring stages, the larger map pooled by averages, the mean
    /// over their entries and over the pairs; then the whole student learns the labels.
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

    /// Checks its constants.
    fn check(&self) -> Result<()> {
        let wrong = |name: &str, range: &str, value: f64| {
            let field = format!("stagewise.procedure.{name}");
            Err(Error::config(
                field,
                format!("must be {range}, got {value}"),
            ))
        };
        match *self {
            Self::Fitnets {
                alpha, temperature, ..
            }
            | Self::Hinton { alpha, temperature } => {
                if !(0.0..=1.0).contains(&alpha) {
                    return wrong("alpha", "between 0 and 1", alpha);
                }
                if !(temperature.is_finite() && temperature > 0.0) {
                    return wrong("temperature", "finite and above 0", temperature);
                }
            }
            Self::AttentionTransfer { beta } if !(beta.is_finite() && beta >= 0.0) => {
                return wrong("beta", "finite and not negative", beta);
            }
            _ => {}
        }
        Ok(())
    }

    /// Its phases for a student with these stages.
    ///
    /// # Errors
    ///
    /// Constants out of range, and guided stages that there are not.
    pub(crate) fn phases(&self, names: &[String]) -> Result<Vec<PhaseSpec>> {
        self.check()?;
        let count = names.len();
        let all = |name: &str, objective: Objective| PhaseSpec {
            name: name.into(),
            stages: 0..count,
            head: objective.reads_output(),
            objective,
        };
        let labels = || Objective::one(Term::Labels);
        Ok(match self {
            Self::Skd {} => {
                let stage = |stage: usize| PhaseSpec {
                    name: format!("stage-{}", names[stage]),
                    stages: stage..stage + 1,
                    head: false,
                    objective: Objective::one(Term::Map(stage)),
                };
                let mut phases: Vec<PhaseSpec> = (0..count).map(stage).collect();
                phases.push(PhaseSpec::rest("head", count..count));
                phases
            }
            Self::RandomTrunk {} => vec![PhaseSpec::rest("head", count..count)],
            Self::NoTeacher {} => vec![all("labels", labels())],
            Self::Simultaneous {} => {
                let share = ((count + 1) as f64).recip();
                let maps = (0..count).map(|stage| (Term::Map(stage), share));
                let terms = std::iter::once((Term::Labels, share)).chain(maps).collect();
                vec![all("labels-and-maps", Objective { terms })]
            }
            Self::FitnetsCode { guided } => {
                let mut phases = Vec::new();
                let mut first = 0;
                for cut in guided_stages(guided, names)? {
                    let objective = Objective::one(Term::Map(cut));
                    phases.push(PhaseSpec::hint(names, first..cut + 1, objective));
                    first = cut + 1;
                }
                phases.push(PhaseSpec::rest("labels", first..count));
                phases
            }
            Self::Fitnets {
                guided,
                alpha,
                temperature,
            } => {
                let guided: Vec<String> = guided.iter().cloned().collect();
                let cut = guided_stages(&guided, names)?[0];
                let objective = Objective::one(Term::HalfSquare(cut));
                vec![
                    PhaseSpec::hint(names, 0..cut + 1, objective),
                    all("labels-and-teacher", hinton(*alpha, *temperature)),
                ]
            }
            Self::AttentionTransfer { beta } => {
                let maps = names.len().saturating_sub(1).max(1);
                let first = names.len() - maps;
                let share = ((maps + 1) as f64).recip();
                let attention = (first..count).map(|stage| (Term::Attention(stage), beta * share));
                let terms = std::iter::once((Term::Labels, share))
                    .chain(attention)
                    .collect();
                vec![all("labels-and-attention", Objective { terms })]
            }
            Self::FspCode {} | Self::Fsp {} => {
                let objective = flow(count, matches!(self, Self::FspCode {}))?;
                vec![all("flow", objective), all("labels", labels())]
            }
            Self::Hinton { alpha, temperature } => {
                vec![all("labels-and-teacher", hinton(*alpha, *temperature))]
            }
        })
    }
}

/// `alpha * cross-entropy + (1 - alpha) * T^2 KL`, a term of weight 0 left out.
fn hinton(alpha: f64, temperature: f64) -> Objective {
    let terms = [
        (Term::Labels, alpha),
        (Term::SoftTargets(temperature), 1.0 - alpha),
    ];
    Objective {
        terms: terms
            .into_iter()
            .filter(|(_, weight)| *weight > 0.0)
            .collect(),
    }
}

/// The flow between neighbouring stages, all but the first of more than two, as the public code has it or as the paper has it.
fn flow(count: usize, code: bool) -> Result<Objective> {
    let first = usize::from(count > 2);
    let pairs: Vec<[usize; 2]> = (first + 1..count).map(|stage| [stage - 1, stage]).collect();
    if pairs.is_empty() {
        let problem = "compares neighbouring stages, and the student has one stage only";
        return Err(Error::config("stagewise.procedure", problem));
    }
    let share = if code {
        (pairs.len() as f64).recip()
    } else {
        1.0
    };
    let pooling = if code {
        FspPooling::Average
    } else {
        FspPooling::Max
    };
    let term = |stages: [usize; 2]| {
        let term = Term::Flow {
            stages,
            pooling,
            mean: code,
        };
        (term, share)
    };
    Ok(Objective {
        terms: pairs.into_iter().map(term).collect(),
    })
}

/// The places of the guided stages, ascending; the usual ones where none are named.
fn guided_stages(guided: &[String], names: &[String]) -> Result<Vec<usize>> {
    let place = |name: &str| names.iter().position(|known| known == name);
    if guided.is_empty() {
        let usual: Vec<usize> = ["layer2", "decoder2"]
            .into_iter()
            .filter_map(place)
            .collect();
        if usual.is_empty() {
            let problem = format!(
                "is missing, and the student has no stage `layer2` to be guided at by default; name one of: {}",
                names.join(", ")
            );
            return Err(Error::config("stagewise.procedure.guided", problem));
        }
        return Ok(usual);
    }
    let find = |name: &String| {
        place(name)
            .ok_or_else(|| Error::unknown_name("stage", name, names.iter().map(String::as_str)))
    };
    let places = guided.iter().map(find).collect::<Result<Vec<usize>>>()?;
    if places
        .array_windows()
        .any(|[first, second]| first >= second)
    {
        let problem = "must be different stages, front to back";
        return Err(Error::config("stagewise.procedure.guided", problem));
    }
    Ok(places)
}

impl<'de> Deserialize<'de> for Procedure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let mut table = match Value::deserialize(deserializer)? {
            Value::String(kind) => Map::from_iter([("kind".to_owned(), Value::String(kind))]),
            Value::Object(table) => table,
            _ => {
                return Err(D::Error::custom(
                    "expected a word such as \"skd\", or a table with `kind`",
                ));
            }
        };
        let kind = table.remove("kind");
        let kind = kind
            .as_ref()
            .and_then(Value::as_str)
            .ok_or_else(|| D::Error::custom("`kind` is missing, a word such as \"skd\""))?;
        let mut made = Self::of(kind).map_err(D::Error::custom)?;
        for (key, value) in table {
            made.set(&key, value).map_err(D::Error::custom)?;
        }
        Ok(made)
    }
}

impl Procedure {
    /// The constants that it has.
    fn constants(&self) -> &'static [&'static str] {
        match self {
            Self::FitnetsCode { .. } => &["guided"],
            Self::Fitnets { .. } => &["guided", "alpha", "temperature"],
            Self::AttentionTransfer { .. } => &["beta"],
            Self::Hinton { .. } => &["alpha", "temperature"],
            _ => &[],
        }
    }

    fn set(&mut self, key: &str, value: Value) -> std::result::Result<(), String> {
        fn typed<T: serde::de::DeserializeOwned>(
            key: &str,
            value: Value,
        ) -> std::result::Result<T, String> {
            serde_json::from_value(value).map_err(|error| format!("`{key}`: {error}"))
        }
        match (&mut *self, key) {
            (Self::FitnetsCode { guided }, "guided") => *guided = typed(key, value)?,
            (Self::Fitnets { guided, .. }, "guided") => *guided = typed(key, value)?,
            (Self::Fitnets { alpha, .. } | Self::Hinton { alpha, .. }, "alpha") => {
                *alpha = typed(key, value)?;
            }
            (
                Self::Fitnets { temperature, .. } | Self::Hinton { temperature, .. },
                "temperature",
            ) => *temperature = typed(key, value)?,
            (Self::AttentionTransfer { beta }, "beta") => *beta = typed(key, value)?,
            _ => {
                let known = self.constants();
                let hint = match nearest(key, known.iter().copied()) {
                    Some(near) => format!("; did you mean `{near}`?"),
                    None => String::new(),
                };
                let known = match known {
                    [] => "it has no constants".to_owned(),
                    some => format!("its constants: {}", some.join(", ")),
                };
                return Err(format!(
                    "procedure `{}` has no constant `{key}`{hint} ({known})",
                    self.kind()
                ));
            }
        }
        Ok(())
    }
}

/// What one phase trains, and on what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PhaseSpec {
    pub(crate) name: String,
    /// The stages that are trained; all before them are frozen, those behind are run only if the objective reads them.
    pub(crate) stages: Range<usize>,
    /// Whether the head is trained.
    pub(crate) head: bool,
    pub(crate) objective: Objective,
}

impl PhaseSpec {
    /// The teacher's map at the last of `stages` trains them.
    fn hint(names: &[String], stages: Range<usize>, objective: Objective) -> Self {
        let last = stages.end.saturating_sub(1);
        Self {
            name: format!("hint-{}", names[last]),
            stages,
            head: false,
            objective,
        }
    }

    /// The labels train `stages`, which end with the last one, and the head.
    pub(crate) fn rest(name: &str, stages: Range<usize>) -> Self {
        Self {
            name: name.into(),
            stages,
            head: true,
            objective: Objective::one(Term::Labels),
        }
    }

    /// The last stage that is run, plus one.
    pub(crate) fn end(&self, count: usize) -> usize {
        if self.objective.reads_output() {
            return count;
        }
        self.objective.taps().last().map_or(count, |last| last + 1)
    }

    /// Whether settings under `name` are for it: its name, or that of its stage.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.short() == name
    }

    /// Its name as settings have it: `layer2` for `stage-layer2`.
    pub(crate) fn short(&self) -> &str {
        self.name.strip_prefix("stage-").unwrap_or(&self.name)
    }
}
