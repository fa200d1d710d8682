//! The weighted sum of several losses.

use crate::error::{Error, Result};
use burn::tensor::Tensor;

/// Adds named losses, each with a weight, and keeps the value that each has by itself.
///
/// ```text
/// total = sum over terms of  weight * value
/// ```
///
/// A term of weight 0 is reported and is no part of the total: neither its value nor its gradient is
/// multiplied by 0, so that a NaN in it goes nowhere and its graph is not walked. Nothing here waits for the
/// device.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::WeightedSum;
///
/// let device = Device::flex();
/// let term = |value: f32| Tensor::<1>::from_data([value], &device);
/// let combined = WeightedSum::new()
///     .add("hard", 0.1, term(2.0))
///     .add("kd", 0.9, term(1.0))
///     .add("hint", 0.0, term(f32::NAN))
///     .finish()?;
/// assert!((combined.total.into_scalar::<f32>() - 1.1).abs() < 1e-6);
/// let names: Vec<&str> = combined.terms.iter().map(|(name, _)| name.as_str()).collect();
/// assert_eq!(names, ["hard", "kd", "hint"]);
/// # Ok::<(), kd_losses::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct WeightedSum {
    terms: Vec<Term>,
}

#[derive(Debug)]
struct Term {
    name: String,
    weight: f64,
    value: Tensor<1>,
}

/// The result of a [`WeightedSum`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Combined {
    /// The sum that is differentiated, `[1]`; where every weight is 0, a 0 whose gradient reaches nothing.
    pub total: Tensor<1>,
    /// The value of each term without its weight, in the order in which they were added, `[1]` on the plain
    /// device: constants that hold no graph.
    pub terms: Vec<(String, Tensor<1>)>,
}

impl WeightedSum {
    /// A sum of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a term; [`Self::finish`] checks it.
    #[must_use]
    pub fn add(mut self, name: impl Into<String>, weight: f64, value: Tensor<1>) -> Self {
        let name = name.into();
        self.terms.push(Term {
            name,
            weight,
            value,
        });
        self
    }

    /// Checks the terms and adds them.
    ///
    /// # Errors
    ///
    /// No terms; two of one name; a weight that is not finite; a value that is not one number; values of
    /// different dtypes or on different devices.
    pub fn finish(self) -> Result<Combined> {
        self.check()?;
        let mut terms = Vec::with_capacity(self.terms.len());
        let (mut total, mut nothing) = (None, None);
        for Term {
            name,
            weight,
            value,
        } in self.terms
        {
            terms.push((name, value.clone().without_autodiff()));
            if weight.abs() > 0.0 {
                // A weight of 1 is common and costs no operation.
                let unweighted = (weight - 1.0).abs() <= 0.0;
                let weighted = if unweighted { value } else { value * weight };
                total = Some(match total {
                    Some(sum) => sum + weighted,
                    None => weighted,
                });
            } else if nothing.is_none() || value.is_autodiff() {
                // Burn panics at `backward` of what has no graph, so where there is autodiff this 0 is a
                // leaf.
                let learns = value.is_autodiff();
                nothing = Some(value.zeros_like().set_require_grad(learns));
            }
        }
        let total = match (total, nothing) {
            // All that counts is constant, and what learns has weight 0.
            (Some(total), Some(nothing)) if nothing.is_autodiff() && !total.is_autodiff() => {
                nothing + total
            }
            (total, nothing) => total.or(nothing).ok_or(Error::NoTerms)?,
        };
        Ok(Combined { total, terms })
    }

    fn check(&self) -> Result<()> {
        let first = self.terms.first().ok_or(Error::NoTerms)?;
        for (index, term) in self.terms.iter().enumerate() {
            let name = || term.name.clone();
            if self.terms[..index]
                .iter()
                .any(|other| other.name == term.name)
            {
                return Err(Error::EqualTerms { name: name() });
            }
            if !term.weight.is_finite() {
                return Err(Error::WeightOfTerm {
                    name: name(),
                    weight: term.weight,
                });
            }
            if term.value.dims() != [1] {
                return Err(Error::NotOneNumber {
                    name: name(),
                    shape: term.value.dims().to_vec(),
                });
            }
            let (dtype, device) = (term.value.dtype(), term.value.device());
            let unequal = |what, found, expected| Error::UnlikeTerms {
                what,
                left: first.name.clone(),
                left_has: expected,
                right: name(),
                right_has: found,
            };
            if dtype != first.value.dtype() {
                let expected = format!("{:?}", first.value.dtype());
                return Err(unequal("dtype", format!("{dtype:?}"), expected));
            }
            if device != first.value.device() {
                let expected = format!("{:?}", first.value.device());
                return Err(unequal("device", format!("{device:?}"), expected));
            }
        }
        Ok(())
    }
}
