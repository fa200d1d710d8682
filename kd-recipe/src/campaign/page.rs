//! The results in HTML: `results.html`, one file with tables, dots of every seed and curves.

use kd_core::Result;
use kd_report::{Align, DotPlot, Picture, Section, Table, WebPage};

use crate::campaign::markdown;
use crate::campaign::measure::Measure;
use crate::campaign::plots::Plot;
use crate::campaign::results::{Results, RunResult};

/// More rows than this in the picture of all seeds cannot be read.
const MOST_ROWS: usize = 60;

/// The page of a campaign.
///
/// # Errors
///
/// If a table or a picture cannot be put together.
pub(crate) fn page(results: &Results, plots: Vec<Plot>) -> Result<WebPage> {
    let mut page = WebPage::new(markdown::one_line(&results.title));
    if let Some(budget) = &results.budget {
        page = page.with_text(budget.trim());
    }
    if !results.complete {
        page = page.with_text("**Not complete:** the same command goes on.");
    }
    page = page.with_highlights(highlights(results));
    page = page.with_section(&compared(results)?);
    if let Some(section) = curves(plots)? {
        page = page.with_section(&section);
    }
    if let Some(sweep) = &results.sweep {
        let title = format!("Over all values of {}", sweep.label);
        let section = Section::new(title).with_table(markdown::sweep_table(results)?);
        page = page.with_section(&section);
    }
    if let Some(claims) = results.claims_table()? {
        let section = Section::new("Claims").with_table(claims);
        page = page.with_section(&section.with_text(markdown::CLAIMS));
    }
    if !results.teachers.is_empty() {
        let table = markdown::teachers_table(results)?;
        page = page.with_section(&Section::new("Teachers").with_table(table));
    }
    let runs = Section::new("Runs").with_table(runs(results)?);
    page = page.with_section(&runs);
    Ok(page.with_verbatim("Command", "sh", &results.command))
}

/// How many runs have ended, and what they ran with.
fn highlights(results: &Results) -> Vec<[String; 3]> {
    let (ended, all) = results.ended();
    let seeds: Vec<String> = results.seeds.iter().map(ToString::to_string).collect();
    let none = String::new;
    let mut entries = vec![
        ["runs".to_owned(), format!("{ended} of {all}"), none()],
        [
            "methods".to_owned(),
            results.methods.len().to_string(),
            none(),
        ],
        ["seeds".to_owned(), seeds.join(", "), none()],
    ];
    if let Some(device) = &results.device {
        entries.push(["device".to_owned(), device.clone(), none()]);
    }
    entries.push(["kd".to_owned(), results.kd_version.to_owned(), none()]);
    entries
}

/// The table of methods, and the value of every seed.
fn compared(results: &Results) -> Result<Section> {
    let section = Section::new("Results").with_table(markdown::main_table(results)?);
    let section = section.with_text(markdown::explanation(results).trim());
    let measure = Measure::of(&results.metric);
    let label = measure.label(&results.metric);
    let mut plot = DotPlot::new("Every seed, after the last epoch", label, ["last epoch"]);
    if let Some(most) = measure.most() {
        plot = plot.with_most(most);
    }
    let mut rows = 0;
    for row in &results.methods {
        let done = results.runs_of(row).filter(|run| run.state == "done");
        let values: Vec<f64> = done
            .filter_map(|run| Some(run.metrics.get(&results.metric)? * measure.factor()))
            .collect();
        if !values.is_empty() {
            rows += 1;
            plot = plot.with_row(results.title_of(row), [values]);
        }
    }
    if rows == 0 || rows > MOST_ROWS {
        return Ok(section);
    }
    let about = "the value of every seed, the mean and one standard deviation";
    Ok(section.with_picture("seeds", about, Picture::dots(plot)?))
}

/// The metrics over epochs and over the swept setting.
fn curves(plots: Vec<Plot>) -> Result<Option<Section>> {
    if plots.is_empty() {
        return Ok(None);
    }
    let mut section = Section::new("Curves");
    for plot in plots {
        section = section.with_picture(plot.file, plot.title, Picture::lines(plot.lines)?);
    }
    Ok(Some(section))
}

/// Each run with its state and what it came to.
fn runs(results: &Results) -> Result<Table> {
    let measure = Measure::of(&results.metric);
    let label = measure.label(&results.metric);
    let mut table = Table::new([
        ("run", Align::Left),
        ("state", Align::Left),
        (label.as_str(), Align::Right),
        ("best epoch", Align::Right),
        ("seconds", Align::Right),
        ("folder", Align::Left),
    ]);
    let decimals = measure.decimals();
    for run in results.teachers.iter().chain(&results.runs) {
        let value = run.metrics.get(&results.metric);
        let value = value.map(|value| format!("{:.decimals$}", value * measure.factor()));
        let seconds = run.seconds.map(|seconds| format!("{seconds:.1}"));
        let none = || "-".to_owned();
        table.row([
            run.title.clone(),
            state(run),
            value.unwrap_or_else(none),
            run.best_epoch.map_or_else(none, |epoch| epoch.to_string()),
            seconds.unwrap_or_else(none),
            run.folder.clone(),
        ])?;
    }
    Ok(table)
}

fn state(run: &RunResult) -> String {
    match &run.problem {
        Some(problem) => format!("{}: {}", run.state, markdown::one_line(problem)),
        None => run.state.to_owned(),
    }
}
