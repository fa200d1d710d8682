//! The results in Markdown: `results.md`, and a short table.

use std::fmt::Write;

use kd_core::{Metrics, Result};
use kd_report::{Align, PairedDifference, Summary, Table, count};

use crate::campaign::file::Campaign;
use crate::campaign::judged_claim::{Comparison, JudgedClaim};
use crate::campaign::measure::Measure;
use crate::campaign::planned_run::shown;
use crate::campaign::plots::Plot;
use crate::campaign::results::{Results, Row, RunResult};

/// How the table of claims is to be read.
pub(crate) const CLAIMS: &str = "\nDifferences are means over the seeds, taken seed by seed, with the 95 % \
                                 interval of Student's t in brackets. A claim is held where all its \
                                 intervals lie on the side that it says, not held where one lies wholly on \
                                 the other, and not to be told otherwise. Nothing is corrected for the \
                                 number of comparisons.\n";

/// Where there is nothing to be said.
const NONE: &str = "-";

/// The metric of a campaign in one line.
pub(crate) fn one_value(campaign: &Campaign, metrics: &Metrics) -> String {
    let metric = &campaign.metric;
    let measure = Measure::of(metric);
    if let Some(value) = metrics.get(metric) {
        return value_in(measure, metric, *value);
    }
    let known: Vec<&str> = metrics.keys().map(String::as_str).collect();
    let known = known.join(", ");
    format!("done, but `{metric}` is not measured; measured: {known}")
}

/// `accuracy 84.20 %`
fn value_in(measure: Measure, metric: &str, value: f64) -> String {
    let (value, decimals) = (value * measure.factor(), measure.decimals());
    match measure {
        Measure::Percent => format!("{metric} {value:.decimals$} %"),
        Measure::Plain => format!("{metric} {value:.decimals$}"),
    }
}

/// `results.md`.
///
/// # Errors
///
/// If a table cannot be put together.
pub(crate) fn document(results: &Results, plots: &[Plot]) -> Result<String> {
    let mut text = format!("# {}\n\n", one_line(&results.title));
    if let Some(budget) = &results.budget {
        let _ = write!(text, "{}\n\n", budget.trim());
    }
    let device = results.device.as_deref();
    let device = device
        .map(|name| format!(" on device `{name}`"))
        .unwrap_or_default();
    let made = format!("Made by kd {}{device} with:", results.kd_version);
    let _ = write!(text, "{made}\n\n```sh\n{}\n```\n\n", results.command);
    if !results.complete {
        let (ended, all) = results.ended();
        let _ = write!(
            text,
            "**Not complete:** {ended} of {all} runs have ended. The same command goes on.\n\n"
        );
    }
    text.push_str(&main_table(results)?.to_string());
    text.push_str(&explanation(results));
    if let Some(sweep) = &results.sweep {
        let table = sweep_table(results)?;
        let _ = write!(text, "\n## Over all values of {}\n\n{table}", sweep.label);
    }
    if let Some(claims) = results.claims_table()? {
        let _ = write!(text, "\n## Claims\n\n{claims}{CLAIMS}");
    }
    for plot in plots {
        let _ = write!(text, "\n![{}]({})\n", plot.title, plot.file);
    }
    if !results.teachers.is_empty() {
        text.push_str("\n## Teachers\n\n");
        text.push_str(&teachers_table(results)?.to_string());
    }
    let open: Vec<&RunResult> = results
        .teachers
        .iter()
        .chain(&results.runs)
        .filter(|run| run.problem.is_some())
        .collect();
    if !open.is_empty() {
        text.push_str("\n## Runs without a result\n\n");
        for run in open {
            let problem = one_line(run.problem.as_deref().unwrap_or_default());
            let _ = writeln!(text, "- {}, {}: {problem}", run.title, run.state);
        }
    }
    Ok(text)
}

pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn main_table(results: &Results) -> Result<Table> {
    let measure = Measure::of(&results.metric);
    let mut head = vec![("method".to_owned(), Align::Left)];
    if let Some(sweep) = &results.sweep {
        head.push((sweep.label.clone(), Align::Right));
    }
    head.push((measure.label(&results.metric), Align::Right));
    let baseline = results
        .baseline
        .as_deref()
        .map(|name| title_of(results, name));
    if let Some(baseline) = &baseline {
        head.push((format!("difference to {baseline} [95 %]"), Align::Right));
    }
    for metric in &results.more_metrics {
        head.push((Measure::of(metric).label(metric), Align::Right));
    }
    let macs = macs_columns(results);
    let costs = ["runs", "seconds", "parameters", "extra parameters"];
    let costs = costs.into_iter().chain(macs.iter().map(|(name, _)| *name));
    let costs = costs.chain(["peak memory (MiB)"]);
    head.extend(costs.map(|name| (name.to_owned(), Align::Right)));
    let mut table = Table::new(head.iter().map(|(name, align)| (name.as_str(), *align)));
    for row in &results.methods {
        let note = best_note(results, row)
            .map(|note| table.note(note))
            .unwrap_or_default();
        let mut cells = vec![row.title.clone()];
        if results.sweep.is_some() {
            cells.push(row.value.as_ref().map_or_else(|| NONE.into(), shown));
        }
        cells.push(format!(
            "{}{note}",
            summary(row.last.get(&results.metric), measure)
        ));
        if baseline.is_some() {
            cells.push(difference(row, measure));
        }
        for metric in &results.more_metrics {
            cells.push(summary(row.last.get(metric), Measure::of(metric)));
        }
        cells.push(runs(results, row));
        cells.push(
            row.seconds
                .map_or_else(|| NONE.into(), |seconds| format!("{seconds:.1}")),
        );
        cells.push(row.parameters.map_or_else(|| NONE.into(), count));
        cells.push(row.extra_parameters.map_or_else(|| NONE.into(), count));
        for (_, macs) in &macs {
            cells.push(macs(row).map_or_else(|| NONE.into(), count));
        }
        cells.push(memory(row.peak_memory_bytes));
        table.row(cells)?;
    }
    Ok(table)
}

/// A count of multiply-accumulates of a row.
type Macs = fn(&Row) -> Option<u64>;

/// The columns of multiply-accumulates, with their heads: those that a method of the campaign counts.
fn macs_columns(results: &Results) -> Vec<(&'static str, Macs)> {
    let any = |macs: Macs| results.methods.iter().any(|row| macs(row).is_some());
    let (part, step): (Macs, Macs) = (|row| row.largest_part_macs, |row| row.step_macs);
    let mut columns: Vec<(&str, Macs)> = Vec::new();
    if any(part) || any(step) {
        columns.push(("MACs", |row| row.macs));
    }
    if any(part) {
        columns.push(("MACs of the largest part", part));
    }
    if any(step) {
        columns.push(("MACs of a step", step));
    }
    columns
}

/// How far the runs of a method are apart, whatever its seed and the value that was varied.
pub(crate) fn sweep_table(results: &Results) -> Result<Table> {
    let measure = Measure::of(&results.metric);
    let decimals = measure.decimals();
    let metric = measure.label(&results.metric);
    let heads = ["runs", &metric, "lowest", "highest"];
    let heads = heads.map(|name| (name, Align::Right));
    let mut table = Table::new([("method", Align::Left)].into_iter().chain(heads));
    let mut told: Vec<&str> = Vec::new();
    for Row { name, title, .. } in &results.methods {
        if told.contains(&name.as_str()) {
            continue;
        }
        told.push(name);
        let runs = results.runs.iter().filter(|run| run.name == *name);
        let values: Vec<f64> = runs
            .filter(|run| run.state == "done")
            .filter_map(|run| run.metrics.get(&results.metric).copied())
            .collect();
        let mut cells = vec![title.clone(), values.len().to_string()];
        if let Ok(all) = Summary::of(&values) {
            let all = all.times(measure.factor());
            cells.push(format!("{all:.decimals$}"));
            cells.extend([all.min, all.max].map(|value| format!("{value:.decimals$}")));
        }
        cells.resize(heads.len() + 1, NONE.to_owned());
        table.row(cells)?;
    }
    Ok(table)
}

/// What a method is called.
fn title_of(results: &Results, name: &str) -> String {
    let row = results.methods.iter().find(|row| row.name == name);
    row.map_or_else(|| name.to_owned(), |row| row.title.clone())
}

fn summary(summary: Option<&Summary>, measure: Measure) -> String {
    let decimals = measure.decimals();
    match summary {
        Some(summary) => format!("{:.decimals$}", summary.times(measure.factor())),
        None => NONE.into(),
    }
}

fn difference(row: &Row, measure: Measure) -> String {
    let decimals = measure.decimals();
    let show =
        |difference: PairedDifference| format!("{:.decimals$}", difference.times(measure.factor()));
    row.difference.map_or_else(|| NONE.into(), show)
}

/// `KD − student alone, accuracy (%): +1.30 [+0.64, +1.96]`
fn compared(comparison: &Comparison) -> String {
    let measure = comparison.measure;
    let decimals = measure.decimals();
    let difference = comparison.difference.map_or_else(
        || NONE.into(),
        |difference| format!("{:.decimals$}", difference.times(measure.factor())),
    );
    format!("{}: {difference}", comparison.what)
}

/// `3`, or `2 of 3 (1 diverged)`.
fn runs(results: &Results, row: &Row) -> String {
    if row.done == row.planned {
        return row.done.to_string();
    }
    let mut text = format!("{} of {}", row.done, row.planned);
    let states = ["diverged", "failed", "stale"];
    let counts: Vec<String> = states
        .iter()
        .filter_map(|&state| {
            let count = results
                .runs_of(row)
                .filter(|run| run.state == state)
                .count();
            (count > 0).then(|| format!("{count} {state}"))
        })
        .collect();
    if !counts.is_empty() {
        let _ = write!(text, " ({})", counts.join(", "));
    }
    text
}

fn memory(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| NONE.into(), |bytes| count(bytes.div_ceil(1 << 20)))
}

/// The footnote of a row, where another epoch than the last was the best of a run.
fn best_note(results: &Results, row: &Row) -> Option<String> {
    let best = row
        .best
        .filter(|best| row.last.get(&results.metric) != Some(best))?;
    let measure = Measure::of(&results.metric);
    let epochs: Vec<String> = row.best_epochs.values().map(ToString::to_string).collect();
    let word = match epochs.len() {
        1 => "epoch",
        _ => "epochs",
    };
    Some(format!(
        "{}: {} after the best epoch of each run ({word} {})",
        results.title_of(row),
        summary(Some(&best), measure),
        epochs.join(", ")
    ))
}

/// How the table is to be read.
pub(crate) fn explanation(results: &Results) -> String {
    let seeds: Vec<String> = results.seeds.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "\nMean ± sample standard deviation over the seeds {}, after the last epoch; the bands of plots are \
         one standard deviation. \
         Where another epoch was the best of a run, a footnote has the best of each, which are chosen by the \
         very numbers that are \
         reported and so look better than they are.",
        seeds.join(", ")
    );
    if results.baseline.is_some() {
        text.push_str(
            " Differences are paired by seed, which gives every method the same order of the data and the \
             same initial \
             student, with the 95 % interval of Student's t.",
        );
    }
    text.push_str(
        " Seconds are those of the runs, evaluations included, without the training of teachers. Extra \
         parameters are \
         trained beside the student and thrown away. Peak memory is the most that the process of a run held \
         in main memory.",
    );
    if results
        .methods
        .iter()
        .any(|row| row.largest_part_macs.is_some())
    {
        text.push_str(
            " MACs are multiply-accumulates of the student for one image; those of the largest part are what \
             an answer waits for where every part has a machine of its own.",
        );
    }
    if results.methods.iter().any(|row| row.step_macs.is_some()) {
        text.push_str(
            " MACs of a step are those of a training step for one image: three times a forward pass of what \
             is trained, which has two gradients beside it, and once of what only answers.",
        );
    }
    text.push('\n');
    text
}

pub(crate) fn teachers_table(results: &Results) -> Result<Table> {
    let measure = Measure::of(&results.metric);
    let label = measure.label(&results.metric);
    let mut table = Table::new([
        ("teacher", Align::Left),
        ("network", Align::Left),
        ("seed", Align::Right),
        (label.as_str(), Align::Right),
        ("seconds", Align::Right),
        ("parameters", Align::Right),
    ]);
    let decimals = measure.decimals();
    for run in &results.teachers {
        let value = run.metrics.get(&results.metric);
        let value = value.map(|value| format!("{:.decimals$}", value * measure.factor()));
        table.row([
            run.name.clone(),
            run.network.clone().unwrap_or_else(|| NONE.into()),
            run.seed.to_string(),
            value.unwrap_or_else(|| run.state.to_owned()),
            run.seconds
                .map_or_else(|| NONE.into(), |seconds| format!("{seconds:.1}")),
            run.parameters.map_or_else(|| NONE.into(), count),
        ])?;
    }
    Ok(table)
}

/// A row for each claim; nothing without claims.
pub(crate) fn claims_table(claims: &[JudgedClaim]) -> Result<Option<Table>> {
    if claims.is_empty() {
        return Ok(None);
    }
    let head = ["", "claim", "measured", "verdict"];
    let mut table = Table::new(head.map(|name| (name, Align::Left)));
    for claim in claims {
        let measured: Vec<String> = claim.comparisons.iter().map(compared).collect();
        table.row([
            claim.name.clone(),
            one_line(&claim.says),
            measured.join("; "),
            claim.verdict.name().to_owned(),
        ])?;
    }
    Ok(Some(table))
}

impl Results {
    /// The claims of the campaign, what was measured for each, and whether it holds; nothing without claims.
    ///
    /// # Errors
    ///
    /// If the table cannot be put together.
    pub fn claims_table(&self) -> Result<Option<Table>> {
        claims_table(&self.claims)
    }

    /// A short table: the metric of each method, its difference to the baseline, and what it took.
    ///
    /// # Errors
    ///
    /// If the table cannot be put together.
    pub fn table(&self) -> Result<Table> {
        let measure = Measure::of(&self.metric);
        let label = measure.label(&self.metric);
        let against = self.baseline.as_deref();
        let against = against.map(|name| format!("to {} [95 %]", title_of(self, name)));
        let mut head = vec![("method", Align::Left), (label.as_str(), Align::Right)];
        if let Some(against) = &against {
            head.push((against, Align::Right));
        }
        let more = ["runs", "seconds", "extra parameters"];
        head.extend(more.map(|name| (name, Align::Right)));
        let mut table = Table::new(head);
        for row in &self.methods {
            let mut cells = vec![
                self.title_of(row),
                summary(row.last.get(&self.metric), measure),
            ];
            if against.is_some() {
                cells.push(difference(row, measure));
            }
            cells.push(runs(self, row));
            let seconds = row.seconds.map(|seconds| format!("{seconds:.1}"));
            cells.push(seconds.unwrap_or_else(|| NONE.into()));
            cells.push(row.extra_parameters.map_or_else(|| NONE.into(), count));
            table.row(cells)?;
        }
        Ok(table)
    }
}
