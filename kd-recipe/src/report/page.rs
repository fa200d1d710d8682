//! The page of a run: what every report has, and what the method adds.

use std::path::Path;

use kd_core::{Costs, EpochLog, Error, Finding, Result, Subset};
use kd_report::{RunReport, count};

use crate::environment::Environment;
use crate::input_hashes::InputHashes;
use crate::inputs::RecipeInputs;
use crate::methods::Recipe;
use crate::outcome::Outcome;
use crate::report::subject::Subject;
use crate::report::{predictions, segmentation};

/// Writes `report.md` with its pictures and `report.html` into the folder of a run, which may be under way
/// still, and gives what is suspicious about the run.
///
/// `recipe` is the run's, if it could be read; `subject` what was prepared of it, or why it could not be.
/// Without them the report says what the folder alone tells.
pub(crate) fn write(
    folder: &Path,
    recipe: Option<&Recipe>,
    subject: std::result::Result<Subject<'_>, &Error>,
) -> Result<Vec<Finding>> {
    let outcome = Outcome::read(folder)?;
    let epochs = EpochLog::read_all(folder)?;
    let path = folder.join("recipe.toml");
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let absolute = std::path::absolute(folder).map_err(Error::io("read", folder))?;
    let name = absolute.file_name().unwrap_or(absolute.as_os_str());
    let mut report = RunReport::new(name.to_string_lossy());
    if outcome.is_none() {
        report = report.with_remark(progress(&epochs));
    }
    report = facts(report, folder, &text, subject.ok())?;
    if let Some(outcome) = &outcome {
        report = costs(report, outcome);
    }
    match subject {
        Ok(subject) if outcome.is_some() => report = networks(report, folder, subject)?,
        Ok(_) => {}
        Err(error) => report = report.with_remark(not_looked_into(error)),
    }
    let mut findings = Vec::new();
    if let Some(recipe) = recipe {
        (report, findings) = of_method(report, recipe, folder);
    }
    report.with_epochs(epochs).with_recipe(text).write(folder)?;
    Ok(findings)
}

/// How far a run is that is not done.
fn progress(epochs: &[EpochLog]) -> String {
    let so_far = match epochs.last() {
        Some(last) => format!("{} epochs of phase {} are", last.epoch + 1, last.phase),
        None => "no epoch is".into(),
    };
    format!("The run is not done: {so_far}.")
}

fn not_looked_into(error: &Error) -> String {
    format!("The network was not looked into, because: {error}.")
}

/// What was run.
pub(crate) fn facts(
    report: RunReport,
    folder: &Path,
    text: &str,
    subject: Option<Subject<'_>>,
) -> Result<RunReport> {
    let recipe: toml::Table = toml::from_str(text).unwrap_or_default();
    let plain = |key: &str| match recipe.get(key) {
        Some(toml::Value::String(text)) => Some(text.clone()),
        other => other.map(ToString::to_string),
    };
    let mut report = report;
    if let Some(method) = plain("method") {
        report = report.with_fact("method", method);
    }
    if let Some(subject) = subject {
        report = inputs(report, folder, subject)?;
    }
    let begun = InputHashes::read(folder).ok();
    for (what, hash) in begun.iter().flat_map(|begun| &begun.sha256) {
        report = report.with_input(what, hash);
    }
    for change in begun.map(|begun| begun.changes).unwrap_or_default() {
        let how = format!("`{}` from epoch {}", change.set, change.from_epoch);
        report = report.with_fact("changed", how);
    }
    for key in ["seed", "device"] {
        if let Some(value) = plain(key) {
            report = report.with_fact(key, value);
        }
    }
    let environments = Environment::read(folder).unwrap_or_default();
    Ok(environments
        .iter()
        .fold(report, |report, one| report.with_environment(one.facts())))
}

/// A path as it is seen from beside the run folder, where it lies there, so that a report is the same
/// wherever the run was gone on with.
fn beside(run: &Path, path: &Path) -> String {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (run, path) = (absolute(run), absolute(path));
    let inside = run.parent().and_then(|place| path.strip_prefix(place).ok());
    inside.unwrap_or(&path).display().to_string()
}

/// Data, student and teachers.
fn inputs(mut report: RunReport, folder: &Path, subject: Subject<'_>) -> Result<RunReport> {
    let RecipeInputs {
        train,
        held_out,
        teachers,
        ..
    } = subject.inputs;
    if let Some(train) = train {
        let held_out = held_out.as_ref().map_or(0, Subset::len) as u64;
        let sizes = format!(
            "{}, {} samples to learn from, {} held out",
            train.dataset().name(),
            count(train.len() as u64),
            count(held_out)
        );
        report = report.with_fact("data", sizes);
    }
    for text in subject.inputs.omissions() {
        report = report.with_fact("left out", text);
    }
    if let Some(spec) = subject.spec {
        let costs = subject.families.costs(spec, subject.device)?;
        let fact = format!("{}, {}", spec.title(), in_words(&costs));
        report = report.with_fact("student", fact);
    }
    for teacher in teachers {
        let title = teacher.model.config().network.title();
        let costs = in_words(&teacher.model.costs()?);
        let from = beside(folder, Path::new(&teacher.from));
        let fact = format!("{title}, {costs}, from `{from}`");
        report = report.with_fact("teacher", fact);
    }
    Ok(report)
}

fn in_words(costs: &Costs) -> String {
    let (params, macs) = (count(costs.params()), count(costs.macs()));
    format!("{params} parameters, {macs} MACs")
}

/// What the run took.
pub(crate) fn costs(mut report: RunReport, outcome: &Outcome) -> RunReport {
    report = report.with_cost("seconds of work", format!("{:.1}", outcome.seconds));
    if outcome.extra_parameters > 0 {
        let extra = count(outcome.extra_parameters as u64);
        report = report.with_cost("parameters trained beside the student", extra);
    }
    if let Some(bytes) = outcome.peak_memory_bytes {
        let mib = count(bytes.div_ceil(1 << 20));
        report = report.with_cost("peak memory of the process", format!("{mib} MiB"));
    }
    report
}

/// What student and teachers make of the held-out data.
fn networks(mut report: RunReport, folder: &Path, subject: Subject<'_>) -> Result<RunReport> {
    match predictions::predict(folder, subject)? {
        Ok(Some(said)) => {
            report = report.with_predictions(said.predictions, said.names.as_deref())?;
            report = report.with_sample_images(said.images);
        }
        Ok(None) => {}
        Err(error) => report = report.with_remark(not_looked_into(&error)),
    }
    match segmentation::segment(folder, subject)? {
        Ok(Some(made)) => {
            report = report.with_segmentation(&made.board, made.measured, &made.classes)?;
        }
        Ok(None) => {}
        Err(error) => report = report.with_remark(not_looked_into(&error)),
    }
    Ok(report)
}

/// What the method adds.
fn of_method(mut report: RunReport, recipe: &Recipe, run: &Path) -> (RunReport, Vec<Finding>) {
    match recipe.report(run) {
        Ok(added) => {
            for (what, how_much) in added.costs {
                report = report.with_cost(what, how_much);
            }
            let sections = added.sections.into_iter();
            (
                sections.fold(report, RunReport::with_section),
                added.findings,
            )
        }
        Err(error) => {
            let method = recipe.method();
            let remark =
                format!("Method `{method}` has added nothing to this page, because: {error}.");
            (report.with_remark(remark), Vec::new())
        }
    }
}
