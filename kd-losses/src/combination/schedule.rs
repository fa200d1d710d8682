//! Weights that change with time.

use crate::check;
use crate::error::Result;
use burn::serde::de::value::MapAccessDeserializer;
use burn::serde::de::{MapAccess, Visitor};
use burn::serde::{Deserialize, Deserializer, Serialize, Serializer};
use core::f64::consts::PI;
use core::fmt;

/// A weight as a function of time.
///
/// ```text
/// constant:  value
/// linear:    from + (to - from) t                        t = (epoch - begin) / epochs, held within 0 and 1
/// cosine:    from + (to - from) (1 - cos(pi t)) / 2
/// warm-up:   to t, with begin = 0
/// ramp-up:   to exp(-5 (1 - t)^2), with begin = 0
/// window:    value where from_epoch <= epoch < until_epoch, else 0
/// ```
///
/// Time is counted in epochs from 0 and may be a fraction: half-way through the first epoch is 0.5. In a
/// recipe a schedule is a number, which is a constant, or a table with `kind` (the names above) and the
/// fields of that kind; `begin` and `from_epoch` are 0 where they are left out. A weight is finite and may be
/// negative, which turns a term round, as in adversarial training.
///
/// # Examples
///
/// ```
/// use kd_losses::Schedule;
///
/// let ramp = Schedule::WarmUp { to: 2.0, epochs: 4.0 };
/// ramp.check()?;
/// assert_eq!((ramp.at(0.0), ramp.at(1.0), ramp.at(9.0)), (0.0, 0.5, 2.0));
/// assert!(Schedule::from(0.9).is_constant());
/// # Ok::<(), kd_losses::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Schedule {
    /// The same at all times; a bare number in a recipe.
    Constant {
        /// The weight.
        value: f64,
    },
    /// A straight line.
    Linear {
        /// The weight until `begin`.
        from: f64,
        /// The weight from `begin + epochs` on.
        to: f64,
        /// The epoch at which the change begins, at least 0.
        begin: f64,
        /// The length of the change in epochs, above 0.
        epochs: f64,
    },
    /// Half a wave of a cosine, level at both ends.
    Cosine {
        /// The weight until `begin`.
        from: f64,
        /// The weight from `begin + epochs` on.
        to: f64,
        /// The epoch at which the change begins, at least 0.
        begin: f64,
        /// The length of the change in epochs, above 0.
        epochs: f64,
    },
    /// A straight line from 0 at the start of training.
    WarmUp {
        /// The weight from `epochs` on.
        to: f64,
        /// The length of the change in epochs, above 0.
        epochs: f64,
    },
    /// A Gaussian from 0.0067 times `to` at the start of training, nearly level at both ends.
    ///
    /// Laine and Aila, "Temporal Ensembling for Semi-Supervised Learning", ICLR 2017, arXiv 1610.02242: the
    /// weight of a term that compares a network with its own earlier predictions. ONE (arXiv 1806.04606) and
    /// `OKDDip` (arXiv 1912.00350) give it to the divergence between peers, which has little to teach before
    /// they have learnt something; see [`Schedule::ramp_up`].
    RampUp {
        /// The weight from `epochs` on.
        to: f64,
        /// The length of the change in epochs, above 0.
        epochs: f64,
    },
    /// Only at some of the time, for terms of a first phase or of a last one.
    Window {
        /// The weight within the window; it is 0 elsewhere.
        value: f64,
        /// The first epoch of the window, at least 0.
        from_epoch: f64,
        /// The end of the window, which is outside it, above `from_epoch`.
        until_epoch: f64,
    },
}

impl Schedule {
    /// [`Schedule::RampUp`] to `to`, as long as in the code of ONE and `OKDDip`: over 80 of 300 epochs, in
    /// whole epochs. A run of at most one epoch has the constant `to`.
    ///
    /// Their code takes the weight once an epoch, at its whole number.
    ///
    /// # Examples
    ///
    /// ```
    /// use kd_losses::Schedule;
    ///
    /// let ramp = Schedule::ramp_up(1.0, 300);
    /// assert_eq!(ramp, Schedule::RampUp { to: 1.0, epochs: 80.0 });
    /// assert!((ramp.at(0.0) - 0.006_738).abs() < 1e-6);
    /// assert_eq!(ramp.at(80.0), 1.0);
    /// ```
    pub fn ramp_up(to: f64, total_epochs: usize) -> Self {
        let epochs = (total_epochs as f64 * 80.0 / 300.0).round();
        if epochs < 1.0 {
            return Self::Constant { value: to };
        }
        Self::RampUp { to, epochs }
    }

    /// The weight at an epoch, which may be a fraction.
    pub fn at(&self, epoch: f64) -> f64 {
        match *self {
            Self::Constant { value } => value,
            Self::Linear {
                from,
                to,
                begin,
                epochs,
            } => between(from, to, share(epoch, begin, epochs)),
            Self::Cosine {
                from,
                to,
                begin,
                epochs,
            } => {
                let share = share(epoch, begin, epochs);
                between(from, to, (1.0 - (PI * share).cos()) / 2.0)
            }
            Self::WarmUp { to, epochs } => between(0.0, to, share(epoch, 0.0, epochs)),
            Self::RampUp { to, epochs } => {
                let rest = 1.0 - share(epoch, 0.0, epochs);
                to * (-5.0 * rest * rest).exp()
            }
            Self::Window {
                value,
                from_epoch,
                until_epoch,
            } => {
                if (from_epoch..until_epoch).contains(&epoch) {
                    value
                } else {
                    0.0
                }
            }
        }
    }

    /// Whether the weight is a constant.
    pub fn is_constant(&self) -> bool {
        matches!(self, Self::Constant { .. })
    }

    /// The largest distance of the weight from 0: a term whose largest weight is 0 is never in use.
    pub fn largest(&self) -> f64 {
        match *self {
            Self::Constant { value } | Self::Window { value, .. } => value.abs(),
            Self::Linear { from, to, .. } | Self::Cosine { from, to, .. } => {
                from.abs().max(to.abs())
            }
            Self::WarmUp { to, .. } | Self::RampUp { to, .. } => to.abs(),
        }
    }

    /// Checks the fields.
    ///
    /// # Errors
    ///
    /// A weight or a time that is not finite; a change that begins before 0 or takes no time; a window that
    /// ends before it begins.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::Constant { value } => finite("value", value),
            Self::Linear {
                from,
                to,
                begin,
                epochs,
            }
            | Self::Cosine {
                from,
                to,
                begin,
                epochs,
            } => {
                finite("from", from)?;
                finite("to", to)?;
                check::not_negative("begin", begin, "epochs are counted from 0")?;
                duration(epochs)
            }
            Self::WarmUp { to, epochs } | Self::RampUp { to, epochs } => {
                finite("to", to)?;
                duration(epochs)
            }
            Self::Window {
                value,
                from_epoch,
                until_epoch,
            } => {
                finite("value", value)?;
                check::not_negative("from_epoch", from_epoch, "epochs are counted from 0")?;
                let ok = until_epoch.is_finite() && until_epoch > from_epoch;
                let range = "finite and above `from_epoch`";
                let advice =
                    "the window ends before this epoch; use a number to weigh a term always";
                check::constant("until_epoch", until_epoch, ok, range, advice)
            }
        }
    }
}

impl From<f64> for Schedule {
    fn from(value: f64) -> Self {
        Self::Constant { value }
    }
}

/// The share of the change that is done, from 0 to 1.
fn share(epoch: f64, begin: f64, epochs: f64) -> f64 {
    ((epoch - begin) / epochs).clamp(0.0, 1.0)
}

/// Both ends are met exactly.
fn between(from: f64, to: f64, share: f64) -> f64 {
    from * (1.0 - share) + to * share
}

fn finite(name: &'static str, value: f64) -> Result<()> {
    let advice = "0 turns a term off";
    check::constant(name, value, value.is_finite(), "finite", advice)
}

fn duration(epochs: f64) -> Result<()> {
    let advice = "for a weight that does not change write a number";
    check::positive("epochs", epochs, advice)
}

/// A schedule as a table in a recipe.
#[derive(Serialize, Deserialize)]
#[serde(
    crate = "burn::serde",
    tag = "kind",
    rename_all = "kebab-case",
    deny_unknown_fields
)]
enum Table {
    Constant {
        value: f64,
    },
    Linear {
        from: f64,
        to: f64,
        #[serde(default)]
        begin: f64,
        epochs: f64,
    },
    Cosine {
        from: f64,
        to: f64,
        #[serde(default)]
        begin: f64,
        epochs: f64,
    },
    WarmUp {
        to: f64,
        epochs: f64,
    },
    RampUp {
        to: f64,
        epochs: f64,
    },
    Window {
        value: f64,
        #[serde(default)]
        from_epoch: f64,
        until_epoch: f64,
    },
}

/// Both have the same kinds with the same fields.
macro_rules! same_kinds {
    ($from:ident, $to:ident) => {
        impl From<$from> for $to {
            #[rustfmt::skip]
            fn from(schedule: $from) -> Self {
                match schedule {
                    $from::Constant { value } => Self::Constant { value },
                    $from::Linear { from, to, begin, epochs } => Self::Linear { from, to, begin, epochs },
                    $from::Cosine { from, to, begin, epochs } => Self::Cosine { from, to, begin, epochs },
                    $from::WarmUp { to, epochs } => Self::WarmUp { to, epochs },
                    $from::RampUp { to, epochs } => Self::RampUp { to, epochs },
                    $from::Window { value, from_epoch, until_epoch } => {
                        Self::Window { value, from_epoch, until_epoch }
                    }
                }
            }
        }
    };
}

same_kinds!(Schedule, Table);
same_kinds!(Table, Schedule);

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Constant { value } => serializer.serialize_f64(value),
            other => Table::from(other).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrTable)
    }
}

struct NumberOrTable;

impl<'de> Visitor<'de> for NumberOrTable {
    type Value = Schedule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a table with `kind`")
    }

    fn visit_f64<E>(self, value: f64) -> Result<Schedule, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Schedule, E> {
        Ok((value as f64).into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Schedule, E> {
        Ok((value as f64).into())
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Schedule, A::Error> {
        Table::deserialize(MapAccessDeserializer::new(table)).map(Schedule::from)
    }
}
