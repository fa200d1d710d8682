//! Line plots whose values are shown on hover and by the arrow keys, with a table of them beside.

use std::collections::BTreeSet;
use std::fmt::Write;

use maud::{Markup, html};

use super::encode::visible;
use crate::LinePlot;
use crate::plot::axis::Axis;
use crate::plot::series::{Point, Series};
use crate::plot::text;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 270.0;
const SMALL: f64 = 12.0;
/// More points than this on a line are not told apart.
const MOST_POINTS: usize = 400;
/// Up to this many points of a line get a dot.
const DOTTED: usize = 30;

/// The frame of the axes in a drawing.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Axis,
    y: Axis,
    lowest: f64,
}

impl Frame {
    fn of(plot: &LinePlot) -> Self {
        let (x, y, lowest) = plot.axes();
        let widths = y.ticks.iter().map(|tick| text::width(&tick.label, SMALL));
        Self {
            left: 26.0 + widths.fold(0.0, f64::max),
            right: WIDTH - 12.0,
            top: 10.0,
            bottom: HEIGHT - 44.0,
            x,
            y,
            lowest,
        }
    }

    fn across(&self, x: f64) -> f64 {
        self.left + self.x.share(x) * (self.right - self.left)
    }

    fn up(&self, y: f64) -> f64 {
        self.bottom - self.y.share(y.max(self.lowest)) * (self.bottom - self.top)
    }
}

/// The figure of a plot.
pub(super) fn figure(plot: &LinePlot, about: &str) -> Markup {
    let frame = Frame::of(plot);
    let series: Vec<Series> = plot.series.iter().map(thinned).collect();
    let title = visible(if plot.title.is_empty() {
        about
    } else {
        &plot.title
    });
    let several = series.iter().any(|series| !series.name.is_empty());
    html! {
        figure.chart {
            figcaption { (title) }
            @if several {
                ul.legend {
                    @for (place, series) in series.iter().enumerate() {
                        li { button type="button" aria-pressed="true" {
                            svg viewBox="0 0 26 10" aria-hidden="true" {
                                path class=(look(place)) d="M1 5H25" {}
                            }
                            (visible(&series.name))
                        } }
                    }
                }
            }
            div.plot tabindex="0" role="group" aria-label={ (title) ": the arrow keys read the values" } {
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(in_words(plot)) {
                    (axes(&frame, plot))
                    @for (place, series) in series.iter().enumerate() { (band(&frame, place, series)) }
                    @for (place, series) in series.iter().enumerate() { (line(&frame, place, series)) }
                }
            }
            details {
                summary { "Values" }
                (values(plot, &series))
                @if plot.series.iter().any(|series| series.points.len() > MOST_POINTS) {
                    p.note { "Of many values some are left out." }
                }
            }
        }
    }
}

fn look(place: usize) -> String {
    format!("line s{} d{}", place % 7, place % 4)
}

/// The grid, the numbers and the names of both axes.
fn axes(frame: &Frame, plot: &LinePlot) -> Markup {
    let middle = (
        f64::midpoint(frame.left, frame.right),
        f64::midpoint(frame.top, frame.bottom),
    );
    html! {
        g.grid {
            @for tick in &frame.y.ticks {
                @let y = tenths(frame.up(tick.value));
                path d={ "M" (tenths(frame.left)) " " (y) "H" (tenths(frame.right)) } {}
            }
            path.base d={ "M" (tenths(frame.left)) " " (tenths(frame.bottom)) "H" (tenths(frame.right)) } {}
        }
        g.ticks {
            @for tick in &frame.y.ticks {
                text.end x=(tenths(frame.left - 6.0)) y=(tenths(frame.up(tick.value) + 4.0)) { (tick.label) }
            }
            @for (at, label) in frame.x.apart(|x| frame.across(x), SMALL) {
                text.mid x=(tenths(at)) y=(tenths(frame.bottom + 17.0)) { (label) }
            }
            text.mid x=(tenths(middle.0)) y=(HEIGHT - 8.0) { (visible(&plot.x_label)) }
            text.mid transform={ "translate(11 " (tenths(middle.1)) ") rotate(-90)" } {
                (visible(&plot.y_label))
            }
        }
    }
}

fn band(frame: &Frame, place: usize, series: &Series) -> Markup {
    let end = |point: &Point, side: f64| {
        let y = point.y + side * point.spread.unwrap_or(0.0);
        (frame.across(point.x), frame.up(y))
    };
    html! {
        @for stretch in series.points.split(|point| point.spread.is_none()) {
            @if !stretch.is_empty() {
                @let upper = stretch.iter().map(|point| end(point, 1.0));
                @let lower = stretch.iter().rev().map(|point| end(point, -1.0));
                @let around = path(upper.chain(lower));
                path class={ "band s" (place % 7) } data-series=(place) d={ (around) "Z" } {}
            }
        }
    }
}

fn line(frame: &Frame, place: usize, series: &Series) -> Markup {
    let points: Vec<_> = series
        .points
        .iter()
        .map(|at| (frame.across(at.x), frame.up(at.y)))
        .collect();
    html! {
        path class=(look(place)) data-series=(place) data-line="" d=(path(points.iter().copied())) {}
        @if points.len() <= DOTTED {
            @for (x, y) in &points {
                @let (x, y) = (tenths(*x), tenths(*y));
                circle class={ "dot s" (place % 7) } data-series=(place) cx=(x) cy=(y) r="2.6" {}
            }
        }
    }
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut out = String::new();
    for (place, (x, y)) in points.enumerate() {
        let command = if place == 0 { 'M' } else { 'L' };
        let _ = write!(out, "{command}{} {}", tenths(x), tenths(y));
    }
    out
}

/// The values: a row for each place on the horizontal axis, a column for each line. The script of the page
/// reads them from here.
fn values(plot: &LinePlot, series: &[Series]) -> Markup {
    let places: BTreeSet<u64> = series
        .iter()
        .flat_map(|series| series.points.iter().map(key))
        .collect();
    let mut places: Vec<f64> = places.into_iter().map(f64::from_bits).collect();
    places.sort_by(f64::total_cmp);
    let mut next = vec![0; series.len()];
    html! {
        div.scroll tabindex="0" role="group" aria-label="table of the values" {
            table.values {
                thead { tr {
                    th scope="col" { (visible(&plot.x_label)) }
                    @for series in series {
                        th.r scope="col" {
                            (visible(if series.name.is_empty() { &plot.y_label } else { &series.name }))
                        }
                    }
                } }
                tbody {
                    @for x in places {
                        tr {
                            th scope="row" { (number(x)) }
                            @for (series, next) in series.iter().zip(&mut next) {
                                td.r { (taken(series, next, x)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The value of a line at a place, if its next point is there.
fn taken(series: &Series, next: &mut usize, x: f64) -> String {
    let mut found = String::new();
    while let Some(point) = series
        .points
        .get(*next)
        .filter(|point| key(point) == x.to_bits())
    {
        *next += 1;
        if !found.is_empty() {
            found.push_str("; ");
        }
        found.push_str(&number(point.y));
        if let Some(spread) = point.spread {
            let _ = write!(found, " ± {}", number(spread));
        }
    }
    found
}

/// Where a point stands; 0 has two forms.
fn key(point: &Point) -> u64 {
    (point.x + 0.0).to_bits()
}

/// A line of few enough points: of many every k-th, and the last.
fn thinned(series: &Series) -> Series {
    let every = series.points.len().div_ceil(MOST_POINTS).max(1);
    let last = series.points.len().saturating_sub(1);
    let mut points = series.points.clone();
    let mut place = 0;
    points.retain(|_| {
        let stays = place % every == 0 || place == last;
        place += 1;
        stays
    });
    Series {
        name: series.name.clone(),
        points,
    }
}

/// The picture in words, for who cannot see it.
fn in_words(plot: &LinePlot) -> String {
    let mut out = format!(
        "Lines of {} over {}.",
        visible(&plot.y_label),
        visible(&plot.x_label)
    );
    for series in plot.series.iter().take(12) {
        let (Some(first), Some(last)) = (series.points.first(), series.points.last()) else {
            continue;
        };
        let name = if series.name.is_empty() {
            "The line"
        } else {
            &series.name
        };
        let (from, to) = (number(first.y), number(last.y));
        let _ = write!(out, " {}: from {from} to {to}.", visible(name));
    }
    out
}

/// A value with as many digits as tell it apart.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        0.0 => return "0".into(),
        _ if !(1e-4..1e7).contains(&size) => return format!("{value:.3e}"),
        _ if size >= 1000.0 => format!("{value:.1}"),
        _ if size >= 10.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    };
    if value.fract() == 0.0 {
        return format!("{value:.0}");
    }
    text
}

/// A coordinate.
pub(super) fn tenths(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_keeps_its_ends() {
        let long = Series::new("a", (0..1000).map(|x| (f64::from(x), 1.0)));
        let short = thinned(&long);
        assert!(
            short.points.len() <= MOST_POINTS + 1,
            "{}",
            short.points.len()
        );
        assert_eq!(short.points.first(), long.points.first());
        assert_eq!(short.points.last(), long.points.last());
        assert_eq!(thinned(&short), short);
    }

    #[test]
    fn each_value_stands_in_its_row() {
        let plot = LinePlot::new("t", "epoch", "%")
            .with_series(Series::new("a", [(1, 0.5), (3, 1234.56)]))
            .with_series(Series::new("b", [(2, -2.0), (3, 1e-9)]));
        let made = values(&plot, &plot.series).into_string();
        let row = |x: &str, a: &str, b: &str| {
            format!(
                "<tr><th scope=\"row\">{x}</th><td class=\"r\">{a}</td><td class=\"r\">{b}</td></tr>"
            )
        };
        for row in [
            row("1", "0.5000", ""),
            row("2", "", "-2"),
            row("3", "1234.6", "1.000e-9"),
        ] {
            assert!(made.contains(&row), "{row} in {made}");
        }
    }

    #[test]
    fn a_band_stands_around_its_line() {
        let runs = [vec![(1.0, 1.0), (2.0, 2.0)], vec![(1.0, 3.0), (2.0, 2.5)]];
        let plot = LinePlot::new("t", "x", "y").with_series(Series::of_runs("a", &runs).unwrap());
        let made = figure(&plot, "about").into_string();
        assert!(
            made.contains("class=\"band s0\"") && made.contains("2 ± 1.4142"),
            "{made}"
        );
        assert!(made.contains("a: from 2 to 2.2500."), "{made}");
    }
}
