//! `kd train` and `kd distill`.

use std::path::Path;

use kd_core::{Error, Result};
use kd_recipe::{Machine, Methods, PreparedRun, Recipe, Verb};
use kd_report::count;
use serde_json::json;

use super::jobs;
use super::run_end::{new_folder, report};
use super::session::{machine, stop_on_interrupt};
use crate::args::{RecipeOptions, StudentOption};
use crate::draft::draft;
use crate::output::{self, quoted_path};
use crate::progress::counted::Busy;
use crate::progress::notices::WithoutNotes;
use crate::progress::run::Progress;

pub(super) fn run(methods: &Methods, options: &RecipeOptions, verb: Verb) -> Result<()> {
    let mut machine = machine(&options.run.machine)?;
    let (mut recipe, name) = read(methods, options, verb, &machine)?;
    if options.draft.data.is_some() {
        // Whoever drafted it has told already what is to be known of it.
        machine = machine.with_notices(WithoutNotes);
    }
    if options.part().is_some() {
        recipe.set_part(options.part())?;
    }
    if options.jobs.is_some() && !options.dry_run {
        let stop = stop_on_interrupt()?;
        let outcome = jobs::run(methods, options, recipe, &machine, &stop)?;
        report(&outcome, options.run.machine.json);
        return Ok(());
    }
    let busy = Busy::new("reading what the recipe names");
    let run = recipe.prepare(&machine)?;
    drop(busy);
    if options.dry_run {
        return show(&run, options.run.machine.json);
    }
    let usual = || new_folder(&name, run.recipe().seed());
    let out = options.run.out.clone().unwrap_or_else(usual);
    let stop = stop_on_interrupt()?;
    let folder = run.begin(&out)?;
    let outcome = run.run(&folder, &stop, &mut Progress::new(run.title()))?;
    report(&outcome, options.run.machine.json);
    Ok(())
}

/// The recipe that was typed, or one that is drafted, for the verb that was typed; and the name of its run.
fn read(
    methods: &Methods,
    options: &RecipeOptions,
    verb: Verb,
    machine: &Machine,
) -> Result<(Recipe, String)> {
    let (origin, recipe, name) = if options.draft.data.is_some() {
        let student = match &options.student {
            Some(StudentOption::Network(name)) => Some(name.as_str()),
            Some(StudentOption::Part(_)) => {
                let problem =
                    "is a number; with `--data` it names a network, `kd models` lists them";
                return Err(Error::config("--student", problem));
            }
            None => None,
        };
        let draft = draft(methods, machine, &options.draft, student)?;
        let origin = "the drafted recipe".to_owned();
        let recipe = methods.read(&origin, &draft.text, &options.overrides())?;
        (origin, recipe, draft.name)
    } else {
        of_file(methods, options, verb)?
    };
    if recipe.verb() == verb {
        return Ok((recipe, name));
    }
    let (method, right) = (recipe.method(), recipe.verb().name());
    Err(Error::Recipe {
        origin,
        problem: format!("its method is `{method}`; run it with `kd {right}`"),
    })
}

fn of_file(
    methods: &Methods,
    options: &RecipeOptions,
    verb: Verb,
) -> Result<(String, Recipe, String)> {
    if let Some(StudentOption::Network(name)) = &options.student {
        let problem =
            format!("is the number of a student, got `{name}`; a network is named with `--data`");
        return Err(Error::config("--student", problem));
    }
    let path = options.recipe.as_deref().ok_or_else(|| {
        let problem =
            "is missing; give the file of one, or a folder of images or a data set as `--data`";
        Error::config("RECIPE", problem)
    })?;
    check_no_campaign(path)?;
    let usual = match verb {
        Verb::Train => "train",
        Verb::Distill => "offline",
    };
    let methods = methods.clone().with_usual(usual);
    let recipe = methods.read_file(path, &options.overrides())?;
    let part = options.part().map(|student| format!("-student-{student}"));
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("{stem}{}", part.unwrap_or_default());
    Ok((path.display().to_string(), recipe, name))
}

/// A campaign is run by another command, and its keys are none of a recipe's.
fn check_no_campaign(path: &Path) -> Result<()> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let table: toml::Table = text.parse().unwrap_or_default();
    if !(table.contains_key("methods") && table.contains_key("seeds")) {
        return Ok(());
    }
    Err(Error::Recipe {
        origin: path.display().to_string(),
        problem: format!(
            "is a campaign, several recipes with several seeds; run it with `kd compare {}`",
            quoted_path(path)
        ),
    })
}

/// The recipe with every default written out.
fn show(run: &PreparedRun, as_json: bool) -> Result<()> {
    let (resolved, extra) = (run.recipe().resolved()?, run.extra_parameters());
    if as_json {
        output::json(&json!({ "recipe": resolved, "extra_parameters": extra }));
        return Ok(());
    }
    output::data(resolved.trim_end());
    if extra > 0 {
        let extra = count(extra as u64);
        output::remark(&format!(
            "{extra} parameters are trained beside the student"
        ));
    }
    Ok(())
}
