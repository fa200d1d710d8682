//! The paired difference of a method and a baseline that had the same seeds.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Summary, student_t_quantile};
use crate::{Error, Result};

/// The mean difference between two methods that ran with the same seeds.
///
/// A seed gives both the same data order and the same initial weights, so that much of the spread over seeds
/// is common to them and cancels out. With the differences `d` of `n` seeds:
///
/// ```text
/// mean of d ± t * std of d / sqrt(n)
///
/// t: the 0.975 quantile of Student's t with n - 1 degrees of freedom
/// ```
///
/// # Examples
///
/// ```
/// use std::collections::BTreeMap;
/// use kd_report::PairedDifference;
///
/// let alone = BTreeMap::from([(0, 80.0), (1, 82.0), (2, 81.0)]);
/// let distilled = BTreeMap::from([(0, 81.0), (1, 83.5), (2, 82.4)]);
/// let gain = PairedDifference::of(&distilled, &alone)?;
/// assert_eq!(format!("{gain:.2}"), "+1.30 [+0.64, +1.96]");
/// # Ok::<(), kd_report::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairedDifference {
    /// The number of seeds that both have.
    pub count: usize,
    /// The mean of value minus baseline.
    pub mean: f64,
    /// The sample standard deviation of the differences; one pair has none.
    pub std: Option<f64>,
    /// The interval that covers the true difference in 95 of 100 such comparisons; one pair has none.
    pub interval: Option<[f64; 2]>,
}

impl PairedDifference {
    /// Compares the seeds that both have.
    ///
    /// # Errors
    ///
    /// [`Error::NoValues`] if they have no seed in common, [`Error::NotFinite`] if a value is not finite.
    pub fn of<Seed: Ord>(
        values: &BTreeMap<Seed, f64>,
        baseline: &BTreeMap<Seed, f64>,
    ) -> Result<Self> {
        let differences: Vec<f64> = values
            .iter()
            .filter_map(|(seed, value)| Some(value - baseline.get(seed)?))
            .collect();
        if differences.is_empty() {
            return Err(Error::NoValues {
                what: "paired difference".into(),
                remedy: "run both methods with the same seeds".into(),
            });
        }
        let Summary {
            count, mean, std, ..
        } = Summary::of(&differences)?;
        let interval = match std {
            Some(std) => {
                let half = student_t_quantile(0.975, count - 1)? * std / (count as f64).sqrt();
                Some([mean - half, mean + half])
            }
            None => None,
        };
        Ok(Self {
            count,
            mean,
            std,
            interval,
        })
    }

    /// Whether the interval leaves out a difference of 0; `false` for one pair.
    pub fn is_significant(&self) -> bool {
        self.interval
            .is_some_and(|[low, high]| low > 0.0 || high < 0.0)
    }

    /// The same in another unit, for example `times(100.0)` for a share as a percentage.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        let scaled = self.interval.map(|ends| ends.map(|end| end * factor));
        Self {
            count: self.count,
            mean: self.mean * factor,
            std: self.std.map(|std| std * factor.abs()),
            interval: scaled.map(|[low, high]| [low.min(high), low.max(high)]),
        }
    }
}

/// `+mean [low, high]`, or the mean alone of one pair; two decimals, or as many as `{:.N}` asks for.
impl fmt::Display for PairedDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = f.precision().unwrap_or(2);
        write!(f, "{:+.decimals$}", self.mean)?;
        match self.interval {
            Some([low, high]) => write!(f, " [{low:+.decimals$}, {high:+.decimals$}]"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(values: &[(u64, f64)]) -> BTreeMap<u64, f64> {
        values.iter().copied().collect()
    }

    #[test]
    fn only_seeds_that_both_have_count() {
        let one = runs(&[(0, 3.0), (1, 5.0), (7, 100.0)]);
        let made = PairedDifference::of(&one, &runs(&[(0, 2.0), (1, 2.0), (8, 0.0)])).unwrap();
        assert_eq!((made.count, made.mean), (2, 2.0));
        // std = sqrt(2), t(0.975, 1) = 12.7062: 2 ± 12.7062 * sqrt(2) / sqrt(2)
        assert!((made.std.unwrap() - 2_f64.sqrt()).abs() < 1e-15);
        let [low, high] = made.interval.unwrap();
        assert!((low + 10.706_204_7).abs() < 1e-6 && (high - 14.706_204_7).abs() < 1e-6);
        assert!(!made.is_significant());
        let turned = made.times(-1.0);
        assert_eq!(turned.interval, Some([-high, -low]));
    }

    #[test]
    fn one_pair_has_no_interval() {
        let made = PairedDifference::of(&runs(&[(0, 3.0)]), &runs(&[(0, 4.0)])).unwrap();
        assert_eq!((made.std, made.interval), (None, None));
        assert!(!made.is_significant());
        assert_eq!(made.to_string(), "-1.00");
    }

    #[test]
    fn the_same_difference_in_every_pair_is_sure() {
        let made = PairedDifference::of(&runs(&[(0, 3.0), (1, 4.0)]), &runs(&[(0, 2.0), (1, 3.0)]));
        assert_eq!(made.as_ref().unwrap().interval, Some([1.0, 1.0]));
        assert!(made.unwrap().is_significant());
    }

    #[test]
    fn without_a_common_seed_there_is_no_comparison() {
        let error = PairedDifference::of(&runs(&[(0, 3.0)]), &runs(&[(1, 4.0)])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "paired difference: there are no values; run both methods with the same seeds"
        );
    }
}
