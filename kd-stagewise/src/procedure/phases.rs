//! The phases of each procedure, with their objectives.

use kd_core::{Error, Result};
use kd_losses::FspPooling;

use crate::Procedure;
use crate::objective::Objective;
use crate::phase_spec::PhaseSpec;
use crate::terms::Term;

impl Procedure {
    /// Checks its constants.
    fn check(&self) -> Result<()> {
        let wrong = |name: &str, range: &str, value: f64| {
            let field = format!("stagewise.procedure.{name}");
            let problem = format!("must be {range}, got {value}");
            Err(Error::config(field, problem))
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
        let all = |name: &str, objective: Objective| PhaseSpec::all(name, count, objective);
        let labels = || Objective::one(Term::Labels);
        Ok(match self {
            Self::Skd {} => stage_by_stage(names),
            Self::RandomTrunk {} => vec![PhaseSpec::rest("head", count..count)],
            Self::NoTeacher {} => vec![all("labels", labels())],
            Self::Simultaneous {} => {
                let share = ((count + 1) as f64).recip();
                let maps = (0..count).map(|stage| (Term::Map(stage), share));
                vec![all("labels-and-maps", labels_and(share, maps))]
            }
            Self::FitnetsCode { guided } => guided_by_maps(guided, names)?,
            Self::Fitnets {
                guided,
                alpha,
                temperature,
            } => {
                let cut = guided_stages(guided.as_slice(), names)?[0];
                let objective = Objective::one(Term::HalfSquare(cut));
                vec![
                    PhaseSpec::hint(names, 0..cut + 1, objective),
                    all("labels-and-teacher", hinton(*alpha, *temperature)),
                ]
            }
            Self::AttentionTransfer { beta } => {
                let maps = count.saturating_sub(1).max(1);
                let share = ((maps + 1) as f64).recip();
                let attention = count - maps..count;
                let attention = attention.map(|stage| (Term::Attention(stage), beta * share));
                vec![all("labels-and-attention", labels_and(share, attention))]
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

/// Each stage alone learns its map; then the head learns the labels.
fn stage_by_stage(names: &[String]) -> Vec<PhaseSpec> {
    let stage = |(stage, name): (usize, &String)| PhaseSpec {
        name: format!("stage-{name}"),
        stages: stage..stage + 1,
        head: false,
        objective: Objective::one(Term::Map(stage)),
    };
    let head = PhaseSpec::rest("head", names.len()..names.len());
    let stages = names.iter().enumerate().map(stage);
    stages.chain([head]).collect()
}

/// The stages up to each guided one learn its map and are frozen then; the rest learns the labels.
fn guided_by_maps(guided: &[String], names: &[String]) -> Result<Vec<PhaseSpec>> {
    let mut phases = Vec::new();
    let mut first = 0;
    for cut in guided_stages(guided, names)? {
        let objective = Objective::one(Term::Map(cut));
        phases.push(PhaseSpec::hint(names, first..cut + 1, objective));
        first = cut + 1;
    }
    phases.push(PhaseSpec::rest("labels", first..names.len()));
    Ok(phases)
}

/// The labels with the weight `share`, and `others`.
fn labels_and(share: f64, others: impl Iterator<Item = (Term, f64)>) -> Objective {
    Objective {
        terms: std::iter::once((Term::Labels, share))
            .chain(others)
            .collect(),
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

/// The flow between neighbouring stages, all but the first of more than two, as the public code or as the
/// paper has it.
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
                "is missing, and the student has no stage `layer2` to be guided at by default; name one of: \
                 {}",
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
