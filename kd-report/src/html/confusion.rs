//! The confusion matrix as a table whose cells are shaded; of many classes those of the largest confusions.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::encode::visible;
use crate::{ConfusionPlot, count, percent};

/// Up to this many classes the whole matrix is shown.
const WHOLE: usize = 40;
/// Of more classes so many.
const PART: usize = 24;

/// The matrix, with a line below that says what a cell is.
pub(super) fn figure(plot: &ConfusionPlot, about: &str) -> Markup {
    let classes = plot.rows.len();
    let shown = shown(plot);
    let title = visible(if plot.title.is_empty() {
        about
    } else {
        &plot.title
    });
    html! {
        figure.matrix {
            figcaption { (title) }
            @if shown.len() < classes {
                p.note {
                    "Of " (count(classes as u64)) " classes, the " (shown.len())
                    " of the largest confusions."
                }
            }
            @let keys = format!("{title}: the arrow keys go from cell to cell");
            div.scroll.cells tabindex="0" role="group" aria-label=(keys) {
                table {
                    thead { tr {
                        td { "true class" span.arrow { " ↓, predicted →" } }
                        @for &class in &shown { th scope="col" { span { (visible(&plot.names[class])) } } }
                    } }
                    tbody {
                        @for &target in &shown {
                            @let total: u64 = plot.rows[target].iter().sum();
                            tr data-total=(total) {
                                th scope="row" { (visible(&plot.names[target])) }
                                @for &predicted in &shown { (cell(plot.rows[target][predicted], total)) }
                            }
                        }
                    }
                }
            }
            p.readout aria-live="polite" { (summary(plot)) }
        }
    }
}

fn cell(number: u64, total: u64) -> Markup {
    html! {
        @if number == 0 {
            td {}
        } @else {
            td class={ "h" (shade(number, total)) } { (number) }
        }
    }
}

/// A shade from 1 to 9, by the root of the share of the class: a rare confusion is seen, too.
fn shade(number: u64, total: u64) -> u64 {
    let share = number as f64 / total.max(1) as f64;
    let steps = [0.015, 0.05, 0.11, 0.2, 0.31, 0.44, 0.6, 0.8];
    1 + steps.iter().filter(|step| share > **step).count() as u64
}

fn summary(plot: &ConfusionPlot) -> String {
    let all: u64 = plot.rows.iter().flatten().sum();
    let right: u64 = plot
        .rows
        .iter()
        .enumerate()
        .map(|(class, row)| row[class])
        .sum();
    let share = percent(right as f64 / all.max(1) as f64);
    format!(
        "{} of {} samples on the diagonal ({share}).",
        count(right),
        count(all)
    )
}

/// The classes that are shown, in their order.
fn shown(plot: &ConfusionPlot) -> Vec<usize> {
    let classes = plot.rows.len();
    if classes <= WHOLE {
        return (0..classes).collect();
    }
    let mut found: Vec<(u64, usize, usize)> = Vec::new();
    for (target, row) in plot.rows.iter().enumerate() {
        let wrong = row
            .iter()
            .enumerate()
            .filter(|&(predicted, times)| predicted != target && *times > 0);
        found.extend(wrong.map(|(predicted, times)| (*times, target, predicted)));
    }
    found.sort_by_key(|&(times, target, predicted)| (std::cmp::Reverse(times), target, predicted));
    let mut chosen = BTreeSet::new();
    for (_, target, predicted) in found {
        if chosen.len() + 2 > PART {
            break;
        }
        chosen.extend([target, predicted]);
    }
    chosen.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_classes_are_shown_whole() {
        let plot = ConfusionPlot::new("m", &[vec![9, 1], vec![0, 5]], &["cat", "<b>"]).unwrap();
        let made = figure(&plot, "").into_string();
        assert!(
            made.contains("<td class=\"h9\">9</td><td class=\"h3\">1</td>"),
            "{made}"
        );
        assert!(made.contains("&lt;b&gt;") && !made.contains("<b>"));
        assert!(made.contains("14 of 15 samples on the diagonal (93.33 %)."));
    }

    #[test]
    fn of_many_classes_the_largest_confusions_are_shown() {
        let mut rows = vec![vec![0; 50]; 50];
        (rows[3][7], rows[7][49], rows[0][0]) = (9, 4, 100);
        let names: Vec<String> = (0..50).map(|class| class.to_string()).collect();
        let plot = ConfusionPlot::new("m", &rows, &names).unwrap();
        assert_eq!(shown(&plot), [3, 7, 49]);
    }
}
