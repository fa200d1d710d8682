//! An exponential penalty on the increase of a loss.

use crate::catalogue::{Constant, Family, LossInfo, Paper};
use crate::check;
use crate::error::{Error, Result};
use burn::config::Config;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::Tensor;

/// The exponential of what a loss has gained over a remembered value.
///
/// ```text
/// loss = exp(L - R)                     where L - R <= c
///        exp(c) (1 + L - R - c)         above: the tangent at c
///
/// L = loss      R = reference, a constant      c = largest_exponent
/// ```
///
/// # Shapes
///
/// - `loss`, `reference`, result: `[1]`
///
/// The result has no unit and is above 0; `L` and `R` have the unit of a logarithm. Its gradient is that of
/// `L` times `exp(L - R)`: a weight that grows as the loss gets worse than it was and falls as it gets
/// better. `largest_exponent` is above 0 and bounds that weight, so that a term that explodes has a large
/// gradient and not an infinite one; for losses that lie within an interval shorter than it, as the terms of
/// the paper do (the logarithm of the number of classes), it changes nothing. A loss that is NaN gives NaN.
///
/// # Errors
///
/// `largest_exponent` outside its range; a loss or reference that is not one number; different dtypes or
/// devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::increment_penalty;
///
/// let device = Device::flex();
/// let loss = Tensor::<1>::from_data([1.5], &device);
/// let reference = Tensor::<1>::from_data([1.0], &device);
/// let value = increment_penalty(loss, reference, 20.0)?.into_scalar::<f32>();
/// assert!((value - 0.5_f32.exp()).abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Han, Park, Wang, Liu, "Robustness and Diversity Seeking Data-Free Knowledge Distillation", ICASSP 2021,
/// arXiv 2011.03749: the abstract has the idea, the authors' code the form. The code has no bound on the
/// exponent.
pub fn increment_penalty(
    loss: Tensor<1>,
    reference: Tensor<1>,
    largest_exponent: f64,
) -> Result<Tensor<1>> {
    check_largest(largest_exponent)?;
    check_one("loss", &loss)?;
    check_reference(&loss, &reference)?;
    Ok(penalty(
        loss - reference.without_autodiff(),
        largest_exponent,
    ))
}

fn penalty(increment: Tensor<1>, largest_exponent: f64) -> Tensor<1> {
    let exponent = increment.clone().clamp_max(largest_exponent);
    // 1 where the exponent is not bounded, with slope 0 there
    exponent.clone().exp() * (increment - exponent + 1.0)
}

/// The value of the past that a loss is compared with.
///
/// All references are 0 before the first is taken, as in the authors' code.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum IncrementReference {
    /// The loss of the second step of each epoch, used from the third step on until the second of the next:
    /// the authors' code, with epochs of 120 steps. With epochs of one step it stays 0.
    EpochSecondStep,
    /// The loss of the step before: a reading of the paper's words. The weights are near 1 then.
    EveryStep,
    /// A moving average: `decay` times the reference plus `1 - decay` times the loss; the first loss is taken
    /// whole. Ours.
    Average {
        /// The share of the old reference that is kept in each step, at least 0 and below 1.
        decay: f64,
    },
    /// No penalty: the loss itself, for comparison.
    None,
}

/// The constants of [`IncrementPenalty`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct IncrementPenaltyConfig {
    /// The reference that the loss is compared with.
    ///
    /// As the authors' code by default.
    #[config(default = "IncrementReference::EpochSecondStep")]
    pub reference: IncrementReference,
    /// The increment beyond which the exponential goes on as its tangent, above 0 and at most 80.
    ///
    /// 20, a weight of 5e8, whose square is still a number of 32 bits: ours. The authors' code has no bound
    /// and needs none for its own two terms, which lie within the logarithm of the number of classes.
    #[config(default = 20.0)]
    pub largest_exponent: f64,
}

impl IncrementPenaltyConfig {
    /// Checks the constants and makes the penalty of one term.
    ///
    /// # Errors
    ///
    /// `decay` or `largest_exponent` outside its range.
    pub fn init(&self) -> Result<IncrementPenalty> {
        check_largest(self.largest_exponent)?;
        if let IncrementReference::Average { decay } = self.reference {
            let advice = "0.99 remembers some hundred steps";
            let ok = (0.0..1.0).contains(&decay);
            check::constant("decay", decay, ok, "at least 0 and below 1", advice)?;
        }
        Ok(IncrementPenalty {
            config: self.clone(),
            state: IncrementPenaltyState::default(),
        })
    }
}

/// [`increment_penalty`] of one term, with the value that it remembers; made by [`IncrementPenaltyConfig`].
///
/// Each term has a penalty of its own. The reference is a tensor that stays on the device: no step waits for
/// it.
#[derive(Clone, Debug)]
pub struct IncrementPenalty {
    config: IncrementPenaltyConfig,
    state: IncrementPenaltyState,
}

/// The memory of an [`IncrementPenalty`].
#[derive(Clone, Debug, Default)]
pub struct IncrementPenaltyState {
    /// The reference, `[1]` on the plain device; `None` before the first is taken, which counts as 0.
    pub reference: Option<Tensor<1>>,
}

impl IncrementPenalty {
    /// The penalty of `loss`, `[1]`, at step number `step_in_epoch`, counted from 0; remembers the loss where
    /// it is to be the next reference.
    ///
    /// A loss that is not finite is never remembered.
    ///
    /// # Errors
    ///
    /// A loss that is not one number, or with another dtype or device than the reference.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::IncrementPenaltyConfig;
    ///
    /// let mut penalty = IncrementPenaltyConfig::new().init()?;
    /// let mut values = Vec::new();
    /// for step in 0..3 {
    ///     let loss = Tensor::<1>::from_data([2.0], &Device::flex());
    ///     values.push(penalty.forward(loss, step)?.into_scalar::<f32>());
    /// }
    /// // Against 0 until the second step has been taken, then against that.
    /// assert!((values[1] - 2.0_f32.exp()).abs() < 1e-5);
    /// assert_eq!(values[2], 1.0);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(&mut self, loss: Tensor<1>, step_in_epoch: usize) -> Result<Tensor<1>> {
        check_one("loss", &loss)?;
        if self.config.reference == IncrementReference::None {
            return Ok(loss);
        }
        let now = loss.clone().without_autodiff();
        let increment = match &self.state.reference {
            Some(reference) => {
                check_reference(&loss, reference)?;
                loss - reference.clone()
            }
            None => loss,
        };
        self.remember(now, step_in_epoch);
        Ok(penalty(increment, self.config.largest_exponent))
    }

    fn remember(&mut self, loss: Tensor<1>, step_in_epoch: usize) {
        let old = self.state.reference.take();
        let kept = old.clone().unwrap_or_else(|| loss.zeros_like());
        let new = match (self.config.reference, &old) {
            (IncrementReference::EpochSecondStep, _) if step_in_epoch != 1 => {
                self.state.reference = old;
                return;
            }
            (IncrementReference::Average { decay }, Some(old)) => {
                old.clone() * decay + loss * (1.0 - decay)
            }
            _ => loss,
        };
        // A reference that is not finite would poison every step after.
        let finite = new.clone().is_finite();
        self.state.reference = Some(kept.mask_where(finite, new));
    }

    /// Its memory, for a checkpoint. Reading the tensor waits for the device.
    pub fn state(&self) -> IncrementPenaltyState {
        self.state.clone()
    }

    /// Goes on from a checkpoint.
    ///
    /// # Errors
    ///
    /// A reference that is not one number.
    pub fn restore(&mut self, state: IncrementPenaltyState) -> Result<()> {
        let IncrementPenaltyState { reference } = state;
        if let Some(reference) = &reference {
            check_one("reference", reference)?;
        }
        let reference = reference.map(Tensor::without_autodiff);
        self.state = IncrementPenaltyState { reference };
        Ok(())
    }
}

const LOSS: &str = "increment_penalty";

fn check_one(name: &'static str, value: &Tensor<1>) -> Result<()> {
    if value.dims() == [1] {
        return Ok(());
    }
    Err(Error::NotOneNumber {
        name: name.to_owned(),
        shape: value.dims().to_vec(),
    })
}

fn check_reference(loss: &Tensor<1>, reference: &Tensor<1>) -> Result<()> {
    let advice = "restore the reference on the device and in the dtype of training";
    check::alike(LOSS, ("loss", loss), ("reference", reference), advice)
}

fn check_largest(value: f64) -> Result<()> {
    let ok = value > 0.0 && value <= 80.0;
    let advice = "20 bounds the weight at 5e8";
    check::constant(
        "largest_exponent",
        value,
        ok,
        "above 0 and at most 80",
        advice,
    )
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "increment-penalty",
    title: "Exponential penalty on increments",
    family: Family::Priors,
    about: "the exponential of what a loss has gained over a remembered value",
    paper: Paper {
        authors: "Han et al.",
        year: 2020,
        arxiv: "2011.03749",
        place: "abstract; the form from the authors' code",
    },
    inputs: "a loss `[1]` and the number of the step",
    constants: &[
        Constant {
            name: "reference",
            source: "the authors' code",
        },
        Constant {
            name: "largest_exponent",
            source: "ours; the authors' code has no bound",
        },
    ],
    defaults: Some(|| IncrementPenaltyConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: None,
    cost: "",
    disagreements: "what the increment is measured from: the loss of the step before (a reading of the \
        abstract) or of the second step of the epoch (the authors' code), 0 at first; here the code, the \
        others as `reference`",
};
