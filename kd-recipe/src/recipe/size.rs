//! The size of images: a number of pixels, or height and width; written alike in recipes and as options.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Height and width of images: `64` or `[48, 64]` in a recipe, `64` or `48x64` as text; either form is taken
/// in both places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSize {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

const EXPECTED: &str = "a number of pixels, or height and width";

impl FromStr for ImageSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.trim().trim_start_matches('[').trim_end_matches(']');
        let (height, width) = bare.split_once(['x', ',']).unwrap_or((bare, bare));
        match (height.trim().parse(), width.trim().parse()) {
            (Ok(height), Ok(width)) => Ok(Self { height, width }),
            _ => Err(format!("{EXPECTED} such as 48x64")),
        }
    }
}

impl Serialize for ImageSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.height == self.width {
            self.height.serialize(serializer)
        } else {
            [self.height, self.width].serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for ImageSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Size;

        impl<'de> Visitor<'de> for Size {
            type Value = ImageSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{EXPECTED} as [48, 64]")
            }

            fn visit_i64<E: serde::de::Error>(self, side: i64) -> Result<Self::Value, E> {
                let side = usize::try_from(side)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(side), &self))?;
                Ok(ImageSize {
                    height: side,
                    width: side,
                })
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sides: A) -> Result<Self::Value, A::Error> {
                let missing = |count| serde::de::Error::invalid_length(count, &Self);
                let height = sides.next_element()?.ok_or_else(|| missing(0))?;
                let width = sides.next_element()?.ok_or_else(|| missing(1))?;
                match sides.next_element::<usize>()? {
                    Some(_) => Err(missing(3)),
                    None => Ok(ImageSize { height, width }),
                }
            }
        }

        deserializer.deserialize_any(Size)
    }
}

impl JsonSchema for ImageSize {
    fn schema_name() -> Cow<'static, str> {
        "ImageSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let side = json_schema!({ "type": "integer", "minimum": 1, "maximum": 4096 });
        json_schema!({
            "oneOf": [
                side,
                { "type": "array", "items": side, "minItems": 2, "maxItems": 2 },
                { "type": "string", "pattern": "^ *[0-9]+( *[x,] *[0-9]+)? *$" }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Table {
        size: ImageSize,
    }

    #[test]
    fn a_size_is_a_number_or_two() {
        for (text, height, width) in [("size = 64\n", 64, 64), ("size = [48, 64]\n", 48, 64)] {
            let table: Table = toml::from_str(text).unwrap();
            assert_eq!(table.size, ImageSize { height, width });
            assert_eq!(toml::to_string(&table).unwrap(), text);
        }
        for (text, words) in [
            (
                "size = -1",
                "invalid value: integer `-1`, expected a number of pixels, or height and width as [48, 64]",
            ),
            ("size = [1]", "invalid length 1"),
            ("size = [1, 2, 3]", "invalid length 3"),
            ("size = true", "invalid type: boolean"),
        ] {
            let error = toml::from_str::<Table>(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(
            "32".parse(),
            Ok(ImageSize {
                height: 32,
                width: 32
            })
        );
        assert_eq!(
            "8x16".parse(),
            Ok(ImageSize {
                height: 8,
                width: 16
            })
        );
        assert!("8x".parse::<ImageSize>().is_err());
    }
}
