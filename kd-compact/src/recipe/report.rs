//! The section of a run's report: the cut in numbers, and channels before and after by layer.

use std::collections::BTreeMap;
use std::path::Path;

use kd_core::{EpochLog, Error, Finding, Metrics, Result, Topic, read_tensors};
use kd_recipe::MethodReport;
use kd_report::{Align, DotPlot, Picture, Section, Table, count, percent};

use super::CompactRecipe;
use super::histogram::histogram;
use crate::cut_phase::CHANNELS_FILE;
use crate::method::{CUT_PHASE, LATENCY_PHASE, SPARSIFY_PHASE, TRAIN_PHASE};

/// Of more layers than this no picture is drawn.
const MOST_DRAWN: usize = 120;

/// A layer before and after: channels, multiply-accumulates, parameters.
struct Row {
    block: String,
    layer: String,
    numbers: Vec<u64>,
}

pub(super) fn report(recipe: &CompactRecipe, run: &Path) -> Result<MethodReport> {
    let mut report = MethodReport::default();
    let file = run.join(format!("{CHANNELS_FILE}.safetensors"));
    if !file.is_file() {
        return Ok(report);
    }
    let failed = |error: kd_report::Error| Error::method("the section of the cut", error);
    let rows = rows(&file)?;
    let epochs = EpochLog::read_all(run)?;
    report
        .sections
        .push(numbers(recipe, &rows, &epochs).map_err(failed)?);
    report.sections.push(layers(&rows).map_err(failed)?);
    report.sections.extend(histogram(recipe, run)?);
    report.findings = findings(recipe, &epochs);
    Ok(report)
}

fn rows(file: &Path) -> Result<Vec<Row>> {
    let tensors = read_tensors(file)?;
    let row = |(name, data): (&String, &burn::tensor::TensorData)| {
        let mut words = name.splitn(3, ' ').skip(1).map(str::to_owned);
        let numbers = data.iter::<i64>().map(i64::unsigned_abs);
        Row {
            block: words.next().unwrap_or_default(),
            layer: words.next().unwrap_or_default(),
            numbers: numbers.collect(),
        }
    };
    let rows = tensors.iter().map(row);
    Ok(rows.filter(|row| row.numbers.len() == 6).collect())
}

/// The last evaluation of a phase.
fn last<'a>(phase: &str, epochs: &'a [EpochLog]) -> Option<&'a Metrics> {
    let mut of_phase = epochs.iter().rev().filter(|epoch| epoch.phase == phase);
    of_phase.find_map(|epoch| epoch.evaluation.as_ref())
}

/// Costs and accuracy before and after, by block.
fn numbers(
    recipe: &CompactRecipe,
    rows: &[Row],
    epochs: &[EpochLog],
) -> kd_report::Result<Section> {
    let mut text = String::new();
    for (phase, metric, words) in [
        (SPARSIFY_PHASE, "accuracy", "after sparse training"),
        (CUT_PHASE, "masked_accuracy", "with dead channels masked"),
        (CUT_PHASE, "accuracy", "cut"),
        (TRAIN_PHASE, "accuracy", "trained on"),
    ] {
        if let Some(accuracy) = last(phase, epochs).and_then(|found| found.get(metric)) {
            text = format!("{text}{} {words}, ", percent(*accuracy));
        }
    }
    let text = format!("Held-out accuracy: {}.", text.trim_end_matches(", "));
    let text = match time(recipe, epochs) {
        Some((words, _)) => format!("{text} {words}."),
        None => text,
    };
    let columns = [
        ("block", Align::Left),
        ("MACs", Align::Right),
        ("left", Align::Right),
        ("share of all MACs before", Align::Right),
        ("after", Align::Right),
        ("parameters", Align::Right),
        ("left", Align::Right),
    ];
    let mut table = Table::new(columns);
    let mut blocks: Vec<(String, [u64; 4])> = Vec::new();
    let mut whole = [0; 4];
    for row in rows {
        if blocks.last().is_none_or(|(name, _)| *name != row.block) {
            blocks.push((row.block.clone(), [0; 4]));
        }
        for (place, number) in row.numbers[2..].iter().enumerate() {
            whole[place] += number;
            if let Some((_, sums)) = blocks.last_mut() {
                sums[place] += number;
            }
        }
    }
    let share = |part: u64, all: u64| percent(part as f64 / all.max(1) as f64);
    for (name, sums) in blocks.into_iter().chain([("all".to_owned(), whole)]) {
        table.row([
            name,
            count(sums[0]),
            format!("{} ({})", count(sums[1]), share(sums[1], sums[0])),
            share(sums[0], whole[0]),
            share(sums[1], whole[1]),
            count(sums[2]),
            format!("{} ({})", count(sums[3]), share(sums[3], sums[2])),
        ])?;
    }
    Ok(Section::new("The cut").with_text(text).with_table(table))
}

/// The time of an answer, asked for, predicted and measured, and whether the last is within the first.
fn time(recipe: &CompactRecipe, epochs: &[EpochLog]) -> Option<(String, bool)> {
    let asked = recipe.budget.milliseconds?;
    let found = last(CUT_PHASE, epochs)?;
    let (predicted, measured) = (
        found.get("milliseconds_predicted")?,
        found.get("milliseconds")?,
    );
    let before = last(LATENCY_PHASE, epochs).and_then(|found| found.get("milliseconds_before"));
    let words = format!(
        "An answer for a batch of {}: {asked} ms asked for, {predicted:.3} ms predicted, {measured:.3} ms \
         measured{}",
        recipe.budget.batch(),
        before.map_or_else(String::new, |before| format!(", {before:.3} ms before")),
    );
    Some((words, *measured <= asked))
}

/// Channels before and after of every layer that has weights.
fn layers(rows: &[Row]) -> kd_report::Result<Section> {
    let columns = [
        ("layer", Align::Left),
        ("block", Align::Left),
        ("channels before", Align::Right),
        ("after", Align::Right),
        ("MACs left", Align::Right),
    ];
    let mut table = Table::new(columns);
    let mut plot = DotPlot::new("Channels of each layer", "channels", ["before", "after"]);
    let layers = rows.iter().filter(|row| row.numbers[2] > 0);
    for row in layers {
        let [before, after] = [row.numbers[0], row.numbers[1]].map(|number| vec![number as f64]);
        plot = plot.with_row(row.layer.clone(), [before, after]);
        let left = row.numbers[3] as f64 / row.numbers[2] as f64;
        table.row([
            row.layer.clone(),
            row.block.clone(),
            row.numbers[0].to_string(),
            row.numbers[1].to_string(),
            percent(left),
        ])?;
    }
    let section = Section::new("Channels");
    if table.rows().is_empty() || table.rows().len() > MOST_DRAWN {
        return Ok(section.with_table(table));
    }
    let picture = Picture::dots(plot)?;
    Ok(section
        .with_picture("channels", "channels before and after", picture)
        .with_table(table))
}

fn findings(recipe: &CompactRecipe, epochs: &[EpochLog]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let of = |phase: &str, metric: &str| {
        let found: Option<&BTreeMap<String, f64>> = last(phase, epochs);
        found.and_then(|found| found.get(metric).copied())
    };
    let (live, macs) = (of(SPARSIFY_PHASE, "live_macs"), of(CUT_PHASE, "macs"));
    let whole = of(CUT_PHASE, "macs_share")
        .zip(macs)
        .map(|(share, macs)| macs / share);
    if let (Some(live), Some(whole)) = (live, whole)
        && live >= 0.995 * whole
    {
        let strength = match recipe.compact.strength {
            Some(strength) => format!("try `compact.strength = {}`", 3.0 * strength),
            None => "set `compact.strength` above the one that `kd check` shows".to_owned(),
        };
        let text = format!(
            "sparse training left nearly all channels alive, and the budget cut through live ones; \
             {strength}, or train longer"
        );
        findings.push(Finding::warning(Topic::Schedule, text));
    }
    if let Some((words, is_met)) = time(recipe, epochs) {
        findings.push(if is_met {
            Finding::ok(Topic::Costs, format!("{words}: the budget is met"))
        } else {
            let text = format!(
                "{words}: the budget is missed; ask for less, or measure again with `kd models RUN \
                 --latency` \
                 while nothing else runs"
            );
            Finding::warning(Topic::Costs, text)
        });
    }
    if let Some(share) = of(SPARSIFY_PHASE, "scores_in_gap").filter(|share| *share >= 0.05) {
        let text = format!(
            "{} of the channels have scores about the threshold, and not clearly above or below it",
            percent(share)
        );
        findings.push(Finding::note(Topic::Schedule, text));
    }
    findings
}
