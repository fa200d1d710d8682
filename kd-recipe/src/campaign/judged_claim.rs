//! Judged claims: whether the runs of a campaign show what a claim says.

use std::collections::BTreeMap;

use kd_report::PairedDifference;
use serde::{Deserialize, Serialize};

use crate::campaign::claim::{ClaimEntry, Operand};
use crate::campaign::measure::Measure;

/// A claim, what was measured for it, and whether it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JudgedClaim {
    /// Its short name.
    pub name: String,
    /// The claim in words.
    pub says: String,
    /// By how much the values have to differ, or may differ, in the unit of the metric.
    pub margin: f64,
    /// What was measured for each of its pairs.
    pub comparisons: Vec<Comparison>,
    /// Whether it holds.
    pub verdict: Verdict,
}

/// The two sides of a comparison and their difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Comparison {
    /// Both sides in words.
    pub what: String,
    /// The first minus the second, paired by seed; nothing as long as no seed is done in both.
    pub difference: Option<PairedDifference>,
    /// The unit that it is shown in.
    #[serde(default)]
    pub(crate) measure: Measure,
}

/// Whether a claim holds.
///
/// Each comparison has the 95 % interval of Student's t over the differences of its seeds. Nothing is
/// corrected for the number of comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All intervals lie on the side that the claim says.
    Held,
    /// An interval lies wholly on the other side.
    NotHeld,
    /// An interval reaches over the margin, or one seed alone gives none.
    Open,
    /// Something that it compares is not measured.
    NotMeasured,
}

impl Verdict {
    /// As the table of results has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::NotHeld => "**not held**",
            Self::Open => "not to be told",
            Self::NotMeasured => "not measured",
        }
    }
}

/// Judges a claim, given the values of a metric of a method by seed, and what methods are called.
pub(crate) fn judge(
    claim: &ClaimEntry,
    values: &dyn Fn(&str, &str) -> BTreeMap<u64, f64>,
    title: &dyn Fn(&str) -> String,
) -> JudgedClaim {
    let compare = |pair: &[Operand; 2]| Comparison {
        what: in_words(pair, title),
        difference: difference(pair, values),
        measure: pair
            .iter()
            .find_map(Operand::measure)
            .unwrap_or(Measure::Plain),
    };
    let comparisons: Vec<Comparison> = claim.pairs().iter().map(compare).collect();
    let same = !claim.same.is_empty();
    let verdicts = comparisons
        .iter()
        .map(|comparison| verdict(comparison.difference, claim.margin, same));
    JudgedClaim {
        name: claim.name.clone(),
        says: claim.says.clone(),
        margin: claim.margin,
        verdict: together(verdicts),
        comparisons,
    }
}

/// The verdict on a difference.
fn verdict(difference: Option<PairedDifference>, margin: f64, same: bool) -> Verdict {
    let Some(difference) = difference else {
        return Verdict::NotMeasured;
    };
    let Some([low, high]) = difference.interval else {
        return Verdict::Open;
    };
    let (held, not_held) = if same {
        (
            -margin <= low && high <= margin,
            low > margin || high < -margin,
        )
    } else {
        (low > margin, high < margin)
    };
    match (held, not_held) {
        (true, _) => Verdict::Held,
        (_, true) => Verdict::NotHeld,
        _ => Verdict::Open,
    }
}

/// The verdict on several comparisons, all of which have to hold.
fn together(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Held => 0,
        Verdict::Open => 1,
        Verdict::NotMeasured => 2,
        Verdict::NotHeld => 3,
    };
    verdicts.max_by_key(rank).unwrap_or(Verdict::NotMeasured)
}

fn difference(
    pair: &[Operand; 2],
    values: &dyn Fn(&str, &str) -> BTreeMap<u64, f64>,
) -> Option<PairedDifference> {
    let measured = |operand: &Operand| match operand {
        Operand::Measured { method, metric } => Ok(values(method, metric)),
        Operand::Number(number) => Err(*number),
    };
    let like = |other: &BTreeMap<u64, f64>, number: f64| -> BTreeMap<u64, f64> {
        other.keys().map(|seed| (*seed, number)).collect()
    };
    let (first, second) = match (measured(&pair[0]), measured(&pair[1])) {
        (Ok(first), Ok(second)) => (first, second),
        (Ok(first), Err(number)) => {
            let second = like(&first, number);
            (first, second)
        }
        (Err(number), Ok(second)) => (like(&second, number), second),
        (Err(_), Err(_)) => return None,
    };
    PairedDifference::of(&first, &second).ok()
}

/// Both sides in words; what they have in common is said once.
fn in_words(pair: &[Operand; 2], title: &dyn Fn(&str) -> String) -> String {
    let metric = |metric: &str| Measure::of(metric).label(metric);
    let number = |number: f64, beside: &str| {
        let measure = Measure::of(beside);
        let decimals = measure.decimals();
        format!("{:.decimals$}", number * measure.factor())
    };
    match pair {
        [
            Operand::Measured { method, metric: a },
            Operand::Measured {
                method: other,
                metric: b,
            },
        ] if a == b => format!("{} − {}, {}", title(method), title(other), metric(a)),
        [
            Operand::Measured { method, metric: a },
            Operand::Measured {
                method: other,
                metric: b,
            },
        ] if method == other => format!("{}, {} − {}", title(method), metric(a), metric(b)),
        [
            Operand::Measured { method, metric: a },
            Operand::Measured {
                method: other,
                metric: b,
            },
        ] => format!(
            "{}, {} − {}, {}",
            title(method),
            metric(a),
            title(other),
            metric(b)
        ),
        [Operand::Measured { method, metric: a }, Operand::Number(of)] => {
            format!("{}, {} − {}", title(method), metric(a), number(*of, a))
        }
        [Operand::Number(of), Operand::Measured { method, metric: b }] => {
            format!("{} − {}, {}", number(*of, b), title(method), metric(b))
        }
        [Operand::Number(a), Operand::Number(b)] => format!("{a} − {b}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(method: &str, metric: &str) -> BTreeMap<u64, f64> {
        let all: &[f64] = match (method, metric) {
            ("a", "dist") => &[3.0, 4.0, 5.0],
            ("b", "dist") => &[1.0, 2.0, 3.1],
            ("c", "dist") => &[9.0, 1.0, 5.0],
            ("one", "dist") => &[0.5],
            ("a", "mean_dist") => &[1.0, 2.0, 3.0],
            _ => &[],
        };
        (0..).zip(all.iter().copied()).collect()
    }

    fn judged(rest: &str) -> JudgedClaim {
        let text = format!("name = \"S1\"\nsays = \"it is so\"\n{rest}");
        let claim: ClaimEntry = toml::from_str(&text).unwrap();
        claim.check().unwrap();
        judge(&claim, &values, &|name| name.to_uppercase())
    }

    #[test]
    fn a_claim_holds_where_all_intervals_do() {
        for (rest, expected) in [
            ("above = [[\"a.dist\", \"b.dist\"]]", Verdict::Held),
            (
                "above = [[\"b.dist\", \"a.dist\"]]\nmargin = -3.0",
                Verdict::Held,
            ),
            ("above = [[\"b.dist\", \"a.dist\"]]", Verdict::NotHeld),
            ("above = [[\"a.dist\", \"c.dist\"]]", Verdict::Open),
            (
                "above = [[\"a.dist\", \"b.dist\"], [\"a.dist\", \"c.dist\"]]",
                Verdict::Open,
            ),
            (
                "above = [[\"a.dist\", \"c.dist\"], [\"b.dist\", \"a.dist\"]]",
                Verdict::NotHeld,
            ),
            (
                "above = [[\"a.dist\", \"b.dist\"]]\nmargin = 1.9",
                Verdict::Open,
            ),
            (
                "above = [[\"a.dist\", \"b.dist\"]]\nmargin = 3.0",
                Verdict::NotHeld,
            ),
            (
                "same = [[\"a.dist\", \"b.dist\"]]\nmargin = 3.0",
                Verdict::Held,
            ),
            (
                "same = [[\"a.dist\", \"b.dist\"]]\nmargin = 2.0",
                Verdict::Open,
            ),
            (
                "same = [[\"a.dist\", \"b.dist\"]]\nmargin = 1.0",
                Verdict::NotHeld,
            ),
            ("above = [[\"one.dist\", \"a.dist\"]]", Verdict::Open),
            (
                "above = [[\"none.dist\", \"a.dist\"]]",
                Verdict::NotMeasured,
            ),
            ("above = [[\"a.dist\", 0.1]]", Verdict::Held),
            ("above = [[\"a.dist\", 10]]", Verdict::NotHeld),
            ("above = [[10, \"a.dist\"]]", Verdict::Held),
            ("above = [[\"a.dist\", \"a.mean_dist\"]]", Verdict::Held),
        ] {
            assert_eq!(judged(rest).verdict, expected, "{rest}");
        }
    }

    #[test]
    fn a_comparison_says_what_it_compares() {
        for (pair, expected) in [
            ("[\"a.dist\", \"b.dist\"]", "A − B, dist"),
            ("[\"a.dist\", \"a.mean_dist\"]", "A, dist − mean dist"),
            ("[\"a.dist\", \"b.mean_dist\"]", "A, dist − B, mean dist"),
            ("[\"a.accuracy\", 0.5]", "A, accuracy (%) − 50.00"),
            ("[0.5, \"a.dist\"]", "0.5000 − A, dist"),
        ] {
            let claim = judged(&format!("above = [{pair}]"));
            assert_eq!(claim.comparisons[0].what, expected);
        }
    }
}
