//! The results of a campaign: `results.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kd_core::{Error, Metrics, Result};
use kd_report::{PairedDifference, Summary};
use serde::Serialize;

use crate::campaign::curve::{Point, best, curve};
use crate::campaign::error::CampaignError;
use crate::campaign::file::Campaign;
use crate::campaign::judged_claim::{JudgedClaim, judge};
use crate::campaign::planned_run::{PlannedRun, shown};
use crate::campaign::run_plan::RunPlan;
use crate::campaign::run_state::RunState;

/// A run with all that is known of it.
#[derive(Debug)]
pub(crate) struct KnownRun {
    pub(crate) planned: PlannedRun,
    /// What it would be made from; not known as long as it waits for a teacher.
    pub(crate) plan: Option<RunPlan>,
    pub(crate) state: RunState,
}

/// The results of a campaign so far.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Results {
    /// The version of this form.
    pub format: u32,
    /// The version of kd that put them together.
    pub kd_version: &'static str,
    /// The heading.
    pub title: String,
    /// What every method may spend, as a sentence.
    pub budget: Option<String>,
    /// What made them: a command, mostly.
    pub command: String,
    /// The device that the runs computed on.
    pub device: Option<String>,
    /// The metric that methods are compared by.
    pub metric: String,
    /// Metrics that have a column beside it.
    pub more_metrics: Vec<String>,
    /// The method that the others are compared with.
    pub baseline: Option<String>,
    /// The seeds that every method is run with.
    pub seeds: Vec<u64>,
    /// The setting that was varied, if one was.
    pub sweep: Option<Swept>,
    /// Whether every run has ended, be it without a result.
    pub complete: bool,
    /// The methods, with each value of the swept setting.
    pub methods: Vec<Row>,
    /// What the runs are to show, and whether they do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<JudgedClaim>,
    /// The runs that made the teachers.
    pub teachers: Vec<RunResult>,
    /// The runs that are compared.
    pub runs: Vec<RunResult>,
    /// Metrics that are drawn over epochs beside that of the campaign.
    #[serde(skip)]
    pub(crate) plot_metrics: Vec<String>,
    /// The folder of the campaign.
    #[serde(skip)]
    pub(crate) folder: PathBuf,
    /// The titles of the runs that were asked for.
    #[serde(skip)]
    pub(crate) selected: Vec<String>,
}

/// The setting that was varied.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Swept {
    /// The setting, as overrides name it.
    pub setting: String,
    /// What tables and plots call it.
    pub label: String,
    /// Its values.
    pub values: Vec<toml::Value>,
}

/// A method, with one value of the swept setting, over all seeds.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Row {
    /// The name of the method in the campaign.
    pub name: String,
    /// What tables and plots call it.
    pub title: String,
    /// The value of the swept setting.
    pub value: Option<toml::Value>,
    /// The name of the student's network.
    pub network: Option<String>,
    /// The student's parameters, of the largest where the runs make networks of several sizes.
    pub parameters: Option<u64>,
    /// Parameters that are trained beside the student.
    pub extra_parameters: Option<u64>,
    /// The multiply-accumulates of the student for one image, likewise.
    pub macs: Option<u64>,
    /// Those of the largest of its parts that can run at the same time, if it has such parts.
    pub largest_part_macs: Option<u64>,
    /// The multiply-accumulates of a training step, an image, if the method counts them.
    pub step_macs: Option<u64>,
    /// Runs that are done.
    pub done: usize,
    /// Runs in all.
    pub planned: usize,
    /// Each metric after the last epoch.
    pub last: BTreeMap<String, Summary>,
    /// The metric of the campaign after its best epoch.
    pub best: Option<Summary>,
    /// The best epoch of each seed.
    pub best_epochs: BTreeMap<u64, usize>,
    /// The metric of the campaign minus that of the baseline with the same seed.
    pub difference: Option<PairedDifference>,
    /// The seconds of the runs.
    pub seconds: Option<Summary>,
    /// The most that any of its processes held.
    pub peak_memory_bytes: Option<u64>,
    /// Whether it has a line in the plots.
    #[serde(skip)]
    pub(crate) plot: bool,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RunResult {
    /// The name of the method or teacher in the campaign.
    pub name: String,
    /// A title with value and seed.
    pub title: String,
    /// The value of the swept setting.
    pub value: Option<toml::Value>,
    /// The seed.
    pub seed: u64,
    /// `missing`, `begun`, `done`, `diverged`, `failed` or `stale`.
    pub state: &'static str,
    /// Why there is no result.
    pub problem: Option<String>,
    /// The run folder, below that of the campaign.
    pub folder: String,
    /// Data and teachers by hash.
    pub inputs: BTreeMap<String, String>,
    /// The name of the student's network.
    pub network: Option<String>,
    /// The student's parameters: those that the run measured, where it makes a network of another size.
    pub parameters: Option<u64>,
    /// Parameters that are trained beside the student.
    pub extra_parameters: Option<u64>,
    /// The multiply-accumulates of the student for one image, likewise.
    pub macs: Option<u64>,
    /// Those of the largest of its parts that can run at the same time, if it has such parts.
    pub largest_part_macs: Option<u64>,
    /// The multiply-accumulates of a training step, an image, if the method counts them.
    pub step_macs: Option<u64>,
    /// The metrics after the last epoch, and of an earlier phase those that the last does not measure.
    pub metrics: BTreeMap<String, f64>,
    /// The metric of the campaign after its best epoch.
    pub best: Option<f64>,
    /// The best epoch.
    pub best_epoch: Option<usize>,
    /// The seconds that it took.
    pub seconds: Option<f64>,
    /// The most memory that its process held.
    pub peak_memory_bytes: Option<u64>,
    /// Every evaluation.
    pub curve: Vec<Point>,
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
        teachers: &[KnownRun],
        runs: &[KnownRun],
    ) -> Result<Self> {
        let read = |all: &[KnownRun]| -> Result<Vec<RunResult>> {
            all.iter().map(|known| one(campaign, out, known)).collect()
        };
        let device = runs.iter().find_map(|known| {
            let recipe: toml::Table = known.plan.as_ref()?.recipe.parse().ok()?;
            Some(recipe.get("device")?.as_str()?.to_owned())
        });
        let (teachers, runs) = (read(teachers)?, read(runs)?);
        let ended = |run: &RunResult| matches!(run.state, "done" | "diverged" | "failed");
        let mut methods = rows(campaign, &runs)?;
        compare(campaign, &runs, &mut methods);
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
            claims: judged(campaign, &runs),
            methods,
            teachers,
            runs,
            plot_metrics: campaign.plot_metrics.clone(),
            folder: out.to_owned(),
            selected: Vec::new(),
        })
    }

    /// Whether every run that was asked for has a result, and the metric is one that they measure.
    ///
    /// # Errors
    ///
    /// [`CampaignError::NoResult`] that names the runs without one; [`Error::UnknownName`] for a metric that
    /// nothing measures.
    pub fn verdict(&self) -> Result<()> {
        let selected = |run: &&RunResult| self.selected.contains(&run.title);
        let selected: Vec<&RunResult> = self.runs.iter().filter(selected).collect();
        let failed = |run: &&&RunResult| matches!(run.state, "diverged" | "failed");
        let failures: Vec<String> = selected
            .iter()
            .filter(failed)
            .map(|run| format!("{} {}", run.title, run.state))
            .collect();
        if !failures.is_empty() {
            let all = selected.len();
            return Err(CampaignError::NoResult { failures, all }.of(&self.folder));
        }
        let done = selected.iter().filter(|run| run.state == "done");
        let measured: BTreeSet<&str> = done
            .flat_map(|run| run.metrics.keys().map(String::as_str))
            .collect();
        if measured.contains(self.metric.as_str()) {
            Ok(())
        } else {
            Err(Error::unknown_name("metric", &self.metric, measured))
        }
    }

    /// Runs that have ended, of all.
    pub(crate) fn ended(&self) -> (usize, usize) {
        let open = |run: &&RunResult| !matches!(run.state, "done" | "diverged" | "failed");
        let open = self.runs.iter().filter(open).count();
        (self.runs.len() - open, self.runs.len())
    }

    /// The runs that belong to a row.
    pub(crate) fn runs_of<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = &'a RunResult> {
        of(&self.runs, &row.name, row.value.as_ref())
    }

    /// What tables and plots call a row.
    pub(crate) fn title_of(&self, row: &Row) -> String {
        match (&self.sweep, &row.value) {
            (Some(sweep), Some(value)) => {
                format!("{}, {} = {}", row.title, sweep.label, shown(value))
            }
            _ => row.title.clone(),
        }
    }
}

fn of<'a>(
    runs: &'a [RunResult],
    name: &'a str,
    value: Option<&'a toml::Value>,
) -> impl Iterator<Item = &'a RunResult> {
    runs.iter()
        .filter(move |run| run.name == name && run.value.as_ref() == value)
}

fn one(campaign: &Campaign, out: &Path, known: &KnownRun) -> Result<RunResult> {
    let KnownRun {
        planned,
        plan,
        state,
    } = known;
    let plan = plan.as_ref();
    let parts: Vec<_> = planned
        .folder
        .iter()
        .map(|part| part.to_string_lossy())
        .collect();
    let mut run = RunResult {
        name: planned.name.clone(),
        title: planned.title.clone(),
        value: planned.value.clone(),
        seed: planned.seed,
        state: state.name(),
        problem: None,
        folder: parts.join("/"),
        inputs: plan.map(|plan| plan.inputs.clone()).unwrap_or_default(),
        network: plan.and_then(|plan| plan.network.clone()),
        parameters: plan.and_then(|plan| plan.parameters),
        extra_parameters: plan.map(|plan| plan.extra_parameters),
        macs: plan.and_then(|plan| plan.macs),
        largest_part_macs: plan.and_then(|plan| plan.largest_part_macs),
        step_macs: plan.and_then(|plan| plan.step_macs),
        metrics: BTreeMap::new(),
        best: None,
        best_epoch: None,
        seconds: None,
        peak_memory_bytes: None,
        curve: Vec::new(),
    };
    match state {
        RunState::Done(outcome) => {
            run.curve = curve(&out.join(&planned.folder))?;
            // What was measured before the network had its size is of another one.
            let sized = |point: &Point| point.metrics.contains_key("parameters");
            let made = run.curve.iter().rposition(sized).unwrap_or(0);
            let best = best(&run.curve[made..], campaign);
            run.best_epoch = best.map(|(epoch, _)| epoch);
            run.best = best.map(|(_, value)| value);
            run.metrics = all_metrics(&run.curve, &outcome.metrics, &campaign.metric);
            run.parameters = counted(&run.metrics, "parameters").or(run.parameters);
            run.macs = counted(&run.metrics, "macs").or(run.macs);
            run.seconds = Some(outcome.seconds);
            run.peak_memory_bytes = outcome.peak_memory_bytes;
        }
        RunState::Failed(failure) => run.problem = Some(below(out, &failure.problem)),
        RunState::Stale(why) => run.problem = Some(below(out, why)),
        RunState::Missing | RunState::Begun => {}
    }
    Ok(run)
}

/// The metrics of the last evaluation, and what it does not measure of earlier ones that have the metric of
/// the campaign, as those of a phase that only looks at what the one before it has made. Those of a part, as
/// of one student of a class, are not those of the whole.
fn all_metrics(curve: &[Point], last: &Metrics, metric: &str) -> Metrics {
    let of_whole = curve
        .iter()
        .filter(|point| point.metrics.contains_key(metric));
    let earlier = of_whole.flat_map(|point| point.metrics.clone());
    earlier.chain(last.clone()).collect()
}

/// What a run has counted of the network that it made, where its size is not known before.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts, which metrics hold as floating-point numbers"
)]
fn counted(metrics: &Metrics, name: &str) -> Option<u64> {
    metrics.get(name).map(|count| *count as u64)
}

/// A text whose paths into the campaign's folder begin there, as results are read on other machines, too.
fn below(out: &Path, text: &str) -> String {
    let folder = format!("{}{}", out.display(), std::path::MAIN_SEPARATOR);
    text.replace(&folder, "")
}

/// A row for each method and value, in the order of the campaign file.
fn rows(campaign: &Campaign, runs: &[RunResult]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for method in &campaign.methods {
        let sweep = campaign.sweep.as_ref();
        let sweep = sweep.filter(|sweep| sweep.takes(&method.name));
        let values: Vec<Option<&toml::Value>> = match sweep {
            Some(sweep) => sweep.values.iter().map(Some).collect(),
            None => vec![None],
        };
        for value in values {
            let all: Vec<&RunResult> = of(runs, &method.name, value).collect();
            rows.push(Row {
                plot: method.plot,
                ..row(&method.name, method.shown(), value, &all)?
            });
        }
    }
    Ok(rows)
}

fn row(name: &str, title: &str, value: Option<&toml::Value>, all: &[&RunResult]) -> Result<Row> {
    let done: Vec<&RunResult> = all
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
    // Runs of other seeds may make networks of other sizes.
    let largest = done.iter().max_by_key(|run| (run.macs, run.parameters));
    let largest = largest.filter(|run| run.parameters.is_some()).or(first);
    let best_epochs = done
        .iter()
        .filter_map(|run| Some((run.seed, run.best_epoch?)));
    Ok(Row {
        name: name.to_owned(),
        title: title.to_owned(),
        value: value.cloned(),
        network: first.and_then(|run| run.network.clone()),
        parameters: largest.and_then(|run| run.parameters),
        extra_parameters: first.and_then(|run| run.extra_parameters),
        macs: largest.and_then(|run| run.macs),
        largest_part_macs: first.and_then(|run| run.largest_part_macs),
        step_macs: first.and_then(|run| run.step_macs),
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

/// A metric of the runs of a method that are done.
fn by_seed(
    runs: &[RunResult],
    name: &str,
    value: Option<&toml::Value>,
    metric: &str,
) -> BTreeMap<u64, f64> {
    of(runs, name, value)
        .filter(|run| run.state == "done")
        .filter_map(|run| Some((run.seed, *run.metrics.get(metric)?)))
        .collect()
}

/// The claims of the campaign, judged by the runs that are done.
fn judged(campaign: &Campaign, runs: &[RunResult]) -> Vec<JudgedClaim> {
    let values = |method: &str, metric: &str| by_seed(runs, method, None, metric);
    let title = |name: &str| {
        let entry = campaign.method(name);
        entry.map_or_else(|| name.to_owned(), |entry| entry.shown().to_owned())
    };
    let claims = campaign.claims.iter();
    claims.map(|claim| judge(claim, &values, &title)).collect()
}

/// Compares each row with the baseline: that with the same value of the swept setting, or the only one.
fn compare(campaign: &Campaign, runs: &[RunResult], rows: &mut [Row]) {
    let Some(baseline) = &campaign.baseline else {
        return;
    };
    let by_seed = |name: &str, value| by_seed(runs, name, value, &campaign.metric);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_last_evaluation_does_not_measure_is_that_of_an_earlier_phase() {
        let metrics = |pairs: &[(&str, f64)]| -> Metrics {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect()
        };
        let point = |epoch, pairs: &[(&str, f64)]| Point {
            epoch,
            metrics: metrics(pairs),
        };
        let curve = [
            point(1, &[("error_of_a_part", 0.3)]),
            point(1, &[("accuracy", 0.4), ("parameters", 9.0)]),
            point(2, &[("accuracy", 0.2), ("parameters", 7.0)]),
            point(3, &[("accuracy", 0.5)]),
        ];
        let all = all_metrics(&curve, &metrics(&[("accuracy", 0.6)]), "accuracy");
        assert_eq!(all, metrics(&[("accuracy", 0.6), ("parameters", 7.0)]));
        assert_eq!(counted(&all, "parameters"), Some(7));
        assert_eq!(counted(&all, "macs"), None);
    }
}
