//! Several runs side by side as their folders are now, or the runs of a campaign.

use std::path::Path;

use kd_core::{EpochLog, Result};
use kd_report::{Align, LinePlot, Picture, Section, Series, Table, WebPage, percent};

use crate::live::page::state_of;
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

/// The page of several runs: their state and their curves side by side, below links to further pages, each
/// with a name, a path and a remark. A run that cannot be read, or is not begun, is in the table without
/// values.
///
/// # Errors
///
/// If a picture cannot be drawn.
pub fn live_overview(
    title: &str,
    runs: &[LiveRun<'_>],
    mut links: Vec<[String; 3]>,
) -> Result<WebPage> {
    if runs.is_empty() {
        return Ok(WebPage::new(title).with_text("There is no run yet."));
    }
    let known: Vec<Known<'_>> = runs.iter().map(read).collect();
    let count_of = |state: &str| known.iter().filter(|run| run.state == state).count();
    let states = ["running", "done", "stopped", "not done"].map(|state| (state, count_of(state)));
    let highlights = states.into_iter().filter(|(_, count)| *count > 0);
    let highlights =
        highlights.map(|(state, count)| [state.to_owned(), count.to_string(), String::new()]);
    links.extend(known.iter().map(|Known { run, epochs, state }| {
        let remark = match epochs.len() {
            0 => (*state).to_owned(),
            number => format!("{state}, epoch {number}"),
        };
        [run.name.clone(), run.path.clone(), remark]
    }));
    let section = Section::new("Runs").with_table(table(&known)?);
    let page = WebPage::new(title)
        .with_highlights(highlights.collect())
        .with_section(&curves(&known)?)
        .with_section(&section);
    Ok(page.with_links(links))
}

fn read<'a>(run: &'a LiveRun<'a>) -> Known<'a> {
    let begun = run.folder.join("recipe.toml").is_file();
    let done = matches!(Outcome::read(run.folder), Ok(Some(_)));
    Known {
        run,
        epochs: EpochLog::read_all(run.folder).unwrap_or_default(),
        state: if begun {
            state_of(run.folder, done)
        } else {
            "not begun"
        },
    }
}

/// The last value of a metric.
fn last(epochs: &[EpochLog], metric: &str) -> Option<f64> {
    let mut evaluated = epochs
        .iter()
        .rev()
        .filter_map(|epoch| epoch.evaluation.as_ref());
    evaluated.find_map(|metrics| metrics.get(metric).copied())
}

fn table(known: &[Known<'_>]) -> Result<Table> {
    let mut table = Table::new([
        ("run", Align::Left),
        ("state", Align::Left),
        ("epochs", Align::Right),
        ("result", Align::Right),
        ("seconds an epoch", Align::Right),
    ]);
    let none = || "-".to_owned();
    for Known { run, epochs, state } in known {
        let value = DRAWN.into_iter().find_map(|metric| last(epochs, metric));
        let pace = epochs
            .last()
            .map(|last| last.seconds / (last.epoch + 1) as f64);
        table.row([
            run.name.clone(),
            (*state).to_owned(),
            epochs.len().to_string(),
            value.map_or_else(none, percent),
            pace.map_or_else(none, |pace| format!("{pace:.2}")),
        ])?;
    }
    Ok(table)
}

/// A picture of each metric, and of the training loss.
fn curves(known: &[Known<'_>]) -> Result<Section> {
    let mut section = Section::new("Curves");
    let mut begun: Vec<&Known<'_>> = known.iter().filter(|run| run.epochs.len() > 1).collect();
    // What is under way is what is looked at.
    begun.sort_by_key(|run| run.state != "running");
    let (lines, text) = lines(&begun);
    if !text.is_empty() {
        section = section.with_text(text);
    }
    let evaluated = |metric: &'static str| {
        move |epoch: &EpochLog| Some(100.0 * *epoch.evaluation.as_ref()?.get(metric)?)
    };
    for metric in DRAWN {
        let title = format!("Held-out {}", metric.replace("mean_iou", "mean IoU"));
        section = drawn(section, &lines, [&title, metric, "%"], evaluated(metric))?;
    }
    let loss = |epoch: &EpochLog| {
        let total = epoch.train.get("total");
        total.or(epoch.train.values().next()).copied()
    };
    let names = ["Training loss", "loss", "mean of the epoch"];
    drawn(section, &lines, names, loss)
}

/// What a line is called, and the runs that it is of.
type Line<'a> = (String, Vec<&'a [EpochLog]>);

/// A line for each run; of many runs one for each folder that they lie in, as the seeds of a method do.
fn lines<'a>(begun: &[&'a Known<'_>]) -> (Vec<Line<'a>>, String) {
    let mut lines: Vec<Line<'a>> = Vec::new();
    let single = begun.len() <= MOST_LINES;
    for run in begun {
        let name = match run.run.name.rsplit_once(['/', '\\']) {
            Some((folder, _)) if !single => folder,
            _ => &run.run.name,
        };
        match lines.iter_mut().find(|(other, _)| !single && other == name) {
            Some((_, runs)) => runs.push(&run.epochs),
            None => lines.push((name.to_owned(), vec![&run.epochs])),
        }
    }
    let all = lines.len();
    lines.truncate(MOST_LINES);
    let text = match (single, all > lines.len()) {
        (true, _) => String::new(),
        (false, false) => "Means of the runs in a folder, with one standard deviation.".to_owned(),
        (false, true) => format!("The first {MOST_LINES} of {all} folders, means of their runs."),
    };
    (lines, text)
}

/// The section with the picture of one number over all epochs, if any line has two of them.
fn drawn(
    section: Section,
    lines: &[Line<'_>],
    [title, file, label]: [&str; 3],
    value: impl Fn(&EpochLog) -> Option<f64>,
) -> Result<Section> {
    let mut plot = LinePlot::new(title, "epoch", label);
    if label == "%" {
        plot = plot.with_most(100.0);
    }
    let mut any = false;
    for (name, runs) in lines {
        let runs: Vec<Vec<(f64, f64)>> = runs.iter().map(|epochs| points(epochs, &value)).collect();
        let longest = runs.iter().map(Vec::len).max().unwrap_or(0);
        if longest > 1
            && let Ok(series) = Series::of_runs(name.clone(), &runs)
        {
            any = true;
            plot = plot.with_series(series);
        }
    }
    if !any {
        return Ok(section);
    }
    Ok(section.with_picture(file, title, Picture::lines(plot)?))
}

/// A number over the epochs, which go on over the phases.
fn points(epochs: &[EpochLog], value: impl Fn(&EpochLog) -> Option<f64>) -> Vec<(f64, f64)> {
    let numbered = (1_u32..).zip(epochs).filter_map(|(number, epoch)| {
        let value = value(epoch).filter(|value| value.is_finite() && value.abs() < 1e100)?;
        Some((f64::from(number), value))
    });
    numbered.collect()
}
