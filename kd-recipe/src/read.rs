//! Reading recipes: TOML, unknown keys refused, with values put over it.

use kd_core::{Error, Result, nearest};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Reads a recipe from `text`, with `overrides` (`train.epochs=3`) put over it.
///
/// `T` refuses unknown keys with `#[serde(deny_unknown_fields)]`; the error then names the nearest known key
/// and shows the line. The value of an override is read as TOML, and as a string where it is none; a number
/// in its path is an index into an array (`losses.0.weight=0.5`).
///
/// # Errors
///
/// [`Error::Recipe`] that names `origin`, the line where it is known, and what to do.
///
/// ```
/// #[derive(Debug, serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Recipe { seed: u64 }
///
/// let recipe: Recipe = kd_recipe::read_recipe("my.toml", "seed = 1", &["seed=2".into()])?;
/// assert_eq!(recipe.seed, 2);
/// let error = kd_recipe::read_recipe::<Recipe>("my.toml", "sede = 1", &[]).unwrap_err().to_string();
/// assert_eq!(error, "my.toml, line 1: `sede = 1`: unknown key `sede`; did you mean `seed`?; known: `seed`");
/// # Ok::<(), kd_core::Error>(())
/// ```
pub fn read_recipe<T: DeserializeOwned>(
    origin: &str,
    text: &str,
    overrides: &[String],
) -> Result<T> {
    read_as(origin, text, overrides, None, |text| toml::from_str(text))
}

/// As [`read_recipe`], with `parse` in place of the reader of one type. `more` are keys that are known beside
/// those that an error of `parse` lists, where these are `of`.
pub(crate) fn read_as<T>(
    origin: &str,
    text: &str,
    overrides: &[String],
    more: Option<MoreKeys>,
    parse: impl Fn(&str) -> Result<T, toml::de::Error>,
) -> Result<T> {
    let mut table = text
        .parse::<Table>()
        .map_err(|error| explain(origin, text, more, &error))?;
    for entry in overrides {
        put_over(&mut table, entry)?;
    }
    if overrides.is_empty() {
        return parse(text).map_err(|error| explain(origin, text, more, &error));
    }
    // Written out and read again, so that an error in an override has a line to show, too.
    let merged = toml::to_string(&table).map_err(|error| Error::method("overrides", error))?;
    parse(&merged).map_err(|error| match parse(text) {
        Err(own) if own.message() == error.message() => explain(origin, text, more, &own),
        _ => Error::Recipe {
            origin: format!("{origin} with its overrides"),
            problem: locate(&merged, more, &error).1,
        },
    })
}

/// Keys that stand beside those of a struct in one table of a recipe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MoreKeys {
    /// The keys of the struct.
    pub(crate) of: &'static [&'static str],
    /// The keys beside them.
    pub(crate) keys: &'static [&'static str],
}

/// Puts one `path=value` into `table`.
fn put_over(table: &mut Table, entry: &str) -> Result<()> {
    let wrong = |problem: &str| Error::Override {
        entry: entry.to_owned(),
        problem: format!("{problem}; write it as `train.epochs=3`"),
    };
    let (path, value) = entry
        .split_once('=')
        .ok_or_else(|| wrong("there is no `=`"))?;
    let parts: Vec<&str> = path.trim().split('.').map(str::trim).collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(wrong("the path has an empty part"));
    }
    let value = value.trim();
    let value = format!("value = {value}")
        .parse::<Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| Value::String(value.to_owned()));
    let mut whole = Value::Table(std::mem::take(table));
    let mut at = &mut whole;
    for part in parts {
        at = match at {
            Value::Table(inner) => inner
                .entry(part)
                .or_insert_with(|| Value::Table(Table::new())),
            Value::Array(items) => {
                let count = items.len();
                part.parse::<usize>()
                    .ok()
                    .and_then(|index| items.get_mut(index))
                    .ok_or_else(|| wrong(&format!("`{part}` is no index into a list of {count}")))?
            }
            other => {
                return Err(wrong(&format!(
                    "what is before `{part}` is a {}",
                    other.type_str()
                )));
            }
        };
    }
    *at = value;
    if let Value::Table(inner) = whole {
        *table = inner;
    }
    Ok(())
}

/// An error of the TOML reader in our words, with the line shown.
fn explain(origin: &str, text: &str, more: Option<MoreKeys>, error: &toml::de::Error) -> Error {
    let (line, problem) = locate(text, more, error);
    let place = line.map(|line| format!(", line {}", line + 1));
    Error::Recipe {
        origin: format!("{origin}{}", place.unwrap_or_default()),
        problem,
    }
}

/// The line of an error, from 0, where it is known, and the error in our words with that line shown.
fn locate(text: &str, more: Option<MoreKeys>, error: &toml::de::Error) -> (Option<usize>, String) {
    let message = error.message();
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| {
        let (key, rest) = rest.split_once('`')?;
        let mut known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        if let Some(more) = more.filter(|more| known == more.of) {
            known.splice(0..0, more.keys.iter().copied());
        }
        Some((key, known))
    });
    let line = error
        .span()
        .map(|span| text[..span.start.min(text.len())].matches('\n').count())
        .filter(|_| !text.is_empty());
    // Values that serde buffers have the place of what they are in; the key itself tells where it is then.
    let line = match &unknown {
        Some((key, _)) => {
            let from = |first: usize| {
                let rest = text.lines().skip(first);
                let at = rest.into_iter().position(|line| begins_with_key(line, key));
                at.map(|line| first + line)
            };
            line.and_then(from).or_else(|| from(0)).or(line)
        }
        None => line,
    };
    let problem = match unknown {
        Some((key, known)) => {
            let hint = nearest(key, known.iter().copied())
                .map_or_else(String::new, |word| format!("; did you mean `{word}`?"));
            let known: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
            format!("unknown key `{key}`{hint}; known: {}", known.join(", "))
        }
        None => in_words(&message.trim().replace('\n', " ")),
    };
    match line.and_then(|line| Some((line, text.lines().nth(line)?))) {
        Some((line, shown)) => (Some(line), format!("`{}`: {problem}", shown.trim())),
        None => (None, problem),
    }
}

/// The message with the type that is expected in words, in place of Rust's name of it.
fn in_words(message: &str) -> String {
    let Some((begin, kind)) = message.rsplit_once(", expected ") else {
        return message.to_owned();
    };
    let words = match kind {
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "a boolean" => "true or false",
        "a string" => "a text in quotes",
        "a sequence" => "a list in brackets",
        other => other,
    };
    format!("{begin}, expected {words}")
}

/// Whether a line sets `key` or opens its table.
fn begins_with_key(line: &str, key: &str) -> bool {
    let line = line.trim_start().trim_start_matches('[').trim_start();
    let rest = line.strip_prefix(key).or_else(|| {
        // `losses = [{ kind = "kd", tempreture = 4 }]` and dotted keys.
        let at = line.find(key)?;
        let before = line[..at].trim_end().chars().last()?;
        matches!(before, '{' | ',' | '.').then(|| &line[at + key.len()..])
    });
    rest.is_some_and(|rest| rest.trim_start().starts_with(['=', ']', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Recipe {
        seed: u64,
        #[serde(default)]
        losses: Vec<Loss>,
        #[serde(default)]
        train: Train,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Train {
        epochs: usize,
        lr: f64,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
    enum Loss {
        Kd { temperature: f64 },
    }

    #[test]
    fn types_are_said_in_words() {
        for (message, said) in [
            (
                "invalid type: string \"a, expected f64\", expected f64",
                "expected a number",
            ),
            (
                "invalid value: integer `-1`, expected usize",
                "expected a whole number from 0",
            ),
            (
                "invalid type: integer `1`, expected a boolean",
                "expected true or false",
            ),
            ("expected struct Loss", "expected struct Loss"),
        ] {
            assert!(in_words(message).ends_with(said), "{message}");
        }
        assert!(in_words("a `x, expected y`").starts_with("a `x, expected y"));
    }

    const TEXT: &str =
        "seed = 1\n[train]\nepochs = 2\n[[losses]]\nkind = \"kd\"\ntemperature = 4.0\n";

    fn read(text: &str, overrides: &[&str]) -> std::result::Result<Recipe, String> {
        let overrides: Vec<String> = overrides.iter().map(|&entry| entry.to_owned()).collect();
        read_recipe("r.toml", text, &overrides).map_err(|error| error.to_string())
    }

    #[test]
    fn overrides_reach_tables_lists_and_new_keys() {
        let recipe = read(
            TEXT,
            &[
                "train.epochs=7",
                "losses.0.temperature=2.5",
                "train.lr = 0.1",
            ],
        )
        .unwrap();
        assert_eq!(recipe.train, Train { epochs: 7, lr: 0.1 });
        assert_eq!(recipe.losses, [Loss::Kd { temperature: 2.5 }]);
    }

    #[test]
    fn errors_name_the_line_and_the_nearest_key() {
        let cases = [
            (
                TEXT.replace("epochs", "epcohs"),
                "r.toml, line 3: `epcohs = 2`: unknown key `epcohs`; did you mean `epochs`?",
            ),
            (
                TEXT.replace("temperature", "temprature"),
                "r.toml, line 6: `temprature = 4.0`: unknown key `temprature`; did you mean `temperature`?",
            ),
            (
                TEXT.replace("epochs = 2", "epochs = \"two\""),
                "r.toml, line 3: `epochs = \"two\"`: invalid type",
            ),
            (TEXT.replace("= 1", "="), "r.toml, line 1: `seed =`:"),
            (
                TEXT.replace("\"kd\"", "\"dk\""),
                "unknown variant `dk`, expected `kd`",
            ),
        ];
        for (text, expected) in cases {
            let error = read(&text, &[]).unwrap_err();
            assert!(
                error.contains(expected),
                "{error}\ndoes not contain\n{expected}"
            );
        }
    }

    #[test]
    fn a_key_that_is_right_elsewhere_is_not_mistaken_for_the_wrong_one() {
        let text = TEXT.replace("[train]", "[train]\nseed = 3");
        let error = read(&text, &[]).unwrap_err();
        assert!(
            error.starts_with("r.toml, line 3: `seed = 3`: unknown key `seed`"),
            "{error}"
        );
    }

    #[test]
    fn an_error_of_the_file_keeps_its_line_beside_an_override() {
        let error = read(&TEXT.replace("epochs", "epcohs"), &["seed=2"]).unwrap_err();
        assert!(
            error.starts_with("r.toml, line 3: `epcohs = 2`: unknown key `epcohs`"),
            "{error}"
        );
    }

    #[test]
    fn wrong_overrides_are_refused_in_words() {
        for (entry, expected) in [
            ("train.epochs", "there is no `=`"),
            ("train..epochs=1", "empty part"),
            ("losses.3.temperature=1", "`3` is no index into a list of 1"),
            ("seed.x=1", "what is before `x` is a integer"),
            (
                "train.epcohs=1",
                "r.toml with its overrides: `epcohs = 1`: unknown key `epcohs`; did you mean `epochs`?",
            ),
            (
                "train.epochs=three",
                "r.toml with its overrides: `epochs = \"three\"`: invalid type: string \"three\", expected \
                 a whole number from 0",
            ),
        ] {
            let error = read(TEXT, &[entry]).unwrap_err();
            assert!(
                error.contains(expected),
                "{error}\ndoes not contain\n{expected}"
            );
        }
    }
}
