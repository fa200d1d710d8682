//! What a run of a campaign would be made from, and whether one that is there was made from that.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kd_core::{Error, ErrorKind, Result, RunFolder};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::cell::Cell;
use super::child::{self, Finished};
use crate::args::MachineOptions;

/// So long a run that another process still holds is waited for: a campaign that was killed leaves one that is about to
/// write its checkpoint.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a run would be made from, as its own process says with `--dry-run`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The resolved recipe.
    pub(crate) recipe: String,
    /// The data and the teachers, by hash.
    pub(crate) inputs: BTreeMap<String, String>,
    /// The name of the student's network, if the method makes one.
    pub(crate) network: Option<String>,
    /// The student's parameters.
    pub(crate) parameters: Option<u64>,
    /// Parameters that are trained beside the student.
    pub(crate) extra_parameters: u64,
}

impl Plan {
    /// The same plan with another seed.
    fn with_seed(&self, seed: u64) -> Option<Self> {
        let mut recipe: Table = self.recipe.parse().ok()?;
        let seed = Value::Integer(i64::try_from(seed).ok()?);
        *recipe.get_mut("seed")? = seed;
        Some(Self {
            recipe: toml::to_string(&recipe).ok()?,
            ..self.clone()
        })
    }

    /// What differs between a run that was made from `recipe` and `inputs`, and this plan; a clause each.
    pub(crate) fn differences(
        &self,
        recipe: &str,
        inputs: &BTreeMap<String, String>,
    ) -> Vec<String> {
        let settings = |text: &str| {
            let mut flat = BTreeMap::new();
            let table = text.parse::<Table>().unwrap_or_default();
            flatten("", &Value::Table(table), &mut flat);
            flat.retain(|path, _| !is_place(path));
            flat
        };
        let (old, new) = (settings(recipe), settings(&self.recipe));
        let mut differences: Vec<String> = changed(&old, &new)
            .map(|path| match (old.get(path), new.get(path)) {
                (Some(old), Some(new)) => format!("`{path}` was {old}, is {new}"),
                (Some(old), None) => format!("`{path}` was {old}, is not set"),
                (_, new) => format!(
                    "`{path}` was not set, is {}",
                    new.map_or("", String::as_str)
                ),
            })
            .collect();
        let inputs = changed(inputs, &self.inputs).map(|what| format!("{what} has changed"));
        differences.extend(inputs);
        differences
    }
}

/// Whether a setting says where something lies. A teacher counts by its weights, and a cache by nothing: the run is the same
/// without it.
fn is_place(path: &str) -> bool {
    let of_teacher = path
        .strip_prefix("teachers.")
        .and_then(|path| path.split_once('.'));
    let of_teacher = of_teacher.is_some_and(|(_, key)| matches!(key, "model" | "weights"));
    let elsewhere = [
        "teacher.model",
        "teacher.weights",
        "cache.dir",
        "cache.file",
    ];
    of_teacher || elsewhere.contains(&path)
}

/// The keys whose values differ.
fn changed<'a>(
    old: &'a BTreeMap<String, String>,
    new: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = &'a String> {
    let added = new.keys().filter(|key| !old.contains_key(*key));
    let old_keys = old.keys().filter(|key| old.get(*key) != new.get(*key));
    old_keys.chain(added)
}

/// Every value of a recipe by its path.
fn flatten(path: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    let below = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                flatten(&below(key), value, out);
            }
        }
        // Lists of tables are `[[losses]]` and the like; a list of numbers is one value.
        Value::Array(items) if items.iter().any(Value::is_table) => {
            for (index, value) in items.iter().enumerate() {
                flatten(&below(&index.to_string()), value, out);
            }
        }
        other => {
            out.insert(path.to_owned(), other.to_string());
        }
    }
}

/// How the processes of runs are started.
#[derive(Clone, Debug)]
pub(crate) struct Starter<'a> {
    /// The folder of the campaign, absolute, and as it was given.
    pub(crate) out: &'a Path,
    pub(crate) shown: &'a Path,
    /// Where the runs are started.
    pub(crate) started_in: &'a Path,
    /// What `kd bench` was started with.
    pub(crate) machine: &'a MachineOptions,
    /// Whether it is time to stop.
    pub(crate) stop: &'a AtomicBool,
    /// How many runs share the cores where nobody says how many threads one has.
    pub(crate) sharing: usize,
}

impl Starter<'_> {
    /// Makes a run in a process of its own, or lets that process say what the run would be made from. What it tells
    /// meanwhile goes to `heard`.
    ///
    /// # Errors
    ///
    /// If the process cannot be started.
    pub(crate) fn run(
        &self,
        cell: &Cell,
        dry_run: bool,
        heard: impl FnMut(&serde_json::Value),
    ) -> Result<Finished> {
        child::run(&self.args(cell, dry_run), self.started_in, self.stop, heard)
    }

    /// The threads of one run, if not all cores.
    fn threads(&self) -> Option<u16> {
        let share = || {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            u16::try_from(cores / self.sharing).map_or(u16::MAX, |share| share.max(1))
        };
        let shared = (self.sharing > 1).then(share);
        self.machine.threads.or(shared)
    }

    /// Waits until no other process holds the run in `folder`.
    ///
    /// # Errors
    ///
    /// That of opening it, if it is held for long; [`Error::Interrupted`].
    pub(crate) fn wait_for(&self, folder: &Path) -> Result<()> {
        if !folder.join("recipe.toml").is_file() {
            return Ok(());
        }
        let since = Instant::now();
        loop {
            match RunFolder::open(folder) {
                Ok(_) => return Ok(()),
                Err(error) if since.elapsed() > PATIENCE => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
            self.not_stopped()?;
        }
    }

    /// Whether it is time to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// # Errors
    ///
    /// [`Error::Interrupted`] if it is time to stop.
    pub(crate) fn not_stopped(&self) -> Result<()> {
        if self.is_stopped() {
            return Err(Error::Interrupted {
                run: self.shown.to_owned(),
                phase: "preparation".into(),
                step: 0,
            });
        }
        Ok(())
    }

    fn args(&self, cell: &Cell, dry_run: bool) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["bench-run".into(), cell.recipe.clone().into()];
        let mut option = |name: &str, value: OsString| args.extend([name.into(), value]);
        for entry in &cell.overrides {
            option("--set", entry.into());
        }
        option("--seed", cell.seed.to_string().into());
        option("--out", self.out.join(&cell.folder).into());
        if let Some(device) = &self.machine.device {
            option("--device", device.to_string().into());
        }
        if let Some(threads) = self.threads() {
            option("--threads", threads.to_string().into());
        }
        if let Some(place) = &self.machine.place.data_dir {
            option("--data-dir", place.into());
        }
        if dry_run {
            args.push("--dry-run".into());
        }
        args
    }
}

/// Plans, each made once.
#[derive(Debug)]
pub(crate) struct Plans<'a> {
    starter: Starter<'a>,
    made: BTreeMap<(PathBuf, Vec<String>), Plan>,
}

impl<'a> Plans<'a> {
    /// No plan yet.
    pub(crate) fn new(starter: Starter<'a>) -> Self {
        Self {
            starter,
            made: BTreeMap::new(),
        }
    }

    /// The plan of a run. One that was made for another seed is taken over; see [`Plans::made_anew`].
    ///
    /// # Errors
    ///
    /// What is wrong with the recipe or its inputs, under the name of the run.
    pub(crate) fn of(&mut self, cell: &Cell) -> Result<Plan> {
        let key = (cell.recipe.clone(), cell.overrides.clone());
        match self
            .made
            .get(&key)
            .and_then(|plan| plan.with_seed(cell.seed))
        {
            Some(plan) => Ok(plan),
            None => self.made_anew(cell),
        }
    }

    /// The plan of a run, made by its own process in any case.
    ///
    /// # Errors
    ///
    /// As [`Plans::of`].
    pub(crate) fn made_anew(&mut self, cell: &Cell) -> Result<Plan> {
        let done = self.starter.run(cell, true, |_| {})?;
        if done.code != Some(0) {
            return Err(self.refused(cell, done.code, done.problem));
        }
        let plan = serde_json::from_value(done.said.unwrap_or_default());
        let plan: Plan = plan.map_err(|error| Error::method(cell.title.clone(), error))?;
        let key = (cell.recipe.clone(), cell.overrides.clone());
        self.made.insert(key, plan.clone());
        Ok(plan)
    }

    /// The error of a process as one of the campaign, of the same kind.
    fn refused(&self, cell: &Cell, code: Option<i32>, problem: String) -> Error {
        let is = |kind: ErrorKind| code == Some(i32::from(kind.exit_code()));
        if is(ErrorKind::Usage) {
            Error::Recipe {
                origin: cell.title.clone(),
                problem,
            }
        } else if is(ErrorKind::Input) {
            Error::Input {
                path: cell.recipe.clone(),
                problem: format!("({}): {problem}", cell.title),
            }
        } else {
            Error::Run {
                path: self.starter.out.join(&cell.folder),
                problem,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(recipe: &str) -> Plan {
        Plan {
            recipe: recipe.into(),
            inputs: BTreeMap::from([("the training data".into(), "1a".into())]),
            network: Some("lenet5".into()),
            parameters: Some(7),
            extra_parameters: 0,
        }
    }

    const RECIPE: &str = "seed = 0\n[[teachers]]\nmodel = \"/a\"\n[train]\nepochs = 2\nlr = 0.1\nmilestones = [1, 2]\n";

    #[test]
    fn differences_are_named() {
        let recipe = RECIPE
            .replace("epochs = 2", "epochs = 3")
            .replace("lr = 0.1", "momentum = 0.9")
            .replace("[1, 2]", "[1]");
        let inputs = BTreeMap::from([
            ("the training data".into(), "2b".into()),
            ("teacher 0".into(), "0".into()),
        ]);
        assert_eq!(
            plan(&recipe).differences(RECIPE, &inputs),
            [
                "`train.epochs` was 2, is 3",
                "`train.lr` was 0.1, is not set",
                "`train.milestones` was [1, 2], is [1]",
                "`train.momentum` was not set, is 0.9",
                "teacher 0 has changed",
                "the training data has changed",
            ]
        );
    }

    #[test]
    fn teachers_and_caches_may_have_been_moved() {
        let recipe = format!("{RECIPE}[cache]\ndir = \"/c\"\n");
        let moved = plan(&recipe.replace("/a", "/b").replace("/c", "/d"));
        assert_eq!(moved.differences(&recipe, &moved.inputs), [""; 0]);
        let recipe = recipe.replace("[[teachers]]", "[teacher]");
        let moved = plan(&recipe.replace("/a", "/b"));
        assert_eq!(moved.differences(&recipe, &moved.inputs), [""; 0]);
    }

    #[test]
    fn a_plan_serves_other_seeds() {
        let other = plan(RECIPE).with_seed(7).unwrap();
        let inputs = other.inputs.clone();
        assert_eq!(other.differences(RECIPE, &inputs), ["`seed` was 0, is 7"]);
        assert_eq!(plan("lr = 1").with_seed(7), None);
    }
}
