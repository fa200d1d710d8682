//! Pictures of a campaign.

use kd_core::Result;
use kd_report::{LinePlot, Scale, Series, Summary};

use crate::campaign::measure::Measure;
use crate::campaign::results::{Results, Row};

/// A picture.
#[derive(Debug)]
pub(crate) struct Plot {
    /// The name of its file.
    pub(crate) file: String,
    pub(crate) title: String,
    pub(crate) svg: String,
    pub(crate) lines: LinePlot,
}

/// Draws what there is to be drawn: the metric over epochs with others that are asked for, and over the swept
/// setting if that is a number.
///
/// # Errors
///
/// If a picture cannot be drawn.
pub(crate) fn draw(results: &Results) -> Result<Vec<Plot>> {
    let mut plots = Vec::new();
    for metric in std::iter::once(&results.metric).chain(&results.plot_metrics) {
        plots.extend(over_epochs(results, metric)?);
    }
    plots.extend(over_setting(results)?);
    Ok(plots)
}

fn in_file(metric: &str) -> String {
    let good = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    metric.chars().map(good).collect()
}

/// More lines than this cannot be told apart.
const MOST_LINES: usize = 12;

/// One line for each row, if they are few.
fn over_epochs(results: &Results, metric: &str) -> Result<Option<Plot>> {
    let measure = Measure::of(metric);
    let mut series = Vec::new();
    let mut longest = 0;
    for row in results.methods.iter().filter(|row| row.plot) {
        let runs: Vec<Vec<(f64, f64)>> = results
            .runs_of(row)
            .filter(|run| run.state == "done")
            .map(|run| {
                let points = run.curve.iter();
                let value = |metrics: &kd_core::Metrics| metrics.get(metric).copied();
                points
                    .filter_map(|point| {
                        let value = value(&point.metrics)? * measure.factor();
                        Some((point.epoch as f64, value))
                    })
                    .collect()
            })
            .filter(|run: &Vec<_>| !run.is_empty())
            .collect();
        longest = runs.iter().map(Vec::len).max().unwrap_or(0).max(longest);
        // Runs that stopped early may have no epoch in common.
        if let Ok(line) = Series::of_runs(results.title_of(row), &runs) {
            series.push(line);
        }
    }
    // One evaluation a run makes no line.
    if series.is_empty() || longest < 2 || series.len() > MOST_LINES {
        return Ok(None);
    }
    let title = format!("{} over epochs", capital(metric));
    let plot = LinePlot::new(&title, "epoch", measure.label(metric));
    finish(
        ended(plot, measure),
        series,
        title,
        format!("{}-over-epochs.svg", in_file(metric)),
    )
    .map(Some)
}

/// One line for each method that is to have one. One that is not swept is drawn through all values.
fn over_setting(results: &Results) -> Result<Option<Plot>> {
    let Some(sweep) = &results.sweep else {
        return Ok(None);
    };
    let values: Option<Vec<f64>> = sweep.values.iter().map(number).collect();
    let Some(values) = values.filter(|values| values.len() > 1) else {
        return Ok(None);
    };
    let measure = Measure::of(&results.metric);
    let mean = |row: &Row| -> Option<Summary> {
        Some(row.last.get(&results.metric)?.times(measure.factor()))
    };
    let mut names: Vec<&str> = results
        .methods
        .iter()
        .filter(|row| row.plot)
        .map(|row| row.name.as_str())
        .collect();
    names.dedup();
    let mut series = Vec::new();
    for name in names {
        let rows: Vec<&Row> = results
            .methods
            .iter()
            .filter(|row| row.name == name)
            .collect();
        let points: Vec<(f64, Summary)> = rows
            .iter()
            .flat_map(|row| {
                let places = match row.value.as_ref().and_then(number) {
                    Some(value) => vec![value],
                    None => values.clone(),
                };
                let mean = mean(row);
                places.into_iter().filter_map(move |x| Some((x, mean?)))
            })
            .collect();
        if let Some(row) = rows.first().filter(|_| !points.is_empty()) {
            series.push(Series::of_summaries(row.title.clone(), points));
        }
    }
    if series.is_empty() {
        return Ok(None);
    }
    let title = format!("{} over {}", capital(&results.metric), sweep.label);
    let plot = LinePlot::new(&title, &sweep.label, measure.label(&results.metric))
        .with_x_scale(scale(&values));
    let word = sweep.setting.rsplit('.').next().unwrap_or_default();
    let good = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let word: String = word.chars().filter(good).collect();
    let file = format!("{}-over-{word}.svg", in_file(&results.metric));
    finish(ended(plot, measure), series, title, file).map(Some)
}

/// A plot whose axis ends where the values of the measure do.
fn ended(plot: LinePlot, measure: Measure) -> LinePlot {
    match measure.most() {
        Some(most) => plot.with_most(most),
        None => plot,
    }
}

fn finish(plot: LinePlot, series: Vec<Series>, title: String, file: String) -> Result<Plot> {
    let plot = series.into_iter().fold(plot, LinePlot::with_series);
    Ok(Plot {
        file,
        svg: plot.svg()?,
        title,
        lines: plot,
    })
}

fn number(value: &toml::Value) -> Option<f64> {
    let number = value
        .as_float()
        .or_else(|| value.as_integer().map(|n| n as f64));
    number.filter(|number| number.is_finite())
}

/// Values such as 1, 2, 4, 8, 16 stand evenly on a logarithmic axis.
fn scale(values: &[f64]) -> Scale {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(&low), Some(&high)) = (sorted.first(), sorted.last()) else {
        return Scale::Linear;
    };
    let gaps = || sorted.windows(2).map(|pair| pair[1] - pair[0]);
    let widest = gaps().fold(0.0, f64::max);
    let narrowest = gaps().fold(f64::INFINITY, f64::min);
    if low > 0.0 && high >= 8.0 * low && widest >= 3.0 * narrowest {
        Scale::Log
    } else {
        Scale::Linear
    }
}

/// With a capital at its beginning, as titles have it.
fn capital(metric: &str) -> String {
    let name = Measure::Plain.label(metric);
    let mut characters = name.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_by_factors_are_drawn_on_a_logarithmic_axis() {
        assert_eq!(scale(&[1.0, 2.0, 4.0, 8.0]), Scale::Log);
        assert_eq!(scale(&[0.1, 0.01, 1.0]), Scale::Log);
        assert_eq!(scale(&[0.1, 0.2, 0.3, 0.4, 1.0]), Scale::Log);
        assert_eq!(scale(&[0.25, 0.5, 0.75, 1.0]), Scale::Linear);
        assert_eq!(scale(&[0.0, 1.0, 10.0, 100.0]), Scale::Linear);
        assert_eq!(scale(&[2.0, 4.0, 8.0]), Scale::Linear);
    }

    #[test]
    fn titles_begin_with_a_capital() {
        assert_eq!(capital("top5_accuracy"), "Top-5 accuracy");
        assert_eq!(capital("ece"), "Calibration error");
    }
}
