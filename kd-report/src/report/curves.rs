//! The section of curves: losses and metrics over the epochs, and their last values.

use std::collections::BTreeSet;

use kd_core::{EpochLog, Metrics};

use super::page::{Page, slug};
use crate::block::Picture;
use crate::{Align, LinePlot, Result, Scale, Series, Table, percent};

/// More pictures than this a phase would hide the others.
const MOST_OTHERS: usize = 6;

/// The phases in their order, each with its epochs.
pub(super) fn by_phase(epochs: &[EpochLog]) -> Vec<(&str, Vec<&EpochLog>)> {
    let mut phases: Vec<(&str, Vec<&EpochLog>)> = Vec::new();
    for epoch in epochs {
        match phases.iter_mut().find(|(name, _)| *name == epoch.phase) {
            Some((_, epochs)) => epochs.push(epoch),
            None => phases.push((&epoch.phase, vec![epoch])),
        }
    }
    phases
}

/// The last evaluation of each phase, with the best as a footnote.
pub(super) fn results(page: &mut Page, epochs: &[EpochLog]) -> Result<()> {
    let phases = by_phase(epochs);
    let mut head = vec![("metric", Align::Left), ("last epoch", Align::Right)];
    if phases.len() > 1 {
        head.insert(0, ("phase", Align::Left));
    }
    let mut table = Table::new(head);
    for (phase, epochs) in &phases {
        let Some(last) = epochs
            .iter()
            .rev()
            .find_map(|epoch| epoch.evaluation.as_ref())
        else {
            continue;
        };
        for (metric, &value) in last {
            let mut cells = vec![words(metric), show(metric, value)];
            if matches!(metric.as_str(), "accuracy" | "mean_iou")
                && let Some((best, at)) = best(epochs, metric)
            {
                let note = format!("best: {} after epoch {at}", percent(best));
                cells[1].push(' ');
                cells[1].push_str(&table.note(note));
            }
            if phases.len() > 1 {
                cells.insert(0, (*phase).to_owned());
            }
            table.row(cells)?;
        }
    }
    page.table(&table);
    Ok(())
}

/// The highest value and the epoch after which it was measured, from 1; of equal ones the first.
pub(super) fn best(epochs: &[&EpochLog], metric: &str) -> Option<(f64, usize)> {
    let mut best: Option<(f64, usize)> = None;
    for epoch in epochs {
        let value = epoch
            .evaluation
            .as_ref()
            .and_then(|metrics| metrics.get(metric));
        if let Some(&value) = value
            && best.is_none_or(|(highest, _)| value > highest)
        {
            best = Some((value, epoch.epoch + 1));
        }
    }
    best
}

/// The pictures of each phase that has any. `teacher` is the accuracy of the teacher, drawn where a phase
/// compares itself with it.
pub(super) fn curves(page: &mut Page, epochs: &[EpochLog], teacher: Option<f64>) -> Result<()> {
    let phases = by_phase(epochs);
    let mut has_heading = false;
    for (phase, epochs) in &phases {
        let pictures = pictures(epochs, teacher)?;
        if !pictures.is_empty() && !has_heading {
            page.heading(2, "Over the epochs");
            has_heading = true;
        }
        let ending = if phases.len() > 1 {
            if !pictures.is_empty() {
                page.heading(3, &format!("Phase {phase}"));
            }
            format!("-{}", slug(phase))
        } else {
            String::new()
        };
        for (file, caption, picture) in pictures {
            page.picture(&format!("{file}{ending}"), &caption, picture);
        }
    }
    Ok(())
}

/// The pictures of a phase: file, caption, and the picture itself.
fn pictures(epochs: &[&EpochLog], teacher: Option<f64>) -> Result<Vec<(String, String, Picture)>> {
    let mut pictures = Vec::new();
    if let Some(picture) = shares(epochs, teacher)? {
        let of_pixels = epochs.iter().any(|epoch| {
            let measured = epoch.evaluation.as_ref();
            measured.is_some_and(|metrics| metrics.contains_key("mean_iou"))
        });
        let name = if of_pixels { "iou" } else { "accuracy" };
        pictures.push((name.into(), "held-out metrics".into(), picture));
    }
    if let Some(picture) = losses(epochs)? {
        pictures.push(("losses".into(), "losses".into(), picture));
    }
    let others = names(epochs, |name| !is_share(name) && name != "loss");
    let curves = others.iter().filter(|name| changes(epochs, name));
    for name in curves.take(MOST_OTHERS) {
        let plot = LinePlot::new(
            format!("Held-out {}", name.replace('_', " ")),
            "epoch",
            *name,
        )
        .with_series(Series::new("", evaluated(epochs, name)))
        .with_size(640, 260);
        let picture = Picture::lines(plot)?;
        pictures.push((slug(name), format!("held-out {name}"), picture));
    }
    Ok(pictures)
}

/// Whether a metric has more than one value: one that is measured once for all is no curve.
fn changes(epochs: &[&EpochLog], metric: &str) -> bool {
    let mut values = evaluated(epochs, metric).map(|(_, value)| value.to_bits());
    let first = values.next();
    values.any(|value| Some(value) != first)
}

/// Accuracy, and whatever else is a share; the top-k accuracy is so much higher that it would flatten the
/// others.
fn shares(epochs: &[&EpochLog], teacher: Option<f64>) -> Result<Option<Picture>> {
    let shown = names(epochs, |name| is_share(name) && !name.starts_with("top"));
    let mut plot = LinePlot::new("Held-out metrics", "epoch", "share (%)").with_most(100.0);
    let mut drawn = false;
    for name in &shown {
        let points: Vec<_> = evaluated(epochs, name)
            .map(|(x, y)| (x, 100.0 * y))
            .collect();
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            continue;
        };
        drawn |= points.len() > 1;
        let teacher = teacher.filter(|_| *name == "agreement");
        let ends = [first.0, last.0];
        plot = plot.with_series(Series::new(words(name), points));
        if let Some(accuracy) = teacher {
            let line = ends.map(|x| (x, 100.0 * accuracy));
            plot = plot.with_series(Series::new("accuracy of the teacher", line));
        }
    }
    drawn.then(|| Picture::lines(plot)).transpose()
}

/// The training losses, and the held-out loss if there is one; nothing of a single epoch.
fn losses(epochs: &[&EpochLog]) -> Result<Option<Picture>> {
    if epochs.len() < 2 {
        return Ok(None);
    }
    let terms: BTreeSet<&str> = epochs
        .iter()
        .flat_map(|epoch| epoch.train.keys().map(String::as_str))
        .collect();
    // The total of one term is that term, give or take its weight.
    let terms: Vec<&str> = terms
        .iter()
        .copied()
        .filter(|&term| term != "total" || terms.len() != 2)
        .collect();
    let mut lines: Vec<(String, Vec<(f64, f64)>)> = terms
        .iter()
        .map(|term| (format!("train: {term}"), trained(epochs, term)))
        .collect();
    let held_out: Vec<_> = evaluated(epochs, "loss").collect();
    if !held_out.is_empty() {
        lines.push(("held out: loss".into(), held_out));
    }
    if lines.is_empty() {
        return Ok(None);
    }
    let values = || {
        lines
            .iter()
            .flat_map(|(_, points)| points.iter().map(|(_, y)| *y))
    };
    let least = values().fold(f64::INFINITY, f64::min);
    let most = values().fold(f64::NEG_INFINITY, f64::max);
    // Terms of very different size would else lie flat on the axis.
    let scale = if least > 0.0 && most / least > 30.0 {
        Scale::Log
    } else {
        Scale::Linear
    };
    let plot = LinePlot::new("Losses", "epoch", "mean of the epoch").with_y_scale(scale);
    let plot = lines.into_iter().fold(plot, |plot, (name, points)| {
        plot.with_series(Series::new(name, points))
    });
    Picture::lines(plot).map(Some)
}

fn trained(epochs: &[&EpochLog], term: &str) -> Vec<(f64, f64)> {
    let at = |epoch: &&EpochLog| Some(((epoch.epoch + 1) as f64, *epoch.train.get(term)?));
    epochs.iter().filter_map(at).collect()
}

fn evaluated<'a>(epochs: &'a [&EpochLog], metric: &str) -> impl Iterator<Item = (f64, f64)> + 'a {
    let metric = metric.to_owned();
    epochs.iter().filter_map(move |epoch| {
        let value = epoch.evaluation.as_ref()?.get(&metric)?;
        Some(((epoch.epoch + 1) as f64, *value))
    })
}

/// The metrics of a phase that `wanted` picks.
fn names<'a>(epochs: &[&'a EpochLog], wanted: impl Fn(&str) -> bool) -> Vec<&'a str> {
    let metrics = epochs.iter().filter_map(|epoch| epoch.evaluation.as_ref());
    let names: BTreeSet<&str> = metrics
        .flat_map(Metrics::keys)
        .map(String::as_str)
        .collect();
    names.into_iter().filter(|name| wanted(name)).collect()
}

/// Whether a metric goes from 0 to 1 and is shown as a percentage.
pub(super) fn is_share(name: &str) -> bool {
    let known = ["agreement", "accuracy", "mean_iou", "miou_compat"];
    known.contains(&name)
        || name.ends_with("_accuracy")
        || name.ends_with("_mean_iou")
        || name.ends_with("_miou_compat")
}

/// A metric in words.
pub(super) fn words(name: &str) -> String {
    let name = name.replace("mean_iou", "mean IoU").replace("miou", "mIoU");
    name.replace('_', " ")
}

pub(super) fn show(name: &str, value: f64) -> String {
    if is_share(name) {
        percent(value)
    } else {
        format!("{value:.4}")
    }
}
