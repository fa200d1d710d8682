//! `kd train` and `kd distill`.

use kd_core::{Error, Result};
use kd_recipe::{Methods, PreparedRun, Recipe, Verb};
use kd_report::count;
use serde_json::json;

use super::jobs;
use super::run_end::{new_folder, report};
use super::session::{machine, stop_on_interrupt};
use crate::args::RecipeOptions;
use crate::output;
use crate::progress::counted::Busy;
use crate::progress::run::Progress;

pub(super) fn run(methods: &Methods, options: &RecipeOptions, verb: Verb) -> Result<()> {
    let machine = machine(&options.run.machine)?;
    let mut recipe = read(methods, options, verb)?;
    if options.student.is_some() {
        recipe.set_part(options.student)?;
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
    let usual = || {
        let stem = options.recipe.file_stem().unwrap_or_default();
        let part = options.student.map(|student| format!("-student-{student}"));
        let name = format!("{}{}", stem.to_string_lossy(), part.unwrap_or_default());
        new_folder(&name, run.recipe().seed())
    };
    let out = options.run.out.clone().unwrap_or_else(usual);
    let stop = stop_on_interrupt()?;
    let folder = run.begin(&out)?;
    let outcome = run.run(&folder, &stop, &mut Progress::new(run.title()))?;
    report(&outcome, options.run.machine.json);
    Ok(())
}

/// The recipe that was typed, for the verb that was typed.
fn read(methods: &Methods, options: &RecipeOptions, verb: Verb) -> Result<Recipe> {
    let usual = match verb {
        Verb::Train => "train",
        Verb::Distill => "offline",
    };
    let methods = methods.clone().with_usual(usual);
    let recipe = methods.read_file(&options.recipe, &options.overrides())?;
    if recipe.verb() == verb {
        return Ok(recipe);
    }
    Err(Error::Recipe {
        origin: options.recipe.display().to_string(),
        problem: format!(
            "its method is `{}`; run it with `kd {}`",
            recipe.method(),
            recipe.verb().name()
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
