//! Functions that an elementwise operation applies to each number by itself.

/// A function of one number, as far as a constant needs to know it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Function {
    Relu,
    LeakyRelu(f64),
    Clamp([f64; 2]),
    Sigmoid,
    /// `clamp(slope * x + shift, 0, 1)`.
    HardSigmoid([f64; 2]),
    Tanh,
    Shift(f64),
    Scale(f64),
    /// Any other; whether it leaves 0 at 0.
    Other {
        keeps_zero: bool,
    },
}

impl Function {
    /// Its value, where it is known.
    pub(crate) fn of(self, value: f64) -> Option<f64> {
        Some(match self {
            Self::Relu => value.max(0.0),
            Self::LeakyRelu(slope) if value < 0.0 => slope * value,
            Self::LeakyRelu(_) => value,
            Self::Clamp([least, most]) => value.max(least).min(most),
            Self::Sigmoid => 1.0 / (1.0 + (-value).exp()),
            Self::HardSigmoid([slope, shift]) => (slope * value + shift).clamp(0.0, 1.0),
            Self::Tanh => value.tanh(),
            Self::Shift(shift) => value + shift,
            Self::Scale(factor) => value * factor,
            Self::Other { keeps_zero } => return (keeps_zero && value == 0.0).then_some(0.0),
        })
    }

    /// Whether it leaves 0 at 0.
    pub(crate) fn keeps_zero(self) -> bool {
        self.of(0.0) == Some(0.0)
    }
}
