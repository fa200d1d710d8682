//! The weights of classes in a cross-entropy, for classes of uneven size.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How much a sample of each class counts: `"balanced"`, or one number a class, as in `[1.0, 19.0]`.
///
/// ```
/// use kd_core::ClassWeights;
///
/// assert_eq!(ClassWeights::Balanced.of(&[95, 5])?, [100.0 / 190.0, 10.0]);
/// # Ok::<(), kd_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
#[non_exhaustive]
pub enum ClassWeights {
    /// In words: `"balanced"`.
    Named(NamedWeights),
    /// One number a class, in label order, each above 0.
    Given(Vec<f64>),
}

/// Weights that the training samples tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NamedWeights {
    /// `samples / (classes * samples of the class)`: every class counts alike, and a sample 1 on average.
    Balanced,
}

impl ClassWeights {
    /// [`NamedWeights::Balanced`].
    #[expect(non_upper_case_globals, reason = "it is written as a variant")]
    pub const Balanced: Self = Self::Named(NamedWeights::Balanced);

    /// Checks what can be checked without the samples.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a weight that is not finite and above 0.
    pub fn check(&self) -> Result<()> {
        let Self::Given(weights) = self else {
            return Ok(());
        };
        match weights
            .iter()
            .find(|weight| !weight.is_finite() || **weight <= 0.0)
        {
            None => Ok(()),
            Some(weight) => {
                let problem = format!("must be finite and above 0, got {weight}");
                Err(Error::config("class_weights", problem))
            }
        }
    }

    /// The weight of each class, `counts` the number of its training samples. A class without samples has
    /// weight 1.
    ///
    /// # Errors
    ///
    /// As [`ClassWeights::check`], and [`Error::Config`] for another number of weights than of classes.
    pub fn of(&self, counts: &[usize]) -> Result<Vec<f64>> {
        self.check()?;
        match self {
            Self::Given(weights) if weights.len() != counts.len() => {
                let (found, wanted) = (weights.len(), counts.len());
                let problem = format!("must be one number a class, {wanted}, got {found}");
                Err(Error::config("class_weights", problem))
            }
            Self::Given(weights) => Ok(weights.clone()),
            Self::Named(NamedWeights::Balanced) => {
                let samples: usize = counts.iter().sum();
                let classes = counts.iter().filter(|count| **count > 0).count();
                let weight = |&count: &usize| match count {
                    0 => 1.0,
                    count => samples as f64 / (classes as f64 * count as f64),
                };
                Ok(counts.iter().map(weight).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_weights_are_one_a_class_and_above_0() {
        assert_eq!(
            ClassWeights::Given(vec![1.0, 2.0]).of(&[3, 4]).unwrap(),
            [1.0, 2.0]
        );
        for (weights, said) in [
            (vec![1.0], "one number a class, 2, got 1"),
            (vec![1.0, 0.0], "above 0, got 0"),
            (vec![1.0, f64::NAN], "above 0, got NaN"),
        ] {
            let error = ClassWeights::Given(weights)
                .of(&[3, 4])
                .unwrap_err()
                .to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn balanced_weights_give_each_class_the_same_sum() {
        let weights = ClassWeights::Balanced.of(&[95, 0, 5]).unwrap();
        assert!((weights[1] - 1.0).abs() < 1e-15);
        assert!(
            (weights[0] * 95.0 - 50.0).abs() < 1e-12 && (weights[2] * 5.0 - 50.0).abs() < 1e-12
        );
    }
}
