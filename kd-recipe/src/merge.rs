//! Runs of the parts of a method, made into the run of the whole.

use std::path::{Path, PathBuf};

use kd_core::{Error, Result, RunFolder};

use crate::input_hashes::InputHashes;
use crate::machine::Machine;
use crate::methods::{Methods, Recipe};
use crate::outcome::Outcome;
use crate::prepared_run::PreparedRun;

/// The run of a part.
struct PartRun {
    folder: RunFolder,
    /// The recipe of the whole.
    recipe: Recipe,
    hashes: InputHashes,
    part: usize,
    /// What a part is called, and how many there are.
    name: &'static str,
    count: usize,
}

/// Begins the run of the whole in the new folder `out` with the phases of runs of its parts, which may come
/// in any order and from other machines. What is left to do is that run's: it ends in the same bytes as one
/// run of everything.
///
/// # Errors
///
/// [`Error::Run`] for a run that is not done, of no part, of another recipe or made from other inputs than
/// the first, and for a part that is missing or there twice; those of [`Recipe::prepare`] and
/// [`PreparedRun::begin`].
pub fn merge_runs(
    methods: &Methods,
    runs: &[PathBuf],
    out: &Path,
    machine: &Machine,
) -> Result<(PreparedRun, RunFolder)> {
    check_once(runs)?;
    let read = |path: &PathBuf| PartRun::read(methods, path);
    let mut parts = runs.iter().map(read).collect::<Result<Vec<PartRun>>>()?;
    check_together(&mut parts)?;
    parts.sort_by_key(|part| part.part);
    check_all_there(&parts, out)?;
    let (mut folders, mut whole) = (Vec::new(), None);
    for part in parts {
        folders.push(part.folder);
        whole.get_or_insert((part.recipe, part.hashes));
    }
    let Some((recipe, hashes)) = whole else {
        return Err(Error::config("runs", "are none; give the run of each part"));
    };
    let machine = match machine.data_dir() {
        Some(_) => machine.clone(),
        None => machine.clone().with_data_dir(hashes.data_dir.clone()),
    };
    let run = recipe.prepare(&machine)?;
    if let Some(what) = hashes.changed(&run.hashes) {
        let problem =
            format!("{what} has changed since it was run; restore it, or run the parts anew");
        return Err(run_error(&folders[0], problem));
    }
    let folder = run.begin(out)?;
    folder.take_over(&folders)?;
    Ok((run, folder))
}

/// No folder is given twice; it is held while it is read.
fn check_once(runs: &[PathBuf]) -> Result<()> {
    let mut seen = Vec::new();
    for path in runs {
        // What is not there is said when it is opened.
        let whole = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        if seen.contains(&whole) {
            return Err(Error::Run {
                path: path.clone(),
                problem: "is given twice; give the run of each part once".into(),
            });
        }
        seen.push(whole);
    }
    Ok(())
}

impl PartRun {
    fn read(methods: &Methods, path: &Path) -> Result<Self> {
        let folder = RunFolder::open(path)?;
        let mut recipe = methods.read_file(&path.join("recipe.toml"), &[])?;
        let method = recipe.method();
        let parts = recipe
            .parts()
            .map(|parts| (parts.name, parts.count, *parts.only));
        let (name, count, part) = match parts {
            Some((name, count, Some(part))) => (name, count, part),
            Some((name, ..)) => {
                let problem = format!("is a run of all of its parts; give runs of one {name} each");
                return Err(run_error(&folder, problem));
            }
            None => {
                let problem = format!("is of method `{method}`, which has no parts to be merged");
                return Err(run_error(&folder, problem));
            }
        };
        if Outcome::read(path)?.is_none() {
            return Err(run_error(&folder, "is not done; finish it first".into()));
        }
        recipe.set_part(None)?;
        Ok(Self {
            hashes: InputHashes::read(path)?,
            folder,
            recipe,
            part,
            name,
            count,
        })
    }
}

fn run_error(folder: &RunFolder, problem: String) -> Error {
    Error::Run {
        path: folder.path().to_owned(),
        problem,
    }
}

/// All parts are of one recipe, of one set of inputs, and have left the same files beside their results.
fn check_together(parts: &mut [PartRun]) -> Result<()> {
    let Some((first, others)) = parts.split_first_mut() else {
        return Ok(());
    };
    let (text, device) = (first.recipe.resolved()?, first.recipe.device().to_owned());
    let files = beside(first.folder.path())?;
    let than = format!("than `{}`", first.folder.path().display());
    for part in others {
        // Where a part was computed is no difference.
        part.recipe.set_device(device.clone());
        let other = part.recipe.resolved()?;
        if let Some((line, _)) = other
            .lines()
            .zip(text.lines())
            .find(|(one, other)| one != other)
        {
            let problem = format!("is of another recipe {than}: `{line}`");
            return Err(run_error(&part.folder, problem));
        }
        if other != text {
            return Err(run_error(
                &part.folder,
                format!("is of another recipe {than}"),
            ));
        }
        if let Some(what) = first.hashes.changed(&part.hashes) {
            let problem = format!("was made from another input {than}: {what} differs");
            return Err(run_error(&part.folder, problem));
        }
        if beside(part.folder.path())? != files {
            let problem = format!(
                "has another tensor file beside its results {than}, so that the parts do not fit together; \
                 run them anew on one kind of machine"
            );
            return Err(run_error(&part.folder, problem));
        }
    }
    Ok(())
}

/// The tensor files beside the results of a run, by name, with their bytes.
fn beside(run: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(run).map_err(Error::io("read", run))? {
        let path = entry.map_err(Error::io("read", run))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "safetensors")
        {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
            files.push((name.into_owned(), bytes));
        }
    }
    files.sort();
    Ok(files)
}

/// Every part is there once.
fn check_all_there(sorted: &[PartRun], out: &Path) -> Result<()> {
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].part == pair[1].part) {
        let (name, part) = (pair[1].name, pair[1].part);
        let other = pair[0].folder.path().display();
        let problem = format!("is of {name} {part}, as `{other}` is; give each once");
        return Err(run_error(&pair[1].folder, problem));
    }
    let Some(first) = sorted.first() else {
        return Ok(());
    };
    let is_there = |part: &usize| sorted.iter().any(|run| run.part == *part);
    let missing: Vec<String> = (0..first.count)
        .filter(|part| !is_there(part))
        .map(|part| part.to_string())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Run {
        path: out.to_owned(),
        problem: format!(
            "needs a run of each of {} {}s, and that of {} is missing",
            first.count,
            first.name,
            missing.join(", ")
        ),
    })
}
