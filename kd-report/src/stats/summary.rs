//! Mean and spread of one number over seeds.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::check_finite;
use crate::{Error, Result};

/// Mean and spread of one number over several runs.
///
/// ```text
/// mean = 1/n * sum x        std = sqrt(1/(n-1) * sum (x - mean)^2)
/// ```
///
/// # Examples
///
/// ```
/// use kd_report::Summary;
///
/// let accuracy = Summary::of(&[84.0, 85.0, 83.0])?;
/// assert_eq!(format!("{accuracy:.2}"), "84.00 ± 1.00");
/// assert_eq!(format!("{:.1}", Summary::of(&[84.0])?), "84.0");
/// # Ok::<(), kd_report::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// The number of values.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Their sample standard deviation, with `n - 1`; one value has none.
    pub std: Option<f64>,
    /// The least value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
}

impl Summary {
    /// Summarises values.
    ///
    /// # Errors
    ///
    /// [`Error::NoValues`] without a value, [`Error::NotFinite`] if one is not finite.
    pub fn of(values: &[f64]) -> Result<Self> {
        check_finite("summary", values)?;
        if values.is_empty() {
            return Err(Error::NoValues {
                what: "summary".into(),
                remedy: "give the value of at least one run".into(),
            });
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Ok(Self {
            count: values.len(),
            mean,
            std: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }

    /// The same in another unit, for example `times(100.0)` for a share as a percentage.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        let (low, high) = (self.min * factor, self.max * factor);
        Self {
            count: self.count,
            mean: self.mean * factor,
            std: self.std.map(|std| std * factor.abs()),
            min: low.min(high),
            max: low.max(high),
        }
    }
}

/// `mean ± std`, or the mean alone of one value; two decimals, or as many as `{:.N}` asks for.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = f.precision().unwrap_or(2);
        write!(f, "{:.decimals$}", self.mean)?;
        match self.std {
            Some(std) => write!(f, " ± {std:.decimals$}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_values_by_hand() {
        let made = Summary::of(&[1.0, 2.0, 6.0]).unwrap();
        assert_eq!(
            (made.count, made.mean, made.min, made.max),
            (3, 3.0, 1.0, 6.0)
        );
        // (4 + 1 + 9) / 2 = 7
        assert!((made.std.unwrap() - 7_f64.sqrt()).abs() < 1e-15);
        assert_eq!(made.to_string(), "3.00 ± 2.65");
        assert_eq!(format!("{:.1}", made.times(-10.0)), "-30.0 ± 26.5");
        let turned = made.times(-1.0);
        assert_eq!((turned.min, turned.max), (-6.0, -1.0));
    }

    #[test]
    fn one_value_has_no_spread_and_none_is_an_error() {
        let made = Summary::of(&[0.5]).unwrap();
        assert_eq!((made.std, made.to_string().as_str()), (None, "0.50"));
        assert_eq!(
            Summary::of(&[]).unwrap_err().to_string(),
            "summary: there are no values; give the value of at least one run"
        );
    }

    #[test]
    fn a_value_that_is_not_finite_is_named() {
        let error = Summary::of(&[0.5, f64::NAN]).unwrap_err().to_string();
        assert!(error.starts_with("summary: value 1 is NaN;"), "{error}");
        assert!(Summary::of(&[f64::INFINITY]).is_err());
        assert!(Summary::of(&[f64::MAX, f64::MAX]).is_err());
    }
}
