//! Plots with a row for each of some named things: dots with their spread, and bars of counts.

use maud::{Markup, html};

use super::encode::visible;
use super::lines::{number, tenths};
use crate::plot::axis::Axis;
use crate::plot::text;
use crate::{CountPlot, DotPlot, Summary, count};

const WIDTH: f64 = 460.0;
const SMALL: f64 = 12.0;
/// The height of a row, and of each further group in it.
const ROW: f64 = 20.0;
const GROUP: f64 = 13.0;

/// The frame of the rows in a drawing.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    row: f64,
    rows: usize,
    axis: Axis,
}

impl Frame {
    fn across(&self, value: f64) -> f64 {
        self.left + self.axis.share(value) * (self.right - self.left)
    }

    fn middle(&self, row: usize) -> f64 {
        self.top + (row as f64 + 0.5) * self.row
    }

    fn bottom(&self) -> f64 {
        self.top + self.rows as f64 * self.row
    }

    fn height(&self) -> f64 {
        self.bottom() + 42.0
    }

    /// Names at the left, grid lines, numbers and the name of the axis below.
    fn scale(&self, names: &[&str], label: &str) -> Markup {
        let room = self.left - 10.0;
        html! {
            g.grid {
                @for tick in &self.axis.ticks {
                    @let at = tenths(self.across(tick.value));
                    path d={ "M" (at) " " (tenths(self.top)) "V" (tenths(self.bottom())) } {}
                }
            }
            g.ticks {
                @for (row, name) in names.iter().enumerate() {
                    text.end x=(tenths(self.left - 6.0)) y=(tenths(self.middle(row) + 4.0)) {
                        (text::fit(&visible(name), SMALL, room))
                    }
                }
                @for (at, label) in self.axis.apart(|value| self.across(value), SMALL) {
                    text.mid x=(tenths(at)) y=(tenths(self.bottom() + 16.0)) { (label) }
                }
                text.mid x=(tenths(f64::midpoint(self.left, self.right))) y=(tenths(self.bottom() + 36.0)) {
                    (visible(label))
                }
            }
        }
    }

    fn reference(&self, reference: Option<&(String, f64)>) -> Markup {
        html! {
            @if let Some((name, value)) = reference {
                @let at = self.across(*value);
                @let class = if at > f64::midpoint(self.left, self.right) { "end" } else { "start" };
                @let (x, top) = (tenths(at), tenths(self.top - 4.0));
                path.reference d={ "M" (x) " " (top) "V" (tenths(self.bottom())) } {}
                text class=(class) x=(x) y=(tenths(self.top - 7.0)) {
                    (visible(name)) ": " (number(*value))
                }
            }
        }
    }
}

/// The room that names take, at most two fifths.
fn room(names: &[&str]) -> f64 {
    let widths = names.iter().map(|name| text::width(name, SMALL));
    widths.fold(0.0, f64::max).min(0.4 * WIDTH)
}

fn top(reference: bool) -> f64 {
    if reference { 24.0 } else { 6.0 }
}

/// The figure of a dot plot: each value, the mean of several, one standard deviation.
pub(super) fn dots(plot: &DotPlot, about: &str) -> Markup {
    let Ok(axis) = plot.axis() else {
        return html! {};
    };
    let names: Vec<&str> = plot.rows.iter().map(|(name, _)| name.as_str()).collect();
    let spread = if plot.is_flat() { 0.0 } else { GROUP };
    let frame = Frame {
        left: room(&names) + 14.0,
        right: WIDTH - 14.0,
        top: top(plot.reference.is_some()),
        row: ROW + spread * plot.groups.len().saturating_sub(1) as f64,
        rows: names.len(),
        axis,
    };
    let label = format!(
        "{}: {} of {} rows",
        visible(about),
        visible(&plot.label),
        names.len()
    );
    html! {
        figure.chart {
            figcaption { (visible(&plot.title)) }
            @if plot.groups.len() > 1 {
                ul.legend {
                    @for (place, name) in plot.groups.iter().enumerate() {
                        li { span {
                            svg viewBox="0 0 10 10" aria-hidden="true" {
                                circle class={ "mean s" (place % 7) } cx="5" cy="5" r="4" {}
                            }
                            (visible(name))
                        } }
                    }
                }
            }
            div.plot {
                svg viewBox={ "0 0 " (WIDTH) " " (tenths(frame.height())) } role="img" aria-label=(label) {
                    (frame.scale(&names, &plot.label))
                    (frame.reference(plot.reference.as_ref()))
                    @for (row, (name, groups)) in plot.rows.iter().enumerate() {
                        @for (group, values) in groups.iter().enumerate() {
                            @let offset = group as f64 - (groups.len() as f64 - 1.0) / 2.0;
                            @let who = plot.groups.get(group).map_or("", String::as_str);
                            @let y = frame.middle(row) + spread * offset;
                            (row_of(&frame, y, values, group, &told(name, who)))
                        }
                    }
                }
            }
            details { summary { "Values" } (dot_values(plot)) }
        }
    }
}

fn told(name: &str, group: &str) -> String {
    visible(&format!("{name}, {group}"))
}

/// The values of one group in one row.
fn row_of(frame: &Frame, y: f64, values: &[f64], group: usize, name: &str) -> Markup {
    let Ok(summary) = Summary::of(values) else {
        return html! {};
    };
    let (mean, y_text) = (frame.across(summary.mean), tenths(y));
    let class = group % 7;
    html! {
        @if let Some(std) = summary.std {
            @let (low, high) = (frame.across(summary.mean - std), frame.across(summary.mean + std));
            path class={ "spread s" (class) } d={ "M" (tenths(low)) " " (y_text) "H" (tenths(high)) } {}
            @for value in values {
                circle class={ "pale s" (class) } cx=(tenths(frame.across(*value))) cy=(y_text) r="3.4" {
                    title { (name) ": " (number(*value)) }
                }
            }
        }
        circle class={ "mean s" (class) } cx=(tenths(mean)) cy=(y_text) r="4" {
            title { (name) ": " (with_spread(&summary)) }
        }
    }
}

fn with_spread(summary: &Summary) -> String {
    match summary.std {
        Some(std) => format!("{} ± {}", number(summary.mean), number(std)),
        None => number(summary.mean),
    }
}

fn dot_values(plot: &DotPlot) -> Markup {
    let list = |values: &[f64]| {
        let values: Vec<String> = values.iter().map(|value| number(*value)).collect();
        values.join(", ")
    };
    html! {
        div.scroll tabindex="0" role="group" aria-label="table of the values" {
            table {
                thead { tr {
                    td {}
                    @for group in &plot.groups { th.r scope="col" { (visible(group)) } }
                } }
                tbody {
                    @for (name, groups) in &plot.rows {
                        tr {
                            th scope="row" { (visible(name)) }
                            @for values in groups { td.r { (list(values)) } }
                        }
                    }
                }
            }
        }
    }
}

/// The figure of counts.
pub(super) fn counts(plot: &CountPlot, about: &str) -> Markup {
    let names: Vec<&str> = plot.rows.iter().map(|(name, _)| name.as_str()).collect();
    let frame = Frame {
        left: room(&names) + 14.0,
        right: WIDTH - 62.0,
        top: top(plot.reference.is_some()),
        row: ROW,
        rows: names.len(),
        axis: plot.axis(),
    };
    let told: Vec<String> = plot
        .rows
        .iter()
        .map(|(name, number)| format!("{} {}", visible(name), count(*number)))
        .collect();
    let label = format!("{}: {}", visible(about), told.join(", "));
    html! {
        figure.chart {
            figcaption { (visible(&plot.title)) }
            div.plot {
                svg viewBox={ "0 0 " (WIDTH) " " (tenths(frame.height())) } role="img" aria-label=(label) {
                    (frame.scale(&names, &plot.label))
                    @for (row, (name, number)) in plot.rows.iter().enumerate() {
                        @let (from, to) = (frame.left, frame.across(*number as f64));
                        rect.bar x=(tenths(from)) y=(tenths(frame.middle(row) - 6.0))
                            width=(tenths(to - from)) height="12" {
                            title { (visible(name)) ": " (count(*number)) }
                        }
                        @let y = tenths(frame.middle(row) + 4.0);
                        text.start x=(tenths(frame.right + 6.0)) y=(y) { (count(*number)) }
                    }
                    (frame.reference(plot.reference.as_ref()))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_has_its_dot() {
        let plot = DotPlot::new("t", "accuracy (%)", ["last epoch"])
            .with_row("kd", [vec![70.0, 72.0, 74.0]])
            .with_row("none", [vec![]])
            .with_reference("teacher", 75.0);
        let made = dots(&plot, "about").into_string();
        assert_eq!(made.matches("class=\"pale s0\"").count(), 3);
        assert!(
            made.contains("kd, last epoch: 72 ± 2") && made.contains("teacher: 75"),
            "{made}"
        );
        assert!(made.contains("<td class=\"r\">70, 72, 74</td>"), "{made}");
    }

    #[test]
    fn counts_have_bars_and_numbers() {
        let plot = CountPlot::new("t", "images")
            .with_row("cat", 1200)
            .with_row("dog", 0);
        let made = counts(&plot, "classes").into_string();
        assert!(
            made.contains("aria-label=\"classes: cat 1,200, dog 0\""),
            "{made}"
        );
        assert_eq!(made.matches("<rect").count(), 2);
    }
}
