//! The number of views of a sample: one, a bank, or unlimited.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// How many views each sample has, and which of them an epoch uses.
///
/// In a recipe it is a number or a word: `1` for no augmentation, `8` for a bank of eight recorded
/// augmentations, `"unlimited"` for fresh ones in every epoch. The fewer views there are, the more of what a
/// frozen network says of them can be computed once and kept.
///
/// ```
/// use kd_core::ViewPolicy;
/// let bank = ViewPolicy::Bank(4);
/// assert_eq!([bank.view(0), bank.view(3), bank.view(4), bank.view(9)], [0, 3, 0, 1]);
/// assert_eq!(ViewPolicy::Unlimited.view(9), 9);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ViewPolicy {
    /// One view, the sample as it is: no augmentation at all.
    #[default]
    Fixed,
    /// So many recorded augmentations, at least two; they come round in turn, one an epoch.
    Bank(u32),
    /// A fresh augmentation in every epoch.
    Unlimited,
}

impl ViewPolicy {
    /// The view that `epoch` uses.
    pub fn view(self, epoch: usize) -> u64 {
        match self {
            Self::Fixed => 0,
            Self::Bank(views) => epoch as u64 % u64::from(views.max(1)),
            Self::Unlimited => epoch as u64,
        }
    }

    /// The number of views of a sample, if it is limited.
    pub fn count(self) -> Option<u32> {
        match self {
            Self::Fixed => Some(1),
            Self::Bank(views) => Some(views),
            Self::Unlimited => None,
        }
    }

    /// Whether a view may differ from the sample as it is.
    pub fn augments(self) -> bool {
        self != Self::Fixed
    }

    /// Checks the size of a bank.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a bank of fewer than two views.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Bank(views @ ..2) => {
                let problem = format!(
                    "must be 1 (no augmentation), 2 or more, or \"unlimited\"; a bank of {views} is none"
                );
                Err(Error::config("views", problem))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for ViewPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed => f.write_str("1"),
            Self::Bank(views) => write!(f, "{views}"),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

impl Serialize for ViewPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.count() {
            Some(views) => serializer.serialize_u32(views),
            None => serializer.serialize_str("unlimited"),
        }
    }
}

impl<'de> Deserialize<'de> for ViewPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrWord)
    }
}

struct NumberOrWord;

impl Visitor<'_> for NumberOrWord {
    type Value = ViewPolicy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("1 (no augmentation), a number of recorded views, or \"unlimited\"")
    }

    fn visit_u64<E: de::Error>(self, views: u64) -> Result<ViewPolicy, E> {
        match u32::try_from(views) {
            Ok(1) => Ok(ViewPolicy::Fixed),
            Ok(views @ 2..) => Ok(ViewPolicy::Bank(views)),
            _ => Err(E::invalid_value(de::Unexpected::Unsigned(views), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, views: i64) -> Result<ViewPolicy, E> {
        match u64::try_from(views) {
            Ok(views) => self.visit_u64(views),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(views), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<ViewPolicy, E> {
        match word {
            "unlimited" => Ok(ViewPolicy::Unlimited),
            _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for ViewPolicy {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ViewPolicy".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "oneOf": [{ "type": "integer", "minimum": 1 }, { "const": "unlimited" }]
        })
    }
}
