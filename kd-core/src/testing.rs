//! Tests that every method must pass, one line each (feature `testing`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::training::epoch_log::EpochLog;
use crate::training::method::Method;
use crate::training::observer::Observer;
use crate::training::outcome::PhaseOutcome;
use crate::training::phase::{Metrics, StepContext};
use crate::training::run_folder::RunFolder;
use crate::training::runner::Runner;

/// A run folder at `path`: a new one, or the one that is there.
///
/// # Errors
///
/// As [`RunFolder::create`] and [`RunFolder::open`].
pub fn run_folder(path: &Path) -> Result<RunFolder> {
    if path.join("recipe.toml").is_file() {
        return RunFolder::open(path);
    }
    let folder = RunFolder::create(path)?;
    folder.write("recipe.toml", b"")?;
    Ok(folder)
}

/// Runs `method` to its end in the folder `path`, from its beginning or from its last checkpoint.
///
/// # Errors
///
/// As [`Runner::run`].
pub fn run(method: &dyn Method, path: &Path) -> Result<Vec<PhaseOutcome>> {
    Runner::new(&run_folder(path)?, &AtomicBool::new(false)).run(method, &mut ())
}

/// Runs `method` in the folder `path` as [`run`] does, stopped after `steps` steps; gives whether it came to
/// its end before.
///
/// # Errors
///
/// As [`Runner::run`], but for the interruption.
pub fn run_steps(method: &dyn Method, path: &Path, steps: usize) -> Result<bool> {
    let stop = AtomicBool::new(steps == 0);
    let mut observer = StopAfter { steps, stop: &stop };
    match Runner::new(&run_folder(path)?, &stop).run(method, &mut observer) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}

/// Turns the stop on after so many steps.
struct StopAfter<'a> {
    steps: usize,
    stop: &'a AtomicBool,
}

impl Observer for StopAfter<'_> {
    fn step_done(&mut self, _at: StepContext, _losses: Option<&Metrics>) {
        self.steps = self.steps.saturating_sub(1);
        if self.steps == 0 {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// Checks that a run that is stopped after every step, each time gone on with by a method made afresh as
/// after a kill, ends in the same bytes as an undisturbed one: results, tensor files, metrics but for the
/// seconds.
///
/// ```no_run
/// # fn my_method() -> Box<dyn kd_core::Method> { unreachable!() }
/// kd_core::testing::stopped_at_every_step(my_method)?;
/// # Ok::<(), kd_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Run`] that names the first difference, and those of the runs.
pub fn stopped_at_every_step<M: Method>(make: impl Fn() -> M) -> Result<()> {
    let temporary = || tempfile::tempdir().map_err(Error::io("create", "a temporary folder"));
    let (whole, parts) = (temporary()?, temporary()?);
    run(&make(), whole.path())?;
    // The step that is under way when the stop comes is finished, so that each time one step is done.
    while !run_steps(&make(), parts.path(), 1)? {}
    same_run(whole.path(), parts.path())
}

/// Checks that two run folders hold the same results, tensor files and metrics, but for the seconds.
///
/// # Errors
///
/// [`Error::Run`] that names the first difference.
pub fn same_run(one: &Path, other: &Path) -> Result<()> {
    let differs = |problem: String| Error::Run {
        path: other.to_owned(),
        problem,
    };
    let (expected, found) = (tensor_files(one)?, tensor_files(other)?);
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    if names(&expected) != names(&found) {
        let problem = format!("has files {:?}, not {:?}", names(&found), names(&expected));
        return Err(differs(problem));
    }
    if let Some((name, _)) = expected
        .iter()
        .find(|(name, bytes)| found[*name] != **bytes)
    {
        return Err(differs(format!(
            "has other bytes in `{name}` than an undisturbed run"
        )));
    }
    let logs = |path: &Path| -> Result<Vec<EpochLog>> {
        let mut epochs = EpochLog::read_all(path)?;
        for epoch in &mut epochs {
            epoch.seconds = 0.0;
        }
        Ok(epochs)
    };
    if logs(one)? == logs(other)? {
        return Ok(());
    }
    Err(differs("has other metrics than an undisturbed run".into()))
}

/// All tensor files of a run that is done, by their paths in its folder.
///
/// # Errors
///
/// [`Error::Io`].
pub fn tensor_files(run: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![run.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
            let path = entry.map_err(Error::io("read", &folder))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "safetensors")
            {
                let inside = path
                    .strip_prefix(run)
                    .unwrap_or(&path)
                    .display()
                    .to_string();
                files.insert(
                    inside,
                    std::fs::read(&path).map_err(Error::io("read", &path))?,
                );
            }
        }
    }
    Ok(files)
}

/// Compares the ranges that a schema states with those that are enforced, and gives what differs, in words.
///
/// Each number of `usual` is set to the ends of its range, just beyond them, and far beyond where there is
/// no end. `check` reads such settings and gives the error of those that it refuses; a number counts as
/// refused if the error names its key, or begins with "unreadable". Tables that `usual` does not have and
/// kinds that it is not of are passed over.
pub fn wrong_ranges(
    schema: &Value,
    usual: &Value,
    check: impl Fn(&Value) -> std::result::Result<(), String>,
) -> Vec<String> {
    let mut ranges = Ranges {
        whole: schema,
        usual,
        check: &check,
        wrong: Vec::new(),
    };
    ranges.table(schema, "");
    ranges.wrong
}

struct Ranges<'a> {
    whole: &'a Value,
    usual: &'a Value,
    check: &'a dyn Fn(&Value) -> std::result::Result<(), String>,
    wrong: Vec<String>,
}

impl Ranges<'_> {
    fn table(&mut self, schema: &Value, path: &str) {
        let schema = self.resolved(schema);
        let there = self.usual.pointer(path).cloned().unwrap_or_default();
        let keys = schema.get("properties").and_then(Value::as_object);
        for (name, key) in keys.into_iter().flatten() {
            let (key, path) = (self.resolved(key), format!("{path}/{name}"));
            let is = |one: &str| match &key["type"] {
                Value::Array(types) => types.iter().any(|name| name == one),
                name => name == one,
            };
            if is("number") || is("integer") {
                self.number(&key, &path, is("integer"));
            } else if self.usual.pointer(&path).is_some_and(Value::is_object) {
                self.table(&key, &path);
            }
        }
        for variants in ["oneOf", "anyOf"] {
            let variants = schema.get(variants).and_then(Value::as_array);
            for variant in variants.into_iter().flatten() {
                let kind = variant.pointer("/properties/kind/const");
                if kind.is_none_or(|kind| *kind == there["kind"]) {
                    self.table(variant, path);
                }
            }
        }
    }

    /// What a reference refers to, and without "or nothing".
    fn resolved(&self, schema: &Value) -> Value {
        if let Some(place) = schema.get("$ref").and_then(Value::as_str) {
            let inner = self.whole.pointer(place.trim_start_matches('#'));
            return self.resolved(inner.unwrap_or(&Value::Null));
        }
        match schema.get("anyOf").and_then(Value::as_array) {
            Some(both) if both.len() == 2 && both[1]["type"] == "null" => self.resolved(&both[0]),
            _ => schema.clone(),
        }
    }

    fn number(&mut self, key: &Value, path: &str, is_whole: bool) {
        const FAR: f64 = 1e6;
        let step = |at: f64| {
            if is_whole {
                1.0
            } else {
                1e-6 * at.abs().max(1.0)
            }
        };
        for (end, open, outwards) in [
            ("minimum", "exclusiveMinimum", -1.0),
            ("maximum", "exclusiveMaximum", 1.0),
        ] {
            let limit = |name: &str| key.get(name).and_then(Value::as_f64);
            let (inside, beyond) = match (limit(end), limit(open)) {
                (Some(at), _) => (at, Some(at + outwards * step(at))),
                (None, Some(at)) => (at - outwards * step(at), Some(at)),
                (None, None) => (outwards * FAR, None),
            };
            self.expect(path, inside, is_whole, false);
            if let Some(beyond) = beyond {
                self.expect(path, beyond, is_whole, true);
            }
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole numbers far below 64 bits"
    )]
    fn expect(&mut self, path: &str, number: f64, is_whole: bool, is_refused: bool) {
        let Some((table, name)) = path.rsplit_once('/') else {
            return;
        };
        let mut settings = self.usual.clone();
        let Some(Value::Object(table)) = settings.pointer_mut(table) else {
            return;
        };
        let value = if is_whole {
            json!(number as i64)
        } else {
            json!(number)
        };
        table.insert(name.to_owned(), value);
        let error = (self.check)(&settings).err();
        let named = |error: &String| error.starts_with("unreadable") || error.contains(name);
        if error.as_ref().is_some_and(named) != is_refused {
            let said = error.unwrap_or_else(|| "nothing".into());
            let where_to = if is_refused { "outside" } else { "within" };
            self.wrong.push(format!(
                "{path}: {number} is {where_to} the range, and is said: {said}"
            ));
        }
    }
}
