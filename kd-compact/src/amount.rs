//! Amounts in a recipe: a share of a whole, or a number.

use kd_core::Error;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// A share of a whole (0.5) or a number, written out (20000000) or with a letter ("20M", "1.5k", "0.3G").
///
/// ```
/// let amount: kd_compact::Amount = serde_json::from_str("\"1.5k\"").unwrap();
/// assert_eq!(amount.of(9000), 1500);
/// let amount: kd_compact::Amount = serde_json::from_str("0.25").unwrap();
/// assert_eq!(amount.of(9000), 2250);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Amount(f64);

impl Amount {
    /// A share of up to 1, or a number above it.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for one that is not above 0.
    pub fn new(number: f64) -> kd_core::Result<Self> {
        if number.is_finite() && number > 0.0 {
            return Ok(Self(number));
        }
        let problem = format!("must be above 0, got {number}");
        Err(Error::config("amount", problem))
    }

    /// In numbers: of `whole`, if it is a share.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an amount is finite and above 0"
    )]
    pub fn of(self, whole: u64) -> u64 {
        if self.0 <= 1.0 {
            (self.0 * whole as f64).floor() as u64
        } else {
            self.0.floor() as u64
        }
    }

    /// The share of `whole` that it is.
    pub fn share(self, whole: u64) -> f64 {
        self.of(whole) as f64 / whole.max(1) as f64
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Text(String),
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = || {
            let rule =
                "must be a share above 0 and up to 1, or a number such as 20000000 or \"20M\"";
            D::Error::custom(rule)
        };
        let written = Written::deserialize(deserializer).map_err(|_| wrong())?;
        let number = match written {
            Written::Number(number) => number,
            Written::Text(text) => {
                let letters = [('k', 1e3), ('M', 1e6), ('G', 1e9)];
                let unit = letters
                    .into_iter()
                    .find(|(letter, _)| text.ends_with(*letter));
                let (letter, factor) = unit.ok_or_else(wrong)?;
                let digits = text.trim_end_matches(letter).trim();
                factor * digits.parse::<f64>().map_err(|_| wrong())?
            }
        };
        if number.is_finite() && number > 0.0 {
            return Ok(Self(number));
        }
        Err(wrong())
    }
}

#[cfg(feature = "recipe")]
impl schemars::JsonSchema for Amount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "oneOf": [
                { "type": "number", "exclusiveMinimum": 0 },
                { "type": "string", "pattern": "^ *[0-9.eE+]+ *[kMG]$" }
            ]
        })
    }
}
