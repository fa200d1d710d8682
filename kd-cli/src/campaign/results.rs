//! What a campaign came to: `results.json`.

use std::collections::BTreeMap;
use std::path::Path;

use kd_core::Result;
use kd_report::{PairedDifference, Summary};
use serde::Serialize;

use super::cell::Cell;
use super::curve::{Point, best, curve};
use super::file::Campaign;
use super::plan::Plan;
use super::state::State;

/// A run with all that is known of it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) cell: Cell,
    /// What it would be made from; not known as long as it waits for a teacher.
    pub(crate) plan: Option<Plan>,
    pub(crate) state: State,
}

/// What a campaign came to so far.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    /// The version of this form.
    format: u32,
    kd_version: &'static str,
    pub(crate) title: String,
    pub(crate) budget: Option<String>,
    /// How it was made.
    pub(crate) command: String,
    /// Where the runs computed.
    pub(crate) device: Option<String>,
    pub(crate) metric: String,
    pub(crate) more_metrics: Vec<String>,
    pub(crate) baseline: Option<String>,
    pub(crate) seeds: Vec<u64>,
    pub(crate) sweep: Option<Swept>,
    /// Whether every run has ended, be it without a result.
    pub(crate) complete: bool,
    pub(crate) methods: Vec<Row>,
    pub(crate) teachers: Vec<OneRun>,
    pub(crate) runs: Vec<OneRun>,
}

/// The setting that was varied.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Swept {
    pub(crate) setting: String,
    pub(crate) label: String,
    pub(crate) values: Vec<toml::Value>,
}

/// A method, with one value of the swept setting, over all seeds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) value: Option<toml::Value>,
    pub(crate) network: Option<String>,
    pub(crate) parameters: Option<u64>,
    pub(crate) extra_parameters: Option<u64>,
    /// Runs that are done, of so many.
    pub(crate) done: usize,
    pub(crate) planned: usize,
    /// Each metric after the last epoch.
    pub(crate) last: BTreeMap<String, Summary>,
    /// The metric of the campaign after its best epoch, and which that was for each seed.
    pub(crate) best: Option<Summary>,
    pub(crate) best_epochs: BTreeMap<u64, usize>,
    /// The metric of the campaign minus that of the baseline with the same seed.
    pub(crate) difference: Option<PairedDifference>,
    pub(crate) seconds: Option<Summary>,
    /// The most that any of its processes held.
    pub(crate) peak_memory_bytes: Option<u64>,
    /// Whether it has a line in the plots.
    #[serde(skip)]
    pub(crate) plot: bool,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OneRun {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) value: Option<toml::Value>,
    pub(crate) seed: u64,
    /// `missing`, `begun`, `done`, `diverged`, `failed` or `stale`.
    pub(crate) state: &'static str,
    /// Why there is no result.
    pub(crate) problem: Option<String>,
    /// The run folder, below that of the campaign.
    folder: String,
    /// Data and teachers by hash.
    inputs: BTreeMap<String, String>,
    pub(crate) network: Option<String>,
    pub(crate) parameters: Option<u64>,
    pub(crate) extra_parameters: Option<u64>,
    /// The metrics after the last epoch.
    pub(crate) metrics: BTreeMap<String, f64>,
    /// The metric of the campaign after its best epoch.
    pub(crate) best: Option<f64>,
    pub(crate) best_epoch: Option<usize>,
    pub(crate) seconds: Option<f64>,
    pub(crate) peak_memory_bytes: Option<u64>,
    /// Every evaluation.
    pub(crate) curve: Vec<Point>,
}

impl State {
    /// Its name in `results.json`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Begun => "begun",
            Self::Done(_) => "done",
            Self::Failed(failure) => failure.kind.name(),
            Self::Stale(_) => "stale",
        }
    }
}

impl Results {
    /// Puts together what there is.
    ///
    /// # Errors
    ///
    /// If the log of a run cannot be read.
    pub(crate) fn gather(
        campaign: &Campaign,
        command: &str,
        out: &Path,
        teachers: &[Known],
        cells: &[Known],
    ) -> Result<Self> {
        let read = |all: &[Known]| -> Result<Vec<OneRun>> {
            all.iter().map(|known| one(campaign, out, known)).collect()
        };
        let (teachers, runs) = (read(teachers)?, read(cells)?);
        let ended = |run: &OneRun| matches!(run.state, "done" | "diverged" | "failed");
        let mut methods = rows(campaign, &runs)?;
        compare(campaign, &runs, &mut methods);
        let device = cells.iter().find_map(|known| {
            let recipe: toml::Table = known.plan.as_ref()?.recipe.parse().ok()?;
            Some(recipe.get("device")?.as_str()?.to_owned())
        });
        Ok(Self {
            format: 1,
            kd_version: env!("CARGO_PKG_VERSION"),
            title: campaign.title.clone(),
            budget: campaign.budget.clone(),
            command: command.to_owned(),
            device,
            metric: campaign.metric.clone(),
            more_metrics: campaign.more_metrics.clone(),
            baseline: campaign.baseline.clone(),
            seeds: campaign.seeds.clone(),
            sweep: campaign.sweep.as_ref().map(|sweep| Swept {
                setting: sweep.setting.clone(),
                label: sweep.shown().to_owned(),
                values: sweep.values.clone(),
            }),
            complete: runs.iter().all(ended),
            methods,
            teachers,
            runs,
        })
    }

    /// Runs that have ended, of all.
    pub(crate) fn ended(&self) -> (usize, usize) {
        let open = |run: &&OneRun| !matches!(run.state, "done" | "diverged" | "failed");
        let open = self.runs.iter().filter(open).count();
        (self.runs.len() - open, self.runs.len())
    }

    /// The runs that belong to a row.
    pub(crate) fn runs_of<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = &'a OneRun> {
        of(&self.runs, &row.name, row.value.as_ref())
    }

    /// What tables and plots call a row.
    pub(crate) fn title_of(&self, row: &Row) -> String {
        match (&self.sweep, &row.value) {
            (Some(sweep), Some(value)) => {
                format!(
                    "{}, {} = {}",
                    row.title,
                    sweep.label,
                    super::cell::shown(value)
                )
            }
            _ => row.title.clone(),
        }
    }

    /// The version of kd that put this together.
    pub(crate) fn kd_version(&self) -> &str {
        self.kd_version
    }
}

fn of<'a>(
    runs: &'a [OneRun],
    name: &'a str,
    value: Option<&'a toml::Value>,
) -> impl Iterator<Item = &'a OneRun> {
    runs.iter()
        .filter(move |run| run.name == name && run.value.as_ref() == value)
}

fn one(campaign: &Campaign, out: &Path, known: &Known) -> Result<OneRun> {
    let Known { cell, plan, state } = known;
    let plan = plan.as_ref();
    let parts: Vec<_> = cell
        .folder
        .iter()
        .map(|part| part.to_string_lossy())
        .collect();
    let mut run = OneRun {
        name: cell.name.clone(),
        title: cell.title.clone(),
        value: cell.value.clone(),
        seed: cell.seed,
        state: state.name(),
        problem: None,
        folder: parts.join("/"),
        inputs: plan.map(|plan| plan.inputs.clone()).unwrap_or_default(),
        network: plan.and_then(|plan| plan.network.clone()),
        parameters: plan.and_then(|plan| plan.parameters),
        extra_parameters: plan.map(|plan| plan.extra_parameters),
        metrics: BTreeMap::new(),
        best: None,
        best_epoch: None,
        seconds: None,
        peak_memory_bytes: None,
        curve: Vec::new(),
    };
    match state {
        State::Done(outcome) => {
            run.curve = curve(&out.join(&cell.folder))?;
            let best = best(&run.curve, campaign);
            run.best_epoch = best.map(|(epoch, _)| epoch);
            run.best = best.map(|(_, value)| value);
            run.metrics.clone_from(&outcome.metrics);
            run.seconds = Some(outcome.seconds);
            run.peak_memory_bytes = outcome.peak_memory_bytes;
        }
        State::Failed(failure) => run.problem = Some(below(out, &failure.problem)),
        State::Stale(why) => run.problem = Some(below(out, why)),
        State::Missing | State::Begun => {}
    }
    Ok(run)
}

/// A text whose paths into the campaign's folder begin there, as results are read on other machines, too.
fn below(out: &Path, text: &str) -> String {
    let folder = format!("{}{}", out.display(), std::path::MAIN_SEPARATOR);
    text.replace(&folder, "")
}

/// A row for each method and value, in the order of the campaign file.
fn rows(campaign: &Campaign, runs: &[OneRun]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for method in &campaign.methods {
        let sweep = campaign.sweep.as_ref();
        let sweep = sweep.filter(|sweep| sweep.takes(&method.name));
        let values: Vec<Option<&toml::Value>> = match sweep {
            Some(sweep) => sweep.values.iter().map(Some).collect(),
            None => vec![None],
        };
        for value in values {
            let all: Vec<&OneRun> = of(runs, &method.name, value).collect();
            rows.push(Row {
                plot: method.plot,
                ..row(&method.name, method.shown(), value, &all)?
            });
        }
    }
    Ok(rows)
}

fn row(name: &str, title: &str, value: Option<&toml::Value>, all: &[&OneRun]) -> Result<Row> {
    let done: Vec<&OneRun> = all
        .iter()
        .filter(|run| run.state == "done")
        .copied()
        .collect();
    let summary = |values: Vec<f64>| -> Result<Option<Summary>> {
        if values.is_empty() {
            Ok(None)
        } else {
            Ok(Some(Summary::of(&values)?))
        }
    };
    let mut last = BTreeMap::new();
    for metric in done.iter().flat_map(|run| run.metrics.keys()) {
        let values = done.iter().filter_map(|run| run.metrics.get(metric));
        if !last.contains_key(metric)
            && let Some(summary) = summary(values.copied().collect())?
        {
            last.insert(metric.clone(), summary);
        }
    }
    let first = all.iter().find(|run| run.parameters.is_some());
    let best_epochs = done
        .iter()
        .filter_map(|run| Some((run.seed, run.best_epoch?)));
    Ok(Row {
        name: name.to_owned(),
        title: title.to_owned(),
        value: value.cloned(),
        network: first.and_then(|run| run.network.clone()),
        parameters: first.and_then(|run| run.parameters),
        extra_parameters: first.and_then(|run| run.extra_parameters),
        done: done.len(),
        planned: all.len(),
        last,
        best: summary(done.iter().filter_map(|run| run.best).collect())?,
        best_epochs: best_epochs.collect(),
        difference: None,
        seconds: summary(done.iter().filter_map(|run| run.seconds).collect())?,
        peak_memory_bytes: done.iter().filter_map(|run| run.peak_memory_bytes).max(),
        plot: true,
    })
}

/// Compares each row with the baseline: that with the same value of the swept setting, or the only one.
fn compare(campaign: &Campaign, runs: &[OneRun], rows: &mut [Row]) {
    let Some(baseline) = &campaign.baseline else {
        return;
    };
    let by_seed = |name: &str, value: Option<&toml::Value>| -> BTreeMap<u64, f64> {
        of(runs, name, value)
            .filter(|run| run.state == "done")
            .filter_map(|run| Some((run.seed, *run.metrics.get(&campaign.metric)?)))
            .collect()
    };
    let swept = campaign
        .sweep
        .as_ref()
        .is_some_and(|sweep| sweep.takes(baseline));
    for row in rows.iter_mut().filter(|row| row.name != *baseline) {
        // A baseline that is swept has no counterpart for a method that is not.
        let against = match (swept, &row.value) {
            (true, None) => continue,
            (true, value) => by_seed(baseline, value.as_ref()),
            (false, _) => by_seed(baseline, None),
        };
        let own = by_seed(&row.name, row.value.as_ref());
        // There is none as long as no seed is done in both.
        row.difference = PairedDifference::of(&own, &against).ok();
    }
}
