//! Claims of a campaign file: what its runs are to show.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use toml::Value;

use crate::campaign::measure::Measure;

/// A claim: the first of each pair is above the second, or both are the same within a margin.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimEntry {
    /// A short name, such as `S1`.
    pub(crate) name: String,
    /// The claim in words.
    pub(crate) says: String,
    /// Pairs whose first is to be above the second by more than the margin.
    #[serde(default)]
    pub(crate) above: Vec<[Operand; 2]>,
    /// Pairs that are to differ by no more than the margin.
    #[serde(default)]
    pub(crate) same: Vec<[Operand; 2]>,
    /// The margin in the unit of the metric, so that 0.01 of an accuracy is a point. Below 0, the first may
    /// be so much below the second.
    #[serde(default)]
    pub(crate) margin: f64,
}

/// One side of a comparison: `method.metric`, or a number.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) enum Operand {
    /// A metric of a method after the last epoch.
    Measured { method: String, metric: String },
    /// A number.
    Number(f64),
}

impl JsonSchema for Operand {
    fn schema_name() -> Cow<'static, str> {
        "Operand".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [{ "type": "number" }, { "type": "string", "pattern": "^.+\\..+$" }]
        })
    }
}

impl TryFrom<Value> for Operand {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let wrong = || {
            format!(
                "a claim compares \"METHOD.METRIC\", such as \"kd.accuracy\", with another or with a number, \
                 got {value}"
            )
        };
        match &value {
            Value::Float(number) => Ok(Self::Number(*number)),
            Value::Integer(number) => Ok(Self::Number(*number as f64)),
            Value::String(text) => match text.rsplit_once('.') {
                Some((method, metric)) if !method.is_empty() && !metric.is_empty() => {
                    Ok(Self::Measured {
                        method: method.to_owned(),
                        metric: metric.to_owned(),
                    })
                }
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}

impl Operand {
    /// The method that it is measured of.
    fn method(&self) -> Option<&str> {
        match self {
            Self::Measured { method, .. } => Some(method),
            Self::Number(_) => None,
        }
    }

    /// The measure that it is shown in; a number has that of the other side.
    pub(crate) fn measure(&self) -> Option<Measure> {
        match self {
            Self::Measured { metric, .. } => Some(Measure::of(metric)),
            Self::Number(_) => None,
        }
    }
}

impl ClaimEntry {
    /// All pairs.
    pub(crate) fn pairs(&self) -> &[[Operand; 2]] {
        if self.above.is_empty() {
            &self.same
        } else {
            &self.above
        }
    }

    /// The methods that it names.
    pub(crate) fn methods(&self) -> impl Iterator<Item = &str> {
        self.pairs().iter().flatten().filter_map(Operand::method)
    }

    /// Whether its parts fit together.
    pub(crate) fn check(&self) -> Result<(), String> {
        let who = format!("claim `{}`", self.name);
        if self.name.trim().is_empty() || self.says.trim().is_empty() {
            return Err(format!("{who} needs a `name` and what it `says`"));
        }
        if self.above.is_empty() == self.same.is_empty() {
            return Err(format!(
                "{who} needs either pairs that are `above`, as `above = [[\"kd.accuracy\", \
                 \"alone.accuracy\"]]`, or pairs that are the `same`"
            ));
        }
        if !self.margin.is_finite() {
            return Err(format!(
                "`margin` of {who} is {}, not a number",
                self.margin
            ));
        }
        if !self.same.is_empty() && self.margin <= 0.0 {
            return Err(format!(
                "{who} says that values are the same, which needs a `margin` above 0: no two runs are equal"
            ));
        }
        for pair in self.pairs() {
            match [pair[0].measure(), pair[1].measure()] {
                [None, None] => {
                    return Err(format!("{who} compares two numbers; measure one of them"));
                }
                [Some(one), Some(other)] if one != other => {
                    return Err(format!(
                        "{who} compares a share with another kind of number"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(text: &str) -> Result<ClaimEntry, String> {
        let claim: ClaimEntry = toml::from_str(text).map_err(|error| error.to_string())?;
        claim.check()?;
        Ok(claim)
    }

    #[test]
    fn operands_are_metrics_of_methods_or_numbers() {
        let pairs = "[[\"v1.2.accuracy\", \"b.accuracy\"], [\"b.accuracy\", 1]]";
        let text = format!("name = \"S1\"\nsays = \"better\"\nabove = {pairs}");
        let read = claim(&text).unwrap();
        assert_eq!(read.methods().collect::<Vec<_>>(), ["v1.2", "b", "b"]);
        assert_eq!(read.pairs()[1][1], Operand::Number(1.0));
    }

    #[test]
    fn what_does_not_fit_is_refused_in_words() {
        let head = "name = \"S1\"\nsays = \"better\"\n";
        for (rest, expected) in [
            ("", "needs either pairs that are `above`"),
            (
                "same = [[\"a.dist\", \"b.dist\"]]",
                "needs a `margin` above 0",
            ),
            (
                "above = [[\"a.dist\", \"b.dist\"]]\nsame = [[\"a.dist\", \"b.dist\"]]",
                "needs either",
            ),
            (
                "above = [[\"a.dist\", \"b.dist\"]]\nmargin = inf",
                "not a number",
            ),
            (
                "above = [[\"dist\", \"b.dist\"]]",
                "a claim compares \"METHOD.METRIC\"",
            ),
            ("above = [[1, 2.0]]", "compares two numbers"),
            (
                "above = [[\"a.accuracy\", \"a.dist\"]]",
                "compares a share with another",
            ),
            ("above = [[\"a.dist\"]]", "2"),
            ("above = [[\"a.dist\", \"b.dist\"]]\nbelow = []", "below"),
        ] {
            let error = claim(&format!("{head}{rest}")).unwrap_err();
            assert!(error.contains(expected), "{error}\n{expected}");
        }
    }
}
