//! The head of a recipe: its method, seed and device. The framework reads them; the rest is the method's.

use kd_core::{Error, Result};
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize, forward_to_deserialize_any};
use toml::Spanned;

use crate::read::{MoreKeys, read_as};

const KEYS: [&str; 3] = ["method", "seed", "device"];

/// The three keys that every recipe has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The name of the method, if the recipe says it.
    pub(crate) method: Option<String>,
    /// The seed of initial weights, order and views; 0 where the recipe does not say it.
    pub(crate) seed: u64,
    /// The device: `auto`, `cpu`, `cuda`, ...
    pub(crate) device: String,
}

/// The same with the place of each value in the text.
#[derive(Deserialize)]
struct Placed {
    method: Option<Spanned<String>>,
    seed: Option<Spanned<u64>>,
    device: Option<Spanned<String>>,
}

/// Reads the head of a recipe; its other keys are not looked at.
///
/// # Errors
///
/// As [`read_recipe`](crate::read_recipe).
pub(crate) fn read_head(origin: &str, text: &str, overrides: &[String]) -> Result<Head> {
    let placed: Placed = read_as(origin, text, overrides, None, |text| toml::from_str(text))?;
    let device = placed.device.map(Spanned::into_inner);
    Ok(Head {
        method: placed.method.map(Spanned::into_inner),
        seed: placed.seed.map_or(0, Spanned::into_inner),
        device: device.unwrap_or_else(|| "auto".into()),
    })
}

/// Reads what a recipe holds beside its head.
///
/// # Errors
///
/// As [`read_recipe`](crate::read_recipe).
pub(crate) fn read_body<T: DeserializeOwned>(
    origin: &str,
    text: &str,
    overrides: &[String],
) -> Result<T> {
    let more = MoreKeys {
        of: keys_of::<T>(),
        keys: &KEYS,
    };
    read_as(origin, text, overrides, Some(more), |text| {
        let head: Placed = toml::from_str(text)?;
        toml::from_str(&without(text, &head))
    })
}

/// The recipe as TOML: its head and then `body`.
///
/// # Errors
///
/// [`Error::Method`] for what TOML cannot hold.
pub(crate) fn write(
    method: &str,
    seed: u64,
    device: &str,
    body: &(impl Serialize + ?Sized),
) -> Result<String> {
    #[derive(Serialize)]
    struct Written<'a> {
        method: &'a str,
        seed: u64,
        device: &'a str,
    }
    let cannot = |error| Error::method("the resolved recipe", error);
    let head = Written {
        method,
        seed,
        device,
    };
    let head = toml::to_string(&head).map_err(cannot)?;
    Ok(head + &toml::to_string(body).map_err(cannot)?)
}

/// The text with the lines of the head blank, so that everything else keeps its line.
fn without(text: &str, head: &Placed) -> String {
    let spans = [
        head.method.as_ref().map(Spanned::span),
        head.seed.as_ref().map(Spanned::span),
        head.device.as_ref().map(Spanned::span),
    ];
    let mut blank = text.to_owned();
    for span in spans.into_iter().flatten() {
        let begin = blank[..span.start].rfind('\n').map_or(0, |end| end + 1);
        let keep = |c: char| if c == '\n' { "\n" } else { " " };
        let line: String = blank[begin..span.end]
            .chars()
            .map(|c| keep(c).repeat(c.len_utf8()))
            .collect();
        blank.replace_range(begin..span.end, &line);
    }
    blank
}

/// The keys of a struct, as its deserializer has them.
pub(crate) fn keys_of<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Asked<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Asked<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
            Err(Self::Error::custom("there is no value"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _name: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
            option unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier
            ignored_any
        }
    }

    let mut keys: &'static [&'static str] = &[];
    drop(T::deserialize(Asked(&mut keys)));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        lr: f64,
        train: Train,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Train {
        epochs: usize,
    }

    const TEXT: &str =
        "# a recipe\nmethod = \"m\"\nlr = 0.5\nseed = 7 # of all\n[train]\nepochs = 2\n";

    fn body(text: &str, overrides: &[&str]) -> Result<Body> {
        let overrides: Vec<String> = overrides.iter().map(|&entry| entry.to_owned()).collect();
        read_body("r.toml", text, &overrides)
    }

    #[test]
    fn head_and_body_are_read_apart_and_written_together() {
        let head = read_head("r.toml", TEXT, &[]).unwrap();
        assert_eq!((head.method.as_deref(), head.seed), (Some("m"), 7));
        assert_eq!(head.device, "auto");
        let read = body(TEXT, &["device=cpu"]).unwrap();
        assert_eq!((read.lr, read.train.epochs), (0.5, 2));
        let written = write("m", 7, "cpu", &read).unwrap();
        assert_eq!(
            written,
            "method = \"m\"\nseed = 7\ndevice = \"cpu\"\nlr = 0.5\n\n[train]\nepochs = 2\n"
        );
        assert_eq!(body(&written, &[]).unwrap(), read);
    }

    #[test]
    fn an_error_keeps_its_line_and_knows_the_keys_of_the_head() {
        for (from, to, expected) in [
            (
                "lr =",
                "sed = 3\nlr =",
                "r.toml, line 3: `sed = 3`: unknown key `sed`; did you mean `seed`?; known: `method`, \
                 `seed`, `device`, \
                 `lr`, `train`",
            ),
            (
                "epochs = 2",
                "epochs = 2\nseed = 3",
                "r.toml, line 7: `seed = 3`: unknown key `seed`; known: `epochs`",
            ),
            (
                "= 2",
                "= \"two\"",
                "r.toml, line 6: `epochs = \"two\"`: invalid type",
            ),
            (
                "= 7",
                "= \"x\"",
                "r.toml, line 4: `seed = \"x\" # of all`: invalid type",
            ),
        ] {
            assert!(TEXT.contains(from));
            let error = body(&TEXT.replace(from, to), &[]).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}\nis not\n{expected}");
        }
    }

    #[test]
    fn a_head_of_several_lines_and_other_letters_is_left_out() {
        let text =
            "method = \"\"\"\nm\u{e4}\"\"\"\nlr = 1.0\ndevice = 'c\u{fc}'\n[train]\nepochs = 1\n";
        assert_eq!(
            read_head("r", text, &[]).unwrap().method.as_deref(),
            Some("m\u{e4}")
        );
        assert_eq!(body(text, &[]).unwrap().train.epochs, 1);
    }
}
