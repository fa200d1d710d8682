//! Several runs side by side as their folders are now, or the runs of a campaign.

use std::path::Path;

use kd_core::{EpochLog, Result};
use kd_report::{Align, LinePlot, Picture, Section, Series, Table, WebPage, percent};

use crate::live::page::{name_of, state_of};
use crate::outcome::Outcome;

/// More lines than this in a picture cannot be told apart.
const MOST_LINES: usize = 14;
/// Metrics that are drawn side by side, if they are measured.
const DRAWN: [&str; 2] = ["accuracy", "mean_iou"];

/// A run on the page of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRun<'a> {
    /// What it is called.
    pub name: String,
    /// Its folder.
    pub folder: &'a Path,
    /// The path of its own page on the server.
    pub path: String,
}

/// What the folder of a run says.
struct Known<'a> {
    run: &'a LiveRun<'a>,
    epochs: Vec<EpochLog>,
    state: &'static str,
}

/// The page of several runs: their state and their curves side by side. A run that cannot be read, or is not
/// begun, is in the table without values.
///
/// # Errors
///
/// If a picture cannot be drawn.
pub fn live_overview(title: &str, runs: &[LiveRun<'_>]) -> Result<WebPage> {
    let known: Vec<Known<'_>> = runs.iter().map(read).collect();
    let of_state = |state: &str| known.iter().filter(|run| run.state == state).count();
    let highlights = ["running", "done", "stopped", "not done"].into_iter().filter_map(|state| {
        let count = of_state(state);
        (count > 0).then(|| [state.to_owned(), count.to_string(), String::new()])
    });
    let links = known.iter().map(|known| {
        let last = known.epochs.last();
        let so_far = last.map_or_else(String::new, |last| format!(", epoch {} of phase {}", last.epoch + 1, last.phase));
        [known.run.name.clone(), known.run.path.clone(), format!("{}{so_far}", known.state)]
    });
    let section = Section::new("Runs").with_table(table(&known)?);
    let page = WebPage::new(title)
        .with_highlights(highlights.collect())
        .with_section(&curves(&known)?)
        .with_section(&section);
    Ok(page.with_links(links.collect()))
}

fn read<'a>(run: &'a LiveRun<'a>) -> Known<'a> {
    let begun = run.folder.join("recipe.toml").is_file();
    let done = matches!(Outcome::read(run.folder), Ok(Some(_)));
    Known {
        run,
        epochs: EpochLog::read_all(run.folder).unwrap_or_default(),
        state: if begun { state_of(run.folder, done) } else { "not begun" },
    }
}

/// The last value of a metric.
fn last(epochs: &[EpochLog], metric: &str) -> Option<f64> {
    let evaluated = epochs.iter().rev().filter_map(|epoch| epoch.evaluation.as_ref());
    evaluated.filter_map(|metrics| metrics.get(metric).copied()).next()
}

fn table(known: &[Known<'_>]) -> Result<Table> {
    let mut table = Table::new([
        ("run", Align::Left),
        ("state", Align::Left),
        ("epochs", Align::Right),
        ("result", Align::Right),
        ("seconds an epoch", Align::Right),
        ("folder", Align::Left),
    ]);
    let none = || "-".to_owned();
    for Known { run, epochs, state } in known {
        let value = DRAWN.into_iter().find_map(|metric| last(epochs, metric));
        let pace = epochs.last().map(|last| last.seconds / (last.epoch + 1) as f64);
        table.row([
            run.name.clone(),
            (*state).to_owned(),
            epochs.len().to_string(),
            value.map_or_else(none, percent),
            pace.map_or_else(none, |pace| format!("{pace:.2}")),
            name_of(run.folder),
        ])?;
    }
    Ok(table)
}

/// A picture of each metric, and of the training loss, with a line for each run that has begun.
fn curves(known: &[Known<'_>]) -> Result<Section> {
    let mut section = Section::new("Curves");
    let begun: Vec<&Known<'_>> = known.iter().filter(|known| known.epochs.len() > 1).collect();
    if begun.len() > MOST_LINES {
        let text = format!("The first {MOST_LINES} of {} runs that have begun.", begun.len());
        section = section.with_text(text);
    }
    let shown = &begun[..begun.len().min(MOST_LINES)];
    let evaluated = |metric: &'static str| {
        move |epoch: &EpochLog| Some(100.0 * *epoch.evaluation.as_ref()?.get(metric)?)
    };
    for metric in DRAWN {
        let title = format!("Held-out {}", metric.replace("mean_iou", "mean IoU"));
        section = drawn(section, shown, [&title, metric, "%"], evaluated(metric))?;
    }
    let loss = |epoch: &EpochLog| epoch.train.get("total").or(epoch.train.values().next()).copied();
    drawn(section, shown, ["Training loss", "loss", "mean of the epoch"], loss)
}

/// The section with the picture of one number over all epochs of each run, if any run has two of them.
fn drawn(
    section: Section,
    known: &[&Known<'_>],
    [title, file, label]: [&str; 3],
    value: impl Fn(&EpochLog) -> Option<f64>,
) -> Result<Section> {
    let mut plot = LinePlot::new(title, "epoch", label);
    let mut any = false;
    for Known { run, epochs, .. } in known {
        // Epochs go on over the phases.
        let points = (1_u32..).zip(epochs).filter_map(|(number, epoch)| {
            let value = value(epoch).filter(|value| value.is_finite() && value.abs() < 1e100)?;
            Some((f64::from(number), value))
        });
        let points: Vec<(f64, f64)> = points.collect();
        if points.len() > 1 {
            any = true;
            plot = plot.with_series(Series::new(run.name.clone(), points));
        }
    }
    if !any {
        return Ok(section);
    }
    Ok(section.with_picture(file, title, Picture::lines(plot)?))
}
