//! Learning rates as functions of the step.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the learning rate goes over a phase. Each is a pure function of the step, so that it needs no state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Schedule {
    /// Always the base rate.
    // With braces: serde would let any key pass beside a variant without.
    Constant {},
    /// Multiplied by `gamma` at the start of each epoch in `milestones`.
    MultiStep {
        /// Epochs, counted from 0, in any order.
        milestones: Vec<usize>,
        /// The factor, 0.1 by default.
        #[serde(default = "gamma")]
        #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
        gamma: f64,
    },
    /// Half a cosine from the base rate at step 0 to `final_lr` at the end, changed at every step.
    Cosine {
        /// The rate that is approached at the end.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
        final_lr: f64,
    },
    /// PyTorch's one-cycle policy with cosine annealing; the base rate is the peak.
    OneCycle {
        /// The share of the steps in which the rate rises.
        #[serde(default = "rising_share")]
        #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1)))]
        rising_share: f64,
        /// The first rate is the peak divided by this.
        #[serde(default = "start_divisor")]
        #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
        start_divisor: f64,
        /// The last rate is the first divided by this.
        #[serde(default = "final_divisor")]
        #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
        final_divisor: f64,
        /// Lowest and highest momentum: it falls from the highest to the lowest while the rate rises, and
        /// rises again while the rate falls. PyTorch does so with 0.85 and 0.95 unless it is told not to.
        /// Without it the optimizer's own stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        momentum: Option<[f64; 2]>,
    },
}

fn gamma() -> f64 {
    0.1
}

fn rising_share() -> f64 {
    0.3
}

fn start_divisor() -> f64 {
    25.0
}

fn final_divisor() -> f64 {
    1e4
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Constant {}
    }
}

impl Schedule {
    /// One-cycle with PyTorch's defaults.
    pub fn one_cycle() -> Self {
        Self::OneCycle {
            rising_share: rising_share(),
            start_divisor: start_divisor(),
            final_divisor: final_divisor(),
            momentum: None,
        }
    }

    /// One-cycle with PyTorch's defaults, that of the momentum included.
    pub fn one_cycle_with_momentum() -> Self {
        Self::OneCycle {
            rising_share: rising_share(),
            start_divisor: start_divisor(),
            final_divisor: final_divisor(),
            momentum: Some([0.85, 0.95]),
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for the first value out of range.
    pub fn check(&self) -> Result<()> {
        let positive = |name: &str, value: f64| {
            if value.is_finite() && value > 0.0 {
                Ok(())
            } else {
                let problem = format!("must be finite and above 0, got {value}");
                Err(Error::config(format!("schedule.{name}"), problem))
            }
        };
        match *self {
            Self::Constant {} => Ok(()),
            Self::MultiStep { gamma, .. } => positive("gamma", gamma),
            Self::Cosine { final_lr } if final_lr.is_finite() && final_lr >= 0.0 => Ok(()),
            Self::Cosine { final_lr } => Err(Error::config(
                "schedule.final_lr",
                format!("must be finite and not negative, got {final_lr}"),
            )),
            Self::OneCycle {
                rising_share,
                start_divisor,
                final_divisor,
                momentum,
            } => {
                positive("start_divisor", start_divisor)?;
                positive("final_divisor", final_divisor)?;
                if let Some([low, high]) = momentum
                    && !(0.0 <= low && low <= high && high < 1.0)
                {
                    let problem = format!(
                        "must be two numbers of at least 0 and below 1, the lower one first, got {low} and \
                         {high}"
                    );
                    return Err(Error::config("schedule.momentum", problem));
                }
                if rising_share > 0.0 && rising_share < 1.0 {
                    return Ok(());
                }
                let problem = format!("must be between 0 and 1, got {rising_share}");
                Err(Error::config("schedule.rising_share", problem))
            }
        }
    }
}

/// A schedule made ready for a phase of known length.
#[derive(Clone, Debug, PartialEq)]
pub struct LearningRate {
    /// The base rate, or the peak for one-cycle.
    pub base: f64,
    /// How it goes.
    pub schedule: Schedule,
    /// The rate is multiplied by `(step + 1) / warmup_steps` until then.
    pub warmup_steps: usize,
    /// The steps of the whole phase.
    pub total_steps: usize,
    /// The steps of an epoch, for milestones.
    pub steps_per_epoch: usize,
}

impl LearningRate {
    /// The rate for `step`, counted from 0.
    pub fn at(&self, step: usize) -> f64 {
        let warmup = if step < self.warmup_steps {
            (step + 1) as f64 / self.warmup_steps as f64
        } else {
            1.0
        };
        warmup * self.scheduled(step)
    }

    fn scheduled(&self, step: usize) -> f64 {
        match &self.schedule {
            Schedule::Constant {} => self.base,
            Schedule::MultiStep { milestones, gamma } => {
                let epoch = step / self.steps_per_epoch.max(1);
                let passed = milestones
                    .iter()
                    .filter(|&&milestone| milestone <= epoch)
                    .count();
                self.base * gamma.powf(passed as f64)
            }
            Schedule::Cosine { final_lr } => cosine(
                self.base,
                *final_lr,
                step as f64 / self.total_steps.max(1) as f64,
            ),
            Schedule::OneCycle {
                rising_share,
                start_divisor,
                final_divisor,
                ..
            } => {
                let first = self.base / start_divisor;
                self.cycle(
                    *rising_share,
                    step,
                    [first, self.base, first / final_divisor],
                )
            }
        }
    }

    /// The momentum for `step`, counted from 0, where the schedule has one: of SGD, and the decay of the
    /// first moment of Adam.
    pub fn momentum(&self, step: usize) -> Option<f64> {
        match self.schedule {
            Schedule::OneCycle {
                rising_share,
                momentum: Some([low, high]),
                ..
            } => Some(self.cycle(rising_share, step, [high, low, high])),
            _ => None,
        }
    }

    /// From the first of three values to the second in `rising_share` of the steps, and on to the third.
    fn cycle(&self, rising_share: f64, step: usize, [first, peak, last]: [f64; 3]) -> f64 {
        // The peak is at step `top`, the last value at step `end`, both possibly between two steps.
        let top = rising_share * self.total_steps as f64 - 1.0;
        let end = self.total_steps as f64 - 1.0;
        let step = step as f64;
        if top > 0.0 && step <= top {
            cosine(first, peak, step / top)
        } else {
            cosine(peak, last, (step - top) / (end - top))
        }
    }
}

/// From `start` at 0 to `end` at 1 along half a cosine.
fn cosine(start: f64, end: f64, share: f64) -> f64 {
    end + (start - end) * (1.0 + (std::f64::consts::PI * share.clamp(0.0, 1.0)).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(schedule: Schedule, warmup_steps: usize) -> LearningRate {
        LearningRate {
            base: 0.1,
            schedule,
            warmup_steps,
            total_steps: 100,
            steps_per_epoch: 10,
        }
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-12 * b.abs().max(1e-3), "{a} is not {b}");
    }

    #[test]
    fn a_key_that_a_schedule_does_not_have_is_refused() {
        for text in [
            r#"{ "kind": "constant", "gama": 1.0 }"#,
            r#"{ "kind": "cosine", "gamma": 1.0 }"#,
        ] {
            assert!(serde_json::from_str::<Schedule>(text).is_err(), "{text}");
        }
        let constant = serde_json::from_str::<Schedule>(r#"{ "kind": "constant" }"#).ok();
        assert_eq!(constant, Some(Schedule::Constant {}));
    }

    #[test]
    fn milestones_count_epochs_from_zero() {
        let lr = rate(
            Schedule::MultiStep {
                milestones: vec![3, 6],
                gamma: 0.1,
            },
            0,
        );
        for (step, expected) in [
            (0, 0.1),
            (29, 0.1),
            (30, 0.01),
            (59, 0.01),
            (60, 0.001),
            (99, 0.001),
        ] {
            close(lr.at(step), expected);
        }
    }

    #[test]
    fn cosine_is_half_way_down_in_the_middle() {
        let lr = rate(Schedule::Cosine { final_lr: 0.02 }, 0);
        close(lr.at(0), 0.1);
        close(lr.at(50), 0.06);
        close(lr.at(100), 0.02);
    }

    #[test]
    fn warm_up_rises_linearly_to_the_schedule() {
        let lr = rate(Schedule::Constant {}, 5);
        for (step, expected) in [(0, 0.02), (3, 0.08), (4, 0.1), (5, 0.1)] {
            close(lr.at(step), expected);
        }
    }

    /// Values of `torch.optim.lr_scheduler.OneCycleLR(max_lr=0.1, total_steps=100)`, PyTorch 2.15.
    #[test]
    fn one_cycle_is_that_of_pytorch() {
        let lr = rate(Schedule::one_cycle(), 0);
        for (step, expected) in ONE_CYCLE {
            assert!(
                (lr.at(step) - expected).abs() < 1e-9,
                "step {step}: {} is not {expected}",
                lr.at(step)
            );
        }
    }

    /// Rate and momentum of `torch.optim.lr_scheduler.OneCycleLR(max_lr=1e-2, total_steps=10)` for Adam,
    /// PyTorch 2.15.
    #[test]
    fn the_momentum_of_one_cycle_is_that_of_pytorch() {
        let lr = LearningRate {
            base: 1e-2,
            schedule: Schedule::one_cycle_with_momentum(),
            warmup_steps: 0,
            total_steps: 10,
            steps_per_epoch: 5,
        };
        for (step, (rate, momentum)) in CYCLED.into_iter().enumerate() {
            close(lr.at(step), rate);
            close(lr.momentum(step).unwrap(), momentum);
        }
        assert_eq!(rate(Schedule::one_cycle(), 0).momentum(3), None);
    }

    const CYCLED: [(f64, f64); 10] = [
        (4e-4, 0.95),
        (5.2e-3, 0.9),
        (1e-2, 0.85),
        (0.009_504_846_320_134_737, 0.854_951_556_604_879),
        (0.008_117_456_539_497_631, 0.868_825_509_907_063_3),
        (0.006_112_620_219_362_892_5, 0.888_873_953_302_184_2),
        (0.003_887_419_780_637_108, 0.911_126_046_697_815_7),
        (0.001_882_583_460_502_37, 0.931_174_490_092_936_6),
        (0.000_495_193_679_865_262_8, 0.945_048_443_395_121),
        (4e-8, 0.95),
    ];

    const ONE_CYCLE: [(usize, f64); 6] = [
        (0, 0.004),
        (7, 0.017_152_216_388),
        (29, 0.1),
        (30, 0.099_949_653_528),
        (64, 0.050_000_2),
        (99, 4e-07),
    ];
}
