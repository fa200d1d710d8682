//! The histogram of scores: the channels that stay and those that go, by their scores.

use std::path::Path;

use kd_core::{Error, Result, read_tensors};
use kd_report::{LinePlot, Picture, Scale, Section, Series};

use super::CompactRecipe;
use crate::cut_phase::SCORES_FILE;

/// Scores below this are drawn here: the proximal step makes many exactly 0.
const LEAST: f64 = 1e-6;
/// Ranges of scores, all of one factor.
const RANGES: u32 = 24;

/// The section of a run's report; none if the run has no scores, or all are one.
pub(super) fn histogram(recipe: &CompactRecipe, run: &Path) -> Result<Option<Section>> {
    let file = run.join(format!("{SCORES_FILE}.safetensors"));
    if !file.is_file() {
        return Ok(None);
    }
    let tensors = read_tensors(&file)?;
    let column = |name: &str| -> Vec<f64> {
        let data = tensors.get(name);
        data.map(|data| data.iter::<f64>().collect())
            .unwrap_or_default()
    };
    let (scores, stays) = (column("scores"), column("stays"));
    let of = |kept: bool| -> Vec<f64> {
        let pairs = scores.iter().zip(&stays);
        let chosen = pairs.filter(|(_, stays)| (**stays > 0.0) == kept);
        chosen.map(|(score, _)| score.max(LEAST)).collect()
    };
    let failed = |error: kd_report::Error| Error::method("the histogram of scores", error);
    section(recipe, &of(true), &of(false)).map_err(failed)
}

fn section(
    recipe: &CompactRecipe,
    kept: &[f64],
    gone: &[f64],
) -> kd_report::Result<Option<Section>> {
    let all = || kept.iter().chain(gone).copied();
    let (least, most) = (
        all().fold(f64::INFINITY, f64::min),
        all().fold(0.0, f64::max),
    );
    if !(least < most && most.is_finite()) {
        return Ok(None);
    }
    // The last range holds the highest score.
    let factor = (1.001 * most / least).powf(1.0 / f64::from(RANGES));
    let bounds: Vec<f64> = (0..=RANGES)
        .map(|number| least * factor.powf(f64::from(number)))
        .collect();
    let (stay, go) = (counts(kept, &bounds), counts(gone, &bounds));
    let highest = stay.iter().chain(&go).copied().fold(0.0, f64::max);
    let mut plot = LinePlot::new("Scores of channels", "score", "channels")
        .with_x_scale(Scale::Log)
        .with_series(steps("stay", &stay, &bounds))
        .with_series(steps("go", &go, &bounds));
    if recipe.compact.criterion.sparsifies() {
        let threshold = recipe.compact.threshold;
        let line = [(threshold, 0.0), (threshold, highest)];
        plot = plot.with_series(Series::new("threshold of sparse training", line));
    }
    let mut text = format!("{} channels stay and {} go", kept.len(), gone.len());
    let best = gone.iter().copied().fold(0.0, f64::max);
    let weakest = kept.iter().copied().fold(f64::INFINITY, f64::min);
    if !gone.is_empty() && !kept.is_empty() {
        text = format!(
            "{text}; the best of these has a score of {best:.3}, the weakest of those of {weakest:.3}. \
             Where the \
             first is higher, a whole group was at its least, or what came back had to fit"
        );
    }
    let picture = Picture::lines(plot)?;
    let section = Section::new("Scores").with_text(format!("{text}."));
    Ok(Some(section.with_picture(
        "scores",
        "scores of channels",
        picture,
    )))
}

/// The scores within each range.
fn counts(scores: &[f64], bounds: &[f64]) -> Vec<f64> {
    let ranges = bounds.array_windows();
    let inside = |[low, high]: &[f64; 2]| {
        let found = scores.iter().filter(|score| (*low..*high).contains(*score));
        found.count() as f64
    };
    ranges.map(inside).collect()
}

/// A line that goes along each range at the height of its count.
fn steps(name: &str, counts: &[f64], bounds: &[f64]) -> Series {
    let ranges = bounds.array_windows().zip(counts);
    let points = ranges.flat_map(|([low, high], count)| [(*low, *count), (*high, *count)]);
    Series::new(name, points)
}
