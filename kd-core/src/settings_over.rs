//! Settings laid over a config: a table that names some of its values leaves the others as they are.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::suggest::did_you_mean;

/// The treatment of a table inside a table of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InnerTables {
    /// It takes the place of the usual one; what it leaves out has the default value of its type.
    Replaced,
    /// It is laid over the usual one, key by key; one that names another `kind` takes its place.
    Merged,
}

/// `usual` with the settings of `table` in place of its own; `field` is the name of the table in a recipe,
/// for errors.
///
/// Values are those of JSON, so that any config can be laid over that serde can write and read. Of `epochs`
/// and `steps`, either of which says how long to train, the one in `table` takes the other away.
///
/// ```
/// use kd_core::{InnerTables, Training, settings_over};
/// use serde_json::json;
///
/// let table = json!({ "steps": 700, "optimizer": { "kind": "adam" } });
/// let table = table.as_object().cloned().unwrap_or_default();
/// let usual = Training::for_epochs(3);
/// let training = settings_over(&usual, &table, "train", InnerTables::Replaced)?;
/// assert_eq!((training.steps, training.epochs, training.lr), (Some(700), None, usual.lr));
///
/// let table = json!({ "batchsize": 8 }).as_object().cloned().unwrap_or_default();
/// let error = settings_over(&usual, &table, "train", InnerTables::Replaced).unwrap_err().to_string();
/// assert!(error.starts_with("`train.batchsize` is not known; did you mean `batch_size`?"), "{error}");
/// # Ok::<(), kd_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Config`] that names the setting: one that is not known, with the nearest that is, and one whose
/// value is of another type or no finite number.
pub fn settings_over<C: Serialize + DeserializeOwned>(
    usual: &C,
    table: &Map<String, Value>,
    field: &str,
    inner: InnerTables,
) -> Result<C> {
    let usual = all_settings(usual)?;
    let read = |table: &Map<String, Value>| {
        let mut all = usual.clone();
        lay_over(&mut all, table, inner);
        serde_json::from_value::<C>(Value::Object(all))
    };
    if let Some(path) = null_in(table) {
        // TOML has no null: this was `nan` or `inf`.
        return Err(Error::config(
            format!("{field}.{path}"),
            "must be a finite number",
        ));
    }
    let whole = match read(table) {
        Ok(made) => return Ok(made),
        Err(error) => error,
    };
    // Each setting by itself, so that the error names the one that is wrong.
    let mut singles = Vec::new();
    single_settings(table, Some(&usual), inner, &mut singles);
    for (path, value) in singles {
        if let Err(error) = read(&table_of(&path, value)) {
            return Err(explained(&format!("{field}.{}", path.join(".")), &error));
        }
    }
    Err(explained(field, &whole))
}

/// All settings of a config as a table that a recipe can hold: values that are absent are left out, as TOML
/// has no null.
///
/// # Errors
///
/// [`Error::Method`] for a config that cannot be written.
pub fn settings_of<C: Serialize>(config: &C) -> Result<Map<String, Value>> {
    let mut all = all_settings(config)?;
    drop_absent(&mut all);
    Ok(all)
}

fn all_settings<C: Serialize>(config: &C) -> Result<Map<String, Value>> {
    match serde_json::to_value(config).map_err(|error| Error::method("settings", error))? {
        Value::Object(all) => Ok(all),
        _ => Ok(Map::new()),
    }
}

fn drop_absent(table: &mut Map<String, Value>) {
    table.retain(|_, value| !value.is_null());
    for value in table.values_mut() {
        if let Value::Object(inner) = value {
            drop_absent(inner);
        }
    }
}

/// The path of the first value that is null.
fn null_in(table: &Map<String, Value>) -> Option<String> {
    table.iter().find_map(|(key, value)| match value {
        Value::Null => Some(key.clone()),
        Value::Object(inner) => null_in(inner).map(|path| format!("{key}.{path}")),
        _ => None,
    })
}

/// The usual table that a table is laid over key by key, if it is not replaced.
fn merges<'a>(
    usual: Option<&'a Value>,
    table: &Map<String, Value>,
    inner: InnerTables,
) -> Option<&'a Map<String, Value>> {
    let usual = usual
        .filter(|_| inner == InnerTables::Merged)?
        .as_object()?;
    let kind = table.get("kind");
    let same = kind.is_none_or(|kind| usual.get("kind") == Some(kind));
    same.then_some(usual)
}

fn lay_over(all: &mut Map<String, Value>, table: &Map<String, Value>, inner: InnerTables) {
    for (one, other) in [("epochs", "steps"), ("steps", "epochs")] {
        if table.contains_key(one) && !table.contains_key(other) {
            all.remove(other);
        }
    }
    for (key, value) in table {
        match (all.get_mut(key), value) {
            (Some(old), Value::Object(new)) if merges(Some(old), new, inner).is_some() => {
                if let Value::Object(old) = old {
                    lay_over(old, new, inner);
                }
            }
            _ => {
                all.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The settings of a table one by one, each with its path.
fn single_settings(
    table: &Map<String, Value>,
    usual: Option<&Map<String, Value>>,
    inner: InnerTables,
    singles: &mut Vec<(Vec<String>, Value)>,
) {
    for (key, value) in table {
        let old = usual.and_then(|usual| usual.get(key));
        let below = value
            .as_object()
            .and_then(|new| Some((new, merges(old, new, inner)?)));
        let Some((new, old)) = below else {
            singles.push((vec![key.clone()], value.clone()));
            continue;
        };
        let first = singles.len();
        single_settings(new, Some(old), inner, singles);
        for (path, _) in &mut singles[first..] {
            path.insert(0, key.clone());
        }
    }
}

/// The table that holds one value at a path.
fn table_of(path: &[String], value: Value) -> Map<String, Value> {
    let wrap = |value, key: &String| Value::Object(Map::from_iter([(key.clone(), value)]));
    match path.iter().rev().fold(value, wrap) {
        Value::Object(table) => table,
        _ => Map::new(),
    }
}

/// An error of serde about the setting `field` in our words.
fn explained(field: &str, error: &serde_json::Error) -> Error {
    let message = error.to_string();
    let unknown = |what: &str| {
        let rest = message.strip_prefix(what)?.strip_prefix(" `")?;
        let (name, rest) = rest.split_once('`')?;
        let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        let listed: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        let hint = did_you_mean(name, known.iter().copied());
        Some((name, format!("{hint}; known: {}", listed.join(", "))))
    };
    if let Some((name, known)) = unknown("unknown field") {
        let last = field.rsplit('.').next();
        let field = if last == Some(name) {
            field.to_owned()
        } else {
            format!("{field}.{name}")
        };
        return Error::config(field, format!("is not known{known}"));
    }
    match unknown("unknown variant") {
        Some((name, known)) => Error::config(field, format!("cannot be `{name}`{known}")),
        None => Error::config(field, format!("cannot be used: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::training::optim::OptimizerConfig;
    use crate::training::schedule::Schedule;
    use crate::training::settings::Training;

    fn over(usual: &Training, table: Value, inner: InnerTables) -> Result<Training> {
        let table = table.as_object().cloned().unwrap_or_default();
        settings_over(usual, &table, "train", inner)
    }

    #[test]
    fn what_a_table_leaves_out_stays() {
        let usual = Training::for_epochs(3);
        for inner in [InnerTables::Replaced, InnerTables::Merged] {
            assert_eq!(over(&usual, json!({}), inner).unwrap(), usual);
            let made = over(&usual, json!({ "steps": 7, "lr": 0.5 }), inner).unwrap();
            assert_eq!((made.steps, made.epochs, made.lr), (Some(7), None, 0.5));
            assert_eq!(made.optimizer, usual.optimizer);
        }
    }

    #[test]
    fn a_table_inside_is_replaced_or_merged() {
        let usual = Training::default();
        let sgd = |momentum, weight_decay| OptimizerConfig::Sgd {
            momentum,
            weight_decay,
            nesterov: false,
        };
        assert_eq!(usual.optimizer, sgd(0.9, 5e-4));
        let named = json!({ "optimizer": { "kind": "sgd", "momentum": 0.5 } });
        let made = |inner| over(&usual, named.clone(), inner).unwrap().optimizer;
        assert_eq!(made(InnerTables::Replaced), sgd(0.5, 0.0));
        assert_eq!(made(InnerTables::Merged), sgd(0.5, 5e-4));
        let bare = json!({ "optimizer": { "momentum": 0.5 } });
        let made = over(&usual, bare, InnerTables::Merged).unwrap();
        assert_eq!(made.optimizer, sgd(0.5, 5e-4));
        // Another kind begins anew either way.
        let other = json!({ "schedule": { "kind": "one-cycle" }, "optimizer": { "kind": "adam" } });
        for inner in [InnerTables::Replaced, InnerTables::Merged] {
            let made = over(&usual, other.clone(), inner).unwrap();
            assert_eq!(made.optimizer, OptimizerConfig::adam());
            assert_eq!(made.schedule, Schedule::one_cycle());
        }
    }

    #[test]
    fn errors_name_the_setting_and_the_nearest_known_one() {
        for (table, said) in [
            (
                json!({ "lr": 0.1, "epcohs": 3 }),
                "`train.epcohs` is not known; did you mean `epochs`?; known: `epochs`, `steps`,",
            ),
            (
                json!({ "lr": 0.1, "epochs": "three" }),
                "`train.epochs` cannot be used: invalid type: string \"three\", expected usize",
            ),
            (
                json!({ "optimizer": { "kind": "sgd", "momntum": 0.1 } }),
                "`train.optimizer.momntum` is not known; did you mean `momentum`?; known: `momentum`,",
            ),
            (
                json!({ "optimizer": { "kind": "adm" } }),
                "`train.optimizer` cannot be `adm`; did you mean `adam`?; known: `sgd`, `adam`, `adamw`",
            ),
            (
                json!({ "clip_norm": null }),
                "`train.clip_norm` must be a finite number",
            ),
            (
                json!({ "schedule": { "kind": "one-cycle", "momentum": null } }),
                "`train.schedule.momentum` must be a finite number",
            ),
        ] {
            for inner in [InnerTables::Replaced, InnerTables::Merged] {
                let error = over(&Training::for_epochs(1), table.clone(), inner).unwrap_err();
                assert!(error.to_string().starts_with(said), "{error}\nnot\n{said}");
            }
        }
        let inside = json!({ "lr": 0.1, "optimizer": { "momentum": "none", "nesterov": true } });
        let error = over(&Training::default(), inside, InnerTables::Merged).unwrap_err();
        let said = "`train.optimizer.momentum` cannot be used: invalid type";
        assert!(error.to_string().starts_with(said), "{error}");
    }

    #[test]
    fn settings_are_written_without_what_is_absent() {
        let table = settings_of(&Training::for_epochs(2)).unwrap();
        assert_eq!(table["epochs"], 2);
        assert!(!table.contains_key("clip_norm"));
        let back = settings_over(&Training::default(), &table, "train", InnerTables::Merged);
        assert_eq!(back.unwrap(), Training::for_epochs(2));
    }
}
